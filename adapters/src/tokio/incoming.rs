//! The server's end of a route.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use futures_core::Stream;
use oneport_core::{Facts, Handover, Outcome, Reason, Why};
use tokio::runtime::Handle as Runtime;
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;

use super::connection::Connection;
use super::drive::refuse;
use super::listener::Io;
use super::split::StreamHop;
use crate::address::{Address, Addresses};
use crate::backlog::Receiver;
use crate::context::Journey;
use crate::given_back::NotShared;
use crate::parcel::{Goods, Parcel, Share};
use crate::registry::Ticket;
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

    /// Where the mux listens.
    pub const fn local_address(&self) -> &Address {
        &self.local
    }

    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connection<T>>> {
        self.poll_arrival(cx).map(|arrival| arrival.map(Arrival::accept))
    }

    /// As every source of tokio, it lets other tasks have their turn even if there is always one more.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival<T>>> {
        let turn = ready!(poll_proceed(cx));
        loop {
            let arrival = ready!(self.receiver.poll_next(cx));
            turn.made_progress();
            if !arrival.as_ref().is_some_and(Arrival::is_stale) {
                return Poll::Ready(arrival);
            }
        }
    }
}

impl<T: Io> Stream for Incoming<T> {
    type Item = io::Result<Connection<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(|connection| connection.map(Ok))
    }
}

/// A connection that has reached its route and was not taken yet. Dropping it refuses it.
#[derive(Debug)]
pub struct Arrival<T: Io>(Option<Goods<T>>);

impl<T: Io> Arrival<T> {
    pub(super) fn new(io: T, handover: Handover<usize>, journey: Journey, ticket: Ticket) -> Self {
        Self(Some(Goods::Whole(Box::new(Parcel { io, handover, journey, ticket }))))
    }

    pub(super) fn share(share: Share) -> Self {
        Self(Some(Goods::Share(Box::new(share))))
    }

    /// Whether this is a share in a client's connection whose requests are routed one by one, and not a whole connection.
    pub const fn is_share(&self) -> bool {
        matches!(self.0, Some(Goods::Share(_)))
    }

    fn is_stale(&self) -> bool {
        self.0.as_ref().is_some_and(Goods::is_stale)
    }

    /// Takes the connection.
    pub fn accept(mut self) -> Connection<T> {
        // Whatever takes it takes `self`.
        match self.0.take() {
            Some(Goods::Whole(parcel)) => Connection::new(parcel.open(Instant::now().into_std())),
            Some(Goods::Share(share)) => Connection::new(share.open()),
            None => unreachable!("an arrival is taken once"),
        }
    }

    /// Takes a share of a client's connection for a server elsewhere: from here on the mux itself speaks HTTP/2 on `backend`, a new
    /// connection to that server, without another copy in between.
    ///
    /// # Errors
    /// Gives both back if this is a whole connection ([`is_share`](Self::is_share)), which is yours to carry.
    // The error IS the arrival.
    pub fn bridge<B: Io>(mut self, backend: B) -> Result<Bridge, NotShared<Self, B>> {
        match self.0.take() {
            Some(Goods::Share(share)) => {
                let (hop, end) = bridge(StreamHop::new(backend));
                share.asked.take(hop);
                Ok(end)
            }
            goods => {
                self.0 = goods;
                Err(NotShared { arrival: self, backend })
            }
        }
    }

    /// Refuses the connection in its client's own protocol, on a task of its own. Outside of a runtime it is just closed.
    ///
    /// Of a share ([`is_share`](Self::is_share)), the requests that wait for it are refused: [`Reason::Forbidden`] gives 403, any
    /// other reason 502 (gRPC: status 7, 14).
    pub fn refuse(mut self, reason: Reason) {
        self.refuse_for(reason);
    }

    /// As [`refuse`](Self::refuse), with a word for the [`Report`](crate::Report) on what went wrong. Of a share, which has no
    /// report, it is lost.
    pub fn refuse_with(mut self, reason: Reason, detail: impl Into<String>) {
        if let Some(Goods::Whole(parcel)) = &mut self.0 {
            parcel.journey.detail = Some(detail.into());
        }
        self.refuse_for(reason);
    }

    /// As [`refuse_with`](Self::refuse_with), but on the caller's task: ready when the refusal is said and the client has had its
    /// time to read it ([`Limits::linger`](crate::Limits::linger)). For a program that ends when its connections have: a task that
    /// nobody waits for ends with the runtime.
    ///
    /// Dropping the future half way closes the connection; if it had no outcome yet, that is [`Outcome::Shutdown`].
    pub async fn refuse_and_wait(mut self, reason: Reason, detail: Option<String>) {
        let parcel = match self.0.take() {
            Some(Goods::Whole(parcel)) => parcel,
            Some(Goods::Share(share)) => return share.refuse(reason),
            None => return,
        };
        let Parcel { io, handover, mut journey, ticket } = *parcel;
        journey.detail = detail;
        refuse(io, handover, journey, ticket, reason).await;
    }

    /// Ends the connection unanswered, in [`Outcome::Shutdown`], and gives back the bare stream, for example to reset it. For a
    /// program that can not wait any longer. `None` if this is a share in a client's connection: its requests are answered, and the
    /// connection is the mux's to end.
    pub fn cut(mut self) -> Option<T> {
        match self.0.take()? {
            Goods::Whole(parcel) => {
                let Parcel { io, journey, .. } = *parcel;
                journey.end(Outcome::Shutdown, Instant::now().into_std());
                Some(io)
            }
            Goods::Share(share) => {
                share.refuse(Reason::BackendDown);
                None
            }
        }
    }

    fn refuse_for(&mut self, reason: Reason) {
        let parcel = match self.0.take() {
            Some(Goods::Whole(parcel)) => parcel,
            Some(Goods::Share(share)) => return share.refuse(reason),
            None => return,
        };
        let Parcel { io, handover, journey, ticket } = *parcel;
        match Runtime::try_current() {
            Ok(runtime) => {
                runtime.spawn(refuse(io, handover, journey, ticket, reason));
            }
            Err(_) => {
                journey.end(Outcome::Refused(reason), Instant::now().into_std());
            }
        }
    }

    /// When the verdict was made: from here on the client waits for the server of its route. Always `Some` for an arrival that you
    /// hold.
    pub fn decided_at(&self) -> Option<std::time::Instant> {
        self.0.as_ref()?.decided_at()
    }

    /// Both ends of the connection.
    pub fn addresses(&self) -> &Addresses {
        match &self.0 {
            Some(goods) => goods.addresses(),
            None => &Addresses::UNKNOWN,
        }
    }

    /// What the opening has shown. `None` for a share ([`is_share`](Self::is_share)): each of its requests has a head of its own.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_ref()?.facts()
    }

    /// Why the connection came to this route. Always `Some` for an arrival that you hold.
    pub fn why(&self) -> Option<Why> {
        self.0.as_ref().map(Goods::why)
    }
}

impl<T: Io> Drop for Arrival<T> {
    fn drop(&mut self) {
        self.refuse_for(Reason::BackendDown);
    }
}
