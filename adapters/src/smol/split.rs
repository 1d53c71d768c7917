//! A client's connection whose requests are routed one by one.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use oneport_core::split::{Batch, ConnectionEnd};

use super::drive::{linger, Alarm};
use super::home::Home;
use super::incoming::Arrival;
use super::listener::Io;
use super::mux::Slots;
use crate::split::{poll_write_all, Driver, Hop, Passage, ReadSize};

/// Splits a client's connection to its end.
pub(super) async fn split<T: Io>(io: T, slots: Arc<Slots<T>>, home: Home, passage: Passage) {
    let shared = passage.shared.clone();
    let make = move |share| Arrival::share(share, home.clone());
    let mut driver = Driver::new(StreamHop::new(io), slots, make, passage, Instant::now());
    let mut alarm = Alarm::default();
    poll_fn(|cx| loop {
        if let Poll::Ready(outcome) = driver.poll(cx, Instant::now()) {
            return Poll::Ready(outcome);
        }
        let Some(deadline) = driver.deadline() else { return Poll::Pending };
        alarm.set(deadline);
        ready!(alarm.poll(cx));
        driver.handle_timeout(Instant::now());
    })
    .await;
    let (client, may_linger) = driver.into_client();
    if let Some(place) = may_linger.then(|| shared.linger()).flatten() {
        linger(client.io, shared.limits.linger, shared.limits.linger_bytes, place).await;
    }
}

/// A stream that the driver speaks on.
pub(super) struct StreamHop<T> {
    io: T,
    read_size: ReadSize,
}

impl<T> StreamHop<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, read_size: ReadSize::default() }
    }
}

impl<T: Io> Hop for StreamHop<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        let io = &mut self.io;
        ready!(poll_write_all(batch, |slices| Pin::new(&mut *io).poll_write_vectored(cx, slices)))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let size = self.read_size.get();
        if size == ReadSize::SMALL {
            let mut buffer = [0; ReadSize::SMALL];
            let count = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.read_size.learn(count);
            return Poll::Ready(Ok(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())));
        }
        // Not held while it waits.
        let mut buffer = vec![0; size];
        let count = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        self.read_size.learn(count);
        // What is passed on keeps its whole buffer alive.
        if count < size / 2 {
            return Poll::Ready(Ok(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())));
        }
        buffer.truncate(count);
        Poll::Ready(Ok(buffer.into()))
    }

    fn close(&mut self, _how: ConnectionEnd) {
        // Dropping it closes it. Where something was in progress, HTTP/2 itself shows that it was cut.
    }
}
