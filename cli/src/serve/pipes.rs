//! Pipes through which bytes go from socket to socket inside the kernel (`splice`), without a copy to this program and back.
//!
//! A pipe is held only while something is in it. An idle connection has none, nor has one whose messages are small; as many are in
//! use as there are directions in the middle of a step, and those whose writer takes no more for the moment. When none is to be
//! had, bytes are copied, as they are where the system knows no `splice`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::{retry_on_intr, Errno};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, PipeFlags, SpliceFlags};
use rustix::process::{getrlimit, Resource};

/// Bytes that a pipe can take. Measured on loopback, beside copying 64 KiB at a time: 64 KiB, the system's default, take 0.72 of the
/// processor time, 128 KiB 0.51, 256 KiB 0.41, 512 KiB 0.36. What a client that does not read keeps in the kernel grows with it.
const SIZE: usize = 256 * 1024;

/// The least that is worth the trouble. The system gives pipes of two pages to a user who has too many (`pipe-user-pages-soft`).
const LEAST_SIZE: usize = 64 * 1024;

/// Pipes of the program at the same time: 32 MiB in the kernel, and half of the pages that Linux allows to an unprivileged user.
const MOST: usize = 128;

/// A pipe takes two files: all of them together one in so many of those that the process may open.
const SHARE_OF_FILES: u64 = 8;

/// Empty pipes that are kept for the next who needs one.
const MOST_KEPT: usize = 8;

/// After the system has refused a pipe, none is asked for during this time.
const PAUSE: Duration = Duration::from_secs(1);

/// The pipes of the program. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pipes(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Ends>,
    /// Pipes that exist, with those in use.
    count: usize,
    /// The system has refused one: not before then.
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipes {
    /// As many as the process may have, and none yet.
    pub(super) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::at_most(usize::try_from(files / (2 * SHARE_OF_FILES)).unwrap_or(MOST).min(MOST))
    }

    /// None ever: all is copied.
    pub(super) fn none() -> Self {
        Self::at_most(0)
    }

    fn at_most(most: usize) -> Self {
        Self(Arc::new(Pool { most, state: Mutex::default() }))
    }

    /// An empty pipe; `None` if none is to be had now.
    pub(super) fn take(&self) -> Option<Pipe> {
        let mut state = self.0.lock();
        let ends = match state.kept.pop() {
            Some(ends) => ends,
            None if state.count >= self.0.most => return None,
            None if state.paused_until.is_some_and(|until| Instant::now() < until) => return None,
            None => {
                state.count += 1;
                drop(state);
                match open() {
                    Ok(ends) => ends,
                    Err(_) => {
                        let mut state = self.0.lock();
                        state.count -= 1;
                        state.paused_until = Some(Instant::now() + PAUSE);
                        return None;
                    }
                }
            }
        };
        Some(Pipe { ends: Some(ends), held: 0, pool: self.0.clone() })
    }
}

/// # Errors
/// The process or the user has too many already.
fn open() -> io::Result<Ends> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A user beyond the soft limit may not: what the system gives by itself will have to do.
    let size = fcntl_setpipe_size(&write, SIZE).or_else(|_| fcntl_getpipe_size(&write))?;
    if size < LEAST_SIZE {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    Ok(Ends { read, write })
}

/// A pipe in use. Dropped empty it serves another; otherwise it is closed, and what was in it is gone.
#[derive(Debug)]
pub(super) struct Pipe {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    /// Bytes in it.
    held: usize,
    pool: Arc<Pool>,
}

/// Why nothing was moved.
#[derive(Debug)]
pub(super) enum Unmoved {
    /// These sockets, or this system, do not do it: bytes must be copied.
    Unsupported,
    /// There is nothing to move, or no room for it. An end of input looks the same.
    NotNow,
    /// The socket is broken.
    Broken(io::Error),
}

impl From<Errno> for Unmoved {
    fn from(error: Errno) -> Self {
        match error {
            Errno::AGAIN => Self::NotNow,
            // Things that are not spliced, or a kernel that can not.
            Errno::INVAL | Errno::NOSYS => Self::Unsupported,
            // A filter of system calls (containers), which may answer what it likes. If it is of the socket, a copy is told so, too.
            Errno::ACCESS | Errno::OPNOTSUPP | Errno::PERM => Self::Unsupported,
            // A kernel without the memory for it.
            Errno::NOMEM => Self::Unsupported,
            error => Self::Broken(error.into()),
        }
    }
}

impl Pipe {
    pub(super) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves what the socket holds into the pipe, which must be empty: of a pipe that is full and of a socket that is empty the
    /// system says the same. Returns how many bytes it holds now, which is never 0.
    ///
    /// # Errors
    /// See [`Unmoved`].
    pub(super) fn fill(&mut self, from: impl AsFd) -> Result<usize, Unmoved> {
        debug_assert!(self.is_empty(), "EAGAIN would be ambiguous");
        let ends = self.ends.as_ref().ok_or(Unmoved::NotNow)?;
        let from = from.as_fd();
        match retry_on_intr(|| splice(from, None, &ends.write, None, SIZE, SpliceFlags::NONBLOCK))? {
            0 => Err(Unmoved::NotNow),
            n => {
                self.held = n;
                Ok(n)
            }
        }
    }

