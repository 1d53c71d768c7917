//! Bounds of a listener, over all its connections.

use std::time::Duration;
#[cfg(any(feature = "tokio", feature = "smol"))]
use std::time::Instant;

/// Bounds of a listener. Those of one connection are in [`Config`](crate::Config). Start from [`Limits::default`] and change what you
/// need.
///
/// Beyond some of them connections have to go, refused with [`Reason::Overload`](crate::Reason::Overload):
///
/// | beyond | go first | then |
/// |---|---|---|
/// | [`undecided`](Self::undecided) | those without a byte | those in mid-opening |
/// | [`idle`](Self::idle) | greeted ones that are idle | |
/// | [`split`](Self::split) | split ones that are idle | split ones with requests, which are finished first |
/// | [`opening_bytes`](Self::opening_bytes) | those in mid-opening | greeted ones that are idle |
///
/// Within a class the one that has been without a byte for longest goes first. A connection that has come or has sent something
/// less than [`EVICTION_GRACE`] ago goes only when there is no other: a flood must not displace the clients that do speak.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections without a byte or in mid-opening: undecided, and not counted as [`idle`](Self::idle). Those that wait for a
    /// place in a full backlog count as well. Default 1,024.
    pub undecided: usize,
    /// Greeted HTTP/2 connections without a request: idle gRPC channels. Default 16,384.
    pub idle: usize,
    /// HTTP/2 connections whose requests are routed one by one. Default 16,384.
    pub split: usize,
    /// Bytes held for the openings of all undecided connections, and, for each route, for those that wait for its server. Default
    /// 32 MiB.
    pub opening_bytes: usize,
    /// Per route, connections that are decided and that its server has not taken. At least 1: 0 counts as 1. Default 1,024.
    pub backlog: usize,
    /// How long a decided connection waits for a place in a full backlog; then it is refused with
    /// [`Reason::DeliveryTimeout`](crate::Reason::DeliveryTimeout). As with all durations here, one that no clock reaches, such as
    /// [`Duration::MAX`], means that there is no deadline. Default 5 s.
    pub delivery_deadline: Duration,
    /// Refused connections that are given time to read their refusal, all at once; further ones are closed as soon as it is
    /// written. Default 256.
    pub refusals: usize,
    /// How long writing a refusal may take, and then how long its client may take to read it and to end its side. Closing earlier,
    /// with input that nobody has read, would reset the connection and destroy the refusal. Default 1 s.
    pub linger: Duration,
    /// Bytes of input, per refused connection, that are discarded meanwhile; beyond, it is closed. Default 64 KiB.
    pub linger_bytes: usize,
}

/// How long a connection is spared by [`Limits`] after it has come or has sent something, while there are others.
pub const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The end of a time that begins `now`. One that the clock can not express never comes.
#[cfg(any(feature = "tokio", feature = "smol"))]
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    /// Further off than any process lives, and well inside of what timers can express.
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    let never = now.checked_add(NEVER).unwrap_or(now);
    now.checked_add(time).map_or(never, |end| end.min(never))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            undecided: 1_024,
            idle: 16_384,
            split: 16_384,
            opening_bytes: 32 * 1024 * 1024,
            backlog: 1_024,
            delivery_deadline: Duration::from_secs(5),
            refusals: 256,
            linger: Duration::from_secs(1),
            linger_bytes: 64 * 1024,
        }
    }
}

#[cfg(all(test, any(feature = "tokio", feature = "smol")))]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_clock_reaches_has_no_end() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        let days = |days: u64| Duration::from_secs(days * 24 * 3_600);
        for time in [Duration::MAX, Duration::from_secs(u64::MAX / 2), days(200 * 365)] {
            assert!(after(now, time) > now + days(3_650), "{time:?}");
        }
    }
}
