//! The writing side of a routed connection: what the backend writes, less what the backend ledger drops or adapts.

use std::io;
use std::sync::Arc;
use std::task::{ready, Poll};

use oneport_core::ledger::{BackendLedger, Piece, Reconciled};

use crate::stats::Stats;

#[derive(Debug)]
pub(crate) struct Outbound {
    ledger: BackendLedger,
    /// Bytes that the ledger held back and has let go: an adapted SETTINGS, or the head of a frame. Payload is never here.
    pending: Vec<u8>,
    /// Where a backend that does not speak HTTP/2 is counted; `None` once that is known.
    stats: Option<Arc<Stats>>,
}

impl Outbound {
    pub(crate) fn new(ledger: BackendLedger, stats: Arc<Stats>) -> Self {
        let stats = (ledger.reconciled() == Reconciled::NotYet).then_some(stats);
        Self { ledger, pending: Vec::new(), stats }
    }

    /// Whether writes go straight to the socket.
    pub(crate) fn is_direct(&self) -> bool {
        self.pending.is_empty() && self.ledger.is_transparent()
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes what is left over from before.
    pub(crate) fn poll_flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let n = ready!(write(&self.pending))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..n.min(self.pending.len()));
        }
        self.pending = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Writes what the ledger lets through of `bytes`; returns how many of them are done with. What is accepted here is written,
    /// dropped, or held back until more of the same frame comes; payload is accepted only once the socket has taken it.
    pub(crate) fn poll_write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(&mut write))?;
        if self.ledger.is_transparent() {
            return write(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let done = bytes.len() - rest.len();
            let (before, before_rest) = (self.ledger.clone(), rest);
            let piece = match self.ledger.pull(&mut rest) {
                None => break,
                Some(Piece::Held(held)) => {
                    self.pending.extend_from_slice(held);
                    self.count_reconciled();
                    if self.poll_flush(&mut write)?.is_pending() {
                        break;
                    }
                    continue;
                }
                Some(Piece::Chunk(piece)) => piece,
            };
            // What stands in front of the piece was dropped or held back by the ledger.
            let start = before_rest.len() - rest.len() - piece.len();
            let written = write(piece);
            let taken = match &written {
                Poll::Ready(Ok(n)) if *n == piece.len() => continue,
                Poll::Ready(Ok(n)) => start + n,
                Poll::Ready(Err(_)) | Poll::Pending => start,
            };
            // The socket took less: the ledger goes back and sees just that.
            self.ledger = before;
            let mut seen = before_rest.get(..taken).unwrap_or_default();
            while self.ledger.pull(&mut seen).is_some() {}
            return match (written, done + taken) {
                (Poll::Ready(Err(error)), 0) => Poll::Ready(Err(error)),
                (Poll::Ready(Ok(0)), 0) => Poll::Ready(Ok(0)),
                (Poll::Pending, 0) => Poll::Pending,
                (_, accepted) => Poll::Ready(Ok(accepted)),
            };
        }
        Poll::Ready(Ok(bytes.len() - rest.len()))
    }

    /// The backend ends its side: what was held back is to be written as it is, by `poll_flush`.
    pub(crate) fn finish(&mut self) {
        let held = self.ledger.finish().to_owned();
        self.pending.extend_from_slice(&held);
    }

    fn count_reconciled(&mut self) {
        match self.ledger.reconciled() {
            Reconciled::NotYet => {}
            Reconciled::NotHttp2 => {
                if let Some(stats) = self.stats.take() {
                    stats.not_http2();
                }
            }
            _ => self.stats = None,
        }
    }
}
