//! The server's end of a route.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use oneport_core::{Facts, Outcome, Reason, Why};

use super::connection::Connection;
use super::drive::refuse;
use super::home::Home;
use super::listener::Io;
use super::split::StreamHop;
use crate::address::{Address, Addresses};
use crate::backlog::Receiver;
use crate::given_back::NotShared;
use crate::parcel::{Goods, Parcel, Share};
use crate::split::{bridge, Bridge};

/// The connections of one route: a `Stream`, and an `accept`.
///
/// It ends when the mux has shut down and every connection that was decided by then has been taken. Dropping it refuses the
/// connections of this route, those that wait in its backlog included, and no others.
#[derive(Debug)]
#[must_use = "dropping it refuses the connections of its route"]
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
        poll_fn(|cx| self.poll_arrival(cx)).await
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival<T>>> {
        loop {
            let arrival = ready!(self.receiver.poll_next(cx));
            if !arrival.as_ref().is_some_and(Arrival::is_stale) {
                return Poll::Ready(arrival);
            }
        }
    }

    /// Where the mux listens.
    pub const fn local_address(&self) -> &Address {
        &self.local
    }
}

impl<T: Io> Stream for Incoming<T> {
    type Item = io::Result<Connection<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_arrival(cx).map(|arrival| arrival.map(|arrival| Ok(arrival.accept())))
    }
}

/// A connection that has reached its route and was not taken yet. Dropping it refuses it.
#[derive(Debug)]
pub struct Arrival<T: Io> {
    goods: Option<Goods<T>>,
    home: Home,
}

impl<T: Io> Arrival<T> {
    pub(super) fn new(parcel: Parcel<T>, home: Home) -> Self {
        Self { goods: Some(Goods::Whole(Box::new(parcel))), home }
    }

    pub(super) fn share(share: Share, home: Home) -> Self {
        Self { goods: Some(Goods::Share(Box::new(share))), home }
    }

    /// Whether this is a share in a client's connection whose requests are routed one by one, and not a whole connection.
    pub const fn is_share(&self) -> bool {
        matches!(self.goods, Some(Goods::Share(_)))
    }

    fn is_stale(&self) -> bool {
        self.goods.as_ref().is_some_and(Goods::is_stale)
    }

    /// Takes the connection.
    pub fn accept(self) -> Connection<T> {
        match self.into_goods() {
            Goods::Whole(parcel) => Connection::new(parcel.open(Instant::now())),
            Goods::Share(share) => Connection::new(share.open()),
        }
    }

    pub(crate) fn into_goods(mut self) -> Goods<T> {
        // Whatever takes it takes `self`.
        let Some(goods) = self.goods.take() else { unreachable!("an arrival is taken once") };
        goods
    }

    /// Takes a share of a client's connection for a server elsewhere: from here on the mux itself speaks HTTP/2 on `backend`, a new
    /// connection to that server, without another copy in between.
    ///
    /// # Errors
    /// Gives both back if this is a whole connection ([`is_share`](Self::is_share)), which is yours to carry.
    // The error IS the arrival.
    pub fn bridge<B: Io>(mut self, backend: B) -> Result<Bridge, NotShared<Self, B>> {
        match self.goods.take() {
            Some(Goods::Share(share)) => {
                let (hop, end) = bridge(StreamHop::new(backend));
                share.asked.take(hop);
                Ok(end)
            }
            goods => {
                self.goods = goods;
                Err(NotShared { arrival: self, backend })
            }
        }
    }

    /// Refuses the connection in its client's own protocol, on the mux's executor. Once `serve` has ended, it is just closed.
    ///
    /// Of a share ([`is_share`](Self::is_share)), the requests that wait for it are refused: [`Reason::Forbidden`] gives 403, any
    /// other reason 502 (gRPC: status 7, 14).
    pub fn refuse(mut self, reason: Reason) {
        self.refuse_for(reason);
    }

    /// As [`refuse`](Self::refuse), with a word for the [`Report`](crate::Report) on what went wrong. Of a share, which has no
    /// report, it is lost.
    pub fn refuse_with(mut self, reason: Reason, detail: impl Into<String>) {
        if let Some(Goods::Whole(parcel)) = &mut self.goods {
            parcel.journey.detail = Some(detail.into());
        }
        self.refuse_for(reason);
    }

    fn refuse_for(&mut self, reason: Reason) {
        let parcel = match self.goods.take() {
            Some(Goods::Whole(parcel)) => parcel,
            Some(Goods::Share(share)) => return share.refuse(reason),
            None => return,
        };
        if self.home.is_there() {
            self.home.spawn(refuse(*parcel, reason));
        } else {
            parcel.journey.end(Outcome::Refused(reason), Instant::now());
        }
    }

    /// When the verdict was made: from here on the client waits for the server of its route. Always `Some` for an arrival that you
    /// hold.
    pub fn decided_at(&self) -> Option<Instant> {
        self.goods.as_ref()?.decided_at()
    }

    /// Both ends of the connection.
    pub fn addresses(&self) -> &Addresses {
        self.goods.as_ref().map_or(&Addresses::UNKNOWN, Goods::addresses)
    }

    /// What the opening has shown. `None` for a share ([`is_share`](Self::is_share)): each of its requests has a head of its own.
    pub fn facts(&self) -> Option<&Facts> {
        self.goods.as_ref()?.facts()
    }

    /// Why the connection came to this route. Always `Some` for an arrival that you hold.
    pub fn why(&self) -> Option<Why> {
        self.goods.as_ref().map(Goods::why)
    }
}

impl<T: Io> Drop for Arrival<T> {
    fn drop(&mut self) {
        self.refuse_for(Reason::BackendDown);
    }
}
