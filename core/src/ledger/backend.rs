//! Backend to client: the backend's first SETTINGS are reconciled with the mux's own, and the acknowledgements that the mux
//! already gave are dropped.

use super::walk::{Next, Walk};
use super::Piece;
use crate::mux::Greeting;
use crate::wire::frame::{flag, Head, Kind, DEFAULT_MAX_FRAME_SIZE, HEAD_LEN};
use crate::wire::settings::{entries, SettingId, ENTRY_LEN};

/// The longest first SETTINGS that is held back and reconciled, in bytes of payload: what any frame may have before a larger
/// size was agreed on (RFC 9113 §4.2).
const MAX_FIRST_SETTINGS: u32 = DEFAULT_MAX_FRAME_SIZE;

/// What became of the backend's first SETTINGS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reconciled {
    /// The mux had said something that the backend's SETTINGS had to be adapted to.
    Adapted,
    /// They have not come yet.
    NotYet,
    /// The backend's first frame was no SETTINGS: it does not speak HTTP/2, and everything passes.
    NotHttp2,
    /// They passed as they were.
    Unchanged,
}

/// What is owed to the backend-to-client stream of a connection that the mux has greeted.
///
/// A backend may merge acknowledgements or send them as late as its first response, so the ledger stays open until as many have
/// come as the mux gave; it is never closed on a guess.
#[derive(Clone, Debug)]
pub struct BackendLedger {
    walk: Walk,
    /// What the mux said, until the backend's first SETTINGS are through.
    greeting: Option<Greeting>,
    /// The backend's first SETTINGS while they are held back, and then, adapted, until they have gone on.
    first: Vec<u8>,
    /// Bytes that `first` lacks.
    missing: usize,
    owed: u32,
    reconciled: Reconciled,
}

impl BackendLedger {
    /// The ledger of a connection to which the mux has said nothing.
    pub const fn transparent() -> Self {
        Self {
            walk: Walk::new(),
            greeting: None,
            first: Vec::new(),
            missing: 0,
            owed: 0,
            reconciled: Reconciled::Unchanged,
        }
    }

    /// The ledger of a connection that the mux has sent `greeting` and `acks` acknowledgements of the client's SETTINGS.
    pub const fn new(greeting: Greeting, acks: u32) -> Self {
        Self {
            walk: Walk::new(),
            greeting: Some(greeting),
            first: Vec::new(),
            missing: 0,
            owed: acks,
            reconciled: Reconciled::NotYet,
        }
    }

    /// Whether nothing is owed and nothing held back: every byte from here on passes as it is.
    pub fn is_transparent(&self) -> bool {
        self.owed == 0 && self.greeting.is_none() && self.first.is_empty() && self.walk.held().is_empty()
    }

    /// The number of acknowledgements still to be dropped.
    pub const fn owed(&self) -> u32 {
        self.owed
    }

    /// The bytes of an unfinished frame head that are held back, fewer than nine.
    pub fn held_head(&self) -> usize {
        self.walk.held().len()
    }

    /// What became of the backend's first SETTINGS.
    pub const fn reconciled(&self) -> Reconciled {
        self.reconciled
    }

    /// Takes bytes from the front of `chunk` and returns those that go on to the client, or `None` when the chunk is used up.
    /// Call it until then. Holds back at most the first SETTINGS (16 KiB and a head); never returns an empty slice.
    pub fn pull<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Piece<'_, 'c>> {
        loop {
            if chunk.is_empty() {
                if self.missing == 0 {
                    // What was returned last has gone on.
                    self.first = Vec::new();
                }
                return None;
            }
            if self.missing > 0 {
                let taken = self.missing.min(chunk.len());
                self.first.extend_from_slice(&chunk[..taken]);
                *chunk = &chunk[taken..];
                self.missing -= taken;
                if self.missing == 0 {
                    self.reconcile();
                    return Some(Piece::Held(&self.first));
                }
                continue;
            }
            // What was returned last has gone on.
            self.first = Vec::new();
            if self.is_transparent() {
                return Some(Piece::Chunk(core::mem::take(chunk)));
            }
            let awaits_first = self.greeting.is_some();
            match self.walk.next(chunk, |head| awaits_first || head.is_settings_ack()) {
                Next::Pass(n) => {
                    let (pass, rest) = chunk.split_at(n);
                    *chunk = rest;
                    return Some(Piece::Chunk(pass));
                }
                Next::Stop { head, taken } => {
                    *chunk = &chunk[taken..];
                    if head.is_settings_ack() && self.owed > 0 {
                        self.owed -= 1;
                        self.walk.drop_head();
                        continue;
                    }
                    if self.greeting.is_some() && self.holds_back(&head) {
                        if self.missing == 0 {
                            self.reconcile();
                            return Some(Piece::Held(&self.first));
                        }
                        continue;
                    }
                    self.walk.pass_payload(head.length);
                    return Some(Piece::Held(self.walk.release()));
                }
                Next::Held { taken } => *chunk = &chunk[taken..],
            }
        }
    }

