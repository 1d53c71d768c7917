//! A client's connection whose requests are routed one by one.

use std::future::{poll_fn, Future};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use bytes::{Bytes, BytesMut};
use oneport_core::split::{Batch, ConnectionEnd};
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::time::{sleep_until, Instant};

use super::alarm::Alarm;
use super::drive::{linger, now};
use super::incoming::Arrival;
use super::listener::Io;
use super::mux::Slots;
use crate::split::{poll_write_all, Driver, Hop, Passage, ReadSize};

/// Splits a client's connection to its end.
pub(super) async fn split<T: Io>(io: T, slots: Arc<Slots<T>>, passage: Passage) {
    let shared = passage.shared.clone();
    let mut driver = Driver::new(StreamHop::new(io), slots, Arrival::share, passage, now());
    let sleep = pin!(sleep_until(Instant::now()));
    let mut alarm = Alarm::new(sleep, None);
    poll_fn(|cx| loop {
        if let Poll::Ready(outcome) = driver.poll(cx, now()) {
            return Poll::Ready(outcome);
        }
        let Some(deadline) = driver.deadline() else { return Poll::Pending };
        alarm.set(Instant::from_std(deadline));
        ready!(alarm.poll(cx));
        driver.handle_timeout(now());
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
        // A stream that can not write several slices at once takes the first.
        let io = &mut self.io;
        ready!(poll_write_all(batch, |slices| Pin::new(&mut *io).poll_write_vectored(cx, slices)))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let size = self.read_size.get();
        if size == ReadSize::SMALL {
            let mut buffer = [MaybeUninit::uninit(); ReadSize::SMALL];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.read_size.learn(buffer.filled().len());
            return Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())));
        }
        // Not held while it waits.
        let mut buffer = BytesMut::with_capacity(size);
        let count = ready!(pin!(self.io.read_buf(&mut buffer)).poll(cx))?;
        self.read_size.learn(count);
        // What is passed on keeps its whole buffer alive.
        let bytes = if count < size / 2 { Bytes::copy_from_slice(&buffer) } else { buffer.freeze() };
        Poll::Ready(Ok(bytes))
    }

    fn close(&mut self, _how: ConnectionEnd) {
        // Dropping it closes it. Where something was in progress, HTTP/2 itself shows that it was cut.
    }
}
