//! The inside of an undecided connection: what has come, what is known, what is still to be said, and the clocks that run.

mod frames;
mod greeted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Outcome, Phase, Reason};
use super::refusal::Refusal;
use super::{Config, Greeting, Reply};
use crate::facts::http2::{Http2Observer, Stage};
use crate::facts::observer::{Depth, Observer};
use crate::facts::{Fact, Facts};
use crate::matchers::Opening;
use crate::routes::{Choice, Routes, Why};
use crate::wire::frame::PREFACE;
use greeted::{Answer, Frozen, Greeted};

/// Bytes set aside for what follows the first, short segment of an HTTP/2 client: the header block of one that waits for SETTINGS, or that
/// writes its request by itself.
const FIRST_ROOM: usize = 512;

pub(super) struct Live<R> {
    pub(super) routes: Arc<Routes<R>>,
    pub(super) config: Arc<Config>,
    pub(super) facts: Facts,
    observer: Observer,
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
    /// Whether `end` is still to be told to the client.
    owes_last_words: bool,
    is_ended: bool,
    last_byte: Option<Instant>,
    phase: Phase,
    /// Silent: since the connection was accepted. Opening: since its first byte.
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
    /// A connection accepted at `started` that has sent nothing, of which the first `first_open` routes have said no.
    pub(super) fn new(
        routes: Arc<Routes<R>>,
        config: Arc<Config>,
        started: Instant,
        first_open: usize,
    ) -> Self {
        Self {
            routes,
            config,
            facts: Facts::new(),
            observer: Observer::new(),
            opening: Vec::new(),
            parsed: PREFACE.len(),
            greeted: None,
            frozen: Frozen::No,
            first_open,
            verdict: None,
            refusing: None,
            end: None,
            owes_last_words: false,
            is_ended: false,
            last_byte: None,
            phase: Phase::Silent,
            phase_since: started,
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
        let frozen = if let Frozen::Copy(bytes) = &self.frozen { bytes.len() } else { 0 };
        let answers = self.greeted.as_ref().map_or(0, Greeted::held);
        self.opening.capacity() + self.facts.held() + self.observer.held() + frozen + answers
    }

    pub(super) fn next_reply(&mut self) -> Option<Reply> {
        if let Some(greeted) = &mut self.greeted {
            if let Some(acks) = greeted.to_say.take() {
                return Some(Reply::Greeting { settings: self.config.greeting.clone(), acks });
            }
            if let Some(answer) = greeted.answers.as_mut().and_then(|answers| answers.0.pop_front()) {
                return Some(match answer {
                    Answer::Ping(opaque) => Reply::PingAck(opaque),
                    Answer::Settings => Reply::SettingsAck,
                });
            }
        }
        match self.end {
            Some(outcome) if core::mem::take(&mut self.owes_last_words) => {
                Refusal::of(outcome, &self.facts, self.owed_greeting()).map(Reply::Refusal)
            }
            _ => None,
        }
    }

    /// Whether the opening is still looked at.
    const fn is_open(&self) -> bool {
        self.verdict.is_none() && self.end.is_none()
    }

    pub(super) fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if self.end.is_some() {
            return;
        }
        if self.opening.is_empty() && bytes.len() < FIRST_ROOM && bytes.starts_with(PREFACE) {
            // Its request is not in the first segment, as a rule.
            self.opening.reserve_exact(bytes.len() + FIRST_ROOM);
        }
        self.opening.extend_from_slice(bytes);
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
        self.observer.finish(&mut self.facts);
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
        if let Some(greeted) = &mut self.greeted {
            greeted.to_say = None;
            greeted.answers = None;
        }
        self.owes_last_words = false;
        self.verdict = None;
        self.end.get_or_insert(outcome);
    }

    /// Ends the connection with the words that its client understands.
    pub(super) fn close(&mut self, outcome: Outcome) {
        if !self.is_open() {
            return;
        }
        self.end = Some(outcome);
        self.owes_last_words = true;
    }

    /// The mux's SETTINGS and acknowledgements, if it has not said them: they must come before anything else that it says.
    fn owed_greeting(&self) -> Option<(Greeting, u32)> {
        match self.greeted {
            Some(_) => None,
            None => Some((self.config.greeting.clone(), self.client_settings())),
        }
    }

    fn client_settings(&self) -> u32 {
        self.observer.http2().map_or(0, Http2Observer::settings)
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
        if self.observer.depth() < Depth::Whole {
            // Only what was read whole can be answered. (Nothing that is seen now depends on the time: nobody was greeted.)
            self.look(Depth::Whole, self.phase_since);
        }
        self.close(Outcome::Shutdown);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.timer().0
    }

    fn timer(&self) -> (Instant, Timer) {
        let config = &self.config;
        let since = self.phase_since;
        let mut next = match self.phase {
            Phase::Silent => (after(since, config.silent_deadline), Timer::Phase),
            Phase::Opening | Phase::Delivery => (after(since, config.opening_deadline), Timer::Phase),
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
            at_latest(after(since, delay), Timer::ServerFirst);
        }
        if let (Phase::Http2Waiting, Some(last_byte)) = (self.phase, self.last_byte) {
            at_latest(after(last_byte, config.settings_patience), Timer::Greet);
        }
        next
    }

