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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::split::tests::words;
    use crate::split::{link, Hop};

    const SHORT: Duration = Duration::from_millis(30);
    /// What nothing waits for that works.
    const LONG: Duration = Duration::from_secs(20);

    fn share() -> (Source<TcpStream>, impl Hop) {
        let (link, hop) = link();
        (parcel::Source::Share(link).into(), hop)
    }

    fn send(hop: &mut impl Hop) -> Vec<u8> {
        let (mut batch, bytes) = words();
        assert!(hop.poll_send(&mut Context::from_waker(Waker::noop()), &mut batch).is_pending());
        bytes
    }

    fn receive(hop: &mut impl Hop) -> Vec<u8> {
        match hop.poll_receive(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(bytes)) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Lets the other threads come to where they wait, or not: the test holds either way.
    fn a_moment() {
        thread::sleep(SHORT);
    }

    #[test]
    fn reads_and_writes_give_up_after_their_time_and_lose_nothing() {
        let (mut io, mut hop) = share();
        assert_eq!(
            io.set_read_timeout(Some(Duration::ZERO)).map_err(|e| e.kind()),
            Err(ErrorKind::InvalidInput)
        );
        io.set_read_timeout(Some(SHORT)).expect("a time");
        io.set_write_timeout(Some(SHORT)).expect("a time");
        let mut buffer = [0; 1_000];
        let start = Instant::now();
        assert_eq!(io.read(&mut buffer).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
        assert!(start.elapsed() >= SHORT);
        let bytes = send(&mut hop);
        let count = io.read(&mut buffer).expect("it is there");
        assert_eq!(buffer[..count], bytes);
        assert_eq!(io.read(&mut []).expect("nothing is asked for"), 0);

        let mut written = 0;
        let error = loop {
            match io.write(&[7; 10_000]) {
                Ok(count) => written += count,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!((written, error), (64 * 1024, ErrorKind::WouldBlock));
        assert_eq!(receive(&mut hop), vec![7; written]);
        assert_eq!(io.write(&[7; 10]).expect("there is room"), 10);
        io.flush().expect("it is with the mux");
    }

    /// Several threads wait to read and to write, by handles of their own: each goes on, whoever was the last to wait.
    #[test]
    fn every_thread_that_waits_is_woken() {
        const WRITERS: usize = 4;
        const EACH: usize = 100_000;
        let (io, mut hop) = share();
        io.set_read_timeout(Some(LONG)).expect("a time");
        io.set_write_timeout(Some(LONG)).expect("a time");
        let first = send(&mut hop);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let mut io = io.try_clone().expect("a handle");
                    scope.spawn(move || {
                        let mut all = 0;
                        loop {
                            match io.read(&mut [0; 3]).expect("a clean end") {
                                0 => return all,
                                count => all += count,
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..WRITERS {
                let mut io = io.try_clone().expect("a handle");
                scope.spawn(move || io.write_all(&vec![7; EACH]).expect("it is read"));
            }
            let mut received = 0;
            while received < WRITERS * EACH {
                match hop.poll_receive(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(bytes) => received += bytes.expect("open").len(),
                    Poll::Pending => thread::yield_now(),
                }
            }
            a_moment();
            hop.close(oneport_core::split::ConnectionEnd::Clean);
            let read: usize = readers.into_iter().map(|reader| reader.join().expect("no panic")).sum();
            assert_eq!(read, first.len());
        });
    }

    /// Shutting down ends what waits, on all handles.
    #[test]
    fn a_shutdown_ends_what_waits() {
        let (io, mut hop) = share();
        io.set_read_timeout(Some(LONG)).expect("a time");
        io.set_write_timeout(Some(LONG)).expect("a time");
        let twin = io.try_clone().expect("a handle");
        (&io).write_all(&[7; 64 * 1024]).expect("there is room");
        thread::scope(|scope| {
            let reading = scope.spawn(|| (&twin).read(&mut [0; 8]).expect("an end"));
            let writing = scope.spawn(|| (&twin).write(b"more").map_err(|error| error.kind()));
            a_moment();
            io.shutdown(Shutdown::Both).expect("a share");
            assert_eq!(reading.join().expect("no panic"), 0);
            assert_eq!(writing.join().expect("no panic"), Err(ErrorKind::BrokenPipe));
        });
        assert_eq!(receive(&mut hop).len(), 64 * 1024);
        assert_eq!(receive(&mut hop), b"", "a clean end, although handles live");
    }

    /// With the last handle, and not before, the connection is dropped.
    #[test]
    fn the_last_handle_counts() {
        let (io, mut hop) = share();
        let twin = io.try_clone().expect("a handle");
        drop(io);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(hop.poll_receive(cx).is_pending());
        drop(twin);
        assert!(matches!(hop.poll_receive(cx), Poll::Ready(Err(_))));
    }
}
