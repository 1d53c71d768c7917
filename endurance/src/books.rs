//! The accounts of one `oneport` process: every connection that a client made, against the log event of its end.
//!
//! A connection is known by the client's address. Clients take their addresses out of all of 127/8, so that hardly one is used
//! twice in a run; if one is, its connections and events are matched in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a connection may end: the outcome, and its phase or reason, `*` for any.
pub(crate) type Allowed = &'static [(&'static str, &'static str)];

/// What the log is to say of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    pub(crate) allowed: Allowed,
    /// If it is routed: the route; `""` for any.
    pub(crate) route: &'static str,
}

impl Expect {
    pub(crate) const fn of(allowed: Allowed) -> Self {
        Self { allowed, route: "" }
    }

    pub(crate) const fn routed(route: &'static str) -> Self {
        Self { allowed: &[("routed", "")], route }
    }

    fn takes(&self, end: &End) -> bool {
        let fits = |(outcome, detail): &(&str, &str)| {
            *outcome == end.outcome && (*detail == "*" || *detail == end.detail)
        };
        self.allowed.iter().any(fits)
            && (end.outcome != "routed" || self.route.is_empty() || self.route == end.route)
    }
}

/// What a log event says of a connection's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    pub(crate) outcome: String,
    /// The phase or the reason.
    pub(crate) detail: String,
    pub(crate) route: String,
}

#[derive(Debug)]
struct Opened {
    by: &'static str,
    expect: Expect,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<SocketAddr, VecDeque<Opened>>,
    waiting: usize,
    opened: u64,
    outcomes: BTreeMap<String, u64>,
    /// By the kind of client, then by outcome.
    by_client: BTreeMap<&'static str, BTreeMap<String, u64>>,
    wrong: Vec<String>,
    wrong_count: u64,
    /// Events other than `connection`.
    events: BTreeMap<String, u64>,
    lines_dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Inner>);

/// The sums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) opened: u64,
    pub(crate) ended: u64,
    /// Connections without an event yet.
    pub(crate) waiting: usize,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) by_client: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Some of what is wrong, and how much there is.
    pub(crate) wrong: Vec<String>,
    pub(crate) wrong_count: u64,
    pub(crate) events: BTreeMap<String, u64>,
    pub(crate) lines_dropped: u64,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client is about to connect from here.
    pub(crate) fn opening(&self, from: SocketAddr, by: &'static str, expect: Expect) {
        let mut inner = self.lock();
        inner.opened += 1;
        inner.waiting += 1;
        inner.open.entry(from).or_default().push_back(Opened { by, expect });
    }

    /// It could not connect.
    pub(crate) fn not_opened(&self, from: SocketAddr) {
        let mut inner = self.lock();
        if inner.open.get_mut(&from).and_then(VecDeque::pop_back).is_some() {
            inner.opened -= 1;
            inner.waiting -= 1;
        }
    }

    /// The log has an event of a connection.
    pub(crate) fn ended(&self, from: SocketAddr, end: &End) {
        let mut inner = self.lock();
        let said = match end.detail.as_str() {
            "" => end.outcome.clone(),
            detail => format!("{} {detail}", end.outcome),
        };
        *inner.outcomes.entry(said.clone()).or_default() += 1;
        let queue = inner.open.get_mut(&from);
        let opened = queue.and_then(VecDeque::pop_front);
        if inner.open.get(&from).is_some_and(VecDeque::is_empty) {
            inner.open.remove(&from);
        }
        let Some(Opened { by, expect }) = opened else {
            return inner.note(format!("{from}: an outcome ({said}) of no connection, or its second one"));
        };
        inner.waiting -= 1;
        *inner.by_client.entry(by).or_default().entry(said.clone()).or_default() += 1;
        if !expect.takes(end) {
            inner.note(format!(
                "{by} ({from}): ended in {said}, route {:?}, and not as it should: {:?} {:?}",
                end.route, expect.allowed, expect.route
            ));
        }
    }

    /// The log has another event.
    pub(crate) fn event(&self, name: &str, count: u64) {
        let mut inner = self.lock();
        if name == "log-lines-dropped" {
            inner.lines_dropped += count;
        }
        *inner.events.entry(name.to_owned()).or_default() += 1;
    }

    /// The log has a line that it must not have.
    pub(crate) fn strange(&self, line: &str) {
        self.lock().note(format!("a line on stderr that is no event: {line}"));
    }

    pub(crate) fn sums(&self) -> Sums {
        let inner = self.lock();
        Sums {
            opened: inner.opened,
            ended: inner.outcomes.values().sum(),
            waiting: inner.waiting,
            outcomes: inner.outcomes.clone(),
            by_client: inner.by_client.clone(),
            wrong: inner.wrong.clone(),
            wrong_count: inner.wrong_count,
            events: inner.events.clone(),
            lines_dropped: inner.lines_dropped,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Who waits for an event, a few of them.
    pub(crate) fn who_waits(&self) -> Vec<String> {
        let inner = self.lock();
        let who = inner.open.iter().flat_map(|(from, all)| all.iter().map(move |one| (from, one.by)));
        who.map(|(from, by)| format!("{by} ({from})")).take(5).collect()
    }
}

impl Inner {
    fn note(&mut self, what: String) {
        const MOST: usize = 20;
        self.wrong_count += 1;
        if self.wrong.len() < MOST {
            self.wrong.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(outcome: &str, detail: &str) -> End {
        End { outcome: outcome.into(), detail: detail.into(), route: "a".into() }
    }

    #[test]
    fn each_connection_has_one_outcome_and_the_right_one() {
        let from = "127.1.2.3:4".parse().expect("an address");
        let books = Books::default();
        books.opening(from, "x", Expect::routed("a"));
        assert_eq!(books.waiting(), 1);
        books.ended(from, &end("routed", ""));
        assert_eq!((books.waiting(), books.sums().wrong_count), (0, 0));
        books.ended(from, &end("routed", ""));
        assert_eq!(books.sums().wrong_count, 1, "a second outcome");
        books.opening(from, "x", Expect::routed("b"));
        books.ended(from, &end("routed", ""));
        assert_eq!(books.sums().wrong_count, 2, "another route");
        books.opening(from, "x", Expect::of(&[("left", "*")]));
        books.ended(from, &end("probe", "silent"));
        assert_eq!(books.sums().wrong_count, 3, "another outcome");
        books.opening(from, "x", Expect::of(&[("left", "*")]));
        books.not_opened(from);
        assert_eq!((books.sums().opened, books.sums().ended, books.waiting()), (3, 4, 0));
    }
}
