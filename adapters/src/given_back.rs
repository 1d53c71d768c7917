//! Errors that give back what could not be used.

use std::fmt;

/// A connection that a mux does not take, given back: it is not serving (yet, or any more), or, on tokio, it was asked outside of a
/// runtime.
pub struct NotServing<T>(pub T);

impl<T> fmt::Debug for NotServing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotServing").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for NotServing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mux does not take the connection: it is not serving, or (tokio) this is outside of a runtime")
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

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::owed::{NotBare, StillOwed};

    /// Whatever stream a user has.
    struct Opaque;

    #[test]
    fn they_are_errors_for_any_stream_and_say_what_is_wrong() {
        let not_bare = NotBare { connection: Opaque, owed: StillOwed::Replay(7) };
        assert_eq!(not_bare.source().map(ToString::to_string), Some(StillOwed::Replay(7).to_string()));
        let errors: [Box<dyn Error>; 3] = [
            Box::new(not_bare),
            Box::new(NotServing(Opaque)),
            Box::new(NotShared { arrival: Opaque, backend: Opaque }),
        ];
        for (error, word) in errors.iter().zip(["bare stream", "not serving", "whole connection"]) {
            assert!(error.to_string().contains(word) && format!("{error:?}").starts_with("Not"), "{error:?}");
        }
    }
}
