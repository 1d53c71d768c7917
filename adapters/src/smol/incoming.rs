//! The server's end of a route.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use oneport_core::{Facts, Outcome, Reason, Why};

use super::connection::Connection;
use super::drive::refuse;
use super::home::Home;
use super::listener::Io;
use crate::address::{Address, Addresses};
use crate::backlog::Receiver;
use crate::parcel::Parcel;

/// The connections of one route: a `Stream`, and an `accept`.
///
/// It ends when the mux has shut down and every connection that was decided by then has been taken. Dropping it refuses the
/// connections of this route, those that wait in its backlog included, and no others.
#[derive(Debug)]
pub struct Incoming<T: Io> {
    // Its drop drops the arrivals that wait, and each of them refuses itself.
    receiver: Receiver<Arrival<T>>,
    local: Address,
}

impl<T: Io> Incoming<T> {
    pub(super) const fn new(receiver: Receiver<Arrival<T>>, local: Address) -> Self {
        Self { receiver, local }
    }

    /// The next connection; `None` when there will be no more. Cancel-safe.
    pub async fn accept(&mut self) -> Option<Connection<T>> {
        self.arrival().await.map(Arrival::accept)
    }

    /// The next connection, with the choice to refuse it in its own protocol; `None` when there will be no more. Cancel-safe.
    pub async fn arrival(&mut self) -> Option<Arrival<T>> {
        poll_fn(|cx| self.receiver.poll_next(cx)).await
    }

    /// Where the mux listens.
    pub const fn local_address(&self) -> &Address {
        &self.local
    }
}

impl<T: Io> Stream for Incoming<T> {
    type Item = io::Result<Connection<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_next(cx).map(|arrival| arrival.map(|arrival| Ok(arrival.accept())))
    }
}

/// A connection that has reached its route and was not taken yet. Dropping it refuses it.
#[derive(Debug)]
pub struct Arrival<T: Io> {
    parcel: Option<Box<Parcel<T>>>,
    home: Home,
}

impl<T: Io> Arrival<T> {
    pub(super) fn new(parcel: Parcel<T>, home: Home) -> Self {
        Self { parcel: Some(Box::new(parcel)), home }
    }

    /// Takes the connection.
    pub fn accept(self) -> Connection<T> {
        Connection::new(self.into_parcel().open(Instant::now()))
    }

    pub(crate) fn into_parcel(mut self) -> Parcel<T> {
        // Only this and `refuse` take it, and both take `self`.
        let Some(parcel) = self.parcel.take() else { unreachable!("an arrival is taken once") };
        *parcel
    }

    /// Refuses the connection in its client's own protocol, on the mux's executor. Once `serve` has ended, it is just closed.
    pub fn refuse(mut self, reason: Reason) {
        self.refuse_for(reason);
    }

    /// As [`refuse`](Self::refuse), with a word for the [`Report`](crate::Report) on what went wrong.
    pub fn refuse_with(mut self, reason: Reason, detail: impl Into<String>) {
        if let Some(parcel) = &mut self.parcel {
            parcel.journey.detail = Some(detail.into());
        }
        self.refuse_for(reason);
    }

    fn refuse_for(&mut self, reason: Reason) {
        let Some(parcel) = self.parcel.take() else { return };
        if self.home.is_there() {
            self.home.spawn(refuse(*parcel, reason));
        } else {
            parcel.journey.end(Outcome::Refused(reason), Instant::now());
        }
    }

    /// Both ends of the connection.
    pub fn addresses(&self) -> &Addresses {
        self.parcel.as_ref().map_or(&Addresses::UNKNOWN, |parcel| parcel.addresses())
    }

    /// What the opening has shown. Always `Some` for an arrival that you hold.
    pub fn facts(&self) -> Option<&Facts> {
        self.parcel.as_ref().map(|parcel| parcel.facts())
    }

    /// Why the connection came to this route. Always `Some` for an arrival that you hold.
    pub fn why(&self) -> Option<Why> {
        self.parcel.as_ref().map(|parcel| parcel.why())
    }
}

impl<T: Io> Drop for Arrival<T> {
    fn drop(&mut self) {
        self.refuse_for(Reason::BackendDown);
    }
}
