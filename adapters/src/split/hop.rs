//! A connection as the driver sees it: batches out, bytes in.

use std::io::{self, IoSlice};
use std::task::{ready, Context, Poll};

use bytes::{Buf, Bytes};
use oneport_core::split::{Batch, ConnectionEnd};

/// Slices handed to one vectored write.
const MAX_SLICES: usize = 64;

/// A connection that the driver speaks on.
pub(crate) trait Hop: Send {
    /// Writes all of the batch. Once ready, what is in `batch` is to be given back to the machine.
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>>;

    /// Reads some bytes, in a buffer of their own; none at the end of input.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>>;

    /// The machine has done with it. It is dropped next.
    fn close(&mut self, how: ConnectionEnd);
}

/// Writes all of a batch by `write`, which takes some of it.
pub(crate) fn poll_write_all(
    batch: &mut Batch,
    mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = batch.chunks_vectored(&mut slices);
        let written = ready!(write(slices.get(..count).unwrap_or_default()))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        batch.advance(written.min(batch.len()));
    }
    Poll::Ready(Ok(()))
}

/// How much to read next: a connection that fills its buffers gets larger ones, one that does not small ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadSize(usize);

impl Default for ReadSize {
    fn default() -> Self {
        Self(Self::SMALL)
    }
}

impl ReadSize {
    /// What fits on the stack; what was read is copied from there.
    pub(crate) const SMALL: usize = 8 * 1024;
    /// What a bulk transfer reads at a time, without a copy.
    const LARGE: usize = 64 * 1024;

    pub(crate) const fn get(self) -> usize {
        self.0
    }

    /// A read of this size has brought so many bytes.
    pub(crate) fn learn(&mut self, count: usize) {
        if count == self.0 {
            self.0 = Self::LARGE;
        } else if count < Self::SMALL {
            self.0 = Self::SMALL;
        }
    }
}
