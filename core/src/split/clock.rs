//! Deadlines: when the next one is, and what happens when it has come.

use std::time::{Duration, Instant};

use super::core::Core;
use super::links::{BackendId, Link, LinkState};
use super::stream::Stream;
use super::{ConnectionEnd, SplitConfig, SplitOutcome, SplitPhase};
use crate::mux::after;
use crate::wire::frame::ErrorCode;

/// How long a connection without streams keeps the memory of those that it had: between two bursts it is needed again.
const SPARE_KEPT_FOR: Duration = Duration::from_secs(1);

/// Asks a backend whether it lives.
const ALIVE: [u8; 8] = *b"oneport?";

impl<R> Core<R> {
    /// When to look at the clock again. It is asked whenever the machine comes to rest, and time passes only then: backends
    /// whose input waits now are not judged by what they say until it has been looked at.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        for link in &mut self.links {
            link.see_whether_it_waits(&self.config, self.now);
        }
        let config = &self.config;
        if let Some((_, until)) = self.end {
            return Some(until);
        }
        let client = [
            (!self.client.has_settings).then(|| after(self.started, config.opening_deadline)),
            self.streams.is_empty().then(|| after(self.idle_since, config.idle_deadline)),
            self.has_idle_memory().then(|| after(self.idle_since, SPARE_KEPT_FOR)),
            self.client.block_since().map(|since| after(since, config.headers_deadline)),
            self.client.in_flight().map(|since| after(since, config.write_deadline)),
            self.stall_check,
            self.drain.as_ref().map(|drain| after(drain.since, config.drain_deadline)),
            self.drain
                .as_ref()
                .filter(|drain| drain.last.is_none())
                .map(|drain| after(drain.since, config.drain_grace)),
        ];
        let links = self.links.iter().flat_map(|link| link_deadlines(link, config));
        client.into_iter().chain(links).flatten().min()
    }

    pub(super) fn look_at_clock(&mut self) {
        let now = self.now;
        let config = self.config.clone();
        let is_past = |since: Instant, deadline| now >= after(since, deadline);
        if self.end.is_some() {
            return;
        }
        if self.client.in_flight().is_some_and(|since| is_past(since, config.write_deadline)) {
            return self.finish(SplitOutcome::TimedOut(SplitPhase::Write));
        }
        if !self.client.has_settings && is_past(self.started, config.opening_deadline) {
            self.client.put_goaway(0, ErrorCode::NO_ERROR);
            return self.finish(SplitOutcome::TimedOut(SplitPhase::Opening));
        }
        if self.client.block_since().is_some_and(|since| is_past(since, config.headers_deadline)) {
            self.client.put_goaway(self.last_served(), ErrorCode::ENHANCE_YOUR_CALM);
            return self.finish(SplitOutcome::TimedOut(SplitPhase::Headers));
        }
        if self.streams.is_empty() && is_past(self.idle_since, config.idle_deadline) {
            self.client.put_goaway(self.last_served(), ErrorCode::NO_ERROR);
            return self.finish(SplitOutcome::TimedOut(SplitPhase::Idle));
        }
        if self.has_idle_memory() && is_past(self.idle_since, SPARE_KEPT_FOR) {
            self.streams.give_back();
        }
        if let Some(drain) = &self.drain {
            if is_past(drain.since, config.drain_deadline) {
                return self.finish(SplitOutcome::TimedOut(SplitPhase::Drain));
            }
            if is_past(drain.since, config.drain_grace) {
                self.fix_last();
            }
        }
        if self.stall_check.is_some_and(|check| now >= check) {
            self.end_stalled();
        }
        let due = |link: &&Link| link_deadlines(link, &config).into_iter().flatten().any(|at| now >= at);
        let due: Vec<BackendId> = self.links.iter().filter(due).map(|link| link.id).collect();
        for id in due {
            self.link_is_due(id);
        }
    }

    fn has_idle_memory(&self) -> bool {
        self.streams.is_empty() && self.streams.has_spare()
    }

    /// Responses that a client has not taken for long are given up, what is left of requests behind their whole responses, and
    /// requests that a full backend has not taken: nobody has processed those.
    fn end_stalled(&mut self) {
        let (now, deadline) = (self.now, self.config.stall_deadline);
        let blocked = |stream: &Stream| {
            let since = [stream.down.blocked_since, stream.up.blocked_since, stream.waiting_since];
            since.into_iter().flatten().min()
        };
        let is_stalled = |since: Option<Instant>| since.is_some_and(|since| now >= after(since, deadline));
        for id in self.streams.ids(|stream| is_stalled(stream.waiting_since)) {
            self.abort(id, ErrorCode::REFUSED_STREAM, ErrorCode::CANCEL);
        }
        for id in self.streams.ids(|stream| is_stalled(blocked(stream))) {
            self.abort_for_client(id, ErrorCode::CANCEL);
        }
        let next = self.streams.iter().filter_map(blocked).min();
        self.stall_check = next.map(|since| after(since, deadline));
    }

    fn link_is_due(&mut self, id: BackendId) {
        let (now, config) = (self.now, self.config.clone());
        let Some(link) = self.link_mut(id) else { return };
        let is_silent = link.is_needed() && now >= after(link.silent_since(), config.keepalive_after);
        if is_silent && link.asked.is_none() && !is_new(link) {
            link.asked = Some(now);
            link.peer.put_ping(ALIVE);
        }
        let others = link_deadlines(link, &config).into_iter().flatten().any(|at| now >= at);
        if others {
            self.fail_link(id, Some(ConnectionEnd::Cut));
        }
    }
}

/// Whether it is still to be connected, or to say its SETTINGS: that has a deadline of its own, and nothing is asked before.
fn is_new(link: &Link) -> bool {
    matches!(link.state, LinkState::Connecting | LinkState::Opening)
}

/// For being connected, for a header block, for a write, and for a sign of life. What a backend that waits to be heard has said is
/// not known yet.
fn link_deadlines(link: &Link, config: &SplitConfig) -> [Option<Instant>; 4] {
    let write = link.peer.in_flight().map(|since| after(since, config.write_deadline));
    if link.is_waiting_to_be_heard {
        return [None, None, write, None];
    }
    let alive = match link.asked {
        Some(asked) => Some(after(asked, config.keepalive_timeout)),
        None => {
            (link.is_needed() && !is_new(link)).then(|| after(link.silent_since(), config.keepalive_after))
        }
    };
    [
        is_new(link).then(|| after(link.since, config.connect_deadline)),
        link.peer.block_since().map(|since| after(since, config.headers_deadline)),
        write,
        alive,
    ]
}
