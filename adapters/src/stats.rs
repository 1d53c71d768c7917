//! What a listener has done: a hook per connection and counters over all.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

pub(crate) type OutcomeHook = dyn Fn(&Report<'_>) + Send + Sync;

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
    hook: Option<Box<OutcomeHook>>,
}

impl Stats {
    pub(crate) fn new(hook: Option<Box<OutcomeHook>>) -> Self {
        Self { counters: Mutex::default(), hook }
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
        if let Some(hook) = &self.hook {
            // It may run in the server's loop that accepts, and while the panic of another closure unwinds: its own goes no further.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(report)));
        }
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}
