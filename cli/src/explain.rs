//! `oneport explain`: what becomes of recorded client bytes. The real machine runs on a clock of its own, so that a deadline
//! of 35 minutes is shown at once.

mod input;
mod report;
mod requests;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reason, Routes, Why};

use crate::address::Backend;
use crate::args::Explain;
use crate::errors::Error;
use crate::table::Plan;
use input::Step;
use requests::Requests;

/// What becomes of the input, in words.
///
/// # Errors
/// The input can not be read, is no hexadecimal, or is shorter than the segments that were asked for.
pub(crate) fn run(plan: &Plan, options: &Explain) -> Result<String, Error> {
    let bytes = input::read(options)?;
    let steps = input::steps(bytes.len(), options)?;
    let mut session = Session::new(plan);
    let mut at = 0;
    for step in steps {
        match step {
            Step::Bytes(n) => {
                let end = bytes.len().min(at + n);
                session.feed(&bytes[at..end]);
                at = end;
            }
            Step::Pause(duration) => session.pause(duration),
        }
        if session.end.is_some() {
            break;
        }
    }
    if session.end.is_none() {
        session.finish(options.eof);
    }
    Ok(session.report(&bytes, at))
}

/// How it ended.
enum End {
    Closed(Outcome),
    Routed(Box<Handover<()>>),
}

/// What one route says, found by a machine that has only this route: the verdicts of the routes behind the winner are shown
/// as well.
struct Probe {
    machine: MuxMachine<bool>,
    verdict: Option<Found>,
}

/// A verdict that will not change.
#[derive(Clone, Copy)]
struct Found {
    is_match: bool,
    /// The number of bytes that had come.
    at: usize,
}

struct Session<'p> {
    plan: &'p Plan,
    machine: MuxMachine<()>,
    probes: Vec<Probe>,
    start: Instant,
    now: Instant,
    until: Option<Instant>,
    fed: usize,
    phase: Phase,
    facts: String,
    story: String,
    /// What goes on once requests are routed one by one.
    requests: Option<Requests>,
    end: Option<End>,
}

/// No opening has more deadlines than this one after the other.
const MAX_TIMEOUTS: usize = 1_000;

impl<'p> Session<'p> {
    fn new(plan: &'p Plan) -> Self {
        let mut config = plan.limits.mux.clone();
        // What one route says by itself is of the first request, in either mode.
        let probed = Arc::new(config.clone());
        config.per_request = plan.per_request;
        // The story tells all that the bytes show, and not only what the verdict needed.
        config.complete_facts = true;
        let start = Instant::now();
        let mut routes = Routes::new();
        for route in &plan.routes {
            routes = routes.route(route.matcher.clone(), ());
        }
        if plan.otherwise.is_some() {
            routes = routes.otherwise(());
        }
        if plan.on_timeout.is_some() {
            routes = routes.on_timeout(());
        }
        if let Some((_, after)) = &plan.server_first {
            routes = routes.server_first((), *after);
        }
        let probe = |matcher: &oneport_core::Matcher| {
            let routes = Arc::new(Routes::new().route(matcher.clone(), true).otherwise(false));
            Probe { machine: MuxMachine::new(routes, Arc::clone(&probed), start), verdict: None }
        };
        let mut session = Self {
            plan,
            machine: MuxMachine::new(Arc::new(routes), Arc::new(config), start),
            probes: plan.routes.iter().map(|route| probe(&route.matcher)).collect(),
            start,
            now: start,
            until: None,
            fed: 0,
            phase: Phase::Silent,
            facts: String::new(),
            story: String::new(),
            requests: None,
            end: None,
        };
        session.drain();
        session
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len();
        if let Some(requests) = &mut self.requests {
            requests.feed(bytes, self.now);
        } else {
            self.machine.handle_input(bytes, self.now);
        }
        for probe in &mut self.probes {
            probe.machine.handle_input(bytes, self.now);
        }
        self.drain();
    }

    /// Time passes without input.
    fn pause(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..MAX_TIMEOUTS {
            match self.until {
                Some(until) if until <= end && self.end.is_none() => self.time_out(until),
                _ => break,
            }
        }
        self.now = end;
    }

