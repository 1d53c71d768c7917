//! A socket whose half-close works.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use async_io::{Async, IoSafe};
use futures_io::{AsyncRead, AsyncWrite};

/// A stream socket of std: `TcpStream` or `UnixStream`.
pub trait StreamSocket: sealed::StreamSocket {}

impl StreamSocket for TcpStream {}

#[cfg(unix)]
impl StreamSocket for UnixStream {}

mod sealed {
    use super::*;

    pub trait StreamSocket: IoSafe + Read + Write + std::fmt::Debug + Send + Sync + Sized + 'static {
        fn shut_down(&self, how: Shutdown) -> io::Result<()>;
        fn polled(self) -> io::Result<Async<Self>>;
    }

    impl StreamSocket for TcpStream {
        fn shut_down(&self, how: Shutdown) -> io::Result<()> {
            self.shutdown(how)
        }

        fn polled(self) -> io::Result<Async<Self>> {
            Async::new(self)
        }
    }

    #[cfg(unix)]
    impl StreamSocket for UnixStream {
        fn shut_down(&self, how: Shutdown) -> io::Result<()> {
            self.shutdown(how)
        }

        fn polled(self) -> io::Result<Async<Self>> {
            Async::new(self)
        }
    }
}

/// A socket on async-io.
///
/// It is an `Async<S>` and differs in one thing: to close it is to end its write side (FIN). A bare `Async` only flushes, and the
/// client would not hear of the end before the whole connection is dropped.
#[derive(Debug)]
pub struct Socket<S>(Async<S>);

impl<S: StreamSocket> Socket<S> {
    /// Makes a socket non-blocking and registers it with async-io.
    ///
    /// # Errors
    /// If the system refuses either.
    pub fn new(socket: S) -> io::Result<Self> {
        socket.polled().map(Self)
    }
}

impl<S> Socket<S> {
    /// The socket: look at it, set options on it.
    pub fn get_ref(&self) -> &S {
        self.0.get_ref()
    }

    /// The socket as async-io has it.
    pub fn into_inner(self) -> Async<S> {
        self.0
    }
}

impl<S> From<Async<S>> for Socket<S> {
    fn from(socket: Async<S>) -> Self {
        Self(socket)
    }
}

impl<S: StreamSocket> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read_vectored(cx, bufs)
    }
}

impl<S: StreamSocket> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(match self.0.get_ref().shut_down(Shutdown::Write) {
            // The peer has gone entirely, or this side was closed before: closed it is.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }
}
