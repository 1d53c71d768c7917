//! What only the adapter for tokio has: streams of streams, `tokio::io::split`, and a `serve` that is dropped.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use oneport::matchers::{any, grpc, http1};
use oneport::tokio::{Accepted, Connection, Incoming, Mux, NotServing, StillOwed, StreamListener};
use oneport::{Address, Addresses, Config, Limits, Outcome, Reason};
use tokio::io::{duplex, split, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::time::{sleep, timeout};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
/// S₀ and the acknowledgement of the client's SETTINGS.
const GREETING: usize = 15 + 9;
/// GET / over HTTP/2, with END_STREAM.
const REQUEST: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Connections from a channel; it ends with its sender.
struct Channel(UnboundedReceiver<io::Result<Accepted<DuplexStream>>>);

impl Stream for Channel {
    type Item = io::Result<Accepted<DuplexStream>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

type ChannelMux = Mux<StreamListener<Channel>>;

struct Clients(UnboundedSender<io::Result<Accepted<DuplexStream>>>);

impl Clients {
    async fn connect(&self, opening: &[u8]) -> DuplexStream {
        let (mut client, inner) = duplex(64 * 1024);
        assert!(self.0.send(Ok((inner, Addresses::UNKNOWN))).is_ok());
        client.write_all(opening).await.unwrap();
        client
    }

    fn fail(&self) {
        assert!(self.0.send(Err(io::Error::new(io::ErrorKind::InvalidData, "a bad TLS record"))).is_ok());
    }
}

fn mux(limits: Limits) -> (Clients, ChannelMux) {
    let (sender, receiver) = unbounded_channel();
    let listener = StreamListener::new(Channel(receiver), Address::Unknown);
    (Clients(sender), Mux::with_bounds(listener, Config::default(), limits))
}

fn outcomes(mux: &mut ChannelMux) -> Arc<Mutex<Vec<Outcome>>> {
    let outcomes = Arc::new(Mutex::default());
    let seen = Arc::clone(&outcomes);
    mux.on_outcome(move |report| Vec::push(&mut seen.lock().unwrap(), report.outcome));
    outcomes
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Looks until it holds.
async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that had to be greeted, and its connection, over a pipe of so many bytes; the opening is read.
async fn greeted(size: usize) -> (DuplexStream, Connection<DuplexStream>) {
    let (clients, mut mux) = mux(Limits::default());
    let _grpc = mux.route("grpc", grpc());
    let mut rest = mux.otherwise("rest");
    tokio::spawn(mux.serve());
    let (mut client, inner) = duplex(size);
    assert!(clients.0.send(Ok((inner, Addresses::UNKNOWN))).is_ok());
    client.write_all(PREFACE).await.unwrap();
    client.write_all(SETTINGS).await.unwrap();
    client.read_exact(&mut [0; GREETING]).await.unwrap();
    let opening = [ACK, REQUEST].concat();
    client.write_all(&opening).await.unwrap();
    let mut connection = soon(rest.accept()).await.unwrap();
    let mut replay = vec![0; PREFACE.len() + SETTINGS.len() + REQUEST.len()];
    soon(connection.read_exact(&mut replay)).await.unwrap();
    (client, connection)
}

/// A socket remembers one waker for writing. The reading half pushes on what the writing half has left over, and must not make the
/// socket forget it.
#[tokio::test]
async fn a_writer_that_waits_is_woken_though_the_reader_pushes() {
    let (mut client, connection) = greeted(8).await;
    let (mut reader, mut writer) = split(connection);
    // Adapted to 15 bytes: 8 are in the pipe, 7 are left over.
    assert_eq!(writer.write(SETTINGS).await.unwrap(), 9);
    let flags: [Arc<Flag>; 2] = Default::default();
    let [for_writer, for_reader] = flags.clone().map(Waker::from);
    let write = Pin::new(&mut writer).poll_write(&mut Context::from_waker(&for_writer), ACK);
    assert!(write.is_pending());
    let mut buf = [0; 9];
    let read =
        Pin::new(&mut reader).poll_read(&mut Context::from_waker(&for_reader), &mut ReadBuf::new(&mut buf));
    assert!(read.is_pending());
    client.read_exact(&mut [0; 8]).await.unwrap();
    assert!(flags[0].0.load(Ordering::Relaxed), "the pipe is empty and the writer sleeps for ever");
}

/// The acknowledgement that the mux gave was dropped, and the SETTINGS that it had to adapt are written: nothing needs to follow.
#[tokio::test]
async fn a_connection_is_bare_as_soon_as_nothing_is_owed() {
    let (mut client, mut connection) = greeted(1_024).await;
    connection.write_all(ACK).await.unwrap();
    assert_eq!(connection.owed(), Some(StillOwed::BackendSettings));
    connection.write_all(SETTINGS).await.unwrap();
    assert_eq!(connection.owed(), None);
    assert!(connection.into_inner().is_ok());
    client.read_exact(&mut [0; 15]).await.unwrap();
}

/// Law 11: one client never harms another.
#[tokio::test]
async fn errors_of_single_clients_do_not_hold_back_others() {
    let (clients, mut mux) = mux(Limits::default());
    let mut all = mux.route("all", any());
    let handle = mux.handle();
    tokio::spawn(mux.serve());
    for _ in 0..500 {
        clients.fail();
    }
    let start = Instant::now();
    let _client = clients.connect(b"").await;
    soon(all.accept()).await.unwrap();
    // 35 ms of rest; it was 8 minutes.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(handle.counters().accept_errors, 500);
}

#[tokio::test]
async fn bounds_may_be_as_large_as_can_be() {
    let mut limits = Limits::default();
    limits.backlog = usize::MAX;
    limits.linger = Duration::MAX;
    let (clients, mut mux_of_many) = mux(limits.clone());
    let seen = outcomes(&mut mux_of_many);
    let mut old = mux_of_many.route("http1", http1());
    tokio::spawn(mux_of_many.serve());
    let _client = clients.connect(GET).await;
    soon(old.accept()).await.unwrap();
    // A refusal is written and read although it has all the time.
    let mut refused = clients.connect(&[PREFACE, SETTINGS, REQUEST].concat()).await;
    until(|| seen.lock().unwrap().len() == 2).await;
    assert_eq!(seen.lock().unwrap()[1], Outcome::Refused(Reason::NoRoute));
    soon(refused.read_to_end(&mut Vec::new())).await.unwrap();

    limits.backlog = 1;
    limits.delivery_deadline = Duration::MAX;
    let (clients, mut mux) = mux(limits);
    let mut all = mux.route("all", any());
    let handle = mux.handle();
    tokio::spawn(mux.serve());
    let _waiting = [clients.connect(b"").await, clients.connect(b"").await, clients.connect(b"").await];
    until(|| handle.undecided().partial == 2).await;
    for _ in 0..3 {
        soon(all.accept()).await.unwrap();
    }
}

/// A listener that always has one more, and does not take turns by itself: it gives so many, and counts them.
struct Endless(Arc<AtomicUsize>);

impl Stream for Endless {
    type Item = io::Result<Accepted<DuplexStream>>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let is_over = self.0.fetch_add(1, Ordering::Relaxed) == 10_000;
        Poll::Ready((!is_over).then(|| Ok((duplex(1).0, Addresses::UNKNOWN))))
    }
}

/// On one thread: whoever else is there has its turn, whatever the listener has.
#[tokio::test]
async fn a_listener_that_always_has_one_more_lets_others_have_their_turn() {
    let count = Arc::new(AtomicUsize::new(0));
    let mut mux = Mux::new(StreamListener::new(Endless(count.clone()), Address::Unknown));
    let _all = mux.route("all", any());
    let serving = tokio::spawn(mux.serve());
    while count.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let seen = count.load(Ordering::Relaxed);
    assert!(seen <= 100, "{seen} in one go");
    serving.abort();
}

#[tokio::test]
async fn dropping_serve_ends_the_undecided() {
    let (clients, mut mux) = mux(Limits::default());
    let seen = outcomes(&mut mux);
    let mut old = mux.route("http1", http1());
    let handle = mux.handle();
    let mut undecided = {
        let mut serving = Box::pin(mux.serve());
        let story = async {
            let client = clients.connect(b"GET").await;
            until(|| handle.undecided().partial == 1).await;
            client
        };
        tokio::select! {
            () = &mut serving => panic!("it ended by itself"),
            client = story => client,
        }
    };
    assert!(handle.connect(duplex(16).1, Addresses::UNKNOWN).is_err());
    soon(undecided.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(soon(old.accept()).await.is_none());
    assert_eq!(*seen.lock().unwrap(), [Outcome::Shutdown]);
}

#[test]
fn outside_of_a_runtime_a_handle_gives_the_connection_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let (_clients, mut mux) = mux(Limits::default());
    let mut all = mux.route("all", any());
    let handle = mux.handle();
    runtime.spawn(mux.serve());
    let connect = |io| handle.connect(io, Addresses::UNKNOWN);
    let (_client, mut io) = duplex(16);
    // Serving begins at some time.
    let start = Instant::now();
    io = loop {
        let entered = runtime.enter();
        match connect(io) {
            Ok(()) => break duplex(16).1,
            Err(NotServing(back)) => io = back,
        }
        drop(entered);
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    };
    runtime.block_on(soon(all.accept())).unwrap();
    assert!(connect(io).is_err());
    assert_eq!(handle.counters().accepted, 1);
}

/// One connection in the backlog, and one that got no place in time and does not read its refusal.
async fn one_waits_and_one_is_refused(
) -> (Clients, Incoming<DuplexStream>, oneport::tokio::Handle<DuplexStream>, [DuplexStream; 2]) {
    let mut limits = Limits::default();
    limits.backlog = 1;
    limits.delivery_deadline = Duration::from_millis(300);
    limits.linger = Duration::from_secs(60);
    let (clients, mut mux) = mux(limits);
    let seen = outcomes(&mut mux);
    let old = mux.route("http1", http1());
    let handle = mux.handle();
    tokio::spawn(mux.serve());
    let first = clients.connect(GET).await;
    until(|| handle.counters().accepted == 1 && handle.undecided() == Default::default()).await;
    let second = clients.connect(GET).await;
    until(|| *seen.lock().unwrap() == [Outcome::Refused(Reason::DeliveryTimeout)]).await;
    (clients, old, handle, [first, second])
}

#[tokio::test]
async fn nobody_waits_behind_one_that_is_refused() {
    let (clients, mut old, handle, _held) = one_waits_and_one_is_refused().await;
    let _third = clients.connect(GET).await;
    until(|| handle.undecided().partial == 1).await;
    soon(old.accept()).await.unwrap();
    assert!(
        timeout(Duration::from_secs(5), old.accept()).await.is_ok(),
        "the place is free, and nobody comes"
    );
}

#[tokio::test]
async fn a_route_ends_though_a_refused_client_does_not_read() {
    let (_clients, mut old, handle, _held) = one_waits_and_one_is_refused().await;
    handle.shutdown();
    soon(old.accept()).await.unwrap();
    assert!(soon(old.accept()).await.is_none());
}

/// Reads until this has come.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), part: &[u8]) {
    let mut heard = Vec::new();
    let reading = async {
        while !heard.windows(part.len()).any(|window| window == part) {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "the end after {heard:?}");
        }
    };
    let is_in_time = timeout(Duration::from_secs(10), reading).await.is_ok();
    assert!(is_in_time, "no {part:?} in {heard:?}");
}

