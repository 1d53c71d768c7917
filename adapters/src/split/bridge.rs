//! A server elsewhere: the driver speaks on a stream of the user's, and the user hears how that ends.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use oneport_core::split::{Batch, ConnectionEnd};
use oneport_core::wire::frame::ErrorCode;

use super::Hop;

/// How a bridged connection to a backend has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BridgeEnd {
    /// Nothing was in progress on it.
    Clean,
    /// It broke, or something was in progress and was cut off.
    Cut,
    /// The backend broke the protocol, with the code that names it (RFC 9113 §7). One that speaks only HTTP/1 looks like this, with
    /// `FRAME_SIZE_ERROR`.
    Fault(ErrorCode),
}

/// A backend's connection that the mux speaks on: ready when that has ended. Dropping it does not end the connection.
#[derive(Debug)]
#[must_use = "it tells how the connection ends"]
pub struct Bridge(Arc<Story>);

#[derive(Debug, Default)]
struct Told {
    end: Option<BridgeEnd>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Story(Mutex<Told>);

impl Story {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, end: BridgeEnd) {
        let mut told = self.lock();
        told.end.get_or_insert(end);
        let waker = told.waker.take();
        drop(told);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().end.fmt(f)
    }
}

impl Future for Bridge {
    type Output = BridgeEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BridgeEnd> {
        let mut told = self.0.lock();
        if let Some(end) = told.end {
            return Poll::Ready(end);
        }
        told.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A hop whose end is told to somebody.
struct Bridged<H> {
    hop: H,
    story: Arc<Story>,
}

/// Makes the two ends of a bridge over `hop`.
pub(crate) fn bridge(hop: impl Hop + 'static) -> (Box<dyn Hop>, Bridge) {
    let story = Arc::new(Story::default());
    (Box::new(Bridged { hop, story: story.clone() }), Bridge(story))
}

impl<H: Hop> Hop for Bridged<H> {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        self.hop.poll_send(cx, batch)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.hop.poll_receive(cx)
    }

    fn close(&mut self, how: ConnectionEnd) {
        self.story.tell(match how {
            ConnectionEnd::Clean => BridgeEnd::Clean,
            ConnectionEnd::Fault(code) => BridgeEnd::Fault(code),
            _ => BridgeEnd::Cut,
        });
        self.hop.close(how);
    }
}

impl<H> Drop for Bridged<H> {
    fn drop(&mut self) {
        self.story.tell(BridgeEnd::Cut);
    }
}
