//! How a client's connection ends whose requests are routed one by one: in exactly one outcome.

use core::fmt;

use crate::wire::frame::ErrorCode;

/// What a client was in when its time was over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SplitPhase {
    /// [`SplitConfig::drain_deadline`](super::SplitConfig::drain_deadline).
    Drain,
    /// [`SplitConfig::headers_deadline`](super::SplitConfig::headers_deadline).
    Headers,
    /// [`SplitConfig::idle_deadline`](super::SplitConfig::idle_deadline).
    Idle,
    /// [`SplitConfig::opening_deadline`](super::SplitConfig::opening_deadline).
    Opening,
    /// [`SplitConfig::write_deadline`](super::SplitConfig::write_deadline).
    Write,
}

impl SplitPhase {
    /// A word for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Headers => "headers",
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Write => "write",
        }
    }
}

/// How the client's connection ended; each has exactly one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SplitOutcome {
    /// After [`SplitMachine::handle_shutdown`](super::SplitMachine::handle_shutdown), with every request finished.
    Drained,
    /// The client has left.
    Left,
    /// The client broke the protocol or passed a bound, with the code that it was told.
    Refused(ErrorCode),
    /// A deadline.
    TimedOut(SplitPhase),
}

impl SplitOutcome {
    /// A word for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Left => "left",
            Self::Refused(_) => "refused",
            Self::TimedOut(_) => "timed-out",
        }
    }
}

impl fmt::Display for SplitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Drained | Self::Left => Ok(()),
            Self::Refused(code) => write!(f, " ({code})"),
            Self::TimedOut(phase) => write!(f, " ({})", phase.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_what_it_is_about() {
        let said = [
            SplitOutcome::Left,
            SplitOutcome::Refused(ErrorCode::ENHANCE_YOUR_CALM),
            SplitOutcome::TimedOut(SplitPhase::Headers),
        ]
        .map(|outcome| outcome.to_string());
        assert_eq!(said, ["left", "refused (ENHANCE_YOUR_CALM)", "timed-out (headers)"]);
    }
}
