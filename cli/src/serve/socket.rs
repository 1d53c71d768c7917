//! A TCP or a Unix socket: clients and backends may come by either.

use std::future::pending;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oneport::tokio::{Accepted, Listener};
use oneport::{Address, Addresses};
use socket2::{SockRef, Socket as RawSocket, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// How long a peer may be silent before it is probed. Shorter than the timeouts of common NAT gateways and load balancers.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Has a peer that is gone found by probes. On Linux a listener passes this on to what it accepts. Best effort: a socket that refuses
/// it works without.
pub(super) fn keep_alive(socket: &RawSocket) {
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// What a connection to a backend wants: no Nagle, and [`keep_alive`]. One that was accepted has the first by the mux.
    pub(super) fn tune(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
            keep_alive(&SockRef::from(stream));
        }
    }

    /// Ready when there may be something to read, or an end.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when there may be room to write.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Writes by other means than this type's own. When it would block, the socket is not ready to write until the system says so.
    pub(super) fn try_write(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, write),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, write),
        }
    }

    /// Ready when it has broken, though nobody reads or writes it: by what, unless a read or a write was told of it. That its peer has
    /// closed is no break. Ready at once from then on, while the error is said once. Cancel-safe.
    ///
    /// Never ready on a Unix socket: there a reset says only that the peer has closed with something unread, and what it had sent is
    /// still to be read.
    pub(super) async fn broken(&self) -> Option<io::Error> {
        match self {
            Self::Tcp(stream) => {
                let error = stream.ready(Interest::ERROR).await.and_then(|_| stream.take_error());
                error.unwrap_or_else(Some)
            }
            Self::Unix(_) => pending().await,
        }
    }

    /// Makes the close that follows a reset (RST): what was cut must not look whole. Unix sockets know no reset.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}

/// A listening socket of either kind.
#[derive(Debug)]
pub(crate) enum AnyListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener for AnyListener {
    type Io = Socket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Socket>>>> {
        fn wrap<T>(
            accepted: Poll<Option<io::Result<Accepted<T>>>>,
            kind: impl FnOnce(T) -> Socket,
        ) -> Poll<Option<io::Result<Accepted<Socket>>>> {
            accepted.map(|next| {
                next.map(|result| {
                    result.map(|(stream, addresses): (T, Addresses)| {
                        let socket = kind(stream);
                        if !cfg!(target_os = "linux") {
                            socket.tune();
                        }
                        (socket, addresses)
                    })
                })
            })
        }
        match self {
            Self::Tcp(listener) => wrap(Listener::poll_accept(listener, cx), Socket::Tcp),
            Self::Unix(listener) => wrap(Listener::poll_accept(listener, cx), Socket::Unix),
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_address(),
            Self::Unix(listener) => listener.local_address(),
        }
    }

    fn has_runtime_sockets(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::bind::bind;
    use crate::table::Listen;
    use std::future::poll_fn;

    #[tokio::test]
    async fn accepted_connections_are_tuned() {
        let address = crate::address::Address::parse_listen("127.0.0.1:0").expect("an address");
        let bound = bind(&Listen { address, is_required: true }, &[]).await.expect("a port").expect("one");
        let crate::address::Address::Ip(address) = bound.address else { panic!("{}", bound.address) };
        let mut listener = bound.listener;
        let (_client, accepted) =
            tokio::join!(TcpStream::connect(address), poll_fn(|cx| listener.poll_accept(cx)));
        let (socket, _) = accepted.expect("one").expect("accepted");
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE);
    }
}
