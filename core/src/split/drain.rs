//! The graceful end: the first GOAWAY stops new connections, the second fixes the last request, and what is in progress is
//! finished (RFC 9113 §6.8).

use std::time::Instant;

use super::core::Core;
use super::SplitOutcome;
use crate::wire::frame::ErrorCode;

/// A stream id that says "all that you have sent, and may send for a moment".
const ALL: u32 = 0x7fff_ffff;

/// Goes with the first GOAWAY; its answer says that the client has seen it.
const SEEN: [u8; 8] = *b"draining";

#[derive(Debug)]
pub(super) struct Drain {
    pub(super) since: Instant,
    /// The last request that is served, once it is fixed.
    pub(super) last: Option<u32>,
}

impl<R> Core<R> {
    pub(super) fn begin_drain(&mut self) {
        if self.drain.is_some() || self.end.is_some() {
            return;
        }
        self.drain = Some(Drain { since: self.now, last: None });
        self.client.put_goaway(ALL, ErrorCode::NO_ERROR);
        self.client.put_ping(SEEN);
    }

    pub(super) fn take_drain_ack(&mut self, opaque: [u8; 8]) {
        if opaque == SEEN {
            self.fix_last();
        }
    }

    /// The second GOAWAY.
    pub(super) fn fix_last(&mut self) {
        if let Some(drain) = self.drain.as_mut().filter(|drain| drain.last.is_none()) {
            drain.last = Some(self.last_stream);
            self.client.put_goaway(self.last_stream, ErrorCode::NO_ERROR);
        }
    }

    /// The last stream that a GOAWAY may name: it never rises (RFC 9113 §6.8), whatever the client opened behind the second one.
    pub(super) fn last_served(&self) -> u32 {
        let fixed = self.drain.as_ref().and_then(|drain| drain.last);
        fixed.map_or(self.last_stream, |last| last.min(self.last_stream))
    }

    /// Ends when there is nothing more to wait for: the last words of responses to the client, and of requests to their backends, are
    /// written.
    pub(super) fn end_if_done(&mut self) {
        if self.end.is_some() || !self.streams.is_empty() || !self.client.is_written() {
            return;
        }
        if self.links.iter().any(|link| link.highest > 0 && !link.peer.is_written()) {
            return;
        }
        if self.drain.as_ref().is_some_and(|drain| drain.last.is_some()) {
            self.finish(SplitOutcome::Drained);
        } else if self.client_leaves {
            self.finish(SplitOutcome::Left);
        }
    }
}