    /// Moves what it holds to the socket, as far as that takes it. Returns how much that was.
    ///
    /// # Errors
    /// See [`Unmoved`]. Nothing is lost by `NotNow` and `Unsupported`.
    pub(super) fn drain(&mut self, to: impl AsFd) -> Result<usize, Unmoved> {
        let ends = self.ends.as_ref().ok_or(Unmoved::NotNow)?;
        // Of a peer that is gone the system would also tell by SIGPIPE: Rust's runtime ignores that.
        let to = to.as_fd();
        match retry_on_intr(|| splice(&ends.read, None, to, None, self.held, SpliceFlags::NONBLOCK))? {
            0 => Err(Unmoved::Broken(io::ErrorKind::WriteZero.into())),
            n => {
                self.held = self.held.saturating_sub(n);
                Ok(n)
            }
        }
    }

    /// Takes out what it holds, to go on by copying.
    ///
    /// # Errors
    /// The system does not give it back.
    pub(super) fn take_out(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.held];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let Some(ends) = &self.ends else { break };
            match retry_on_intr(|| rustix::io::read(&ends.read, &mut *rest))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    self.held = self.held.saturating_sub(n);
                    rest = rest.get_mut(n..).unwrap_or_default();
                }
            }
        }
        Ok(bytes)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take();
        let mut state = self.pool.lock();
        match ends {
            Some(ends) if self.held == 0 && state.kept.len() < MOST_KEPT => state.kept.push(ends),
            ends => {
                state.count = state.count.saturating_sub(1);
                drop(state);
                // Two system calls: not while others wait.
                drop(ends);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    /// A pipe that holds these bytes, and the socket that they came from and its peer.
    fn filled(pipes: &Pipes, bytes: &[u8]) -> (Pipe, UnixStream, UnixStream) {
        let (mut peer, socket) = UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("an option");
        peer.write_all(bytes).expect("written");
        let mut pipe = pipes.take().expect("a pipe");
        assert_eq!(pipe.fill(&socket).expect("filled"), bytes.len());
        (pipe, socket, peer)
    }

    /// Pipes that exist, and those of them that are kept.
    fn counts(pipes: &Pipes) -> (usize, usize) {
        let state = pipes.0.lock();
        (state.count, state.kept.len())
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (mut pipe, _socket, _peer) = filled(&Pipes::at_most(1), b"some bytes");
        let (mut reader, writer) = UnixStream::pair().expect("a pair");
        assert_eq!(pipe.drain(&writer).expect("drained"), 10);
        assert!(pipe.is_empty());
        let mut read = [0; 10];
        reader.read_exact(&mut read).expect("read");
        assert_eq!(&read, b"some bytes");
    }

    #[test]
    fn there_are_no_more_than_the_bound() {
        let pipes = Pipes::at_most(2);
        let (one, other) = (pipes.take().expect("one"), pipes.take().expect("another"));
        assert!(pipes.take().is_none());
        drop(one);
        assert_eq!(counts(&pipes), (2, 1));
        assert!(pipes.take().is_some());
        drop(other);
        assert!(Pipes::at_most(0).take().is_none());
    }

    #[test]
    fn few_are_kept() {
        let pipes = Pipes::at_most(MOST_KEPT + 3);
        let taken: Vec<_> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(taken.len(), MOST_KEPT + 3);
        drop(taken);
        assert_eq!(counts(&pipes), (MOST_KEPT, MOST_KEPT));
    }

    /// Nobody may find in a pipe what another has left there.
    #[test]
    fn a_pipe_that_is_dropped_full_is_not_used_again() {
        let pipes = Pipes::at_most(1);
        drop(filled(&pipes, b"a secret"));
        assert_eq!(counts(&pipes), (0, 0));
        let (pipe, ..) = filled(&pipes, b"mine");
        assert_eq!(pipe.take_out().expect("bytes"), b"mine");
    }

    #[test]
    fn nothing_and_an_end_are_told_by_a_read() {
        let pipes = Pipes::at_most(1);
        let mut pipe = pipes.take().expect("a pipe");
        let (peer, socket) = UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("an option");
        assert!(matches!(pipe.fill(&socket), Err(Unmoved::NotNow)));
        drop(peer);
        assert!(matches!(pipe.fill(&socket), Err(Unmoved::NotNow)));
    }

    /// A filter of system calls must not cut a connection that is sound.
    #[test]
    fn what_filters_answer_is_no_break() {
        for errno in [Errno::ACCESS, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM] {
            assert!(matches!(Unmoved::from(errno), Unmoved::Unsupported), "{errno}");
        }
        for errno in [Errno::CONNRESET, Errno::HOSTUNREACH, Errno::PIPE, Errno::TIMEDOUT] {
            assert!(matches!(Unmoved::from(errno), Unmoved::Broken(_)), "{errno}");
        }
    }

    /// A file that is appended to: the system does not splice to it, as it may not to other things.
    #[test]
    fn what_can_not_be_drained_can_be_taken_out() {
        let path = std::env::temp_dir().join(format!("oneport-pipes-{}", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        let pipes = Pipes::at_most(1);
        let (mut pipe, _socket, _peer) = filled(&pipes, &[7; 100_000][..]);
        assert!(matches!(pipe.drain(&file), Err(Unmoved::Unsupported)));
        assert_eq!(pipe.take_out().expect("bytes"), [7; 100_000]);
        assert_eq!(counts(&pipes), (1, 1), "it is empty, and serves another");
        std::fs::remove_file(&path).expect("removed");
    }
}
