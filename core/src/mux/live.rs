//! The inside of an undecided connection: what has come, what is known, what is still to be said, and the clocks that run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Outcome, Phase, Reason};
use super::pings::PingBudget;
use super::refusal::Refusal;
use super::{Config, Greeting, Reply};
use crate::facts::http2::{Event, Stage, Stop};
use crate::facts::{Bound, Fact, Facts};
use crate::matchers::Opening;
use crate::routes::{Choice, Routes, Why};
use crate::wire::frame::{flag, Head, Kind, HEAD_LEN, PREFACE};

/// What the mux has said of its own and what it is owed for it.
#[derive(Debug)]
pub(super) struct Greeted {
    /// Acknowledgements of the client's SETTINGS that the mux has given.
    pub(super) acks: u32,
    /// Whether the client's acknowledgement of the mux's SETTINGS is still to come.
    pub(super) awaits_ack: bool,
    pings: PingBudget,
}

/// What raw matchers see once the mux has spoken: the bytes from before, since later ones depend on what the mux said.
#[derive(Debug)]
enum Frozen {
    No,
    /// The first bytes of the replay are what they were.
    Length(usize),
    /// PINGs were taken out of them.
    Copy(Box<[u8]>),
}

#[derive(Debug)]
pub(super) struct Live<R> {
    pub(super) routes: Arc<Routes<R>>,
    pub(super) config: Arc<Config>,
    pub(super) facts: Facts,
    /// All that the client has sent and that the backend is to receive.
    pub(super) opening: Vec<u8>,
    /// HTTP/2: the end of the last whole frame that was looked at.
    pub(super) parsed: usize,
    pub(super) greeted: Option<Greeted>,
    frozen: Frozen,
    first_open: usize,
    verdict: Option<Why>,
    refusing: Option<(Reason, Instant)>,
    end: Option<Outcome>,
    replies: VecDeque<Reply>,
    is_ended: bool,
    started: Instant,
    first_byte: Option<Instant>,
    last_byte: Option<Instant>,
    phase: Phase,
    phase_since: Instant,
}

/// What a deadline is about.
enum Timer {
    Greet,
    Phase,
    Refusal,
    ServerFirst,
}

impl<R> Live<R> {
    pub(super) fn new(routes: Arc<Routes<R>>, config: Arc<Config>, now: Instant) -> Self {
        let facts = Facts::new(&config.bounds());
        Self {
            routes,
            config,
            facts,
            opening: Vec::new(),
            parsed: PREFACE.len(),
            greeted: None,
            frozen: Frozen::No,
            first_open: 0,
            verdict: None,
            refusing: None,
            end: None,
            replies: VecDeque::new(),
            is_ended: false,
            started: now,
            first_byte: None,
            last_byte: None,
            phase: Phase::Silent,
            phase_since: now,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) const fn last_byte(&self) -> Option<Instant> {
        self.last_byte
    }

    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) const fn verdict(&self) -> Option<Why> {
        self.verdict
    }

    pub(super) const fn end(&self) -> Option<Outcome> {
        self.end
    }

    pub(super) const fn is_greeted(&self) -> bool {
        self.greeted.is_some()
    }

    pub(super) fn buffered(&self) -> usize {
        self.opening.capacity() + self.facts.held()
    }

    pub(super) fn next_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// Whether the opening is still looked at.
    const fn is_open(&self) -> bool {
        self.verdict.is_none() && self.end.is_none()
    }

