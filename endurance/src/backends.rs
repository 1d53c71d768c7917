//! The servers behind: each on a port of its own, live, dead, mute or treacherous as they are told.

mod h2;
pub(crate) mod http1;
pub(crate) mod raw;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What a backend speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Answers each request with its own path and body.
    Http1,
    /// HTTP/2 with prior knowledge; what it answers is what it got. Calls of gRPC get trailers.
    H2,
    /// Gives back what comes.
    Echo,
    /// Says its banner first, then gives back what comes.
    Ssh,
    /// Takes the head of an upgrade, answers 101, then gives back what comes.
    WebSocket,
}

/// How a backend behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Live,
    /// Killed: its connections are reset, and nobody listens.
    Down,
    /// Accepts, reads, and never answers.
    Mute,
    /// Resets each connection when it has written so many bytes to it.
    CutAfter(usize),
}

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    mood: watch::Sender<Mood>,
    /// Connections that it has taken.
    pub(crate) accepted: Arc<AtomicU64>,
    /// Connections that are open now.
    pub(crate) open: Arc<AtomicU64>,
    /// What every answer of HTTP/1 and HTTP/2 goes through.
    pub(crate) gate: Arc<Gate>,
}

/// Holds back answers, if it is told to.
#[derive(Debug)]
pub(crate) struct Gate {
    is_closed: watch::Sender<bool>,
    asked: AtomicU64,
}

impl Gate {
    fn new() -> Self {
        Self { is_closed: watch::Sender::new(false), asked: AtomicU64::new(0) }
    }

    /// From now on no request is answered.
    pub(crate) fn close(&self) {
        self.is_closed.send_replace(true);
    }

    /// All that were held back are answered now, and those that come.
    pub(crate) fn open(&self) {
        self.is_closed.send_replace(false);
    }

    /// Requests that have come so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// A request has come: waits until it may be answered.
    async fn pass(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let _ = self.is_closed.subscribe().wait_for(|is_closed| !is_closed).await;
    }
}

/// The address of all backends. Not the one that oneport connects from: nobody takes their ports while they are down.
const HOST: [u8; 4] = [127, 0, 0, 9];

impl Backend {
    /// Starts one, on a port that the system chooses.
    pub(crate) async fn start(name: &'static str, kind: Kind) -> Result<Self, String> {
        let listener = listen(SocketAddr::from((HOST, 0))).map_err(|error| format!("{name}: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("{name}: {error}"))?;
        let (mood, moods) = watch::channel(Mood::Live);
        let gate = Arc::new(Gate::new());
        let backend =
            Self { address, mood, accepted: Arc::default(), open: Arc::default(), gate: gate.clone() };
        let counts = (backend.accepted.clone(), backend.open.clone());
        tokio::spawn(run(name, kind, listener, address, moods, counts, gate));
        Ok(backend)
    }

    /// From now on it behaves like this. Its connections are reset, so that those that come see what they are told.
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

async fn run(
    name: &'static str,
    kind: Kind,
    listener: TcpListener,
    address: SocketAddr,
    mut moods: watch::Receiver<Mood>,
    (accepted, open): (Arc<AtomicU64>, Arc<AtomicU64>),
    gate: Arc<Gate>,
) {
    let mut listener = Some(listener);
    loop {
        let mood = *moods.borrow_and_update();
        if mood == Mood::Down {
            listener = None;
            if moods.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(at) = &listener else {
            // Somebody may hold the port for a moment.
            match listen(address) {
                Ok(again) => listener = Some(again),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
            continue;
        };
        tokio::select! {
            biased;
            changed = moods.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            came = at.accept() => {
                let Ok((stream, _)) = came else {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                };
                // Who connects behind a change meets the new mood, even if the change came between the two questions above.
                let mood = *moods.borrow();
                accepted.fetch_add(1, Ordering::Relaxed);
                open.fetch_add(1, Ordering::Relaxed);
                let open = open.clone();
                let (moods, gate) = (moods.clone(), gate.clone());
                tokio::spawn(async move {
                    serve(name, kind, stream, mood, moods, gate).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    }
}

/// Serves one connection, until it ends or the mood changes.
async fn serve(
    name: &'static str,
    kind: Kind,
    stream: TcpStream,
    mood: Mood,
    mut moods: watch::Receiver<Mood>,
    gate: Arc<Gate>,
) {
    let _ = stream.set_nodelay(true);
    // The same socket, once more: to be reset behind the back of whoever serves it.
    let Ok(stream) = stream.into_std() else { return };
    let Ok(handle) = stream.try_clone() else { return };
    let (Ok(stream), Ok(handle)) = (TcpStream::from_std(stream), TcpStream::from_std(handle)) else { return };
    if mood == Mood::Down {
        let _ = handle.set_zero_linger();
        return;
    }
    let limit = match mood {
        Mood::CutAfter(limit) => limit,
        _ => usize::MAX,
    };
    let serving = async {
        if mood == Mood::Mute {
            let mut stream = stream;
            let mut forgotten = [0; 4_096];
            while matches!(stream.read(&mut forgotten).await, Ok(n) if n > 0) {}
            return false;
        }
        let mut io = Limited { io: stream, left: limit, is_cut: false };
        match kind {
            Kind::Http1 => http1::serve(&mut io, &gate).await,
            Kind::H2 => return h2::serve(name, io, limit < usize::MAX, &gate).await,
            Kind::Echo => raw::echo(&mut io, b"").await,
            Kind::Ssh => raw::echo(&mut io, raw::BANNER).await,
            Kind::WebSocket => http1::upgrade(&mut io).await,
        }
        io.is_cut
    };
    let is_cut = tokio::select! {
        biased;
        is_cut = serving => is_cut,
        _ = moods.wait_for(|now| *now != mood) => true,
    };
    if is_cut {
        let _ = handle.set_zero_linger();
    }
}

/// Waits for a moment if the answer is to take one.
async fn delay(value: Option<&str>) {
    if let Some(millis) = value.and_then(|value| value.trim().parse().ok()) {
        sleep(Duration::from_millis(millis)).await;
    }
}

/// A stream that takes only so many bytes.
struct Limited<T> {
    io: T,
    left: usize,
    is_cut: bool,
}

mod limited {
    use std::io::{Error, ErrorKind, Result};
    use std::pin::Pin;
    use std::task::{ready, Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Limited;

    impl<T: AsyncRead + Unpin> AsyncRead for Limited<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<Result<()>> {
            Pin::new(&mut self.io).poll_read(cx, buf)
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Limited<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            if self.left == 0 {
                self.is_cut = true;
                return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
            }
            let part = &buf[..buf.len().min(self.left)];
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, part))?;
            self.left -= written;
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }
}

/// Time for what was written to get to its reader before a reset, which would overtake it.
pub(crate) async fn before_a_reset() {
    let _ = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
}
