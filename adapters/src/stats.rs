//! What a listener has done: hooks per connection and counters over all.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneport_core::split::SplitOutcome;
use oneport_core::Outcome;

use crate::address::Addresses;

/// How one connection ended, as far as oneport is concerned. Each accepted connection makes exactly one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<'a> {
    /// Both ends.
    pub addresses: &'a Addresses,
    /// What became of it.
    pub outcome: Outcome,
    /// The route that it went to or that did not take it.
    pub route: Option<&'a str>,
    /// Whether the mux had to greet it (an HTTP/2 client that waited).
    pub greeted: bool,
    /// From accepting to the verdict, or to the end if there was none.
    pub time_to_verdict: Duration,
    /// What the server of the route said when it did not take the connection.
    pub detail: Option<&'a str>,
}

/// How a connection ended whose requests were routed one by one. Each of which a [`Report`] says
/// [`Why::PerRequest`](crate::Why::PerRequest) makes exactly one.
#[derive(Debug)]
#[non_exhaustive]
pub struct SplitReport<'a> {
    /// Both ends of the client's connection.
    pub addresses: &'a Addresses,
    /// What became of it; `None` if it was dropped with the executor that it was on.
    pub outcome: Option<SplitOutcome>,
    /// Requests that the routes were asked for. Malformed ones, and those refused with REFUSED_STREAM, are not among them.
    pub requests: u64,
    /// From its verdict to its end.
    pub lasted: Duration,
}

pub(crate) type OutcomeHook = dyn Fn(&Report<'_>) + Send + Sync;
pub(crate) type SplitEndHook = dyn Fn(&SplitReport<'_>) + Send + Sync;

/// Whom to tell.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) outcome: Option<Box<OutcomeHook>>,
    pub(crate) split_end: Option<Box<SplitEndHook>>,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tally {
    /// Connections.
    pub count: u64,
    /// Those of them that were greeted.
    pub greeted: u64,
    /// The sum of their times from accepting to the verdict, or to the end if there was none.
    pub time_to_verdict: Duration,
}

/// What a [`Tally`] is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct TallyKey {
    /// [`Outcome::name`].
    pub outcome: &'static str,
    /// The phase or the reason, where the outcome has one.
    pub detail: &'static str,
    /// The route, where there is one.
    pub route: Option<String>,
}

/// How often connections ended whose requests were routed one by one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SplitTally {
    /// Connections.
    pub count: u64,
    /// The sum of their requests, as [`SplitReport::requests`].
    pub requests: u64,
    /// The sum of their times from verdict to end.
    pub lasted: Duration,
}

/// What a [`SplitTally`] is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct SplitTallyKey {
    /// [`SplitOutcome::name`]; `dropped` where there is none.
    pub outcome: &'static str,
    /// The phase or the error code, where the outcome has one.
    pub detail: String,
}

/// What a listener has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted, or given to the mux by `Handle::connect` or to `Router::decide`.
    pub accepted: u64,
    /// Errors of accept, all survived.
    pub accept_errors: u64,
    /// Backends behind an HTTP/2 route whose first frame was no SETTINGS: they do not speak HTTP/2.
    pub not_http2: u64,
    /// Connections by outcome, detail and route.
    pub tallies: BTreeMap<TallyKey, Tally>,
    /// Connections whose requests were routed one by one and that have ended, by the way they did. (Among `tallies` they are routed.)
    pub splits: BTreeMap<SplitTallyKey, SplitTally>,
}

impl Counters {
    /// Connections that ended in this outcome, by [`Outcome::name`].
    pub fn count(&self, outcome: &str) -> u64 {
        self.tallies.iter().filter(|(key, _)| key.outcome == outcome).map(|(_, tally)| tally.count).sum()
    }
}

#[derive(Default)]
pub(crate) struct Stats {
    counters: Mutex<Counters>,
    hooks: Hooks,
}

impl Stats {
    pub(crate) fn new(hooks: Hooks) -> Self {
        Self { counters: Mutex::default(), hooks }
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.lock().clone()
    }

    pub(crate) fn accepted(&self) {
        self.lock().accepted += 1;
    }

    pub(crate) fn accept_failed(&self) {
        self.lock().accept_errors += 1;
    }

    pub(crate) fn not_http2(&self) {
        self.lock().not_http2 += 1;
    }

    pub(crate) fn ended(&self, report: &Report<'_>) {
        let detail = match report.outcome {
            Outcome::Left(phase) | Outcome::TimedOut(phase) => phase.name(),
            Outcome::Refused(reason) => reason.name(),
            _ => "",
        };
        let key =
            TallyKey { outcome: report.outcome.name(), detail, route: report.route.map(ToOwned::to_owned) };
        let mut counters = self.lock();
        let tally = counters.tallies.entry(key).or_default();
        tally.count += 1;
        tally.greeted += u64::from(report.greeted);
        tally.time_to_verdict += report.time_to_verdict;
        drop(counters);
        call(self.hooks.outcome.as_deref(), report);
    }

    pub(crate) fn split_ended(&self, report: &SplitReport<'_>) {
        let detail = match report.outcome {
            Some(SplitOutcome::Refused(code)) => code.to_string(),
            Some(SplitOutcome::TimedOut(phase)) => phase.name().to_owned(),
            _ => String::new(),
        };
        let key = SplitTallyKey { outcome: report.outcome.map_or("dropped", SplitOutcome::name), detail };
        let mut counters = self.lock();
        let tally = counters.splits.entry(key).or_default();
        tally.count += 1;
        tally.requests += report.requests;
        tally.lasted += report.lasted;
        drop(counters);
        call(self.hooks.split_end.as_deref(), report);
    }
}

/// A hook may run in the server's loop that accepts, and while the panic of another closure unwinds: its own goes no further.
fn call<R>(hook: Option<&(dyn Fn(&R) + Send + Sync)>, report: &R) {
    if let Some(hook) = hook {
        let _ = catch_unwind(AssertUnwindSafe(|| hook(report)));
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}
