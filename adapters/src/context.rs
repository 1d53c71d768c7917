//! What all connections of a listener share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::split::SplitConfig;
use oneport_core::{Config, Facts, Handover, Matcher, MuxMachine, Outcome, Routes, Why};

use crate::address::Addresses;
use crate::limits::Limits;
use crate::registry::Registry;
use crate::stats::{Hooks, Report, Stats};
use crate::talk::Talk;

/// The table and the names that a user has built up so far.
#[derive(Default)]
pub(crate) struct Plan {
    routes: Routes<usize>,
    names: Vec<Arc<str>>,
    config: Config,
    split: SplitConfig,
    pub(crate) limits: Limits,
    pub(crate) hooks: Hooks,
}

impl Plan {
    pub(crate) fn new(config: Config, limits: Limits) -> Self {
        Self { config, limits, ..Self::default() }
    }

    /// Requests of HTTP/2 connections are routed one by one.
    pub(crate) fn per_request(&mut self, split: SplitConfig) {
        self.config.per_request = true;
        self.split = split;
    }

    fn name(&mut self, name: String) -> usize {
        self.names.push(name.into());
        self.names.len() - 1
    }

    pub(crate) fn route(&mut self, name: String, matcher: Matcher) {
        let slot = self.name(name);
        self.routes = core::mem::take(&mut self.routes).route(matcher, slot);
    }

    pub(crate) fn otherwise(&mut self, name: String) {
        let slot = self.name(name);
        self.routes = core::mem::take(&mut self.routes).otherwise(slot);
    }

    pub(crate) fn on_timeout(&mut self, name: String) {
        let slot = self.name(name);
        self.routes = core::mem::take(&mut self.routes).on_timeout(slot);
    }

    pub(crate) fn server_first(&mut self, name: String, after: Duration) {
        let slot = self.name(name);
        self.routes = core::mem::take(&mut self.routes).server_first(slot, after);
    }

    pub(crate) fn finish(self) -> Arc<Shared> {
        Arc::new(Shared {
            registry: Registry::new(&self.limits),
            routes: Arc::new(self.routes),
            names: self.names,
            config: Arc::new(self.config),
            split: Arc::new(self.split),
            lingering: AtomicUsize::new(0),
            limits: self.limits,
            stats: Arc::new(Stats::new(self.hooks)),
        })
    }
}

impl core::fmt::Debug for Plan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plan")
            .field("routes", &self.routes)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What all connections of a listener share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) routes: Arc<Routes<usize>>,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) config: Arc<Config>,
    pub(crate) split: Arc<SplitConfig>,
    pub(crate) limits: Limits,
    /// Refused connections that are given a moment to read their refusal.
    lingering: AtomicUsize,
    pub(crate) stats: Arc<Stats>,
}

/// A place among the refusals in progress.
#[derive(Debug)]
pub(crate) struct Lingering(Arc<Shared>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// A place among the refusals in progress, if there is one.
    pub(crate) fn linger(self: &Arc<Self>) -> Option<Lingering> {
        let place = Lingering(self.clone());
        (self.lingering.fetch_add(1, Ordering::Relaxed) < self.limits.refusals).then_some(place)
    }

    pub(crate) fn machine(&self, now: Instant) -> MuxMachine<usize> {
        MuxMachine::new(self.routes.clone(), self.config.clone(), now)
    }

    /// The mux's part of a connection that was accepted `now`.
    pub(crate) fn talk(&self, now: Instant) -> Talk {
        Talk::new(self.machine(now), self.limits.linger)
    }

    pub(crate) fn name_of(&self, handover: &Handover<usize>) -> Option<&Arc<str>> {
        handover.target().and_then(|slot| self.names.get(*slot))
    }
}

/// One connection's way from accepting to its outcome. One that is dropped half way (with the executor that it was on, or because a
/// closure of the user panicked) ends as by shutdown: each accepted connection has an outcome.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) shared: Arc<Shared>,
    pub(crate) addresses: Addresses,
    pub(crate) accepted: Instant,
    /// From accepting to the verdict, once there is one.
    pub(crate) time_to_verdict: Option<Duration>,
    pub(crate) greeted: bool,
    pub(crate) route: Option<Arc<str>>,
    /// What the server of the route said when it did not take the connection.
    pub(crate) detail: Option<String>,
    has_ended: bool,
}

impl Journey {
    pub(crate) fn new(shared: Arc<Shared>, addresses: Addresses, accepted: Instant) -> Self {
        shared.stats.accepted();
        Self {
            shared,
            addresses,
            accepted,
            time_to_verdict: None,
            greeted: false,
            route: None,
            detail: None,
            has_ended: false,
        }
    }

    /// The verdict is there.
    pub(crate) fn decided(&mut self, handover: &Handover<usize>, now: Instant) {
        self.time_to_verdict = Some(now.saturating_duration_since(self.accepted));
        self.greeted = handover.is_greeted();
        self.route = self.shared.name_of(handover).cloned();
    }

    /// Each request goes its own way from here on: this is the connection's outcome.
    pub(crate) fn split(mut self, now: Instant) -> ConnectionInfo {
        self.time_to_verdict = Some(now.saturating_duration_since(self.accepted));
        self.end(Outcome::Routed(Why::PerRequest), now)
    }

    /// The journey ends: exactly once per connection.
    pub(crate) fn end(mut self, outcome: Outcome, now: Instant) -> ConnectionInfo {
        self.report(outcome, now);
        let addresses = core::mem::replace(&mut self.addresses, Addresses::UNKNOWN);
        ConnectionInfo { addresses, route: self.route.take(), greeted: self.greeted }
    }

    fn report(&mut self, outcome: Outcome, now: Instant) {
        self.has_ended = true;
        self.shared.stats.ended(&Report {
            addresses: &self.addresses,
            outcome,
            route: self.route.as_deref(),
            greeted: self.greeted,
            detail: self.detail.as_deref(),
            time_to_verdict: self
                .time_to_verdict
                .unwrap_or_else(|| now.saturating_duration_since(self.accepted)),
        });
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if !self.has_ended {
            self.report(Outcome::Shutdown, Instant::now());
        }
    }
}

/// What a routed connection remembers of its journey.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) addresses: Addresses,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) greeted: bool,
}

/// What a routed connection tells its server about itself.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) info: ConnectionInfo,
    pub(crate) facts: Facts,
    pub(crate) why: Why,
}
