//! The signals that end the program.

use tokio::signal::unix::{signal, Signal, SignalKind};

use crate::errors::Error;

/// SIGTERM and SIGINT, from now on: the first one asks to end, the next one to end at once.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over from the system, which would end the program at the first one.
    ///
    /// # Errors
    /// The system refuses handlers.
    pub(crate) fn new() -> Result<Self, Error> {
        let handler =
            |kind| signal(kind).map_err(|error| Error::runtime(format!("can not wait for signals: {error}")));
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
