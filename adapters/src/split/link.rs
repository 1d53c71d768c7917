//! A connection in memory between the driver and a server in this process.
//!
//! The machine's batches are read out of where they are: towards the server there is one copy, that into the server's buffer.
//! What the server writes is gathered, up to [`CAPACITY`], and given to the machine as it is.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use oneport_core::split::{Batch, ConnectionEnd};

use super::Hop;

/// Bytes that a server may write ahead of the machine.
const CAPACITY: usize = 64 * 1024;

/// A new connection: the server's end and the driver's.
pub(crate) fn link() -> (Link, LinkHop) {
    let wire = Arc::new(Wire(Mutex::default()));
    (Link(wire.clone()), LinkHop(wire))
}

/// How a direction has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Fin,
    Reset,
}

#[derive(Default)]
struct Inner {
    /// To the server: what it is reading, and what it has read to its end and the driver gets back.
    down: Option<Batch>,
    read: Option<Batch>,
    #[cfg(feature = "std")]
    is_read_closed: bool,
    down_end: Option<End>,
    /// From the server.
    up: BytesMut,
    up_end: Option<End>,
    /// The server has dropped its end: nobody reads any more.
    is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    driver: Option<Waker>,
}

/// Says how much is on its way, and not what: cookies and credentials are not for logs.
impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("down", &self.down)
            .field("down_end", &self.down_end)
            .field("up", &format_args!("{} bytes", self.up.len()))
            .field("up_end", &self.up_end)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Wire(Mutex<Inner>);

impl Wire {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

/// Wakes them, and not under the lock.
fn wake(inner: MutexGuard<'_, Inner>, wakers: impl IntoIterator<Item = impl IntoIterator<Item = Waker>>) {
    drop(inner);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// The server's end. Dropping it before [`close`](Self::close) is a reset.
#[derive(Debug)]
pub(crate) struct Link(Arc<Wire>);

impl Link {
    /// Reads at most `most` bytes, slice by slice, into `sink`; returns how many. None is the end.
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        most: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if most == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        #[cfg(feature = "std")]
        if inner.is_read_closed {
            return Poll::Ready(Ok(0));
        }
        let Some(batch) = &mut inner.down else {
            return match inner.down_end {
                Some(End::Fin) => Poll::Ready(Ok(0)),
                Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    wait(&mut inner.reader, cx);
                    Poll::Pending
                }
            };
        };
        let mut count = 0;
        while count < most && !batch.is_empty() {
            let chunk = batch.chunk();
            let chunk = chunk.get(..most - count).unwrap_or(chunk);
            sink(chunk);
            let len = chunk.len();
            batch.advance(len);
            count += len;
        }
        if batch.is_empty() {
            inner.read = inner.down.take();
            let driver = inner.driver.take();
            wake(guard, [driver]);
        }
        Poll::Ready(Ok(count))
    }

    /// As [`poll_read`](Self::poll_read), into a buffer.
    #[cfg(feature = "smol")]
    pub(crate) fn poll_fill(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut at = 0;
        self.poll_read(cx, buf.len(), |bytes| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        })
    }

    /// Writes at least one byte of `slices`, all of them if there is room.
    pub(crate) fn poll_write<'a>(
        &self,
        cx: &Context<'_>,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        if inner.up_end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match inner.down_end {
            Some(End::Fin) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(End::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {}
        }
        let mut room = CAPACITY.saturating_sub(inner.up.len());
        let mut count = 0;
        let mut is_empty = true;
        for slice in slices.filter(|slice| !slice.is_empty()) {
            is_empty = false;
            let slice = slice.get(..room).unwrap_or(slice);
            inner.up.extend_from_slice(slice);
            room -= slice.len();
            count += slice.len();
            if room == 0 {
                break;
            }
        }
        if count == 0 && !is_empty {
            wait(&mut inner.writer, cx);
            return Poll::Pending;
        }
        let driver = inner.driver.take();
        wake(guard, [driver]);
        Poll::Ready(Ok(count))
    }

    /// The server reads no more: a read that waits ends. What still comes is not taken.
    #[cfg(feature = "std")]
    pub(crate) fn close_read(&self) {
        let mut inner = self.0.lock();
        inner.is_read_closed = true;
        let reader = inner.reader.take();
        wake(inner, [reader]);
    }

    /// Whether it holds no bytes, in either direction.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.0.lock();
        inner.down.is_none() && inner.read.is_none() && inner.up.capacity() == 0 && inner.driver.is_none()
    }

    /// Ends the server's direction: a write that waits ends as well. What was written still arrives.
    pub(crate) fn close(&self) {
        let mut inner = self.0.lock();
        inner.up_end.get_or_insert(End::Fin);
        let wakers = [inner.driver.take(), inner.writer.take()];
        wake(inner, wakers);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.up_end.get_or_insert(End::Reset);
        inner.is_gone = true;
        // Not under the lock: what is dropped may drop anything.
        let unread = (inner.down.take(), inner.reader.take(), inner.writer.take());
        let driver = inner.driver.take();
        wake(inner, [driver]);
        drop(unread);
    }
}

/// The driver's end. Dropping it before it is closed is a reset.
#[derive(Debug)]
pub(crate) struct LinkHop(Arc<Wire>);

impl LinkHop {
    fn end(&self, end: End) {
        let mut inner = self.0.lock();
        if inner.down_end.is_some() {
            return;
        }
        inner.down_end = Some(end);
        // A server may hold its end for long after this.
        let unread = if end == End::Reset { inner.down.take() } else { None };
        let unheard = (unread, inner.read.take(), std::mem::take(&mut inner.up), inner.driver.take());
        let wakers = [inner.reader.take(), inner.writer.take()];
        wake(inner, wakers);
        drop(unheard);
    }
}

impl Hop for LinkHop {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if let Some(read) = inner.read.take() {
            *batch = read;
            return Poll::Ready(Ok(()));
        }
        if inner.down.is_none() {
            if batch.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if inner.is_gone {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            inner.down = Some(std::mem::take(batch));
            wait(&mut inner.driver, cx);
            let reader = inner.reader.take();
            wake(inner, [reader]);
            return Poll::Pending;
        }
        wait(&mut inner.driver, cx);
        Poll::Pending
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut inner = self.0.lock();
        if !inner.up.is_empty() {
            let bytes = std::mem::take(&mut inner.up).freeze();
            let writer = inner.writer.take();
            wake(inner, [writer]);
            return Poll::Ready(Ok(bytes));
        }
        match inner.up_end {
            Some(End::Fin) => Poll::Ready(Ok(Bytes::new())),
            Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                wait(&mut inner.driver, cx);
                Poll::Pending
            }
        }
    }

    fn close(&mut self, how: ConnectionEnd) {
        self.end(if how == ConnectionEnd::Clean { End::Fin } else { End::Reset });
    }
}

impl Drop for LinkHop {
    fn drop(&mut self) {
        self.end(End::Reset);
    }
}