    /// No more input comes: the client ends its side, or stays silent until something happens.
    fn finish(&mut self, is_eof: bool) {
        if is_eof {
            self.tell("the client ends its side");
            match &mut self.requests {
                Some(requests) => requests.finish(self.now),
                None => self.machine.handle_eof(self.now),
            }
            for probe in &mut self.probes {
                probe.machine.handle_eof(self.now);
            }
            self.drain();
        } else {
            self.tell("no more input: the client stays silent");
        }
        for _ in 0..MAX_TIMEOUTS {
            match self.until {
                Some(until) if self.end.is_none() => self.time_out(until),
                _ => break,
            }
        }
    }

    fn time_out(&mut self, until: Instant) {
        self.now = self.now.max(until);
        if self.requests.is_none() {
            self.machine.handle_timeout(self.now);
        }
        for probe in &mut self.probes {
            probe.machine.handle_timeout(self.now);
        }
        self.drain();
    }

    /// Takes what the machines have to say.
    fn drain(&mut self) {
        if let Some(facts) = self.machine.facts() {
            self.facts = words::facts(facts);
        }
        let phase = self.machine.phase();
        let goes_on_elsewhere = self.plan.per_request && phase == Phase::Http2Settings;
        if phase != self.phase && phase != Phase::Delivery && !goes_on_elsewhere {
            self.phase = phase;
            self.tell(&format!("{}: {}", phase.name(), words::phase(phase)));
        }
        self.drain_probes();
        if let Some(requests) = &mut self.requests {
            let story = requests.story(self.plan);
            self.until = None;
            story.iter().for_each(|line| self.tell(line));
            return;
        }
        while self.end.is_none() {
            match self.machine.poll_output() {
                Output::Write(reply) => self.tell(&format!("oneport says {}", words::reply(&reply))),
                Output::NeedInput { until } => {
                    self.until = until;
                    return;
                }
                Output::Routed(handover) => {
                    self.facts = words::facts(handover.facts());
                    let (by, backend) = self.destination(handover.why());
                    if backend == Some(&Backend::Close) {
                        self.tell(&format!("taken by {by}, which refuses it"));
                        self.machine = handover.refuse(Reason::Forbidden, self.now);
                    } else {
                        let to = backend.map_or_else(String::new, |backend| format!(" to {backend}"));
                        self.tell(&format!("routed by {by}{to}"));
                        self.end = Some(End::Routed(Box::new(handover)));
                    }
                }
                Output::Split(opening) => {
                    self.tell("HTTP/2: each request is routed by itself");
                    // Of the connection they say no more than that; each request has its own.
                    self.facts.clear();
                    self.requests = Some(Requests::new(self.plan, opening, self.now));
                    return self.drain();
                }
                Output::Closed(outcome) => self.end = Some(End::Closed(outcome)),
            }
        }
    }

    fn drain_probes(&mut self) {
        let mut settled = Vec::new();
        for (i, probe) in self.probes.iter_mut().enumerate().filter(|(_, probe)| probe.verdict.is_none()) {
            loop {
                match probe.machine.poll_output() {
                    Output::Write(_) => continue,
                    Output::Routed(handover) => {
                        let is_match = handover.target() == Some(&true);
                        probe.verdict = Some(Found { is_match, at: self.fed });
                        settled.push((i, is_match));
                    }
                    Output::NeedInput { .. } | Output::Closed(_) | Output::Split(_) => {}
                }
                break;
            }
        }
        for (i, is_match) in settled {
            let verdict = if is_match { "match" } else { "no match" };
            self.tell(&format!("route {} `{}`: {verdict}", i + 1, self.plan.routes[i].name));
        }
    }

    /// The name of what decided, and where it leads.
    fn destination(&self, why: Why) -> (String, Option<&'p Backend>) {
        let plan = self.plan;
        match why {
            Why::Matched(i) => {
                let route = plan.routes.get(i);
                let name = route.map_or("", |route| route.name.as_str());
                (format!("route {} `{name}`", i + 1), route.map(|route| &route.backend))
            }
            Why::OnTimeout => ("on-timeout".to_owned(), plan.on_timeout.as_ref()),
            Why::ServerFirst => {
                ("server-first".to_owned(), plan.server_first.as_ref().map(|(backend, _)| backend))
            }
            _ => ("otherwise".to_owned(), plan.otherwise.as_ref()),
        }
    }

    /// Adds a line to the story.
    fn tell(&mut self, what: &str) {
        use std::fmt::Write as _;
        let since = crate::units::show_duration(self.now.duration_since(self.start));
        let _ = writeln!(self.story, "  {since:>8} {:>7} B  {what}", self.fed);
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
