//! A routed connection: its server reads and writes it as if nobody had read before.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use oneport_core::{Facts, Why};

use super::listener::Io;
use crate::address::Address;
use crate::context::Story;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::owed::StillOwed;
use crate::parcel::{Opened, Source};

/// A routed connection.
///
/// Reads give the opening first and then the socket; once both ledgers are empty, reads and writes go straight through. Half-close
/// (`poll_close`), vectored reads and writes and errors are the inner stream's. `split` of futures-lite and futures works on it:
/// both halves share the one connection.
#[derive(Debug)]
pub struct Connection<T> {
    io: Source<T>,
    inbound: Inbound,
    outbound: Outbound,
    story: Box<Story>,
}

impl<T> Connection<T> {
    pub(super) fn new(opened: Opened<T>) -> Self {
        let Opened { io, inbound, outbound, story } = opened;
        Self { io, inbound, outbound, story }
    }

    /// The client's address.
    pub fn peer_address(&self) -> &Address {
        &self.story.info.addresses.peer
    }

    /// The address that accepted it.
    pub fn local_address(&self) -> &Address {
        &self.story.info.addresses.local
    }

    /// What the opening has shown: the first request, SNI, ALPN. Only what the verdict needed, unless
    /// [`Config::complete_facts`](crate::Config::complete_facts) is set.
    pub const fn facts(&self) -> &Facts {
        &self.story.facts
    }

    /// The name of the route that it came by.
    pub fn route(&self) -> Option<&str> {
        self.story.info.route.as_deref()
    }

    /// Why it came by this route.
    pub const fn why(&self) -> Why {
        self.story.why
    }

    /// Whether the mux had to greet the client, which is what the ledgers are for.
    pub const fn was_greeted(&self) -> bool {
        self.story.info.greeted
    }

    /// The inner stream. Reading or writing it directly would bypass what is still owed: look at it, set options on it. `None` if
    /// requests are routed one by one and this is a share in the client's connection.
    pub const fn inner(&self) -> Option<&T> {
        self.io.whole()
    }

    /// Whether nothing stands between the server and the inner stream any more.
    ///
    /// # Errors
    /// Says what does.
    pub fn owes(&self) -> Result<(), StillOwed> {
        self.inbound.owes()?;
        self.outbound.owes()
    }

    /// The bare inner stream, once nothing stands between it and the server.
    ///
    /// Flush first: bytes that the connection has accepted and not written yet count as owed. Dropping it does not write them.
    ///
    /// # Errors
    /// Gives the connection back, with the reason, while something is owed.
    // The error IS the connection.
    #[allow(clippy::result_large_err)]
    pub fn into_inner(self) -> Result<T, (Self, StillOwed)> {
        if let Err(owed) = self.owes() {
            return Err((self, owed));
        }
        match self.io {
            Source::Whole(io) => Ok(io),
            io @ Source::Share(_) => Err((Self { io, ..self }, StillOwed::Shared)),
        }
    }
}

impl<T: Io> Connection<T> {
    /// Pushes on what the write side has accepted and not written yet.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, outbound, .. } = self;
        let answer = outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes));
        outbound.answered(answer, cx)
    }

    /// The server reads, and waits for an answer to what it has written: see that it goes. An error shows at the next write.
    fn push_for_reader(&mut self, cx: &Context<'_>) {
        let Self { io, outbound, .. } = self;
        if outbound.has_pending() {
            let waker = outbound.reader(cx);
            let cx = &mut Context::from_waker(&waker);
            let _ = outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes));
        }
    }

    /// Whether reads go straight through, and nothing is left over to be written.
    fn is_bare(&self) -> bool {
        self.inbound.is_direct() && !self.outbound.has_pending()
    }

    /// Makes bytes ready that do not come straight from the socket. `Ready(false)` means: read from the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.push_for_reader(cx);
        let Self { io, inbound, .. } = self;
        inbound.poll_fill(|scratch| Pin::new(&mut *io).poll_read(cx, scratch))
    }
}

impl<T: Io> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_bare() || buf.is_empty() || !ready!(this.poll_fill(cx))? {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        Poll::Ready(Ok(this.inbound.copy_to(buf)))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bufs.iter().position(|buf| !buf.is_empty()).unwrap_or_default();
        if this.is_bare() || bufs.is_empty() || !ready!(this.poll_fill(cx))? {
            return Pin::new(&mut this.io).poll_read_vectored(cx, bufs);
        }
        Poll::Ready(Ok(bufs.get_mut(first).map_or(0, |buf| this.inbound.copy_to(buf))))
    }
}

impl<T: Io> AsyncWrite for Connection<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, outbound, .. } = self.get_mut();
        if outbound.is_direct() {
            return Pin::new(io).poll_write(cx, buf);
        }
        let answer = outbound.poll_write(buf, |bytes| Pin::new(&mut *io).poll_write(cx, bytes));
        outbound.answered(answer, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, outbound, .. } = self.get_mut();
        if outbound.is_direct() {
            return Pin::new(io).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        let answer = outbound.poll_write(first, |bytes| Pin::new(&mut *io).poll_write(cx, bytes));
        outbound.answered(answer, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_push(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outbound.finish();
        ready!(this.poll_push(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
    }
}
