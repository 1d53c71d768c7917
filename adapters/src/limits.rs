//! Bounds of a listener, over all its connections.

use std::time::Duration;

/// Bounds of a listener. Those of one connection are in [`Config`](crate::Config). Start from [`Limits::default`] and change what you
/// need.
///
/// Beyond [`undecided`](Self::undecided), [`idle`](Self::idle) or [`opening_bytes`](Self::opening_bytes) connections have to go: first those
/// without a byte, then those in mid-opening, then greeted ones that are idle; in each class the one that has been without a byte for longest.
/// A connection that has just come or just sent something (less than [`EVICTION_GRACE`] ago) goes only when there is no
/// other: a flood must not displace the clients that do speak.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections that are undecided and not greeted. Default 1,024.
    pub undecided: usize,
    /// Greeted HTTP/2 connections without a request: idle gRPC channels. Default 16,384.
    pub idle: usize,
    /// Bytes held for the openings of all undecided connections, and as many again for those that wait for their servers. Default
    /// 32 MiB.
    pub opening_bytes: usize,
    /// Per route, connections that are decided and that its server has not taken. Default 1,024.
    pub backlog: usize,
    /// How long a decided connection waits for a place in a full backlog. Default 5 s.
    pub delivery_deadline: Duration,
    /// Refusals that are being written and lingered on at the same time; further ones are closed without lingering. Default 256.
    pub refusals: usize,
    /// How long a refused connection may take to read its refusal. Default 1 s.
    pub linger: Duration,
    /// Bytes of input that are discarded meanwhile. Default 64 KiB.
    pub linger_bytes: usize,
}

/// How long a connection is spared by [`Limits`] after it has come or has sent something, while there are others.
pub const EVICTION_GRACE: Duration = Duration::from_secs(1);

impl Default for Limits {
    fn default() -> Self {
        Self {
            undecided: 1_024,
            idle: 16_384,
            opening_bytes: 32 * 1024 * 1024,
            backlog: 1_024,
            delivery_deadline: Duration::from_secs(5),
            refusals: 256,
            linger: Duration::from_secs(1),
            linger_bytes: 64 * 1024,
        }
    }
}
