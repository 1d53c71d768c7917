//! The life of a connection whose requests are routed one by one, of which the end is told exactly once.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::split::SplitOutcome;

use crate::context::{ConnectionInfo, Shared};
use crate::stats::SplitReport;

/// One that is dropped half way, with the executor that it was on, ends without an outcome.
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    /// Both ends of the client's connection.
    pub(super) info: ConnectionInfo,
    /// Requests so far.
    pub(super) requests: u64,
    began: Instant,
    has_ended: bool,
}

impl Life {
    pub(super) const fn new(shared: Arc<Shared>, info: ConnectionInfo, began: Instant) -> Self {
        Self { shared, info, requests: 0, began, has_ended: false }
    }

    pub(super) fn end(&mut self, outcome: Option<SplitOutcome>, now: Instant) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.shared.stats.split_ended(&SplitReport {
            addresses: &self.info.addresses,
            outcome,
            requests: self.requests,
            lasted: now.saturating_duration_since(self.began),
        });
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end(None, Instant::now());
    }
}