/// A `serve` that is dropped drains those whose requests are routed one by one, on tasks of their own; then the routes end.
#[tokio::test]
async fn a_dropped_serve_drains_who_is_split() {
    let (clients, mut mux) = mux(Limits::default());
    let mut route = mux.otherwise("all");
    mux.per_request();
    let serving = tokio::spawn(mux.serve());
    let mut client = clients.connect(&[PREFACE, SETTINGS, REQUEST].concat()).await;
    let mut server = route.accept().await.unwrap();
    server.write_all(SETTINGS).await.unwrap();
    // The request, whatever its block.
    read_until(&mut server, &[1, 5, 0, 0, 0, 1]).await;
    serving.abort();
    assert!(serving.await.is_err());
    // The first GOAWAY of a drain.
    read_until(&mut client, &[7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]).await;
    let answer = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
    server.write_all(answer).await.unwrap();
    read_until(&mut client, answer).await;
    // The acknowledgement of the PING says that the client knows.
    client.write_all(b"\0\0\x08\x06\x01\0\0\0\0draining").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&[&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 4]].concat()), "{rest:?}");
    assert!(timeout(Duration::from_secs(10), route.accept()).await.unwrap().is_none());
    let mut byte = [0];
    assert_eq!(server.read(&mut byte).await.unwrap_or(0), 0);
}

/// With its runtime, all of a split connection is gone: a server elsewhere hears of it.
#[test]
fn a_share_may_outlive_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (mut server, _client) = first.block_on(async {
        let (clients, mut mux) = mux(Limits::default());
        let mut route = mux.otherwise("all");
        mux.per_request();
        tokio::spawn(mux.serve());
        let client = clients.connect(&[PREFACE, SETTINGS, REQUEST].concat()).await;
        (route.accept().await.unwrap(), client)
    });
    drop(first);
    let end = runtime().block_on(async {
        let mut heard = Vec::new();
        timeout(Duration::from_secs(10), server.read_to_end(&mut heard)).await.unwrap()
    });
    assert_eq!(end.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
}
