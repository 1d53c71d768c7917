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
    /// A write has run into a reset. The system says that once: to later reads of the same socket the reset looks like an end.
    writer_was_reset: bool,
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
        let to_backend = forth.poll(cx, client, backend, back.writer_was_reset);
        let to_client = back.poll(cx, backend, client, forth.writer_was_reset);
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
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        reader_was_reset: bool,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.phase {
                Phase::Ended => return Poll::Ready(Ok(())),
                Phase::Broken => return self.poll_forget(cx, reader, reader_was_reset),
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
                Err(error) => {
                    self.pending = Vec::new();
                    self.break_off(&error);
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
                if reader_was_reset {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                self.phase = Phase::Ending;
                continue;
            }
            let mut rest = buffer.filled();
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                    Poll::Ready(written) => {
                        rest = &[];
                        self.break_off(&written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
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

    /// The writer takes nothing any more.
    fn break_off(&mut self, error: &io::Error) {
        self.phase = Phase::Broken;
        // A broken pipe is another thing: its peer had ended its side in good order before.
        self.writer_was_reset = error.kind() == io::ErrorKind::ConnectionReset;
    }

    /// Reads and forgets. Always ready: this direction has ended as far as the writer is concerned, and goes on only as long as
    /// the other one does.
    fn poll_forget<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        reader_was_reset: bool,
    ) -> Poll<io::Result<()>> {
        // At most so many reads at a time, or an endless stream would never let the other direction run.
        for _ in 0..READS_AT_A_TIME {
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(()) if buffer.filled().is_empty() && reader_was_reset => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
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

    /// A backend that resets while the client uploads: the client must not see an end that looks whole, whoever notices first.
    #[tokio::test]
    async fn a_reset_that_a_write_runs_into_stays_a_reset() {
        for _ in 0..50 {
            let (mut client, backend, pump) = pumped().await;
            let upload = tokio::spawn(async move {
                let chunk = vec![7; 64 * 1024];
                while client.write_all(&chunk).await.is_ok() {}
            });
            tokio::task::yield_now().await;
            socket2::SockRef::from(&backend).set_linger(Some(Duration::ZERO)).expect("an option");
            drop(backend);
            let end = timeout(Duration::from_secs(10), pump).await.expect("an end").expect("no panic");
            assert_eq!(end, PumpEnd::Cut);
            upload.abort();
        }
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
