//! Telling a user of each request.

use std::fmt;
use std::sync::Arc;

use crate::facts::Facts;
use crate::routes::Why;

/// What became of one request's head.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestReport<'a> {
    /// What is known of it: [`Facts::request`]. A head that was larger than its bound is there in part.
    pub facts: &'a Facts,
    /// Where the routes lead it; `None` if no route takes it, which its client is told.
    pub why: Option<Why>,
}

/// Whom to tell.
#[derive(Clone)]
pub struct RequestObserver(Arc<dyn Fn(&RequestReport<'_>) + Send + Sync>);

impl RequestObserver {
    /// Calls `hook` for each request whose head is well-formed, or too large, when it is routed; requests that are
    /// malformed, or refused with REFUSED_STREAM, are not routed. It runs inside of the machine: it must not block, and its panic is a
    /// panic of the machine. It is not told which client it is.
    pub fn new(hook: impl Fn(&RequestReport<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn tell(&self, report: &RequestReport<'_>) {
        (self.0)(report);
    }
}

impl fmt::Debug for RequestObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestObserver")
    }
}
