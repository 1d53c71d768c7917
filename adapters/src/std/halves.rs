//! The two directions of a routed connection, shared by all clones of it.
//!
//! Each direction has a lock of its own, so that a read that waits for the client does not keep anybody from writing. Once a
//! ledger is empty, a flag says so, and neither the lock nor the ledger is looked at again.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Poll;

use super::socket::Io;
use super::source::Source;
use crate::context::Story;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::owed::StillOwed;

#[derive(Debug)]
pub(super) struct Halves {
    reads: Half<Inbound>,
    writes: Half<Outbound>,
    pub(super) story: Box<Story>,
}

/// One direction, and whether it goes straight through for good.
#[derive(Debug)]
struct Half<D> {
    is_direct: AtomicBool,
    direction: Mutex<D>,
}

impl<D> Half<D> {
    fn new(direction: D, is_direct: bool) -> Self {
        Self { is_direct: AtomicBool::new(is_direct), direction: Mutex::new(direction) }
    }

    fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Acquire)
    }

    fn set_direct(&self, is_direct: bool) {
        if is_direct {
            self.is_direct.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, D> {
        // A stream that panics under the lock leaves the ledger as it was before the call.
        self.direction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The direction, if no other clone is at work on it.
    fn try_lock(&self) -> Option<MutexGuard<'_, D>> {
        match self.direction.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What is owed in this direction; `at_work` while another clone is at work on it.
    fn owed(&self, at_work: StillOwed, ask: impl FnOnce(&D) -> Option<StillOwed>) -> Option<StillOwed> {
        if self.is_direct() {
            return None;
        }
        self.try_lock().map_or(Some(at_work), |direction| ask(&direction))
    }
}

impl Halves {
    pub(super) fn new(inbound: Inbound, outbound: Outbound, story: Box<Story>) -> Self {
        let (reads, writes) = (inbound.is_direct(), outbound.is_direct());
        Self { reads: Half::new(inbound, reads), writes: Half::new(outbound, writes), story }
    }

    pub(super) fn owed(&self) -> Option<StillOwed> {
        // Whoever is at work there waits for the client, or writes what it is owed.
        let reads = self.reads.owed(StillOwed::ClientAck, Inbound::owed);
        reads.or_else(|| self.writes.owed(StillOwed::BackendSettings, Outbound::owed))
    }

    pub(super) fn read(&self, io: &mut (impl Read + Write), buf: &mut [u8]) -> io::Result<usize> {
        self.push_for_reader(io);
        if self.reads.is_direct() || buf.is_empty() {
            return io.read(buf);
        }
        match self.fill(io, buf)? {
            Some(n) => Ok(n),
            None => io.read(buf),
        }
    }

    pub(super) fn read_vectored(
        &self,
        io: &mut (impl Read + Write),
        bufs: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        self.push_for_reader(io);
        let first = bufs.iter_mut().find(|buf| !buf.is_empty());
        let (false, Some(first)) = (self.reads.is_direct(), first) else {
            return io.read_vectored(bufs);
        };
        match self.fill(io, first)? {
            Some(n) => Ok(n),
            None => io.read_vectored(bufs),
        }
    }

    /// Reads bytes that do not come straight from the socket. `None` means: read from the socket.
    fn fill(&self, io: &mut impl Read, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let mut inbound = self.reads.lock();
        let filled = match inbound.poll_fill(|scratch| Poll::Ready(io.read(scratch))) {
            Poll::Ready(filled) => filled?,
            // The read above always has an answer.
            Poll::Pending => false,
        };
        let n = filled.then(|| inbound.copy_to(buf));
        self.reads.set_direct(inbound.is_direct());
        Ok(n)
    }

    /// The server waits for an answer to what it has written: see that it goes, unless another clone is at it. Something is left
    /// over only where a write has run into its timeout. An error shows at the next write.
    fn push_for_reader(&self, io: &mut impl Write) {
        if self.writes.is_direct() {
            return;
        }
        if let Some(mut outbound) = self.writes.try_lock().filter(|outbound| outbound.has_pending()) {
            let _ = push(&mut outbound, io);
            self.writes.set_direct(outbound.is_direct());
        }
    }

    pub(super) fn write(&self, io: &mut impl Write, buf: &[u8]) -> io::Result<usize> {
        if self.writes.is_direct() {
            return io.write(buf);
        }
        let mut outbound = self.writes.lock();
        let mut timeout = None;
        let written = outbound.poll_write(buf, |bytes| attempt(io, bytes, &mut timeout));
        self.writes.set_direct(outbound.is_direct());
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Err(timed_out(timeout)),
        }
    }

    pub(super) fn write_vectored(&self, io: &mut impl Write, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.writes.is_direct() {
            return io.write_vectored(bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.write(io, first)
    }

    pub(super) fn flush(&self, io: &mut impl Write) -> io::Result<()> {
        if !self.writes.is_direct() {
            push(&mut self.writes.lock(), io)?;
        }
        io.flush()
    }

    /// Ends the write side, behind what the ledger held back of the backend's bytes.
    pub(super) fn finish<S: Io>(&self, io: &mut Source<S>) -> io::Result<()> {
        if !self.writes.is_direct() {
            let mut outbound = self.writes.lock();
            outbound.finish();
            push(&mut outbound, io)?;
        }
        io.flush()?;
        io.shutdown(Shutdown::Write)
    }

    /// Ends one side or both. What the ledger held back of the backend's bytes goes out before the end of its side; if another
    /// clone is stuck in a write, that is what shutting down is to end, so nobody waits for it.
    pub(super) fn shutdown<S: Io>(
        &self,
        io: &Source<S>,
        how: Shutdown,
        mut writer: impl Write,
    ) -> io::Result<()> {
        if how != Shutdown::Read && !self.writes.is_direct() {
            if let Some(mut outbound) = self.writes.try_lock() {
                outbound.finish();
                let _ = push(&mut outbound, &mut writer);
            }
        }
        io.shutdown(how)
    }
}

/// Writes what is left over from before.
fn push(outbound: &mut Outbound, io: &mut impl Write) -> io::Result<()> {
    let mut timeout = None;
    match outbound.poll_flush(|bytes| attempt(io, bytes, &mut timeout)) {
        Poll::Ready(pushed) => pushed,
        Poll::Pending => Err(timed_out(timeout)),
    }
}

/// Writes once. A timeout is `Pending`, as for a socket that is not ready: what was accepted stays accepted. An interruption may
/// not reach the caller, who would write again what was accepted.
fn attempt(io: &mut impl Write, bytes: &[u8], timeout: &mut Option<io::Error>) -> Poll<io::Result<usize>> {
    loop {
        match io.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                *timeout = Some(error);
                return Poll::Pending;
            }
            done => return Poll::Ready(done),
        }
    }
}

fn timed_out(timeout: Option<io::Error>) -> io::Error {
    timeout.unwrap_or_else(|| io::ErrorKind::WouldBlock.into())
}
