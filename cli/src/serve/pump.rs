//! Carries bytes between a client and its backend, each direction on its own, until both have ended.
//!
//! FIN becomes FIN and RST becomes RST. A direction that can not be written any more does not end the other one: what the peer
//! said before it closed still arrives, and its reading side tells whether that was the end or a cut. Meanwhile what comes for
//! the closed side is read and forgotten, so that nobody waits for room that will never be.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at a time. On the stack: an idle connection holds no buffer.
const READ_SIZE: usize = 64 * 1024;

/// Reads of a direction whose writer is gone before the other direction gets its turn.
const READS_AT_A_TIME: usize = 16;

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
    /// The reader has ended, and the writer was told.
    Ended,
    /// The writer takes nothing any more: what still comes is forgotten.
    Broken,
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
                Phase::Broken => return self.poll_forget(cx, reader),
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
                    self.phase = Phase::Broken;
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
                        self.phase = Phase::Broken;
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

    /// Reads and forgets. Always ready: this direction has ended as far as the writer is concerned, and goes on only as long as
    /// the other one does.
    fn poll_forget<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
    ) -> Poll<io::Result<()>> {
        // At most so many reads at a time, or an endless stream would never let the other direction run.
        for _ in 0..READS_AT_A_TIME {
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(()) if buffer.filled().is_empty() => {
                    self.phase = Phase::Ended;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(()) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.expect("connected"), accepted.expect("accepted").0)
    }

    /// A client, a backend, and the pump between them.
    async fn pumped() -> (TcpStream, TcpStream, tokio::task::JoinHandle<PumpEnd>) {
        let (client, mut accepted) = pair().await;
        let (mut connected, backend) = pair().await;
        let pump = tokio::spawn(async move { pump(&mut accepted, &mut connected).await });
        (client, backend, pump)
    }

    #[tokio::test]
    async fn each_direction_ends_on_its_own() {
        let (mut client, mut backend, pump) = pumped().await;
        client.write_all(b"question").await.expect("written");
        client.shutdown().await.expect("half closed");
        let mut question = Vec::new();
        backend.read_to_end(&mut question).await.expect("an end");
        assert_eq!(question, b"question");
        backend.write_all(b"answer").await.expect("written");
        drop(backend);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("an end");
        assert_eq!(answer, b"answer");
        assert_eq!(pump.await.expect("no panic"), PumpEnd::Done);
    }

    #[tokio::test]
    async fn a_reset_is_a_cut() {
        let (client, backend, pump) = pumped().await;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(client);
        assert_eq!(
            timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic"),
            PumpEnd::Cut
        );
        drop(backend);
    }

    /// A client that sends without reading and goes, and a backend that reads only what it could answer.
    #[tokio::test]
    async fn a_client_that_never_reads_leaves_nothing_behind() {
        let (mut client, mut backend, pump) = pumped().await;
        let echo = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match backend.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => {
                        if backend.write_all(&buffer[..n]).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        // Until every buffer on the way there and back is full.
        let chunk = vec![7; 1 << 20];
        while timeout(Duration::from_millis(300), client.write_all(&chunk)).await.is_ok() {}
        drop(client);
        timeout(Duration::from_secs(10), pump).await.expect("the pump ends").expect("no panic");
        timeout(Duration::from_secs(10), echo).await.expect("the backend is told").expect("no panic");
    }
}
