//! The log line of a connection's end, as far as oneport decides it.

use std::time::Duration;

use oneport_core::{Bound, Outcome, Reason};

use crate::log::{Event, Level};

/// How a connection ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) outcome: Outcome,
    /// The route that it went, or that was to take it.
    pub(crate) route: Option<&'a str>,
    /// Who connected; a Unix socket has no name for it.
    pub(crate) peer: Option<String>,
    /// Whether the mux had to speak first.
    pub(crate) is_greeted: bool,
    /// From accepting to the verdict.
    pub(crate) verdict: Option<Duration>,
    /// What the system said, for example of a backend that does not answer.
    pub(crate) detail: Option<String>,
}

impl Ended<'_> {
    /// The event to log.
    pub(crate) fn event(&self) -> Event {
        let (phase, reason) = match self.outcome {
            Outcome::Left(phase) | Outcome::TimedOut(phase) => (Some(phase.name()), None),
            Outcome::Refused(reason) => (None, Some(reason.name())),
            _ => (None, None),
        };
        let bound = match self.outcome {
            Outcome::Refused(Reason::TooLarge(bound)) => Some(name_of(bound)),
            _ => None,
        };
        let verdict = self.verdict.map(|verdict| u64::try_from(verdict.as_millis()).unwrap_or(u64::MAX));
        Event::new(level(self.outcome), "connection")
            .with("outcome", self.outcome.name())
            .with_some("phase", phase)
            .with_some("reason", reason)
            .with_some("bound", bound)
            .with_some("route", self.route)
            .with_some("peer", self.peer.clone())
            .with("greeted", self.is_greeted)
            .with_some("verdict_ms", verdict)
            .with_some("detail", self.detail.clone())
    }
}

/// How much an outcome matters to whoever runs the service. Probes are the noise of every load balancer; what a client does
/// is for information; only what the service itself lacks is a warning.
const fn level(outcome: Outcome) -> Level {
    match outcome {
        outcome if outcome.is_probe() => Level::Debug,
        Outcome::Refused(Reason::BackendDown | Reason::DeliveryTimeout | Reason::Overload) => Level::Warn,
        _ => Level::Info,
    }
}

/// The option that sets this bound.
pub(crate) const fn name_of(bound: Bound) -> &'static str {
    match bound {
        Bound::ClientHello => "max-client-hello",
        Bound::Continuations => "max-continuations",
        Bound::FrameSize => "max-frame-size",
        Bound::Frames => "max-frames",
        Bound::HeaderBlock => "max-header-block",
        Bound::HeaderList => "max-header-list",
        Bound::Http1Head => "max-http1-head",
        Bound::Pings => "ping-burst",
        Bound::Settings => "max-settings",
        Bound::SettingsEntries => "max-settings-entries",
        _ => "another",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_core::{Phase, Why};

    fn ended(outcome: Outcome) -> Ended<'static> {
        Ended { outcome, route: None, peer: None, is_greeted: false, verdict: None, detail: None }
    }

    #[test]
    fn levels() {
        for (outcome, expected) in [
            (Outcome::Left(Phase::Silent), Level::Debug),
            (Outcome::Left(Phase::Http2Idle), Level::Info),
            (Outcome::Routed(Why::Matched(0)), Level::Info),
            (Outcome::Refused(Reason::NoRoute), Level::Info),
            (Outcome::Refused(Reason::BackendDown), Level::Warn),
            (Outcome::Refused(Reason::Overload), Level::Warn),
            (Outcome::TimedOut(Phase::Opening), Level::Info),
            (Outcome::Shutdown, Level::Info),
        ] {
            assert_eq!(level(outcome), expected, "{outcome}");
        }
    }

    #[test]
    fn all_that_is_known_is_said() {
        let routed = Ended {
            route: Some("grpc"),
            peer: Some("192.0.2.1:5".to_owned()),
            is_greeted: true,
            verdict: Some(Duration::from_micros(7_900)),
            ..ended(Outcome::Routed(Why::Matched(0)))
        };
        let expected = Event::new(Level::Info, "connection")
            .with("outcome", "routed")
            .with("route", "grpc")
            .with("peer", "192.0.2.1:5")
            .with("greeted", true)
            .with("verdict_ms", 7);
        assert_eq!(routed.event(), expected);
        let refused = ended(Outcome::Refused(Reason::TooLarge(Bound::Http1Head)));
        let expected = Event::new(Level::Info, "connection")
            .with("outcome", "refused")
            .with("reason", "too-large")
            .with("bound", "max-http1-head")
            .with("greeted", false);
        assert_eq!(refused.event(), expected);
    }

    #[test]
    fn every_bound_has_its_option() {
        use Bound::*;
        for bound in [
            ClientHello,
            Continuations,
            FrameSize,
            Frames,
            HeaderBlock,
            HeaderList,
            Http1Head,
            Pings,
            Settings,
            SettingsEntries,
        ] {
            assert!(crate::limits::find(name_of(bound)).is_some(), "{bound:?}");
        }
    }
}
