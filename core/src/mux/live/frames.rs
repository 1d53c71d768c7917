//! HTTP/2 before the verdict: the walk over the frames, and the greeting of a client that waits.

use std::time::Instant;

use super::super::pings::PingBudget;
use super::greeted::{Answer, Frozen, Greeted};
use super::Live;
use crate::facts::http2::{Event, Stop};
use crate::facts::Bound;
use crate::wire::frame::{flag, Head, Kind, HEAD_LEN, PREFACE};

impl<R> Live<R> {
    /// Walks the whole frames that have come, answers what a greeted client wants answered, and takes out of the opening what
    /// the backend must not see. One pass, whatever is taken out.
    pub(super) fn walk_frames(&mut self, now: Instant) {
        let bounds = self.config.bounds();
        let Some(observer) = self.observer.http2_mut() else { return };
        let mut stop = None;
        let (mut at, mut kept) = (self.parsed, self.parsed);
        while !observer.is_settled() {
            let Some(head) = Head::peek(self.opening.get(at..).unwrap_or_default()) else { break };
            if let Err(reason) = observer.admit(&head, &bounds) {
                stop = Some((reason, kept + HEAD_LEN));
                break;
            }
            let end = at + head.frame_len();
            let Some(payload) = self.opening.get(at + HEAD_LEN..end) else { break };
            let mut removes = false;
            let mut result = observer.take(&head, payload, &bounds, &mut self.facts);
            match (&result, &mut self.greeted) {
                (Ok(Event::SettingsAck), Some(greeted)) if greeted.awaits_ack => {
                    greeted.awaits_ack = false;
                    removes = true;
                }
                (Ok(Event::Settings), Some(greeted)) => {
                    greeted.acks += 1;
                    greeted.answer(Answer::Settings);
                }
                (Ok(Event::Ping(opaque)), Some(greeted)) => {
                    if greeted.pings.take(self.config.ping_burst, self.config.ping_interval, now) {
                        greeted.answer(Answer::Ping(*opaque));
                        removes = true;
                    } else {
                        result = Err(Stop::Exceeded(Bound::Pings));
                    }
                }
                _ => {}
            }
            if removes {
                observer.forget_frame();
            } else if result.is_ok() && observer.has_too_many_frames(&bounds) {
                result = Err(Stop::Exceeded(Bound::Frames));
            }
            if !removes && kept == at {
                kept = end;
            } else if !removes {
                self.opening.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
            if let Err(reason) = result {
                stop = Some((reason, kept));
                break;
            }
        }
        let is_settled = observer.is_settled();
        self.opening.drain(kept..at);
        self.parsed = kept;
        if let Some((reason, at)) = stop {
            self.observer.stop_http2(reason, at, &mut self.facts);
        } else if is_settled {
            self.observer.settle_http2(kept);
        }
    }

    /// Patience has run out: says the mux's SETTINGS, acknowledges the client's, answers the PINGs that have come.
    pub(super) fn greet(&mut self, now: Instant) {
        // Raw matchers have seen all that does not depend on what the mux says now; that may be enough.
        let seen = self.prefix().0.len();
        self.frozen =
            if seen > self.parsed { Frozen::Copy(self.opening[..seen].into()) } else { Frozen::Length(seen) };
        self.decide(now);
        if !self.is_open() {
            return;
        }
        let acks = self.client_settings();
        let mut greeted = Greeted {
            to_say: Some(acks),
            answers: None,
            acks,
            awaits_ack: true,
            pings: PingBudget::new(self.config.ping_burst, now),
        };
        let is_calm = self.answer_pings(&mut greeted, seen, now);
        self.greeted = Some(greeted);
        if !is_calm {
            self.observer.stop_http2(Stop::Exceeded(Bound::Pings), self.parsed, &mut self.facts);
        }
        self.enter_phase(now);
        self.decide(now);
    }

    /// Answers the PINGs among the whole frames of the opening and takes them out. `false` when there are too many.
    fn answer_pings(&mut self, greeted: &mut Greeted, seen: usize, now: Instant) -> bool {
        let (mut at, mut kept) = (PREFACE.len(), PREFACE.len());
        let mut is_calm = true;
        while let Some(head) = Head::peek(self.opening.get(at..self.parsed).unwrap_or_default()) {
            let end = at + head.frame_len();
            let wants_answer = head.kind == Kind::PING && !head.has(flag::ACK);
            match self.opening.get(at + HEAD_LEN..end).and_then(<[u8]>::first_chunk) {
                Some(opaque) if wants_answer => {
                    if matches!(self.frozen, Frozen::Length(_)) {
                        self.frozen = Frozen::Copy(self.opening[..seen].into());
                    }
                    if greeted.pings.take(self.config.ping_burst, self.config.ping_interval, now) {
                        greeted.answer(Answer::Ping(*opaque));
                    } else {
                        is_calm = false;
                    }
                    if let Some(observer) = self.observer.http2_mut() {
                        observer.forget_frame();
                    }
                }
                _ => {
                    self.opening.copy_within(at..end, kept);
                    kept += end - at;
                }
            }
            at = end;
        }
        self.opening.drain(kept..at);
        self.parsed = kept;
        is_calm
    }
}
