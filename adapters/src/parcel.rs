//! What is on its way to the server of a route: a decided connection, or a share in one whose requests are routed one by one.

use std::time::Instant;

use oneport_core::split::ConnectFailure;
use oneport_core::{Facts, Handover, Outcome, Reason, Why};

use crate::address::Addresses;
use crate::context::{ConnectionInfo, Journey, Story};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::registry::Ticket;
use crate::split::{link, Asked, Link};

/// A connection that has reached its route and was not taken yet.
#[derive(Debug)]
pub(crate) struct Parcel<T> {
    pub(crate) io: T,
    pub(crate) handover: Handover<usize>,
    pub(crate) journey: Journey,
    /// What it holds counts until it is taken.
    pub(crate) ticket: Ticket,
}

/// A share in a client's connection: what a route gets of it.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) asked: Asked,
    pub(crate) info: ConnectionInfo,
    pub(crate) since: Instant,
}

impl Share {
    /// The server takes it.
    pub(crate) fn open<T>(self) -> Opened<T> {
        let (link, hop) = link();
        self.asked.take(Box::new(hop));
        Opened {
            io: Source::Share(link),
            inbound: Inbound::bare(),
            outbound: Outbound::bare(),
            story: Box::new(Story { info: self.info, facts: Facts::per_request(), why: Why::PerRequest }),
        }
    }

    pub(crate) fn refuse(self, reason: Reason) {
        self.asked.refuse(match reason {
            Reason::Forbidden => ConnectFailure::Forbidden,
            _ => ConnectFailure::Down,
        });
    }
}

/// What arrives at a route.
#[derive(Debug)]
pub(crate) enum Goods<T> {
    Whole(Box<Parcel<T>>),
    Share(Box<Share>),
}

impl<T> Goods<T> {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Share(share) if share.asked.is_withdrawn())
    }

    pub(crate) const fn addresses(&self) -> &Addresses {
        match self {
            Self::Whole(parcel) => parcel.addresses(),
            Self::Share(share) => &share.info.addresses,
        }
    }

    /// What the opening has shown: of a share nothing, since each request has a head of its own.
    pub(crate) const fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Whole(parcel) => Some(parcel.facts()),
            Self::Share(_) => None,
        }
    }

    pub(crate) const fn why(&self) -> Why {
        match self {
            Self::Whole(parcel) => parcel.why(),
            Self::Share(_) => Why::PerRequest,
        }
    }

    pub(crate) fn decided_at(&self) -> Option<Instant> {
        match self {
            Self::Whole(parcel) => {
                let journey = &parcel.journey;
                journey.time_to_verdict.and_then(|time| journey.accepted.checked_add(time))
            }
            Self::Share(share) => Some(share.since),
        }
    }
}

/// What a routed connection reads and writes.
#[derive(Debug)]
pub(crate) enum Source<T> {
    /// The client's connection.
    Whole(T),
    /// A connection in memory to what splits the client's.
    Share(Link),
}

impl<T> Source<T> {
    pub(crate) const fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(io) => Some(io),
            Self::Share(_) => None,
        }
    }
}

/// All that a routed connection consists of.
#[derive(Debug)]
pub(crate) struct Opened<T> {
    pub(crate) io: Source<T>,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) story: Box<Story>,
}

impl<T> Parcel<T> {
    /// The server takes it: this is the connection's outcome.
    pub(crate) fn open(self, now: Instant) -> Opened<T> {
        let Self { io, handover, journey, ticket } = self;
        drop(ticket);
        let why = handover.why();
        let stats = journey.shared.stats.clone();
        let info = journey.end(Outcome::Routed(why), now);
        let mut parts = handover.into_parts();
        // They are kept for as long as the connection lives.
        parts.facts.shrink_to_fit();
        Opened {
            io: Source::Whole(io),
            inbound: Inbound::new(parts.replay.into(), parts.to_backend),
            outbound: Outbound::new(parts.to_client, stats),
            story: Box::new(Story { info, facts: parts.facts, why }),
        }
    }

    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.journey.addresses
    }

    pub(crate) const fn facts(&self) -> &Facts {
        self.handover.facts()
    }

    pub(crate) const fn why(&self) -> Why {
        self.handover.why()
    }
}
