//! A routed connection: its server reads and writes it as if nobody had read before.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use oneport_core::{Facts, Why};

use super::halves::Halves;
use super::socket::{Io, Socket};
use super::source::Source;
use crate::address::Address;
use crate::owed::{NotBare, StillOwed};
use crate::parcel::Opened;

/// A routed connection.
///
/// Reads give the opening first and then the socket; once both ledgers are empty, reads and writes go straight through. Half-close,
/// timeouts, vectored reads and writes and errors are the inner stream's.
///
/// As with sockets of std, a shared reference can read and write as well, and [`try_clone`](Self::try_clone) makes a second
/// handle to the same connection: it shares the opening and the ledgers, so each byte is read once and nothing is taken out
/// twice. A read that waits on one of them does not keep the others from writing. (Two reads at a time, or two writes, wait for
/// each other while a ledger is open, also beyond their timeouts.)
#[derive(Debug)]
pub struct Connection<T> {
    io: Source<T>,
    halves: Arc<Halves>,
}

impl<T> Connection<T> {
    pub(super) fn new(opened: Opened<T>) -> Self {
        let Opened { io, inbound, outbound, story } = opened;
        Self { io: io.into(), halves: Arc::new(Halves::new(inbound, outbound, story)) }
    }

    /// The client's address.
    pub fn peer_address(&self) -> &Address {
        &self.halves.story.info.addresses.peer
    }

    /// The address that accepted it.
    pub fn local_address(&self) -> &Address {
        &self.halves.story.info.addresses.local
    }

    /// What the opening has shown: the first request, SNI, ALPN. Only what the verdict needed, unless
    /// [`Config::complete_facts`](crate::Config::complete_facts) is set.
    pub fn facts(&self) -> &Facts {
        &self.halves.story.facts
    }

    /// The name of the route that it came by.
    pub fn route(&self) -> Option<&str> {
        self.halves.story.info.route.as_deref()
    }

    /// Why it came by this route.
    pub fn why(&self) -> Why {
        self.halves.story.why
    }

    /// Whether the mux had to greet the client, which is what the ledgers are for.
    pub fn was_greeted(&self) -> bool {
        self.halves.story.info.greeted
    }

    /// The inner stream. Reading or writing it directly would bypass what is still owed: look at it, set options on it. `None` if
    /// requests are routed one by one and this is a share in the client's connection.
    pub const fn inner(&self) -> Option<&T> {
        self.io.whole()
    }

    /// What stands between the server and the inner stream; `None` once [`into_inner`](Self::into_inner) can give it out. Never
    /// waits: while another clone reads or writes through an open ledger, something is owed.
    pub fn owed(&self) -> Option<StillOwed> {
        match self.io {
            Source::Whole(_) => self.halves.owed(),
            Source::Share(_) => Some(StillOwed::Shared),
        }
    }

    /// The bare inner stream, once nothing stands between it and the server. Clones keep theirs. Flush first, as on a stream with a
    /// buffer.
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
    /// As that of the inner stream.
    ///
    /// # Errors
    /// As the inner stream's.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)
    }

    /// As that of the inner stream.
    ///
    /// # Errors
    /// As the inner stream's.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)
    }
}

impl<T: Io> Connection<T> {
    /// Ends the write side: what was written goes out, and the end behind it. For a stream that is no socket; a socket's clones and
    /// sides have [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// As the inner stream's.
    pub fn finish(&mut self) -> io::Result<()> {
        self.halves.finish(&mut self.io)
    }
}

impl<T: Socket> Connection<T>
where
    for<'a> &'a T: Read + Write,
{
    /// A second handle to the same connection, with a file descriptor of its own: for a thread that reads beside one that writes.
    ///
    /// # Errors
    /// If there are no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { io: self.io.try_clone()?, halves: self.halves.clone() })
    }

    /// Ends one side or both, for all clones; reads and writes that wait return.
    ///
    /// # Errors
    /// As the inner stream's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.halves.shutdown(&self.io, how, &self.io)
    }
}

impl Connection<TcpStream> {
    /// The client's address, as std has it.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address(self.io.whole().map(TcpStream::peer_addr), self.peer_address())
    }

    /// The address that accepted it, as std has it.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address(self.io.whole().map(TcpStream::local_addr), self.local_address())
    }

    /// Whether small writes go out at once. The mux has set it. Of a share in a client's connection it changes nothing.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_nodelay(&self, is_nodelay: bool) -> io::Result<()> {
        self.io.whole().map_or(Ok(()), |io| io.set_nodelay(is_nodelay))
    }
}

/// That of the socket; of a share in a client's connection, what the mux knows of the client's.
fn address(of_socket: Option<io::Result<SocketAddr>>, known: &Address) -> io::Result<SocketAddr> {
    of_socket.unwrap_or_else(|| known.tcp().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

impl<T: Read + Write> Read for Connection<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.halves.read(&mut self.io, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.halves.read_vectored(&mut self.io, bufs)
    }
}

impl<T: Read + Write> Write for Connection<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.halves.write(&mut self.io, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.halves.write_vectored(&mut self.io, bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.halves.flush(&mut self.io)
    }
}

impl<'a, T> Read for &'a Connection<T>
where
    &'a T: Read + Write,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.halves.read(&mut &self.io, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.halves.read_vectored(&mut &self.io, bufs)
    }
}

impl<'a, T> Write for &'a Connection<T>
where
    &'a T: Read + Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.halves.write(&mut &self.io, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.halves.write_vectored(&mut &self.io, bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.halves.flush(&mut &self.io)
    }
}
