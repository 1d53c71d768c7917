//! The end of a routed connection's time with the mux: where it goes, and all that makes the backend see it as pristine.

use std::fmt;
use std::time::Instant;

use super::live::Live;
use super::outcome::Reason;
use super::MuxMachine;
use crate::facts::Facts;
use crate::ledger::{BackendLedger, ClientLedger};
use crate::routes::Why;
use crate::unsaid::Unsaid;

/// A connection that has found its route.
///
/// Deliver it by [`into_parts`](Self::into_parts), or, if the route can not take it, [`refuse`](Self::refuse) it in the
/// client's own protocol. Until then nothing more should be read from the client.
pub struct Handover<R> {
    live: Box<Live<R>>,
    why: Why,
}

/// What a delivered connection consists of, beside its socket.
#[non_exhaustive]
pub struct Parts {
    /// What the backend is to receive before anything that is read from the socket.
    pub replay: Vec<u8>,
    /// What is still to be taken out of client-to-backend bytes behind the replay.
    pub to_backend: ClientLedger,
    /// What is still to be taken out of backend-to-client bytes.
    pub to_client: BackendLedger,
    /// What the opening has shown, as far as the verdict needed it; all of it with [`Config::complete_facts`](crate::Config::complete_facts).
    pub facts: Facts,
}

/// Says how much the client has sent, and not what: cookies and credentials are not for logs.
impl<R> fmt::Debug for Handover<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("why", &self.why)
            .field("facts", self.facts())
            .field("is_greeted", &self.is_greeted())
            .field("opening", &Unsaid(&self.live.opening))
            .finish_non_exhaustive()
    }
}

/// As that of [`Handover`].
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("replay", &Unsaid(&self.replay))
            .field("to_backend", &self.to_backend)
            .field("to_client", &self.to_client)
            .field("facts", &self.facts)
            .finish()
    }
}

impl<R> Handover<R> {
    pub(super) const fn new(live: Box<Live<R>>, why: Why) -> Self {
        Self { live, why }
    }

    /// Where the connection goes.
    pub fn target(&self) -> Option<&R> {
        self.live.routes.target(self.why)
    }

    /// Why it goes there.
    pub const fn why(&self) -> Why {
        self.why
    }

    /// What the opening has shown, as far as the verdict needed it; all of it with [`Config::complete_facts`](crate::Config::complete_facts).
    pub const fn facts(&self) -> &Facts {
        &self.live.facts
    }

    /// Whether the mux has greeted the client, so that there are ledgers to settle.
    pub const fn is_greeted(&self) -> bool {
        self.live.is_greeted()
    }

    /// When the client's last byte came, if any did.
    pub fn last_byte(&self) -> Option<Instant> {
        self.live.last_byte()
    }

    /// Bytes of memory held for the opening.
    pub fn buffered(&self) -> usize {
        self.live.buffered()
    }

    /// The route does not take the connection. The machine reads on as far as it must to answer the client, which may be not at
    /// all: drive it as before.
    pub fn refuse(mut self, reason: Reason, now: Instant) -> MuxMachine<R> {
        self.live.refuse(reason, now);
        MuxMachine::refusing(self.live)
    }

    /// The listener shuts down before the route has taken the connection: it is answered as far as it can be at once.
    pub fn shut_down(mut self) -> MuxMachine<R> {
        self.live.shut_down();
        MuxMachine::refusing(self.live)
    }

    /// What the backend gets.
    pub fn into_parts(self) -> Parts {
        let mut live = *self.live;
        let mut to_backend = ClientLedger::new(live.owed_acks());
        if !to_backend.is_transparent() {
            // Behind the last whole frame that the mux has looked at, the acknowledgement may have come already.
            let tail = live.opening.split_off(live.parsed.min(live.opening.len()));
            let mut rest = &tail[..];
            while let Some(piece) = to_backend.pull(&mut rest) {
                live.opening.extend_from_slice(&piece);
            }
        }
        let to_client = match live.said() {
            Some((greeting, acks)) => BackendLedger::new(greeting, acks),
            None => BackendLedger::transparent(),
        };
        Parts { replay: live.opening, to_backend, to_client, facts: live.facts }
    }
}
