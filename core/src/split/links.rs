//! The connections to backends. Each route's target has at most one that takes requests, and any number that are draining.

use std::collections::VecDeque;
use std::time::Instant;

use super::peer::{Peer, Role};
use super::SplitConfig;
use crate::matchers::Opening;
use crate::routes::{Choice, Routes, Why};

/// A connection to a backend, named by the machine. Names are not used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BackendId(pub(super) u32);

/// How far a connection to a backend has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LinkState {
    /// The adapter was asked to connect.
    Connecting,
    /// The preface is said; the backend's SETTINGS, which say how many requests it takes, are still to come.
    Opening,
    Open,
    /// It takes no more requests.
    Draining,
}

/// A connection to a backend.
pub(super) struct Link {
    pub(super) id: BackendId,
    pub(super) outlet: usize,
    pub(super) peer: Peer,
    pub(super) state: LinkState,
    /// Streams that are open on it.
    pub(super) active: u32,
    /// The highest stream that was opened on it.
    pub(super) highest: u32,
    /// The highest stream that it processes, once it has said so.
    pub(super) last_processed: Option<u32>,
    /// Requests that wait for it, by rising id.
    pub(super) waiting: VecDeque<u32>,
    pub(super) since: Instant,
    pub(super) last_input: Instant,
    /// When requests began to depend on it, behind the last that it has said.
    pub(super) needed_since: Instant,
    /// When it was asked whether it lives.
    pub(super) asked: Option<Instant>,
    /// Whether it is not read, or what was read is not looked at, since there is no room for what that causes.
    pub(super) is_waiting_to_be_heard: bool,
}

impl Link {
    pub(super) fn new(id: BackendId, outlet: usize, config: &SplitConfig, now: Instant) -> Self {
        Self {
            id,
            outlet,
            peer: Peer::new(Role::Server, config, now),
            state: LinkState::Connecting,
            active: 0,
            highest: 0,
            last_processed: None,
            waiting: VecDeque::new(),
            since: now,
            last_input: now,
            needed_since: now,
            asked: None,
            is_waiting_to_be_heard: false,
        }
    }

    /// Whether another request may be opened on it now.
    pub(super) fn has_room(&self, config: &SplitConfig) -> bool {
        self.state == LinkState::Open
            && self.active < self.peer.max_concurrent_streams.min(config.max_concurrent_streams)
            && self.peer.outbox.len() < config.output_mark
    }

    /// Whether requests depend on it.
    pub(super) fn is_needed(&self) -> bool {
        self.active > 0 || !self.waiting.is_empty()
    }

    /// Since when it has been silent although requests depend on it: one that had nothing to do has not been asked anything.
    pub(super) fn silent_since(&self) -> Instant {
        self.last_input.max(self.needed_since)
    }

    /// Notes whether it waits to be heard. How long it does is not its fault, and bounded by the deadlines for writes: its own
    /// begin anew when it is heard again.
    pub(super) fn see_whether_it_waits(&mut self, config: &SplitConfig, now: Instant) {
        let is_waiting = self.peer.has_input() || !self.peer.may_be_read(config);
        if std::mem::replace(&mut self.is_waiting_to_be_heard, is_waiting) && !is_waiting {
            self.since = now;
            self.last_input = now;
            self.asked = self.asked.map(|_| now);
            self.peer.restart_block(now);
        }
    }

    /// Lets a request wait, in its place.
    pub(super) fn wait(&mut self, id: u32, now: Instant) {
        // Not again while it owes a sign of life: requests that clients give up one after the other would never have it asked.
        if !self.is_needed() && self.last_input >= self.needed_since {
            self.needed_since = now;
        }
        let at = self.waiting.partition_point(|waiting| *waiting < id);
        self.waiting.insert(at, id);
    }

    pub(super) fn forget_waiting(&mut self, id: u32) {
        self.waiting.retain(|waiting| *waiting != id);
    }
}

/// Where requests may lead: each target of the routes once.
pub(super) struct Outlets<R> {
    outlets: Vec<Outlet<R>>,
    /// The outlet of each route, and behind them that of `otherwise`.
    of_route: Vec<usize>,
}

pub(super) struct Outlet<R> {
    pub(super) target: R,
    /// The connection that takes requests.
    pub(super) current: Option<BackendId>,
    pub(super) is_forbidden: bool,
}

impl<R: Clone + PartialEq> Outlets<R> {
    pub(super) fn new(routes: &Routes<R>) -> Self {
        let mut all = Self { outlets: Vec::new(), of_route: Vec::new() };
        let targets = routes.iter().map(|(_, target)| target);
        for target in targets.chain(routes.target(Why::Otherwise)) {
            let known = all.outlets.iter().position(|outlet| outlet.target == *target);
            let place = known.unwrap_or(all.outlets.len());
            if known.is_none() {
                all.outlets.push(Outlet { target: target.clone(), current: None, is_forbidden: false });
            }
            all.of_route.push(place);
        }
        all
    }
}

impl<R> Outlets<R> {
    /// What the routes say of this request.
    pub(super) fn choose(&self, routes: &Routes<R>, opening: &Opening<'_>) -> Option<Why> {
        match routes.choose(opening, &mut 0) {
            Choice::Take(why) => Some(why),
            // A whole request leaves no matcher in need of more.
            Choice::NeedMore | Choice::NoRoute => None,
        }
    }

    /// Where that leads.
    pub(super) fn of(&self, why: Why) -> Option<usize> {
        let route = match why {
            Why::Matched(index) => index,
            Why::Otherwise => self.of_route.len().checked_sub(1)?,
            // Of connections: a request is neither silent nor late.
            Why::OnTimeout | Why::PerRequest | Why::ServerFirst => return None,
        };
        self.of_route.get(route).copied()
    }

    pub(super) fn get(&self, outlet: usize) -> Option<&Outlet<R>> {
        self.outlets.get(outlet)
    }

    pub(super) fn get_mut(&mut self, outlet: usize) -> Option<&mut Outlet<R>> {
        self.outlets.get_mut(outlet)
    }
}
