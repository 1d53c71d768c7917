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
use crate::owed::{NotBare, StillOwed};
use crate::pair::Half;
use crate::parcel::{Opened, Source};

/// A routed connection.
///
/// Reads give the opening first and then the socket; once both ledgers are empty, reads and writes go straight through. Half-close
/// (`poll_close`), vectored reads and writes and errors are the inner stream's. `split` of futures-lite and futures works on it:
/// both halves share the one connection.
///
/// While something is [owed](Self::owed) to a greeted client, a write may accept a few bytes that the socket does not take yet: the
/// backend's SETTINGS, or the end of the head of a frame. They go with the next write, flush or read. So flush whenever you wait for
/// something else: a relay does it when its source has nothing more for now (`futures_lite::io::copy` does not).
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, outbound, .. } = self.get_mut();
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            ready!(outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes)))?;
            Pin::new(io).poll_flush(cx)
        })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, outbound, .. } = self.get_mut();
        outbound.finish();
        outbound.poll_as(Half::Writer, cx, |outbound, cx| {
            ready!(outbound.poll_flush(|bytes| Pin::new(&mut *io).poll_write(cx, bytes)))?;
            Pin::new(io).poll_close(cx)
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::future::{poll_fn, Future};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::time::Duration;

    use async_io::Timer;
    use oneport_core::ledger::BackendLedger;
    use oneport_core::wire::settings::{encode_settings, encode_settings_ack};
    use oneport_core::Greeting;
    use smol::future::{or, poll_once};
    use smol::io::{split, AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::address::Addresses;
    use crate::context::ConnectionInfo;
    use crate::smol::Socket;

    /// A greeted connection whose backend owes its SETTINGS and two ACKs, and its client.
    fn greeted() -> (UnixStream, Connection<Socket<UnixStream>>) {
        let (client, server) = UnixStream::pair().expect("a pair");
        let ledger = BackendLedger::new(Greeting::default(), 2);
        let info = ConnectionInfo { addresses: Addresses::UNKNOWN, route: None, greeted: true };
        let connection = Connection::new(Opened {
            io: Source::Whole(Socket::new(server).expect("it can be polled")),
            inbound: Inbound::bare(),
            outbound: Outbound::new(ledger, Arc::default()),
            story: Box::new(Story { info, facts: Facts::per_request(), why: Why::Otherwise }),
        });
        (client, connection)
    }

    /// Writes to the socket behind the connection's back until it takes nothing more; returns how much that was.
    fn fill(connection: &Connection<Socket<UnixStream>>) -> usize {
        let mut socket = connection.inner().expect("a socket").get_ref();
        let mut filled = 0;
        loop {
            match socket.write(&[0; 512]) {
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return filled,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Counts how often it is polled.
    async fn counted<R>(polls: &AtomicUsize, future: impl Future<Output = R>) -> R {
        let mut future = pin!(future);
        poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// The reactor knows one waker for each direction of a socket, and wakes the one that another one takes the place of. So two
    /// halves that both wait to write must not take each other's place: they would wake each other for as long as the client does
    /// not read.
    #[test]
    fn halves_that_wait_for_the_same_client_sleep() {
        let (mut client, mut connection) = greeted();
        let (mut settings, mut ack) = (Vec::new(), Vec::new());
        encode_settings(&mut settings, &[]);
        encode_settings_ack(&mut ack);
        let filled = fill(&connection);
        // The SETTINGS are accepted, and can not be written.
        assert!(smol::block_on(poll_once(connection.write_all(&settings))).is_some_and(|done| done.is_ok()));
        assert!(connection.outbound.has_pending());

        let polls = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (mut reader, mut writer) = split(connection);
        let executor = smol::Executor::new();
        let of_writer = polls[0].clone();
        let writing = executor.spawn(async move {
            counted(&of_writer, writer.write_all(&ack)).await.expect("a client");
            writer
        });
        let of_reader = polls[1].clone();
        let reading = executor.spawn(async move {
            let mut heard = Vec::new();
            counted(&of_reader, reader.read_to_end(&mut heard)).await.expect("a clean end");
            heard
        });
        smol::block_on(executor.run(async {
            Timer::after(Duration::from_millis(20)).await;
            // The reader reads, and on the way pushes what the writer has left over.
            client.write_all(b"x").expect("a server");
            Timer::after(Duration::from_millis(100)).await;
            let polls = polls.map(|polls| polls.load(Ordering::Relaxed));
            assert!(
                polls.iter().all(|polls| (1..10).contains(polls)),
                "{polls:?} polls of writer and reader"
            );

            // The client reads, and both go on.
            // The SETTINGS get an entry more, and the ACK is dropped: the mux has given it.
            let mut heard = vec![0; filled + settings.len() + 6];
            let (client, heard) = smol::unblock(move || {
                client.read_exact(&mut heard).expect("all that was written");
                (client, heard)
            })
            .await;
            assert_eq!(heard[filled + 3], settings[3]);
            let late = async {
                Timer::after(Duration::from_secs(10)).await;
                panic!("the writer sleeps for ever")
            };
            let _writer = or(writing, late).await;
            drop(client);
            assert_eq!(reading.await, b"x");
        }));
    }
}
