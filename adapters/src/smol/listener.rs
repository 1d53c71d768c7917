//! Where connections come from.

use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use async_io::Async;
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};

use super::socket::Socket;
use crate::address::{Address, Addresses};

/// What a connection must be: any bidirectional stream, such as a [`Socket`] or one whose TLS is terminated. Its `poll_close` must
/// end the write side, which that of a bare `async_io::Async` does not do.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// A connection and its two ends.
pub type Accepted<T> = (T, Addresses);

/// A source of connections.
pub trait Listener: Send + 'static {
    /// The connections.
    type Io: Io;

    /// The next connection; `None` when there will be no more.
    ///
    /// # Errors
    /// Whatever accepting ran into. It is counted and tried again after a pause; connections that are there are not affected.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>>;

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket can not be asked.
    fn local_address(&self) -> io::Result<Address>;
}

/// Accepts, or waits until there is somebody to accept.
fn poll_accept<L, T>(
    listener: &Async<L>,
    cx: &mut Context<'_>,
    accept: impl Fn(&L) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match accept(listener.get_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
        ready!(listener.poll_readable(cx))?;
    }
}

impl Listener for Async<TcpListener> {
    type Io = Socket<TcpStream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>> {
        poll_accept(self, cx, TcpListener::accept).map(|accepted| {
            Some(accepted.and_then(|(stream, peer)| {
                // The servers behind can not: to them it is a stream. An error here shows again at the first read.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().map_or(Address::Unknown, Address::from);
                Ok((Socket::new(stream)?, Addresses { peer: peer.into(), local }))
            }))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.get_ref().local_addr().map(Address::from)
    }
}

#[cfg(unix)]
impl Listener for Async<UnixListener> {
    type Io = Socket<UnixStream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>> {
        poll_accept(self, cx, UnixListener::accept).map(|accepted| {
            Some(accepted.and_then(|(stream, peer)| {
                let local = stream.local_addr().map_or(Address::Unix(None), |address| unix(&address));
                Ok((Socket::new(stream)?, Addresses { peer: unix(&peer), local }))
            }))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.get_ref().local_addr().map(|address| unix(&address))
    }
}

#[cfg(unix)]
fn unix(address: &std::os::unix::net::SocketAddr) -> Address {
    Address::Unix(address.as_pathname().map(ToOwned::to_owned))
}

/// A source of connections from a stream of them: accepted elsewhere, or with their TLS terminated.
#[derive(Debug)]
pub struct StreamListener<S> {
    stream: S,
    local: Address,
}

impl<S> StreamListener<S> {
    /// Takes connections from `stream`; `local` is where they were accepted, for [`Listener::local_address`].
    pub const fn new(stream: S, local: Address) -> Self {
        Self { stream, local }
    }
}

impl<S, T> Listener for StreamListener<S>
where
    S: Stream<Item = io::Result<Accepted<T>>> + Unpin + Send + 'static,
    T: Io,
{
    type Io = T;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<T>>>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(self.local.clone())
    }
}
