//! The server's end of a route.

use std::io;
use std::time::Instant;

use oneport_core::{Facts, Outcome, Phase, Reason, Why};

use super::connection::Connection;
use super::park::block_on;
use super::socket::{blocking, Socket};
use crate::address::{Address, Addresses};
use crate::parcel::{Goods, Parcel};
use crate::smol;

/// The connections of one route: an `Iterator`, and an `accept`.
///
/// It ends when the mux has shut down and every connection that was decided by then has been taken. Dropping it refuses the
/// connections of this route, those that wait in its backlog included, and no others.
#[derive(Debug)]
#[must_use = "dropping it refuses the connections of its route"]
pub struct Incoming<T: Socket>(smol::Incoming<smol::Socket<T>>);

impl<T: Socket> Incoming<T> {
    pub(super) const fn new(incoming: smol::Incoming<smol::Socket<T>>) -> Self {
        Self(incoming)
    }

    /// Waits for the next connection; `None` when there will be no more.
    pub fn accept(&mut self) -> Option<Connection<T>> {
        loop {
            if let Ok(connection) = self.arrival()?.accept() {
                return Some(connection);
            }
        }
    }

    /// Waits for the next connection, with the choice to refuse it in its own protocol; `None` when there will be no more.
    pub fn arrival(&mut self) -> Option<Arrival<T>> {
        block_on(self.0.arrival()).map(Arrival)
    }

    /// Where the mux listens.
    pub const fn local_address(&self) -> &Address {
        self.0.local_address()
    }
}

impl<T: Socket> Iterator for Incoming<T> {
    type Item = Connection<T>;

    fn next(&mut self) -> Option<Connection<T>> {
        self.accept()
    }
}

/// A connection that has reached its route and was not taken yet. Dropping it refuses it.
#[derive(Debug)]
pub struct Arrival<T: Socket>(smol::Arrival<smol::Socket<T>>);

impl<T: Socket> Arrival<T> {
    /// Takes the connection: it leaves the poller and is blocking again.
    ///
    /// # Errors
    /// If the system refuses that, which no system is known to do; the connection is closed then.
    pub fn accept(self) -> io::Result<Connection<T>> {
        let Parcel { io, handover, journey, ticket } = match self.0.into_goods() {
            Goods::Whole(parcel) => *parcel,
            Goods::Share(share) => return Ok(Connection::new(share.open())),
        };
        match blocking(io) {
            Ok(io) => Ok(Connection::new(Parcel { io, handover, journey, ticket }.open(Instant::now()))),
            Err(error) => {
                journey.end(Outcome::Left(Phase::Delivery), Instant::now());
                Err(error)
            }
        }
    }

    /// Refuses the connection in its client's own protocol, on the mux's thread. Once `serve` has ended, it is just closed.
    ///
    /// Of a share ([`is_share`](Self::is_share)), the requests that wait for it are refused: [`Reason::Forbidden`] gives 403, any
    /// other reason 502 (gRPC: status 7, 14).
    pub fn refuse(self, reason: Reason) {
        self.0.refuse(reason);
    }

    /// As [`refuse`](Self::refuse), with a word for the [`Report`](crate::Report) on what went wrong. Of a share, which has no
    /// report, it is lost.
    pub fn refuse_with(self, reason: Reason, detail: impl Into<String>) {
        self.0.refuse_with(reason, detail);
    }

    /// When the verdict was made: from here on the client waits for the server of its route. Always `Some` for an arrival that you
    /// hold.
    pub fn decided_at(&self) -> Option<Instant> {
        self.0.decided_at()
    }

    /// Both ends of the connection.
    pub fn addresses(&self) -> &Addresses {
        self.0.addresses()
    }

    /// Whether this is a share in a client's connection whose requests are routed one by one, and not a whole connection.
    pub const fn is_share(&self) -> bool {
        self.0.is_share()
    }

    /// What the opening has shown. `None` for a share ([`is_share`](Self::is_share)): each of its requests has a head of its own.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.facts()
    }

    /// Why the connection came to this route. Always `Some` for an arrival that you hold.
    pub fn why(&self) -> Option<Why> {
        self.0.why()
    }
}
