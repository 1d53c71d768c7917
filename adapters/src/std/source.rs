//! What a routed connection reads and writes, as a blocking stream.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::park::Bell;
use super::socket::{Io, Socket};
use crate::parcel;
use crate::split::Link;

/// How long reads and writes may wait.
#[derive(Debug, Default)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
}

/// A share in a client's connection. All clones share the one, and its timeouts, as with sockets.
#[derive(Clone, Debug)]
pub(super) struct Share {
    link: Arc<Link>,
    timeouts: Arc<Mutex<Timeouts>>,
    /// Each for all clones: several threads may wait for the same direction.
    reads: Arc<Bell>,
    writes: Arc<Bell>,
}

#[derive(Debug)]
pub(super) enum Source<T> {
    Whole(T),
    Share(Share),
}

impl<T> From<parcel::Source<T>> for Source<T> {
    fn from(source: parcel::Source<T>) -> Self {
        match source {
            parcel::Source::Whole(io) => Self::Whole(io),
            parcel::Source::Share(link) => Self::Share(Share {
                link: Arc::new(link),
                timeouts: Arc::default(),
                reads: Arc::default(),
                writes: Arc::default(),
            }),
        }
    }
}

impl<T> Source<T> {
    pub(super) const fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(io) => Some(io),
            Self::Share(_) => None,
        }
    }
}

impl<T: Socket> Source<T> {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Whole(io) => io.try_clone().map(Self::Whole),
            Self::Share(share) => Ok(Self::Share(share.clone())),
        }
    }
}

impl Share {
    fn timeouts(&self) -> MutexGuard<'_, Timeouts> {
        self.timeouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let timeout = self.timeouts().read;
        self.reads.wait_for(|cx| self.link.poll_fill(cx, buf), timeout).unwrap_or_else(timed_out)
    }

    fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let timeout = self.timeouts().write;
        let slices = || bufs.iter().map(|buf| &**buf);
        self.writes.wait_for(|cx| self.link.poll_write(cx, slices()), timeout).unwrap_or_else(timed_out)
    }
}

fn timed_out() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// What sockets say as well.
fn check(timeout: Option<Duration>) -> io::Result<()> {
    match timeout {
        Some(Duration::ZERO) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of 0")),
        _ => Ok(()),
    }
}

impl<T: Io> Source<T> {
    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Whole(io) => io.set_read_timeout(timeout),
            Self::Share(share) => check(timeout).map(|()| share.timeouts().read = timeout),
        }
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Whole(io) => io.set_write_timeout(timeout),
            Self::Share(share) => check(timeout).map(|()| share.timeouts().write = timeout),
        }
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Whole(io) => io.shutdown(how),
            Self::Share(share) => {
                if how != Shutdown::Read {
                    share.link.close();
                }
                if how != Shutdown::Write {
                    share.link.close_read();
                }
                Ok(())
            }
        }
    }
}

impl<T: Read> Read for Source<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(io) => io.read(buf),
            Self::Share(share) => share.read(buf),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Self::Whole(io) => io.read_vectored(bufs),
            Self::Share(share) => {
                bufs.iter_mut().find(|buf| !buf.is_empty()).map_or(Ok(0), |buf| share.read(buf))
            }
        }
    }
}

impl<T: Write> Write for Source<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Whole(io) => io.write(buf),
            Self::Share(share) => share.write(&[IoSlice::new(buf)]),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Whole(io) => io.write_vectored(bufs),
            Self::Share(share) => share.write(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Whole(io) => io.flush(),
            Self::Share(_) => Ok(()),
        }
    }
}

impl<'a, T> Read for &'a Source<T>
where
    &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match *self {
            Source::Whole(io) => { io }.read(buf),
            Source::Share(share) => share.read(buf),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match *self {
            Source::Whole(io) => { io }.read_vectored(bufs),
            Source::Share(share) => {
                bufs.iter_mut().find(|buf| !buf.is_empty()).map_or(Ok(0), |buf| share.read(buf))
            }
        }
    }
}

impl<'a, T> Write for &'a Source<T>
where
    &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match *self {
            Source::Whole(io) => { io }.write(buf),
            Source::Share(share) => share.write(&[IoSlice::new(buf)]),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {
            Source::Whole(io) => { io }.write_vectored(bufs),
            Source::Share(share) => share.write(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {
            Source::Whole(io) => { io }.flush(),
            Source::Share(_) => Ok(()),
        }
    }
}
