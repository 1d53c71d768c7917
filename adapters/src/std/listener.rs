//! Where connections come from.

use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll};

use async_io::Async;

use super::socket::Socket;
use crate::address::Address;
use crate::smol;

/// A source of connections: `TcpListener` or `UnixListener`, or one of your own that turns into a listener for
/// [`smol`](crate::smol). Streams that are no sockets go through a [`Router`](super::Router).
pub trait Listener: fmt::Debug + Send + Sized + 'static {
    /// The connections.
    type Io: Socket;
    /// What is polled for them.
    type Polled: smol::Listener<Io = smol::Socket<Self::Io>> + fmt::Debug;

    /// Joins the poller. Called once, when serving begins.
    ///
    /// # Errors
    /// If the system refuses.
    fn polled(self) -> io::Result<Self::Polled>;

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket can not be asked.
    fn local_address(&self) -> io::Result<Address>;
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Polled = Async<Self>;

    fn polled(self) -> io::Result<Async<Self>> {
        Async::new(self)
    }

    fn local_address(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Io = UnixStream;
    type Polled = Async<Self>;

    fn polled(self) -> io::Result<Async<Self>> {
        Async::new(self)
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Unix(self.local_addr()?.as_pathname().map(ToOwned::to_owned)))
    }
}

/// A listener that joins the poller when it is first asked for a connection.
#[derive(Debug)]
pub(super) enum Polled<L: Listener> {
    Joined(L::Polled),
    NotYet(L),
    /// The poller did not take it.
    Refused,
}

impl<L: Listener> smol::Listener for Polled<L> {
    type Io = smol::Socket<L::Io>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<smol::Accepted<Self::Io>>>> {
        if let Self::Joined(listener) = self {
            return smol::Listener::poll_accept(listener, cx);
        }
        match core::mem::replace(self, Self::Refused) {
            Self::NotYet(listener) => match listener.polled() {
                Ok(listener) => {
                    *self = Self::Joined(listener);
                    self.poll_accept(cx)
                }
                Err(error) => Poll::Ready(Some(Err(error))),
            },
            Self::Joined(_) | Self::Refused => Poll::Ready(None),
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Joined(listener) => smol::Listener::local_address(listener),
            Self::NotYet(listener) => listener.local_address(),
            Self::Refused => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
