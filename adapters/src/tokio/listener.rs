//! Where connections come from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::address::{Address, Addresses};

/// What a connection must be: any bidirectional stream, such as a TCP or Unix socket or one whose TLS is terminated.
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
    /// Whatever accepting ran into. It is counted and tried again: at once, or after a pause if the process has run out of something.
    /// Connections that are there are not affected.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>>;

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket can not be asked.
    fn local_address(&self) -> io::Result<Address>;

    /// Whether the connections are sockets of the runtime that serves them, such as tokio's own. Then, on Linux, the mux's patience ends by a timer that
    /// the runtime waits for together with its sockets, and not by the runtime's timers, which round up to whole milliseconds. No, unless said otherwise:
    /// a listener that wraps one of tokio's should pass its answer on.
    ///
    /// Say so only of a runtime that has sockets (`enable_io`): on another one tokio panics.
    fn has_runtime_sockets(&self) -> bool {
        false
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<TcpStream>>>> {
        Self::poll_accept(self, cx).map(|accepted| {
            Some(accepted.map(|(stream, peer)| {
                // The servers behind can not: to them it is a stream. An error here shows again at the first read.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().map_or(Address::Unknown, Address::from);
                (stream, Addresses { peer: peer.into(), local })
            }))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }

    fn has_runtime_sockets(&self) -> bool {
        true
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>> {
        Self::poll_accept(self, cx).map(|accepted| {
            Some(accepted.map(|(stream, peer)| {
                let path = |address: tokio::net::unix::SocketAddr| {
                    Address::Unix(address.as_pathname().map(ToOwned::to_owned))
                };
                let local = stream.local_addr().map_or(Address::Unix(None), path);
                (stream, Addresses { peer: path(peer), local })
            }))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Unix(self.local_addr()?.as_pathname().map(ToOwned::to_owned)))
    }

    fn has_runtime_sockets(&self) -> bool {
        true
    }
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
