//! What a greeted connection has beside the others: words that wait, what is owed for them, and what raw matchers saw before.

use core::alloc::Layout;
use std::collections::VecDeque;

use super::super::pings::PingBudget;

/// An answer to a frame of a greeted client.
pub(super) enum Answer {
    Ping([u8; 8]),
    Settings,
}

#[derive(Default)]
pub(super) struct Answers(pub(super) VecDeque<Answer>);

/// What the mux has said of its own and what it is owed for it.
pub(in crate::mux) struct Greeted {
    /// The greeting itself, with this number of acknowledgements, until it was said; then the answers, in order.
    pub(super) to_say: Option<u32>,
    // In a box: few clients send what is answered, and all have the room for it.
    pub(super) answers: Option<Box<Answers>>,
    /// Acknowledgements of the client's SETTINGS that the mux has given.
    pub(in crate::mux) acks: u32,
    /// Whether the client's acknowledgement of the mux's SETTINGS is still to come.
    pub(in crate::mux) awaits_ack: bool,
    pub(super) pings: PingBudget,
}

impl Greeted {
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.get_or_insert_with(Box::default).0.push_back(answer);
    }

    /// Bytes of memory that wait to be said.
    pub(super) fn held(&self) -> usize {
        self.answers.as_ref().map_or(0, |answers| answers.0.capacity() * Layout::new::<Answer>().size())
    }
}

/// What raw matchers see once the mux has spoken: the bytes from before, since later ones depend on what the mux said.
pub(super) enum Frozen {
    No,
    /// The first bytes of the replay are what they were.
    Length(usize),
    /// PINGs were taken out of them.
    Copy(Box<[u8]>),
}
