//! The reading side of a routed connection: the replay, then the socket, less what the client ledger takes out.

use std::fmt;
use std::io;
use std::task::{ready, Poll};

use bytes::Bytes;
use oneport_core::ledger::ClientLedger;

/// Bytes read at a time while the ledger is open: the mux has greeted and the client's acknowledgement is still to come.
const SCRATCH: usize = 4 * 1024;

pub(crate) struct Inbound {
    replay: Bytes,
    ledger: ClientLedger,
}

/// Says how much of the replay is left, and not what is in it: cookies and credentials are not for logs.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("replay", &format_args!("{} bytes", self.replay.len()))
            .field("ledger", &self.ledger)
            .finish()
    }
}

impl Inbound {
    pub(crate) const fn new(replay: Bytes, ledger: ClientLedger) -> Self {
        Self { replay, ledger }
    }

    /// One that nothing is taken out of.
    pub(crate) const fn bare() -> Self {
        Self::new(Bytes::new(), ClientLedger::new(0))
    }

    /// Whether reads go straight to the socket.
    pub(crate) fn is_direct(&self) -> bool {
        self.replay.is_empty() && self.ledger.is_transparent()
    }

    /// Bytes of the replay that are still to be read.
    pub(crate) fn replay_len(&self) -> usize {
        self.replay.len()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.ledger.is_transparent()
    }

    /// Makes bytes ready that do not come straight from the socket. `Ready(false)` means: read from the socket. At the end of
    /// input nothing is ready and `is_direct` holds.
    pub(crate) fn poll_fill(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<bool>> {
        while self.replay.is_empty() {
            if self.ledger.is_transparent() {
                return Poll::Ready(Ok(false));
            }
            let mut scratch = [0; SCRATCH];
            let n = ready!(read(&mut scratch))?;
            if n == 0 {
                // An unfinished frame head was held back; it goes on as it came.
                self.replay = Bytes::copy_from_slice(self.ledger.finish());
                return Poll::Ready(Ok(!self.replay.is_empty()));
            }
            let mut chunk = scratch.get(..n).unwrap_or_default();
            let mut passed = Vec::with_capacity(n + 9);
            while let Some(piece) = self.ledger.pull(&mut chunk) {
                passed.extend_from_slice(&piece);
            }
            // What was read may have been the acknowledgement and nothing else: that is not the end of input.
            self.replay = passed.into();
        }
        Poll::Ready(Ok(true))
    }

    /// Takes bytes that are ready, at most `most`.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let taken = self.replay.split_to(most.min(self.replay.len()));
        if self.replay.is_empty() {
            // The last bytes go with `taken`: nothing is held any more.
            self.replay = Bytes::new();
        }
        taken
    }

    /// Copies bytes that are ready to `into`; returns how many.
    #[cfg(feature = "smol")]
    pub(crate) fn copy_to(&mut self, into: &mut [u8]) -> usize {
        let taken = self.take(into.len());
        into[..taken.len()].copy_from_slice(&taken);
        taken.len()
    }
}
