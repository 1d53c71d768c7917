//! Errors that give back what could not be used.

use std::fmt;

/// A connection that a mux which is not serving (yet, or any more) does not take, given back.
pub struct NotServing<T>(pub T);

impl<T> fmt::Debug for NotServing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotServing").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for NotServing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mux is not serving")
    }
}

impl<T> std::error::Error for NotServing<T> {}

/// An arrival that is a whole connection and no share in one, given back with the connection to its server.
pub struct NotShared<A, B> {
    /// The arrival, as it was.
    pub arrival: A,
    /// The connection to the server, unused.
    pub backend: B,
}

impl<A, B> fmt::Debug for NotShared<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotShared").finish_non_exhaustive()
    }
}

impl<A, B> fmt::Display for NotShared<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is a whole connection, and the mux speaks no HTTP/2 for it")
    }
}

impl<A, B> std::error::Error for NotShared<A, B> {}
