//! A decided connection on its way to the server of its route.

use std::time::Instant;

use oneport_core::{Facts, Handover, Outcome, Why};

use crate::address::Addresses;
use crate::context::{Journey, Story};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::registry::Ticket;

/// A connection that has reached its route and was not taken yet.
#[derive(Debug)]
pub(crate) struct Parcel<T> {
    pub(crate) io: T,
    pub(crate) handover: Handover<usize>,
    pub(crate) journey: Journey,
    /// What it holds counts until it is taken.
    pub(crate) ticket: Ticket,
}

/// All that a routed connection consists of.
#[derive(Debug)]
pub(crate) struct Opened<T> {
    pub(crate) io: T,
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
        let parts = handover.into_parts();
        Opened {
            io,
            inbound: Inbound::new(parts.replay, parts.to_backend),
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