    pub(super) fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() || self.end.is_some() {
            return;
        }
        self.opening.extend_from_slice(bytes);
        self.first_byte.get_or_insert(now);
        self.last_byte = Some(now);
        if self.is_open() {
            self.advance(now);
        }
    }

    pub(super) fn handle_eof(&mut self, now: Instant) {
        if !self.is_open() || self.is_ended {
            return;
        }
        self.is_ended = true;
        if self.opening.is_empty() || self.facts.http2().is_present() {
            return self.leave();
        }
        self.facts.finish();
        self.decide(now);
        if self.is_open() {
            // Nobody wants it, and nothing that could be answered has come.
            match self.refusing {
                Some((reason, _)) if self.facts.http1().is_present() => self.close(Outcome::Refused(reason)),
                _ => self.leave(),
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.is_open() {
            return;
        }
        let (deadline, timer) = self.timer();
        if now < deadline {
            return;
        }
        match timer {
            Timer::Greet => self.greet(now),
            Timer::Phase if self.phase == Phase::Opening && self.routes.has_on_timeout() => {
                self.verdict = Some(Why::OnTimeout);
            }
            Timer::Phase => self.close(Outcome::TimedOut(self.phase)),
            Timer::Refusal => {
                let reason = self.refusing.map_or(Reason::NoRoute, |(reason, _)| reason);
                self.close(Outcome::Refused(reason));
            }
            Timer::ServerFirst => self.verdict = Some(Why::ServerFirst),
        }
    }

    /// The client is gone.
    pub(super) fn leave(&mut self) {
        self.cut(Outcome::Left(self.phase));
    }

    /// Nothing can be said to the client any more, so nothing is. Also when a verdict is there that was not handed over yet: what was
    /// to be said before it is not whole, and the backend's first word would not be understood.
    pub(super) fn cut(&mut self, outcome: Outcome) {
        self.replies.clear();
        self.verdict = None;
        self.end.get_or_insert(outcome);
    }

    /// Ends the connection with the words that its client understands.
    pub(super) fn close(&mut self, outcome: Outcome) {
        if !self.is_open() {
            return;
        }
        self.end = Some(outcome);
        let owed = match self.greeted {
            Some(_) => None,
            None => Some((self.config.greeting.clone(), self.facts.http2_opening().settings())),
        };
        self.replies.extend(Refusal::of(outcome, &self.facts, owed).map(Reply::Refusal));
    }

    /// The route that was chosen does not take the connection: from here on the opening is read only to answer it.
    pub(super) fn refuse(&mut self, reason: Reason, now: Instant) {
        let waits_for_server = self.verdict == Some(Why::ServerFirst);
        self.verdict = None;
        if waits_for_server {
            // It says nothing before the server does, so there is nothing to answer.
            return self.close(Outcome::Refused(reason));
        }
        self.refusing = Some((reason, now));
        self.advance(now);
    }

    /// The route that was chosen is not asked any more.
    pub(super) fn shut_down(&mut self) {
        self.verdict = None;
        self.close(Outcome::Shutdown);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.timer().0
    }

    fn timer(&self) -> (Instant, Timer) {
        let config = &self.config;
        let since = self.phase_since;
        let mut next = match self.phase {
            Phase::Silent => (after(self.started, config.silent_deadline), Timer::Phase),
            Phase::Opening => {
                (after(self.first_byte.unwrap_or(self.started), config.opening_deadline), Timer::Phase)
            }
            Phase::Delivery => (after(since, config.opening_deadline), Timer::Phase),
            Phase::Http2Settings => (after(since, config.http2_settings_deadline), Timer::Phase),
            Phase::Http2Waiting | Phase::Http2Idle => {
                (after(since, config.http2_idle_deadline), Timer::Phase)
            }
            Phase::Http2Headers => (after(since, config.http2_headers_deadline), Timer::Phase),
        };
        if let Some((_, since)) = self.refusing {
            // The phase's time may be over already, and is not what counts any more.
            next = (after(since, config.refusal_deadline), Timer::Refusal);
        }
        let mut at_latest = |at: Instant, timer: Timer| {
            if at < next.0 {
                next = (at, timer);
            }
        };
        if let (Phase::Silent, None, Some(delay)) =
            (self.phase, self.refusing, self.routes.server_first_after())
        {
            at_latest(after(self.started, delay), Timer::ServerFirst);
        }
        if let (Phase::Http2Waiting, Some(last_byte)) = (self.phase, self.last_byte) {
            at_latest(after(last_byte, config.settings_patience), Timer::Greet);
        }
        next
    }

    /// Looks at what is new, and decides if it settles anything.
    fn advance(&mut self, now: Instant) {
        self.facts.observe(&self.opening, &self.config.bounds());
        if self.facts.http2().is_present() && !self.config.per_request {
            self.walk_frames(now);
        }
        self.enter_phase(now);
        self.decide(now);
    }

    fn enter_phase(&mut self, now: Instant) {
        let phase = match (self.facts.http2(), self.facts.http2_opening().stage()) {
            _ if self.opening.is_empty() => Phase::Silent,
            (Fact::Absent | Fact::Unknown, _) => Phase::Opening,
            (Fact::Present(()), Stage::FirstSettings) => Phase::Http2Settings,
            (Fact::Present(()), Stage::Open) if self.greeted.is_some() => Phase::Http2Idle,
            (Fact::Present(()), Stage::Open) => Phase::Http2Waiting,
            (Fact::Present(()), Stage::Block { .. }) => Phase::Http2Headers,
            (Fact::Present(()), Stage::Request | Stage::Malformed(_) | Stage::Exceeded) => Phase::Delivery,
        };
        if phase != self.phase {
            self.phase = phase;
            self.phase_since = now;
        }
    }

    /// Walks the whole frames that have come, answers what a greeted client wants answered, and takes out of the opening what
    /// the backend must not see. One pass, whatever is taken out.
    fn walk_frames(&mut self, now: Instant) {
        let bounds = self.config.bounds();
        let (observer, request) = self.facts.http2_opening_mut();
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
            let mut result = observer.take(&head, payload, &bounds, request);
            match (&result, &mut self.greeted) {
                (Ok(Event::SettingsAck), Some(greeted)) if greeted.awaits_ack => {
                    greeted.awaits_ack = false;
                    removes = true;
                }
                (Ok(Event::Settings), Some(greeted)) => {
                    greeted.acks += 1;
                    self.replies.push_back(Reply::SettingsAck);
                }
                (Ok(Event::Ping(opaque)), Some(greeted)) => {
                    if greeted.pings.take(self.config.ping_burst, self.config.ping_interval, now) {
                        self.replies.push_back(Reply::PingAck(*opaque));
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
            if !removes {
                self.opening.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
            if let Err(reason) = result {
                stop = Some((reason, kept));
                break;
            }
        }
        self.opening.drain(kept..at);
        self.parsed = kept;
        if let Some((reason, at)) = stop {
            self.facts.stop_http2(reason, at);
        } else if self.facts.http2_opening().is_settled() {
            self.facts.settle_http2(kept);
        }
    }

    /// The bytes that raw matchers may look at, and whether that is all that they will get. Where a bound has cut off the rest
    /// it is not: one that needed more must end in the refusal, or padding were a way around its route.
    fn prefix(&self) -> (&[u8], bool) {
        match &self.frozen {
            Frozen::No => {
                let max = self.config.max_prefix;
                let readable = self.facts.readable().min(max);
                let bytes = &self.opening[..self.opening.len().min(readable)];
                let is_cut_off = readable < max && self.facts.exceeded().is_some();
                (bytes, self.is_ended || (bytes.len() == readable && !is_cut_off))
            }
            Frozen::Length(length) => (self.opening.get(..*length).unwrap_or_default(), true),
            Frozen::Copy(bytes) => (bytes, true),
        }
    }

    /// Asks the routes, or, where they have refused already, whether the client can be answered now.
    pub(super) fn decide(&mut self, now: Instant) {
        if !self.is_open() {
            return;
        }
        if self.config.per_request && self.refusing.is_none() {
            match self.facts.http2() {
                Fact::Absent => {}
                Fact::Present(()) => {
                    self.verdict = Some(Why::PerRequest);
                    return;
                }
                // No route takes the connection before it is known whether its requests are routed one by one.
                Fact::Unknown => return,
            }
        }
        if self.refusing.is_none() {
            let mut first_open = self.first_open;
            let (prefix, is_final) = self.prefix();
            let choice = self.routes.choose(&Opening::new(&self.facts, prefix, is_final), &mut first_open);
            self.first_open = first_open;
            match choice {
                Choice::NeedMore => {}
                Choice::NoRoute => self.refusing = Some((Reason::NoRoute, now)),
                Choice::Take(why) => {
                    self.verdict = Some(why);
                    return;
                }
            }
        }
        match (self.facts.exceeded(), self.refusing) {
            (Some(bound), _) => self.close(Outcome::Refused(Reason::TooLarge(bound))),
            (None, Some((reason, _))) if self.facts.is_settled() => {
                self.close(Outcome::Refused(reason));
            }
            (None, _) => {}
        }
    }

    /// Patience has run out: says the mux's SETTINGS, acknowledges the client's, answers the PINGs that have come.
    fn greet(&mut self, now: Instant) {
        // Raw matchers have seen all that does not depend on what the mux says now; that may be enough.
        let seen = self.prefix().0.len();
        self.frozen =
            if seen > self.parsed { Frozen::Copy(self.opening[..seen].into()) } else { Frozen::Length(seen) };
        self.decide(now);
        if !self.is_open() {
            return;
        }
        let acks = self.facts.http2_opening().settings();
        let mut pings = PingBudget::new(self.config.ping_burst, now);
        self.replies.push_back(Reply::Greeting { settings: self.config.greeting.clone(), acks });
        let is_calm = self.answer_pings(&mut pings, seen, now);
        self.greeted = Some(Greeted { acks, awaits_ack: true, pings });
        if !is_calm {
            self.facts.stop_http2(Stop::Exceeded(Bound::Pings), self.parsed);
        }
        self.enter_phase(now);
        self.decide(now);
    }

    /// Answers the PINGs among the whole frames of the opening and takes them out. `false` when there are too many.
    fn answer_pings(&mut self, budget: &mut PingBudget, seen: usize, now: Instant) -> bool {
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
                    if budget.take(self.config.ping_burst, self.config.ping_interval, now) {
                        self.replies.push_back(Reply::PingAck(*opaque));
                    } else {
                        is_calm = false;
                    }
                    self.facts.http2_opening_mut().0.forget_frame();
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

    /// What the client ledger starts with: whether the acknowledgement of the mux's SETTINGS is still to come.
    pub(super) fn owed_acks(&self) -> u32 {
        u32::from(self.greeted.as_ref().is_some_and(|greeted| greeted.awaits_ack))
    }

    /// What the backend ledger starts with.
    pub(super) fn said(&self) -> Option<(Greeting, u32)> {
        self.greeted.as_ref().map(|greeted| (self.config.greeting.clone(), greeted.acks))
    }
}

/// The instant `delay` later; where the clock does not reach that far, as good as never.
pub(crate) fn after(instant: Instant, delay: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
    instant.checked_add(delay).unwrap_or_else(|| instant.checked_add(NEVER).unwrap_or(instant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matchers;
    use crate::mux::{MuxMachine, Output};

    const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    const REQUEST: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";

    fn machine(routes: Routes<()>, start: Instant) -> MuxMachine<()> {
        MuxMachine::new(Arc::new(routes), Arc::new(Config::default()), start)
    }

    /// A reply that is still to be written when the verdict comes has time, and a connection that can not take it is not routed.
    #[test]
    fn a_reply_is_whole_before_a_connection_is_routed() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let mut machine = machine(Routes::new().route(matchers::grpc(), ()).otherwise(()), start);
        machine.handle_input(OPENING, start);
        machine.handle_timeout(start + Duration::from_secs(1));
        assert!(matches!(machine.poll_output(), Output::Write(Reply::Greeting { .. })));
        machine.handle_input(&[PING, REQUEST].concat(), later);
        assert!(matches!(machine.poll_output(), Output::Write(Reply::PingAck(_))));
        assert!(machine.deadline().is_some_and(|deadline| deadline > later));
        machine.handle_cut(Outcome::TimedOut(Phase::Delivery), later);
        assert!(matches!(machine.poll_output(), Output::Closed(Outcome::TimedOut(Phase::Delivery))));
    }

    /// The time of the phase is over when a route of last resort does not take the connection: it is answered all the same.
    #[test]
    fn a_refusal_has_a_time_of_its_own() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut machine = machine(
            Routes::new().route(matchers::tls(), ()).route(matchers::ssh(), ()).on_timeout(()),
            start,
        );
        machine.handle_input(b"SS", start);
        machine.handle_timeout(at(10));
        let Output::Routed(handover) = machine.poll_output() else { panic!("not routed") };
        assert_eq!(handover.why(), Why::OnTimeout);
        let mut machine = handover.refuse(Reason::BackendDown, at(15));
        let Output::NeedInput { until } = machine.poll_output() else { panic!("nothing to wait for") };
        assert_eq!(until, Some(at(20)));
        machine.handle_timeout(at(20));
        assert!(matches!(machine.poll_output(), Output::Closed(Outcome::Refused(Reason::BackendDown))));
    }

    #[test]
    fn who_waits_for_a_server_that_is_down_is_let_go_at_once() {
        let start = Instant::now();
        let delay = Duration::from_secs(1);
        let mut machine = machine(Routes::new().route(matchers::http(), ()).server_first((), delay), start);
        machine.handle_timeout(start + delay);
        let Output::Routed(handover) = machine.poll_output() else { panic!("not routed") };
        let mut machine = handover.refuse(Reason::BackendDown, start + delay);
        assert!(matches!(machine.poll_output(), Output::Closed(Outcome::Refused(Reason::BackendDown))));
    }
}
