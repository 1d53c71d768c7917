//! The pump between sockets.

use super::*;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;
use tokio::io::{duplex, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (near, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connected"), accepted.expect("accepted").0)
}

/// A client, a backend, and the pump between them.
async fn pumped() -> (TcpStream, TcpStream, tokio::task::JoinHandle<PumpEnd>) {
    let (client, accepted) = pair().await;
    let (connected, backend) = pair().await;
    let (mut accepted, mut connected) = (Socket::Tcp(accepted), Socket::Tcp(connected));
    let pump =
        tokio::spawn(async move { Pump::default().run(&mut accepted, &mut connected, &Pipes::new()).await });
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
    assert_eq!(timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic"), PumpEnd::Cut);
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
        yield_now().await;
        socket2::SockRef::from(&backend).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(backend);
        let end = timeout(Duration::from_secs(10), pump).await.expect("an end").expect("no panic");
        assert_eq!(end, PumpEnd::Cut);
        upload.abort();
    }
}

/// Sends more than anybody takes, until nothing moves any more.
async fn stuff(talker: &mut TcpStream) {
    let chunk = vec![7; 64 * 1024];
    while timeout(Duration::from_millis(300), talker.write_all(&chunk)).await.is_ok() {}
}

/// Each side in turn sends more than anybody takes, and resets: the other one hears of it although it does not read.
#[tokio::test]
async fn a_reset_behind_a_side_that_takes_nothing_is_a_cut() {
    for is_upload in [true, false] {
        let (client, backend, pump) = pumped().await;
        let (mut talker, listener) = if is_upload { (client, backend) } else { (backend, client) };
        stuff(&mut talker).await;
        socket2::SockRef::from(&talker).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(talker);
        let end = timeout(Duration::from_secs(5), pump).await.expect("it is noticed").expect("no panic");
        assert_eq!(end, PumpEnd::Cut, "upload: {is_upload}");
        drop(listener);
    }
}

/// A ledger stands between the pump and the socket, not between the socket and its errors.
#[tokio::test]
async fn a_reset_of_a_client_whose_ledger_is_open_is_a_cut() {
    let (mut client, accepted) = pair().await;
    let (connected, backend) = pair().await;
    let mut accepted = Fickle { socket: Socket::Tcp(accepted), is_bare: || false };
    let mut connected = Socket::Tcp(connected);
    let pump =
        tokio::spawn(async move { Pump::default().run(&mut accepted, &mut connected, &Pipes::new()).await });
    stuff(&mut client).await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(client);
    assert_eq!(timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic"), PumpEnd::Cut);
    drop(backend);
}

impl Side for DuplexStream {
    fn bare(&self) -> Option<&Socket> {
        None
    }

    fn socket(&self) -> Option<&Socket> {
        None
    }
}

/// A side that has said all that it has to say is no broken one, however long it takes to arrive: neither when it has closed one
/// direction, nor when it has closed both and the system resets what still comes for it.
#[tokio::test]
async fn a_close_behind_a_side_that_takes_nothing_is_no_cut() {
    for is_half in [true, false] {
        let (mut client, accepted) = pair().await;
        let (mut connected, mut backend) = duplex(1_024);
        let pump = tokio::spawn(async move {
            Pump::default().run(&mut Socket::Tcp(accepted), &mut connected, &Pipes::new()).await
        });
        client.write_all(&[7; 40_000]).await.expect("written");
        client.shutdown().await.expect("half closed");
        let client = is_half.then_some(client);
        // Of three, the first one draws the reset, if there is one, and another one runs into it.
        for _ in 0..3 {
            sleep(Duration::from_millis(200)).await;
            backend.write_all(b"thanks").await.expect("written");
        }
        sleep(Duration::from_millis(200)).await;
        assert!(!pump.is_finished(), "half: {is_half}");
        let mut taken = Vec::new();
        backend.read_to_end(&mut taken).await.expect("an end");
        assert_eq!(taken.len(), 40_000);
        drop(backend);
        if let Some(mut client) = client {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.expect("an end");
            assert_eq!(answer, b"thanksthanksthanks");
        }
        let end = timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic");
        assert_eq!(end, PumpEnd::Done, "half: {is_half}");
    }
}

/// Who is told of an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Call {
    Flush,
    Shutdown,
    Write,
}

/// A backend whose host is gone: that is told once, and to those who read later it has ended.
struct Vanished {
    /// What it has said before.
    said: &'static [u8],
    error: io::ErrorKind,
    is_told_by: Call,
    is_told: bool,
    reader: Option<Waker>,
}

impl Vanished {
    fn tell<T>(&mut self, call: Call, good: T) -> Poll<io::Result<T>> {
        if self.is_told || self.is_told_by != call {
            return Poll::Ready(Ok(good));
        }
        self.is_told = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Err(self.error.into()))
    }
}

