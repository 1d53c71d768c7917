//! Bytes that are counted where they would be printed.

use std::fmt;

/// What a client or a backend has said, in the place that `{:?}` would print it: how many bytes, and none of them. They hold cookies
/// and credentials, and a log is read by more people than a connection.
pub(crate) struct Unsaid<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Unsaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
