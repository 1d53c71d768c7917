//! Why a routed connection is not bare yet.

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
    /// It is a share in the client's connection, whose requests are routed one by one: there is no stream of its own.
    #[error("the client's connection is shared with other routes")]
    Shared,
    /// The backend's SETTINGS, or its acknowledgement of the client's, have not been written yet.
    #[error("the backend has not written its SETTINGS and all acknowledgements yet")]
    BackendSettings,
}

impl Inbound {
    pub(crate) fn owes(&self) -> Result<(), StillOwed> {
        if self.replay_len() > 0 {
            Err(StillOwed::Replay(self.replay_len()))
        } else if !self.is_settled() {
            Err(StillOwed::ClientAck)
        } else {
            Ok(())
        }
    }
}

impl Outbound {
    pub(crate) fn owes(&self) -> Result<(), StillOwed> {
        if self.is_direct() {
            Ok(())
        } else {
            Err(StillOwed::BackendSettings)
        }
    }
}