    /// The backend has ended its side: the bytes that were held back, which go on as they are. Nothing is owed from then on.
    pub fn finish(&mut self) -> Vec<u8> {
        self.owed = 0;
        self.greeting = None;
        let first = core::mem::take(&mut self.first);
        if core::mem::take(&mut self.missing) > 0 {
            first
        } else {
            self.walk.release().to_vec()
        }
    }

    /// Decides on the backend's first frame that is no acknowledgement. Says whether it is held back to be reconciled.
    fn holds_back(&mut self, head: &Head) -> bool {
        if head.kind != Kind::SETTINGS {
            self.greeting = None;
            self.owed = 0;
            self.reconciled = Reconciled::NotHttp2;
            return false;
        }
        let is_legal = !head.has(flag::ACK)
            && head.stream == 0
            && head.length as usize % ENTRY_LEN == 0
            && head.length <= MAX_FIRST_SETTINGS;
        if !is_legal {
            // The client judges it as it came.
            self.greeting = None;
            self.reconciled = Reconciled::Unchanged;
            return false;
        }
        self.first.reserve_exact(head.frame_len());
        self.first.extend_from_slice(self.walk.held());
        self.walk.drop_head();
        self.missing = head.length as usize;
        true
    }

    /// Adapts the backend's first SETTINGS, which are whole, to what the mux has said: a value once sent stays in force until it
    /// is replaced.
    fn reconcile(&mut self) {
        self.reconciled = Reconciled::Unchanged;
        let Some(greeting) = self.greeting.take() else { return };
        let Some((head, payload)) = self.first.split_first_chunk::<HEAD_LEN>() else { return };
        let mut head = Head::decode(head);
        let promised_connect = greeting.value_of(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1);

        let mut adapted = Vec::with_capacity(self.first.len() + greeting.entries().len() * ENTRY_LEN);
        adapted.extend_from_slice(&[0; HEAD_LEN]);
        for entry in entries(payload) {
            let stays = match entry.id {
                // It must not change after the first SETTINGS, which were the mux's (RFC 9218 §2.1).
                SettingId::NO_RFC7540_PRIORITIES => false,
                // It must not go back from 1 to 0 (RFC 8441 §3).
                SettingId::ENABLE_CONNECT_PROTOCOL => !(promised_connect && entry.value == 0),
                _ => true,
            };
            if stays {
                adapted.extend_from_slice(&entry.encode());
            }
        }
        for said in greeting.entries() {
            let is_repeated = entries(payload).any(|entry| entry.id == said.id);
            // What does not fit any more stays in force: an absurd backend's client is then limited, never misled.
            let fits = adapted.len() + ENTRY_LEN <= HEAD_LEN + MAX_FIRST_SETTINGS as usize;
            if let (false, true, Some(default)) = (is_repeated, fits, Greeting::default_of(said.id)) {
                adapted.extend_from_slice(
                    &crate::wire::settings::Setting { id: said.id, value: default }.encode(),
                );
            }
        }
        head.length = (adapted.len() - HEAD_LEN) as u32;
        adapted[..HEAD_LEN].copy_from_slice(&head.encode());
        if adapted != self.first {
            self.reconciled = Reconciled::Adapted;
            self.first = adapted;
        }
    }
}