impl Side for Vanished {
    fn bare(&self) -> Option<&Socket> {
        None
    }

    fn socket(&self) -> Option<&Socket> {
        None
    }
}

impl AsyncRead for Vanished {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.said.is_empty() && !self.is_told {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.put_slice(take(&mut self.said));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Vanished {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.tell(Call::Write, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell(Call::Flush, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell(Call::Shutdown, ())
    }
}

/// A client that was told of the backend's end may answer what came late with a reset, and have said all in good order before: the
/// system does not tell the two apart.
#[tokio::test]
async fn a_reset_of_who_was_told_of_the_end_waits_for_what_it_has_sent() {
    let (mut client, mut backend, mut pump) = pumped().await;
    stuff(&mut client).await;
    backend.shutdown().await.expect("half closed");
    let mut end = [0];
    assert_eq!(
        timeout(Duration::from_secs(5), client.read(&mut end)).await.expect("told").expect("an end"),
        0
    );
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(client);
    assert!(timeout(Duration::from_millis(500), &mut pump).await.is_err(), "cut over what was to arrive");
    let mut taken = Vec::new();
    let _ = backend.read_to_end(&mut taken).await;
    assert!(!taken.is_empty());
    let _ = timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic");
}

/// That is no reset to a Unix socket: all that was sent before is still there.
#[tokio::test]
async fn a_unix_client_that_closes_with_something_unread_is_heard_whole() {
    let (mut client, accepted) = UnixStream::pair().expect("a pair");
    let (connected, mut backend) = pair().await;
    let (mut accepted, mut connected) = (Socket::Unix(accepted), Socket::Tcp(connected));
    let pump = tokio::spawn(async move {
        let (mut pump, pipes) = (Pump::default(), Pipes::new());
        pump.run(&mut accepted, &mut connected, &pipes).await
    });
    backend.write_all(b"unread").await.expect("written");
    client.readable().await.expect("something to read");
    let (chunk, mut sent) = (vec![7; 64 * 1024], 0);
    while let Ok(Ok(n)) = timeout(Duration::from_millis(200), client.write(&chunk)).await {
        sent += n;
    }
    drop(client);
    yield_now().await;
    let mut taken = Vec::new();
    let _ = timeout(Duration::from_secs(10), backend.read_to_end(&mut taken)).await.expect("an end");
    assert_eq!(taken.len(), sent);
    let _ = pump.await.expect("no panic");
}

/// Half an answer must not look whole when the backend's host vanishes, even if it is a write to it that is told.
#[tokio::test]
async fn whatever_breaks_a_write_is_a_cut() {
    for (error, expected) in [
        (io::ErrorKind::TimedOut, PumpEnd::Cut),
        (io::ErrorKind::HostUnreachable, PumpEnd::Cut),
        (io::ErrorKind::NetworkUnreachable, PumpEnd::Cut),
        (io::ErrorKind::ConnectionReset, PumpEnd::Cut),
        // The backend had ended in good order.
        (io::ErrorKind::BrokenPipe, PumpEnd::Done),
    ] {
        for is_told_by in [Call::Flush, Call::Shutdown, Call::Write] {
            let (mut client, accepted) = pair().await;
            client.write_all(b"question").await.expect("written");
            if is_told_by == Call::Shutdown {
                client.shutdown().await.expect("half closed");
            }
            accepted.readable().await.expect("something");
            let mut accepted = Socket::Tcp(accepted);
            let mut backend = Vanished { said: b"half", error, is_told_by, is_told: false, reader: None };
            let (mut pump, pipes) = (Pump::default(), Pipes::new());
            let end = pump.run(&mut accepted, &mut backend, &pipes);
            let end = timeout(Duration::from_secs(5), end).await.expect("an end");
            assert_eq!(end, expected, "{error}, told by {is_told_by:?}");
            assert_eq!(pump.to_client().bytes, 4);
        }
    }
}

/// The write was told of the reset, so nobody else is; and nobody reads the client while the backend takes nothing.
#[tokio::test]
async fn a_reset_that_a_write_runs_into_is_a_cut_though_nobody_reads() {
    let error = io::ErrorKind::ConnectionReset;
    let mut client =
        Vanished { said: &[7; 2_048], error, is_told_by: Call::Write, is_told: false, reader: None };
    let (mut connected, mut backend) = duplex(1_024);
    backend.write_all(b"answer").await.expect("written");
    let (mut pump, pipes) = (Pump::default(), Pipes::new());
    let end = pump.run(&mut client, &mut connected, &pipes);
    assert_eq!(timeout(Duration::from_secs(5), end).await.expect("an end"), PumpEnd::Cut);
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

/// A side that always has something to say and takes all.
struct Endless<'t> {
    name: char,
    /// Who was read, in order.
    read: &'t RefCell<String>,
    /// Whether it takes nothing any more.
    is_broken: bool,
}

impl Side for Endless<'_> {
    fn bare(&self) -> Option<&Socket> {
        None
    }

