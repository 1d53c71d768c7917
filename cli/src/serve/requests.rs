//! Logs where each request goes, and how their connections end, with `--per-request`.

use std::time::Instant;

use oneport::core::split::RequestObserver;
use oneport::{Fact, SplitOutcome, SplitPhase, SplitReport, Why};

use crate::address::Backend;
use crate::log::{Event, Level, Logger, Rate};
use crate::table::Plan;

/// Requests without a backend that are logged in a second, for each listener, unless everything is (`debug`). One more of them costs
/// a client twelve bytes, and whoever keeps the line a hundred times as much.
const REFUSED_PER_SECOND: u32 = 100;

/// Logs where each request goes. One that gets no backend is for information, as a connection would be; what a backend lacks is
/// told where it is connected.
pub(super) fn log_requests(plan: &Plan, logger: &Logger) -> RequestObserver {
    let logger = logger.clone();
    let routes: Vec<_> =
        plan.routes.iter().map(|route| (route.name.clone(), route.backend == Backend::Close)).collect();
    let otherwise = ("otherwise".to_owned(), plan.otherwise == Some(Backend::Close));
    let rate =
        (!logger.is_enabled(Level::Debug)).then(|| Rate::per_second(REFUSED_PER_SECOND, Instant::now()));
    RequestObserver::new(move |report| {
        let route = match report.why {
            Some(Why::Matched(i)) => routes.get(i),
            Some(_) => Some(&otherwise),
            None => None,
        };
        let reason = match route {
            None => Some("no-route"),
            Some((_, true)) => Some("forbidden"),
            Some((_, false)) => None,
        };
        let level = if reason.is_some() { Level::Info } else { Level::Debug };
        if !logger.is_enabled(level) {
            return;
        }
        let Fact::Present(request) = report.facts.request() else { return };
        let Some(missed) = rate.as_ref().map_or(Some(0), |rate| rate.admit(Instant::now())) else { return };
        logger.log(
            &Event::new(level, "request")
                .with_some("reason", reason)
                .with_some("route", route.map(|(name, _)| name.clone()))
                .with_peer_text("method", Some(request.method()))
                .with_peer_text("path", request.path())
                .with_peer_text("host", request.authority())
                .with_some("missed", (missed > 0).then_some(missed)),
        );
    })
}

/// The event of a connection's end whose requests were routed one by one.
pub(super) fn split_closed(report: &SplitReport<'_>) -> Event {
    let (code, phase) = match report.outcome {
        Some(SplitOutcome::Refused(code)) => (Some(code.to_string()), None),
        Some(SplitOutcome::TimedOut(phase)) => (None, Some(phase.name())),
        _ => (None, None),
    };
    Event::new(level(report.outcome), "closed")
        .with("end", report.outcome.map_or("dropped", SplitOutcome::name))
        .with_some("code", code)
        .with_some("phase", phase)
        .with_some("peer", report.addresses.peer.tcp().map(|peer| peer.to_string()))
        .with("requests", report.requests)
        .with("lasted_ms", u64::try_from(report.lasted.as_millis()).unwrap_or(u64::MAX))
}

/// How much the end of such a connection matters: most end in good order.
const fn level(outcome: Option<SplitOutcome>) -> Level {
    match outcome {
        None
        | Some(SplitOutcome::Drained | SplitOutcome::Left | SplitOutcome::TimedOut(SplitPhase::Idle)) => {
            Level::Debug
        }
        Some(_) => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_core::wire::frame::ErrorCode;

    #[test]
    fn what_ends_in_good_order_is_for_those_who_want_all() {
        let idle = SplitOutcome::TimedOut(SplitPhase::Idle);
        for outcome in [None, Some(SplitOutcome::Drained), Some(SplitOutcome::Left), Some(idle)] {
            assert_eq!(level(outcome), Level::Debug, "{outcome:?}");
        }
        for outcome in [
            SplitOutcome::Refused(ErrorCode::ENHANCE_YOUR_CALM),
            SplitOutcome::TimedOut(SplitPhase::Drain),
            SplitOutcome::TimedOut(SplitPhase::Headers),
            SplitOutcome::TimedOut(SplitPhase::Write),
        ] {
            assert_eq!(level(Some(outcome)), Level::Info, "{outcome}");
        }
    }
}
