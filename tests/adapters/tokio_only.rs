//! What only the tokio adapter has: streams in memory, streams of streams, and a runtime that can be gone.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use oneport::matchers::{grpc, http1, ssh};
use oneport::tokio::{Accepted, Mux, StreamListener};
use oneport::{Address, Addresses, Config, Limits, NotServing, Outcome, Reason, Undecided};
use tokio::io::{duplex, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};
use tokio::time::{sleep, timeout};

use super::frames::{request, waiting};
use super::PATIENCE;

const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A runtime with one thread: what is spawned runs only while the test waits.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Connections from a channel; it ends with its sender.
struct Channel<T = DuplexStream>(UnboundedReceiver<io::Result<Accepted<T>>>);

impl<T> Stream for Channel<T> {
    type Item = io::Result<Accepted<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// A stream of streams is a listener: errors in it are survived, and serving ends with it, with the last one routed.
#[test]
fn serving_ends_with_the_stream_of_streams() {
    runtime().block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut mux = Mux::new(StreamListener::new(Channel(receiver), Address::Unix(None)));
        assert_eq!(mux.local_address().expect("given"), Address::Unix(None));
        let mut route = mux.route("http1", http1());
        let handle = mux.handle();
        let serving = tokio::spawn(mux.serve());

        let (mut client, inner) = duplex(64);
        sender.send(Err(io::ErrorKind::Other.into())).expect("it is read");
        sender.send(Ok((inner, Addresses::UNKNOWN))).expect("it is read");
        client.write_all(HTTP1).await.expect("it is read");
        let mut routed = timeout(PATIENCE, route.accept()).await.expect("in time").expect("the connection");
        let mut opening = vec![0; HTTP1.len()];
        routed.read_exact(&mut opening).await.expect("the opening");
        assert_eq!(opening, HTTP1);

        drop(sender);
        timeout(PATIENCE, serving).await.expect("in time").expect("no panic");
        assert!(timeout(PATIENCE, route.accept()).await.expect("in time").is_none());
        assert_eq!((handle.counters().accepted, handle.counters().accept_errors), (1, 1));

        routed.write_all(b"alive").await.expect("the client reads");
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.expect("it lives on");
        assert_eq!(&answer, b"alive");
    });
}

/// Who has forgotten the timers learns it from `serve`, and not from clients that are reset.
#[test]
fn a_runtime_without_timers_is_told_at_once() {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    // Its sender is gone: serving would end at once, and well.
    let (_, receiver) = unbounded_channel();
    let mux = Mux::new(StreamListener::new(Channel::<DuplexStream>(receiver), Address::Unknown));
    let serving = runtime.block_on(async { tokio::spawn(mux.serve()).await });
    assert!(serving.expect_err("it has no timers").is_panic());
}

/// A log is read by more people than a connection: what a connection prints of itself has nothing in it that a client has said.
#[test]
fn a_connection_keeps_to_itself_what_it_carries() {
    runtime().block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut mux = Mux::new(StreamListener::new(Channel(receiver), Address::Unknown));
        let mut route = mux.route("http1", http1());
        tokio::spawn(mux.serve());
        let (mut client, inner) = duplex(1_024);
        sender.send(Ok((inner, Addresses::UNKNOWN))).expect("it is read");
        client.write_all(b"GET / HTTP/1.1\r\nCookie: hunter2\r\n\r\n").await.expect("it is read");
        let mut routed = timeout(PATIENCE, route.accept()).await.expect("in time").expect("the connection");
        routed.read_exact(&mut [0; 16]).await.expect("a part of the opening");
        for text in [format!("{routed:?}"), format!("{:?}", tokio::io::split(routed))] {
            // A pair in memory prints what is on its way in it: nothing any more.
            assert!(!text.contains("hunter2") && !text.contains("104, 117, 110"), "{text}");
        }
    });
}

/// A handle takes connections only while the mux serves; a shutdown before that is not forgotten.
#[test]
fn a_handle_works_while_the_mux_serves() {
    runtime().block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut mux = Mux::new(StreamListener::new(Channel(receiver), Address::Unknown));
        let mut route = mux.otherwise("all");
        let handle = mux.handle();
        let (_client, inner) = duplex(16);
        let NotServing(inner) = handle.connect(inner, Addresses::UNKNOWN).expect_err("not yet");
        handle.shutdown();
        timeout(PATIENCE, mux.serve()).await.expect("at once");
        assert!(handle.connect(inner, Addresses::UNKNOWN).is_err(), "not any more");
        assert!(timeout(PATIENCE, route.accept()).await.expect("in time").is_none());
        assert_eq!(handle.counters().accepted, 0);
        drop(sender);
    });
}

