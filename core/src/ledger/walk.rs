//! Finds the heads of frames in a stream that comes in any cut.

use crate::wire::frame::{Head, HEAD_LEN};

/// Where a stream of frames stands: in a head, or in a payload.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// The bytes of an unfinished head: held back, since the frame may have to be dropped.
    head: [u8; HEAD_LEN],
    held: usize,
    /// Bytes of payload that are still to pass.
    payload: u32,
}

/// What is at the front of a chunk.
#[derive(Debug)]
pub(super) enum Next {
    /// This many bytes that need no decision: payload, and whole frames that the judge lets pass.
    Pass(usize),
    /// A head that the judge wants to decide on. It has been taken from the chunk: `taken` bytes of it.
    Stop { head: Head, taken: usize },
    /// The start of a head: `taken` bytes, all that was left, were taken and are held back.
    Held { taken: usize },
}

impl Walk {
    pub(super) const fn new() -> Self {
        Self { head: [0; HEAD_LEN], held: 0, payload: 0 }
    }

    /// The held-back bytes of an unfinished head.
    pub(super) fn held(&self) -> &[u8] {
        &self.head[..self.held]
    }

    /// Gives up the held-back bytes, to be passed on.
    pub(super) fn release(&mut self) -> &[u8] {
        let held = core::mem::take(&mut self.held);
        &self.head[..held]
    }

    /// The payload of a frame that a stop was made for is to pass as any other.
    pub(super) fn pass_payload(&mut self, length: u32) {
        self.payload = length;
    }

    /// Looks at the front of `chunk`, which must not be empty. `stops` says, purely, whether a head wants a decision.
    pub(super) fn next(&mut self, chunk: &[u8], stops: impl Fn(&Head) -> bool) -> Next {
        let mut at = 0;
        if self.held > 0 {
            let taken = (HEAD_LEN - self.held).min(chunk.len());
            self.head[self.held..self.held + taken].copy_from_slice(&chunk[..taken]);
            self.held += taken;
            if self.held < HEAD_LEN {
                return Next::Held { taken };
            }
            return Next::Stop { head: Head::decode(&self.head), taken };
        }
        loop {
            let pass = (self.payload as usize).min(chunk.len() - at);
            self.payload -= pass as u32;
            at += pass;
            if at == chunk.len() {
                return Next::Pass(at);
            }
            match Head::peek(&chunk[at..]) {
                Some(head) if !stops(&head) => {
                    at += HEAD_LEN;
                    self.payload = head.length;
                }
                // What needs no decision goes first; the rest is looked at again.
                _ if at > 0 => return Next::Pass(at),
                Some(head) => {
                    self.head = head.encode();
                    self.held = HEAD_LEN;
                    return Next::Stop { head, taken: HEAD_LEN };
                }
                None => {
                    self.head[..chunk.len()].copy_from_slice(chunk);
                    self.held = chunk.len();
                    return Next::Held { taken: chunk.len() };
                }
            }
        }
    }

    /// Drops the held-back head (of a frame without payload).
    pub(super) fn drop_head(&mut self) {
        self.held = 0;
    }
}
