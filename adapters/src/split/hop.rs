//! A connection as the driver sees it: batches out, bytes in.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use oneport_core::split::{Batch, ConnectionEnd};

/// Slices handed to one vectored write.
pub(crate) const MAX_SLICES: usize = 64;

/// A connection that the driver speaks on.
pub(crate) trait Hop: Send {
    /// Writes all of the batch. Once ready, what is in `batch` is to be given back to the machine.
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>>;

    /// Reads some bytes, in a buffer of their own; none at the end of input.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>>;

    /// The machine has done with it. It is dropped next.
    fn close(&mut self, how: ConnectionEnd);
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
