//! What the laws are written with: scenes, the driver that plays them on the machine, and the model that says how they must go.

pub(crate) mod drive;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod ledgers;
pub(crate) mod model;
pub(crate) mod scene;
pub(crate) mod strategies;
pub(crate) mod terms;
pub(crate) mod words;

use std::time::Duration;

/// Milliseconds, the unit of most instants in these tests.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Seconds.
pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}
