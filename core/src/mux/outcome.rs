//! How a connection ends, as far as the mux is concerned: in exactly one outcome.

use core::fmt;

use crate::facts::Bound;
use crate::routes::Why;

/// How far an opening has come.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Phase {
    /// Connected, no byte yet.
    Silent,
    /// Some bytes, undecided, not (yet) HTTP/2.
    Opening,
    /// The HTTP/2 preface is there, the client's first SETTINGS are not.
    Http2Settings,
    /// HTTP/2 with SETTINGS and without a request, not greeted.
    Http2Waiting,
    /// HTTP/2, greeted, without a request: an idle channel.
    Http2Idle,
    /// HTTP/2 with a header block that has begun.
    Http2Headers,
    /// Decided; on its way to the route.
    Delivery,
}

impl Phase {
    /// A word for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Opening => "opening",
            Self::Http2Settings => "http2-settings",
            Self::Http2Waiting => "http2-waiting",
            Self::Http2Idle => "http2-idle",
            Self::Http2Headers => "http2-headers",
            Self::Delivery => "delivery",
        }
    }
}

/// Why a connection got no backend.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The route's server can not be reached or does not take connections any more.
    BackendDown,
    /// The route did not take the connection in time: its backlog stayed full, or its backend was slow to connect.
    DeliveryTimeout,
    /// The route's server refuses it on purpose, as that of the command's `close` does.
    Forbidden,
    /// No route took it, and there is no `otherwise`.
    NoRoute,
    /// The listener held more undecided connections, or more of their bytes, than it may, and this one had to go.
    Overload,
    /// The opening has passed this bound.
    TooLarge(Bound),
}

impl Reason {
    /// A word for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackendDown => "backend-down",
            Self::DeliveryTimeout => "delivery-timeout",
            Self::Forbidden => "forbidden",
            Self::NoRoute => "no-route",
            Self::Overload => "overload",
            Self::TooLarge(_) => "too-large",
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The client closed or reset the connection while it was undecided. In [`Phase::Silent`] it was a probe.
    Left(Phase),
    /// It got no backend. It was told so if its protocol has words for that, and closed.
    Refused(Reason),
    /// It goes to a route.
    Routed(Why),
    /// The listener shut down while it was undecided. Told and closed as one that is refused.
    Shutdown,
    /// The deadline of this phase ran out. Told and closed as one that is refused.
    TimedOut(Phase),
}

impl Outcome {
    /// Whether this was a TCP probe: connected and left without a byte.
    pub const fn is_probe(self) -> bool {
        matches!(self, Self::Left(Phase::Silent))
    }

    /// A word for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left(Phase::Silent) => "probe",
            Self::Left(_) => "left",
            Self::Refused(_) => "refused",
            Self::Routed(_) => "routed",
            Self::Shutdown => "shutdown",
            Self::TimedOut(_) => "timed-out",
        }
    }
}

/// For who has asked for a connection and got none.
impl std::error::Error for Outcome {}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Left(phase) | Self::TimedOut(phase) => write!(f, " ({})", phase.name()),
            Self::Refused(Reason::TooLarge(bound)) => write!(f, " (too large: {bound:?})"),
            Self::Refused(reason) => write!(f, " ({})", reason.name()),
            Self::Routed(_) | Self::Shutdown => Ok(()),
        }
    }
}