    fn socket(&self) -> Option<&Socket> {
        None
    }
}

impl AsyncRead for Endless<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.read.borrow_mut().push(self.name);
        buf.put_slice(&[7; READ_SIZE]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(if self.is_broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(buf.len()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Neither direction keeps the other one, or other connections, from their turn: each turn is so long, and is asked for again.
#[test]
fn a_direction_that_never_runs_dry_does_not_starve_others() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for (is_broken, steps) in [(false, STEPS), (true, STEPS + 1)] {
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let read = RefCell::default();
        let mut client = Endless { name: 'c', read: &read, is_broken: false };
        let mut backend = Endless { name: 'b', read: &read, is_broken };
        let (mut pump, pipes) = (Pump::default(), Pipes::new());
        let mut turn = |expected: String| {
            let before = woken.0.load(Ordering::Relaxed);
            assert!(pump
                .poll(&mut Context::from_waker(&waker), &mut client, &mut backend, &pipes)
                .is_pending());
            assert_eq!(read.take(), expected);
            assert!(woken.0.load(Ordering::Relaxed) > before, "the next turn is asked for");
        };
        // The read in front of the write that fails is one more.
        turn("c".repeat(steps) + &"b".repeat(STEPS));
        turn("b".repeat(STEPS) + &"c".repeat(STEPS));
        turn("c".repeat(STEPS) + &"b".repeat(STEPS));
    }
}

/// A socket that may stand in the way of its bytes.
struct Fickle<F> {
    socket: Socket,
    is_bare: F,
}

impl<F: Fn() -> bool + Unpin> Side for Fickle<F> {
    fn bare(&self) -> Option<&Socket> {
        (self.is_bare)().then_some(&self.socket)
    }

    fn socket(&self) -> Option<&Socket> {
        Some(&self.socket)
    }
}

impl<F: Unpin> AsyncRead for Fickle<F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl<F: Unpin> AsyncWrite for Fickle<F> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// What is in the pipe when splicing ends for good is copied, in its place.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_in_a_pipe_that_can_not_be_drained_is_copied() {
    use std::cell::Cell;
    let (mut client, accepted) = pair().await;
    let (connected, mut backend) = pair().await;
    // Both are asked before a pipe is filled; the writer alone, before it is drained. The third of those questions it refuses: at a
    // refusal to fill, that step is copied, and splicing goes on.
    let (is_fill, drains) = (Cell::new(false), Cell::new(0));
    let mut accepted = Fickle {
        socket: Socket::Tcp(accepted),
        is_bare: || {
            is_fill.set(true);
            true
        },
    };
    let mut connected = Fickle {
        socket: Socket::Tcp(connected),
        is_bare: || {
            if is_fill.take() {
                return true;
            }
            drains.set(drains.get() + 1);
            drains.get() < 3
        },
    };
    let expected: Vec<u8> = (0..32_u32 << 20).map(|i| (i / 251) as u8 ^ (i >> 16) as u8).collect();
    let sent = expected.clone();
    let sender = tokio::spawn(async move {
        client.write_all(&sent).await.expect("sent");
        client.shutdown().await.expect("half closed");
        client
    });
    let receiver = tokio::spawn(async move {
        let mut received = Vec::new();
        backend.read_to_end(&mut received).await.expect("an end");
        received
    });
    let (mut pump, pipes) = (Pump::default(), Pipes::new());
    let end = pump.run(&mut accepted, &mut connected, &pipes);
    assert_eq!(timeout(Duration::from_secs(60), end).await.expect("an end"), PumpEnd::Done);
    assert!(receiver.await.expect("no panic") == expected, "other bytes than were sent");
    drop(sender.await.expect("no panic"));
    assert_eq!((pump.forth.way, drains.get()), (Way::OnlyCopy, 3), "it was in the middle of bulk");
    let carried = pump.to_backend();
    assert_eq!(carried.bytes, expected.len() as u64);
    assert!(carried.spliced > 0, "{carried:?}");
}
