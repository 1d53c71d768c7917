//! Why a routed connection is not bare yet.

use std::fmt;

use crate::inbound::Inbound;
use crate::outbound::Outbound;

/// Why the inner stream can not be had yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StillOwed {
    /// The client's acknowledgement of the mux's SETTINGS has not come yet.
    #[error("the client has not acknowledged the mux's SETTINGS yet")]
    ClientAck,
    /// This many bytes of the opening have not been read yet.
    #[error("{0} bytes of the opening have not been read yet")]
    Replay(usize),
    /// It is a share in the client's connection, whose requests are routed one by one: there is no stream of its own, and never will
    /// be.
    #[error("the client's connection is shared with other routes")]
    Shared,
    /// The backend's SETTINGS, or its acknowledgement of the client's, have not been written yet.
    #[error("the backend has not written its SETTINGS and all acknowledgements yet")]
    BackendSettings,
    /// Bytes that the backend has written have not reached the inner stream yet: flush.
    #[error("bytes of the backend have not been flushed yet")]
    Unflushed,
}

/// A connection whose inner stream can not be had yet, given back.
pub struct NotBare<C> {
    /// The connection, as it was.
    pub connection: C,
    /// What stands between.
    pub owed: StillOwed,
}

impl<C> fmt::Debug for NotBare<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotBare").field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl<C> fmt::Display for NotBare<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bare stream can not be had")
    }
}

impl<C> std::error::Error for NotBare<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.owed)
    }
}

impl Inbound {
    pub(crate) fn owed(&self) -> Option<StillOwed> {
        if self.replay_len() > 0 {
            Some(StillOwed::Replay(self.replay_len()))
        } else if !self.is_settled() {
            Some(StillOwed::ClientAck)
        } else {
            None
        }
    }
}

impl Outbound {
    pub(crate) fn owed(&self) -> Option<StillOwed> {
        if self.is_direct() {
            None
        } else if self.is_settled() {
            Some(StillOwed::Unflushed)
        } else {
            Some(StillOwed::BackendSettings)
        }
    }
}
