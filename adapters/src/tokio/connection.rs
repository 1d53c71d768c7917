//! A routed connection: its server reads and writes it as if nobody had read before.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use oneport_core::{Facts, Why};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::listener::Io;
use crate::address::Address;
use crate::context::Story;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::owed::{NotBare, StillOwed};
use crate::pair::Half;
use crate::parcel::{Opened, Source};

/// A routed connection.
///
/// Reads give the opening first and then the socket; once both ledgers are empty, reads and writes go straight through. Half-close,
/// vectored writes and errors are the inner stream's. `tokio::io::split` works on it: both halves share the one connection.
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

    /// What stands between the server and the inner stream; `None` once [`into_inner`](Self::into_inner) can give it out.
    pub fn owed(&self) -> Option<StillOwed> {
        match self.io {
            Source::Whole(_) => self.inbound.owed().or_else(|| self.outbound.owed()),
            Source::Share(_) => Some(StillOwed::Shared),
        }
    }

    /// The bare inner stream, once nothing stands between it and the server.
    ///
    /// Flush first: bytes that the connection has accepted and not written yet count as owed. Dropping it does not write them.
    ///
    /// # Errors
    /// Gives the connection back, with the reason, while something is owed.
    // The error IS the connection.
    #[allow(clippy::result_large_err)]
    pub fn into_inner(self) -> Result<T, NotBare<Self>> {
        match (self.owed(), self.io) {
            (None, Source::Whole(io)) => Ok(io),
            (owed, io) => {
                Err(NotBare { connection: Self { io, ..self }, owed: owed.unwrap_or(StillOwed::Shared) })
            }
        }
    }
}

impl<T: Io> Connection<T> {
    /// The server reads, and waits for an answer to what it has written: see that it goes. An error shows at the next write.
    fn push_for_reader(&mut self, cx: &mut Context<'_>) {
        let Self { io, outbound, .. } = self;
        if outbound.has_pending() {
            let _ = outbound.poll_as(Half::Reader, cx, |outbound, cx| {
                outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes))
            });
        }
    }
}

impl<T: Io> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.inbound.is_direct() && !this.outbound.has_pending() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        this.push_for_reader(cx);
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Self { io, inbound, .. } = this;
        let is_ready = ready!(inbound.poll_fill(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
            Poll::Ready(Ok(read.filled().len()))
        }))?;
        if !is_ready {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        buf.put_slice(&inbound.take(buf.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl<T: Io> AsyncWrite for Connection<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, outbound, .. } = self.get_mut();
        if outbound.is_direct() {
            return Pin::new(io).poll_write(cx, buf);
        }
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            outbound.poll_write(buf, |bytes| Pin::new(&mut *io).poll_write(cx, bytes))
        })
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
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            outbound.poll_write(first, |bytes| Pin::new(&mut *io).poll_write(cx, bytes))
        })
    }

    // Servers ask once, on the first write: the answer must not depend on the ledger.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, outbound, .. } = self.get_mut();
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            ready!(outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes)))?;
            Pin::new(io).poll_flush(cx)
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, outbound, .. } = self.get_mut();
        outbound.finish();
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            ready!(outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes)))?;
            Pin::new(io).poll_shutdown(cx)
        })
    }
}
