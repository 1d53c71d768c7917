//! Per-request routing: where each request goes. No backend is touched, so what a response would cause is not shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use oneport_core::split::{Output, RequestObserver, Side, SplitMachine, SplitOutcome};
use oneport_core::{Fact, Routes, Why};

use crate::table::Plan;

/// A request: what it is, and what the routes say.
type Told = (String, Option<Why>);

/// The second machine, at work on the input.
pub(super) struct Requests {
    machine: SplitMachine<usize>,
    heard: Arc<Mutex<Vec<Told>>>,
    end: Option<SplitOutcome>,
}

impl Requests {
    pub(super) fn new(plan: &Plan, opening: Bytes, now: Instant) -> Self {
        let mut routes = Routes::new();
        for (i, route) in plan.routes.iter().enumerate() {
            routes = routes.route(route.matcher.clone(), i);
        }
        if plan.otherwise.is_some() {
            routes = routes.otherwise(plan.routes.len());
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut config = plan.limits.split(plan.drain);
        // No backend ever answers here: requests must not run into what bounds those that wait.
        config.max_concurrent_streams = u32::MAX;
        config.max_held_fields = usize::MAX;
        let sink = heard.clone();
        config.on_request = Some(RequestObserver::new(move |report| {
            let Fact::Present(request) = report.facts.request() else { return };
            let [method, path] =
                [request.method(), request.target()].map(|bytes| bytes.escape_ascii().to_string());
            let stream = request.stream();
            let line = format!("request on stream {stream}: {method} {path}");
            sink.lock().unwrap_or_else(PoisonError::into_inner).push((line, report.why));
        }));
        let mut requests =
            Self { machine: SplitMachine::new(Arc::new(routes), Arc::new(config), now), heard, end: None };
        requests.feed(&opening, now);
        requests
    }

    pub(super) fn feed(&mut self, bytes: &[u8], now: Instant) {
        self.machine.handle_input(Side::Client, Bytes::copy_from_slice(bytes), now);
        self.drain(now);
    }

    pub(super) fn finish(&mut self, now: Instant) {
        self.machine.handle_eof(Side::Client, now);
        self.drain(now);
    }

    /// Backends are never there, and the client takes all that is said to it.
    fn drain(&mut self, now: Instant) {
        loop {
            match self.machine.poll_output() {
                Output::Write { to, batch } => self.machine.handle_written(to, batch, now),
                Output::Close { .. } | Output::Connect { .. } => {}
                Output::Done(outcome) => self.end = Some(outcome),
                Output::NeedInput { .. } => return,
            }
        }
    }

    /// What is new, in words.
    pub(super) fn story(&mut self, plan: &Plan) -> Vec<String> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines: Vec<String> = heard
            .into_iter()
            .map(|(request, why)| format!("{request}: {}", destination(plan, why)))
            .collect();
        match self.end.take() {
            Some(SplitOutcome::Refused(code)) => {
                lines.push(format!("the client broke the protocol: GOAWAY({code})"));
            }
            Some(SplitOutcome::TimedOut(_) | SplitOutcome::Drained) => {
                lines.push("it is told to go".to_owned());
            }
            Some(_) => lines.push("the client has left".to_owned()),
            None => {}
        }
        lines
    }
}

fn destination(plan: &Plan, why: Option<Why>) -> String {
    let (by, backend) = match why {
        Some(Why::Matched(i)) => {
            let Some(route) = plan.routes.get(i) else { return String::new() };
            (format!("route {} `{}`", i + 1, route.name), Some(&route.backend))
        }
        Some(_) => ("otherwise".to_owned(), plan.otherwise.as_ref()),
        None => return "no route takes it: 404, or grpc-status 12".to_owned(),
    };
    backend.map_or_else(|| by.clone(), |backend| format!("{by} to {backend}"))
}