/// A socket that holds a request when patience runs out, and has told nobody yet.
struct Late {
    reads: usize,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        match self.reads {
            1 => buf.put_slice(&waiting()),
            3 => buf.put_slice(&request("application/grpc")),
            _ => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Late {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// When patience has run out, what the socket already holds is taken first: nobody is greeted who has said what was waited for.
#[test]
fn what_the_socket_holds_comes_before_the_greeting() {
    runtime().block_on(async {
        let (sender, receiver) = unbounded_channel::<io::Result<Accepted<Late>>>();
        let mut mux = Mux::new(StreamListener::new(Channel(receiver), Address::Unknown));
        let mut calls = mux.route("grpc", grpc());
        tokio::spawn(mux.serve());
        let written = Arc::new(AtomicU64::new(0));
        let late = Late { reads: 0, written: written.clone() };
        sender.send(Ok((late, Addresses::UNKNOWN))).expect("it is read");
        let call = timeout(PATIENCE, calls.accept()).await.expect("in time").expect("the call");
        assert!(!call.was_greeted());
        assert_eq!(written.load(Ordering::Relaxed), 0);
    });
}

/// A client that does not even take its refusal is let go when the time to linger is over.
#[test]
fn a_refusal_that_can_not_be_written_has_its_time() {
    runtime().block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut limits = Limits::default();
        limits.linger = Duration::from_millis(50);
        let listener = StreamListener::new(Channel(receiver), Address::Unknown);
        let mut mux = Mux::with_bounds(listener, Config::default(), limits);
        let _route = mux.route("ssh", ssh());
        let handle = mux.handle();
        tokio::spawn(mux.serve());
        // There is room for sixteen bytes of it, and the client reads none.
        let (mut client, inner) = duplex(16);
        sender.send(Ok((inner, Addresses::UNKNOWN))).expect("it is read");
        client.write_all(HTTP1).await.expect("it is read");
        let gone = async {
            while handle.counters().count("refused") == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it is let go");
        assert_eq!(handle.undecided(), Undecided::default());
    });
}

/// A connection that goes with its runtime while it is undecided ends as by a shutdown.
#[test]
fn a_connection_that_goes_with_its_runtime_has_its_outcome() {
    let runtime = runtime();
    let ended = Arc::new(AtomicU64::new(0));
    let world = runtime.block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut mux = Mux::new(StreamListener::new(Channel(receiver), Address::Unknown));
        let route = mux.route("http1", http1());
        let ends = ended.clone();
        mux.on_outcome(move |report| {
            assert_eq!(report.outcome, Outcome::Shutdown);
            ends.fetch_add(1, Ordering::Relaxed);
        });
        let handle = mux.handle();
        tokio::spawn(mux.serve());
        let (client, inner) = duplex(16);
        sender.send(Ok((inner, Addresses::UNKNOWN))).expect("it is read");
        let accepted = async {
            while handle.undecided().silent == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, accepted).await.expect("in time");
        (client, sender, route)
    });
    assert_eq!(ended.load(Ordering::Relaxed), 0);
    drop(runtime);
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    drop(world);
}

/// What was accepted and has not run yet when serving ends has its outcome all the same, before the runtime can be dropped.
#[test]
fn no_outcome_is_lost_with_the_runtime() {
    let runtime = runtime();
    let ended = Arc::new(AtomicU64::new(0));
    let (accepted, clients) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(TcpStream::connect(address).await.expect("it listens"));
        }
        let mut mux = Mux::new(listener);
        let _route = mux.route("http1", http1());
        let ends = ended.clone();
        mux.on_outcome(move |report| {
            assert_eq!(report.outcome, Outcome::Shutdown);
            ends.fetch_add(1, Ordering::Relaxed);
        });
        let handle = mux.handle();
        let accepting = handle.clone();
        // Ready at the very moment at which the tenth has been accepted, and no task has run yet.
        let all_are_accepted = std::future::poll_fn(move |_| match accepting.counters().accepted {
            10.. => Poll::Ready(()),
            _ => Poll::Pending,
        });
        mux.serve_until(all_are_accepted).await;
        (handle.counters().accepted, clients)
    });
    drop(runtime);
    assert_eq!((accepted, ended.load(Ordering::Relaxed)), (10, 10));
    drop(clients);
}

/// An arrival that is dropped where there is no runtime any more is closed, and has its outcome.
#[test]
fn an_arrival_may_outlive_its_runtime() {
    let runtime = runtime();
    let refused = Arc::new(AtomicU64::new(0));
    let (arrival, mut client) = runtime.block_on(async {
        let (sender, receiver) = unbounded_channel();
        let mut config = Config::default();
        config.complete_facts = true;
        let listener = StreamListener::new(Channel(receiver), Address::Unknown);
        let mut mux = Mux::with_bounds(listener, config, Limits::default());
        let mut route = mux.route("http1", http1());
        let count = refused.clone();
        mux.on_outcome(move |report| {
            assert_eq!(report.outcome, Outcome::Refused(Reason::BackendDown));
            count.fetch_add(1, Ordering::Relaxed);
        });
        tokio::spawn(mux.serve());
        let (mut client, inner) = duplex(64);
        sender.send(Ok((inner, Addresses::UNKNOWN))).expect("it is read");
        client.write_all(HTTP1).await.expect("it is read");
        let arrival = timeout(PATIENCE, route.arrival()).await.expect("in time").expect("the connection");
        assert_eq!(arrival.addresses(), &Addresses::UNKNOWN);
        assert!(arrival.facts().is_some_and(|facts| facts.request().is_present()));
        (arrival, client)
    });
    drop(runtime);
    drop(arrival);
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    let end = self::runtime().block_on(async { client.read(&mut [0; 8]).await });
    assert_eq!(end.expect("a pipe"), 0);
}