    /// Looks at what is new, no closer than it takes to settle it, and decides if it settles anything. Who is still undecided behind it
    /// was looked at as closely as can be: what counts bounds and deadlines knows as much as if all were looked at at once.
    fn advance(&mut self, now: Instant) {
        let is_whole = self.config.complete_facts || self.refusing.is_some();
        let mut depth = if is_whole { Depth::Whole } else { self.observer.depth() };
        loop {
            self.look(depth, now);
            if !self.observer.is_deferring(&self.facts) {
                break;
            }
            if self.decide_early() {
                return;
            }
            depth = self.observer.closer(self.routes.asks_line(self.first_open));
        }
        self.decide(now);
    }

    fn look(&mut self, depth: Depth, now: Instant) {
        self.observer.observe(&self.opening, &self.config.bounds(), depth, &mut self.facts);
        // Where requests are routed one by one, the walk is another machine's, unless there is only to be answered.
        let walks = !self.config.per_request || self.refusing.is_some();
        if walks && self.facts.http2().is_present() && self.observer.depth() == Depth::Whole {
            self.walk_frames(now);
        }
        self.enter_phase(now);
    }

    fn enter_phase(&mut self, now: Instant) {
        let phase = match (self.facts.http2(), self.observer.http2_stage()) {
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

    /// The bytes that raw matchers may look at, and whether that is all that they will get. Where a bound has cut off the rest
    /// it is not: one that needed more must end in the refusal, or padding were a way around its route.
    fn prefix(&self) -> (&[u8], bool) {
        match &self.frozen {
            Frozen::No => {
                let max = self.config.max_prefix;
                let readable = self.observer.readable().min(max);
                let bytes = &self.opening[..self.opening.len().min(readable)];
                let is_cut_off = readable < max && self.facts.exceeded().is_some();
                (bytes, self.is_ended || (bytes.len() == readable && !is_cut_off))
            }
            Frozen::Length(length) => (self.opening.get(..*length).unwrap_or_default(), true),
            Frozen::Copy(bytes) => (bytes, true),
        }
    }

    /// What is known before the routes are asked, where requests are routed one by one: whether it is HTTP/2. `None`: not even that.
    fn asks_routes(&mut self) -> Option<bool> {
        if !self.config.per_request || self.refusing.is_some() {
            return Some(true);
        }
        match self.facts.http2() {
            Fact::Absent => Some(true),
            Fact::Present(()) => {
                self.verdict = Some(Why::PerRequest);
                Some(false)
            }
            // No route takes the connection before it is known whether its requests are routed one by one.
            Fact::Unknown => None,
        }
    }

    /// Asks the routes by what is known so far, of an opening that could be looked at more closely. Whether that settles it: then all
    /// facts would have settled it the same way.
    fn decide_early(&mut self) -> bool {
        if self.refusing.is_some() {
            return false;
        }
        match self.asks_routes() {
            Some(true) => {}
            Some(false) => return true,
            None => return false,
        }
        // A closer look may find a bound passed, behind which no raw matcher looks.
        let known = self.observer.surely_readable(&self.config.bounds()).min(self.config.max_prefix);
        let prefix = self.opening.get(..known).unwrap_or(&self.opening);
        let opening = Opening::new(&self.facts, prefix, prefix.len() == self.config.max_prefix);
        match self.routes.choose(&opening, &mut self.first_open) {
            Choice::Take(why) => {
                self.verdict = Some(why);
                true
            }
            Choice::NeedMore | Choice::NoRoute => false,
        }
    }

    /// Asks the routes, or, where they have refused already, whether the client can be answered now.
    pub(super) fn decide(&mut self, now: Instant) {
        let asks = self.asks_routes();
        if !self.is_open() {
            return;
        }
        if asks == Some(true) && self.refusing.is_none() {
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

    /// What the client ledger starts with: whether the acknowledgement of the mux's SETTINGS is still to come.
    pub(super) fn owed_acks(&self) -> u32 {
        u32::from(self.greeted.as_ref().is_some_and(|greeted| greeted.awaits_ack))
    }

    /// What the backend ledger starts with.
    pub(super) fn said(&self) -> Option<(Greeting, u32)> {
        self.greeted.as_ref().map(|greeted| (self.config.greeting.clone(), greeted.acks))
    }
}

/// When a connection that has sent nothing is through with its silence, and what for.
pub(super) fn silence_ends<R>(routes: &Routes<R>, config: &Config, started: Instant) -> Instant {
    let deadline = after(started, config.silent_deadline);
    match routes.server_first_after() {
        Some(delay) => deadline.min(after(started, delay)),
        None => deadline,
    }
}

/// The instant `delay` later; where the clock does not reach that far, as good as never.
pub(crate) fn after(instant: Instant, delay: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
    instant.checked_add(delay).unwrap_or_else(|| instant.checked_add(NEVER).unwrap_or(instant))
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use super::*;
    use crate::matchers;
    use crate::mux::{MuxMachine, Output};

    const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    const REQUEST: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";

    fn machine(routes: Routes<()>, start: Instant) -> MuxMachine<()> {
        MuxMachine::new(Arc::new(routes), Arc::new(Config::default()), start)
    }

    /// Thousands of undecided connections hold a machine, and of routed ones each the facts.
    #[test]
    fn what_a_connection_holds_is_small() {
        let size = |layout: Layout| layout.size();
        assert!(size(Layout::new::<Live<()>>()) <= 408);
        assert!(size(Layout::new::<Facts>()) <= 120);
        assert!(size(Layout::new::<MuxMachine<()>>()) <= 48);
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
