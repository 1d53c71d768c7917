//! Carries bytes between a client and its backend, each direction on its own, until both have ended.
//!
//! FIN becomes FIN and RST becomes RST. A direction that can not be written any more does not end the other one: what the peer
//! said before it closed still arrives, and its reading side tells whether that was the end or a cut.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at a time. On the stack: an idle connection holds no buffer.
const READ_SIZE: usize = 64 * 1024;

/// How a pair of connections ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PumpEnd {
    /// Both sides said that they were done.
    Done,
    /// One side was reset or broke: the other one is to be reset.
    Cut,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes that were read and that the writer has not taken yet.
    pending: Vec<u8>,
    written: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    #[default]
    Open,
    /// The reader has ended; the writer is still to be told.
    Ending,
    /// Nothing more will be written.
    Ended,
}

/// Carries bytes both ways until both directions have ended, or one side breaks.
pub(super) async fn pump<A, B>(client: &mut A, backend: &mut B) -> PumpEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut forth = Flow::default();
    let mut back = Flow::default();
    poll_fn(|cx| {
        let to_backend = forth.poll(cx, client, backend);
        let to_client = back.poll(cx, backend, client);
        match (to_backend, to_client) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(PumpEnd::Cut),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(PumpEnd::Done),
            _ => Poll::Pending,
        }
    })
    .await
}

impl Flow {
    /// Carries what can be carried. Ready when this direction has ended; an error when its reader broke.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.phase {
                Phase::Ended => return Poll::Ready(Ok(())),
                Phase::Open | Phase::Ending => {}
            }
            match ready!(self.poll_write_pending(cx, writer)) {
                Ok(()) if self.phase == Phase::Ending => {
                    // The other side may be gone already; its reading side will tell.
                    let _ = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                    self.phase = Phase::Ended;
                    continue;
                }
                Ok(()) => {}
                Err(_) => {
                    self.pending = Vec::new();
                    self.phase = Phase::Ended;
                    continue;
                }
            }
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            if Pin::new(&mut *reader).poll_read(cx, &mut buffer)?.is_pending() {
                // What the writer's ledger still holds must not wait for more to come.
                let _ = Pin::new(&mut *writer).poll_flush(cx);
                return Poll::Pending;
            }
            if buffer.filled().is_empty() {
                self.phase = Phase::Ending;
                continue;
            }
            let mut rest = buffer.filled();
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                    Poll::Ready(_) => {
                        rest = &[];
                        self.phase = Phase::Ended;
                    }
                    Poll::Pending => break,
                }
            }
            if !rest.is_empty() {
                self.pending.extend_from_slice(rest);
                return Poll::Pending;
            }
        }
    }

    fn poll_write_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.pending.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *writer).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.pending = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
