//! What to do when accepting fails.

use std::io;
use std::time::Duration;

/// Answers of a listener in one go, connections or errors, before all else that runs there has its turn.
pub(crate) const ACCEPT_BURST: u32 = 64;
/// The first pause when the process has run out of something (EMFILE, say); doubled up to [`MAX_PAUSE`].
pub(crate) const MIN_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause when the process has run out of something.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// After so many errors of single clients on end accepting rests for [`MIN_PAUSE`]: a listener that is broken for good must not
/// take a whole core.
const RUN_OF_ERRORS: u32 = 64;

/// How long accepting rests after its errors.
#[derive(Debug)]
pub(crate) struct AcceptPause {
    next: Duration,
    /// Errors of single clients since a connection was accepted, up to [`RUN_OF_ERRORS`].
    run: u32,
}

impl AcceptPause {
    pub(crate) const fn new() -> Self {
        Self { next: MIN_PAUSE, run: 0 }
    }

    pub(crate) fn accepted(&mut self) {
        *self = Self::new();
    }

    /// How long to rest after this error: longer each time, until it succeeds, if the process has run out of something. `None` if
    /// it is about the connection that would have been accepted (it was aborted; its TLS handshake failed): the next one may
    /// come at once.
    pub(crate) fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        if concerns_the_process(error) {
            let pause = self.next;
            self.next = (pause * 2).min(MAX_PAUSE);
            return Some(pause);
        }
        self.run = (self.run + 1) % RUN_OF_ERRORS;
        (self.run == 0).then_some(MIN_PAUSE)
    }
}

/// Whether the process, or the whole system, has run out of files (EMFILE, ENFILE), buffers (ENOBUFS) or memory (ENOMEM). All else
/// that accepting can say is about one client: Linux hands on the network errors of the connection, and a stream of connections
/// those of its TLS handshakes.
fn concerns_the_process(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

/// EMFILE, ENFILE and ENOBUFS have no [`io::ErrorKind`]. The first two have the same number on every Unix.
#[cfg(unix)]
const EXHAUSTED: [i32; 3] = [24, 23, ENOBUFS];
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64"))
))]
const ENOBUFS: i32 = 105;
#[cfg(any(
    all(target_os = "linux", any(target_arch = "mips", target_arch = "mips64")),
    target_os = "solaris",
    target_os = "illumos"
))]
const ENOBUFS: i32 = 132;
/// Of the BSDs and macOS.
#[cfg(all(
    unix,
    not(any(target_os = "android", target_os = "solaris", target_os = "illumos")),
    any(not(target_os = "linux"), target_arch = "sparc64")
))]
const ENOBUFS: i32 = 55;
/// WSAEMFILE and WSAENOBUFS.
#[cfg(not(unix))]
const EXHAUSTED: [i32; 2] = [10_024, 10_055];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_second_and_start_again_after_a_success() {
        for code in EXHAUSTED {
            let mut pause = AcceptPause::new();
            let exhausted = io::Error::from_raw_os_error(code);
            let pauses: Vec<_> = (0..10).filter_map(|_| pause.failed(&exhausted)).collect();
            assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
            assert_eq!(pauses.last(), Some(&MAX_PAUSE));
            pause.accepted();
            assert_eq!(pause.failed(&exhausted), Some(MIN_PAUSE));
        }
        assert_eq!(AcceptPause::new().failed(&io::ErrorKind::OutOfMemory.into()), Some(MIN_PAUSE));
    }

    #[test]
    fn an_error_of_one_client_costs_no_pause() {
        use io::ErrorKind::{ConnectionAborted, InvalidData, Other, PermissionDenied, UnexpectedEof};
        for kind in [ConnectionAborted, InvalidData, Other, PermissionDenied, UnexpectedEof] {
            let mut pause = AcceptPause::new();
            assert_eq!((0..63).find_map(|_| pause.failed(&kind.into())), None, "{kind:?}");
        }
    }

    #[test]
    fn a_listener_that_only_fails_does_not_spin() {
        let mut pause = AcceptPause::new();
        let pauses = (0..6_400).filter_map(|_| pause.failed(&io::ErrorKind::InvalidInput.into()));
        assert_eq!(pauses.collect::<Vec<_>>(), [MIN_PAUSE; 100]);
    }

    /// The numbers above are the ones of this system.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_calls_them_exhaustion() {
        for (code, word) in [(24, "open files"), (23, "open files"), (ENOBUFS, "buffer")] {
            let said = io::Error::from_raw_os_error(code).to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
