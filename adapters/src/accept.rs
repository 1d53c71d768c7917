//! What to do when accepting fails.

use std::io;
use std::time::Duration;

/// The first pause after an error of accept (EMFILE, say); doubled up to [`MAX_PAUSE`].
pub(crate) const MIN_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause after an error of accept.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long accepting rests after its errors: longer each time, until it succeeds.
#[derive(Debug)]
pub(crate) struct AcceptPause(Duration);

impl AcceptPause {
    pub(crate) const fn new() -> Self {
        Self(MIN_PAUSE)
    }

    pub(crate) fn accepted(&mut self) {
        self.0 = MIN_PAUSE;
    }

    /// How long to rest after this error; `None` if it is about the connection that would have been accepted, so that the next
    /// one may come at once.
    pub(crate) fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        if concerns_one_client(error) {
            return None;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(MAX_PAUSE);
        Some(pause)
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_second_and_start_again_after_a_success() {
        let mut pause = AcceptPause::new();
        let exhausted = io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..10).filter_map(|_| pause.failed(&exhausted)).collect();
        assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&MAX_PAUSE));
        pause.accepted();
        assert_eq!(pause.failed(&exhausted), Some(MIN_PAUSE));
    }

    #[test]
    fn a_client_that_has_left_already_costs_no_pause() {
        assert_eq!(AcceptPause::new().failed(&io::ErrorKind::ConnectionAborted.into()), None);
    }
}
