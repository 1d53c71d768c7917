//! What only the adapter on async-io has: an executor inside of `serve`, and a socket whose half-close works.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use oneport::matchers::{http1, prefix, prefix_fn};
use oneport::smol::{Incoming, Mux, Socket};
use oneport::{Addresses, Limits, Outcome, Reason};
use smol::io::{AsyncReadExt, AsyncWriteExt};

type Tcp = Socket<TcpStream>;

fn mux(limits: Limits) -> (Mux<Async<TcpListener>>, std::net::SocketAddr) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    (Mux::with_bounds(listener, oneport::Config::default(), limits), address)
}

fn connect(address: std::net::SocketAddr, opening: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(opening).unwrap();
    client
}

fn outcomes(mux: &mut Mux<Async<TcpListener>>) -> Arc<Mutex<Vec<Outcome>>> {
    let outcomes = Arc::new(Mutex::default());
    let seen = Arc::clone(&outcomes);
    mux.on_outcome(move |report| Vec::push(&mut seen.lock().unwrap(), report.outcome));
    outcomes
}

/// Polls until it holds, for ten seconds.
async fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not come to hold");
        Timer::after(Duration::from_millis(2)).await;
    }
}

/// Serves while `story` runs, on the same thread.
fn tell(mux: Mux<Async<TcpListener>>, story: impl Future<Output = ()>) {
    smol::block_on(smol::future::or(
        async {
            let serving = async {
                mux.serve().await;
                "serving ended by itself"
            };
            let deadline = async {
                Timer::after(Duration::from_secs(20)).await;
                "the story does not end"
            };
            let ended = smol::future::or(serving, deadline).await;
            panic!("{ended}");
        },
        story,
    ));
}

async fn echo(mut incoming: Incoming<Tcp>) {
    while let Some(mut connection) = incoming.accept().await {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        connection.write_all(&bytes).await.unwrap();
        connection.close().await.unwrap();
        // Held on to: the client hears of the end from `close` alone.
        Box::leak(Box::new(connection));
    }
}

#[test]
fn half_close_works_on_either_side() {
    let (mut mux, address) = mux(Limits::default());
    let incoming = mux.route("a", prefix("a"));
    let client = thread::spawn(move || {
        let mut client = connect(address, b"abc");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        heard
    });
    tell(mux, smol::future::or(echo(incoming), until(|| client.is_finished())));
    assert_eq!(client.join().unwrap(), b"abc");
}

#[test]
fn dropping_serve_closes_everything_and_accounts_for_it() {
    let (mut mux, address) = mux(Limits::default());
    let outcomes = outcomes(&mut mux);
    let mut incoming = mux.route("a", prefix("aa"));
    let handle = mux.handle();
    let undecided = connect(address, b"a");
    let _decided = connect(address, b"aa");
    tell(mux, until(|| handle.counters().accepted == 2 && handle.undecided().partial == 1));
    assert_eq!((&undecided).read(&mut [0]).unwrap(), 0);
    assert_eq!(*outcomes.lock().unwrap(), [Outcome::Shutdown]);
    let other = Socket::new(undecided).unwrap();
    assert!(handle.connect(other, Addresses::UNKNOWN).is_err());
    // The decided one is still to be had; then the route ends.
    smol::block_on(async {
        drop(incoming.accept().await.unwrap());
        assert!(incoming.accept().await.is_none());
    });
    assert!(matches!(outcomes.lock().unwrap()[1], Outcome::Routed(_)));
}

#[test]
fn a_closure_that_panics_harms_one_client() {
    let (mut mux, address) = mux(Limits::default());
    let outcomes = outcomes(&mut mux);
    let judge = |bytes: &[u8]| match bytes {
        [] => oneport::Verdict::NeedMore,
        [b'!', ..] => panic!("on purpose"),
        _ => oneport::Verdict::NoMatch,
    };
    let _closure = mux.route("closure", prefix_fn(judge));
    let mut rest = mux.otherwise("rest");
    let victim = connect(address, b"!");
    let other = connect(address, b"?\n");
    tell(mux, async {
        drop(rest.accept().await.unwrap());
        until(|| outcomes.lock().unwrap().len() == 2).await;
        assert_eq!((&victim).read(&mut [0]).unwrap(), 0);
    });
    drop(other);
}

#[test]
fn a_full_backlog_holds_back_its_route_only_and_refuses_in_time() {
    let mut limits = Limits::default();
    limits.backlog = 1;
    limits.delivery_deadline = Duration::from_millis(100);
    let (mut mux, address) = mux(limits);
    let outcomes = outcomes(&mut mux);
    let mut old = mux.route("http1", http1());
    // No byte of a method: it is not HTTP/1 at once.
    let mut other = mux.route("zero", prefix("\0"));
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let clients: Vec<_> = (0..3).map(|_| connect(address, GET)).collect();
    let _other = connect(address, b"\0");
    tell(mux, async {
        other.accept().await.unwrap();
        until(|| outcomes.lock().unwrap().len() == 3).await;
        let late = Outcome::Refused(Reason::DeliveryTimeout);
        assert_eq!(outcomes.lock().unwrap()[1..], [late, late]);
        let mut connection = old.accept().await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        connection.close().await.unwrap();
        drop((old, other));
    });
    let mut answers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let mut heard = String::new();
            client.read_to_string(&mut heard).unwrap();
            heard.get(9..12).unwrap_or("none").to_owned()
        })
        .collect();
    answers.sort();
    assert_eq!(answers, ["200", "502", "502"]);
}

#[test]
fn nobody_waits_behind_one_that_is_refused() {
    let mut limits = Limits::default();
    limits.backlog = 1;
    limits.delivery_deadline = Duration::from_millis(300);
    limits.linger = Duration::from_secs(60);
    let (mut mux, address) = mux(limits);
    let outcomes = outcomes(&mut mux);
    let mut old = mux.route("http1", http1());
    let handle = mux.handle();
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    // One waits in the backlog; one gets no place in time, and does not read its refusal.
    let _held = [connect(address, GET), connect(address, GET)];
    tell(mux, async {
        until(|| *outcomes.lock().unwrap() == [Outcome::Refused(Reason::DeliveryTimeout)]).await;
        let _third = connect(address, GET);
        until(|| handle.counters().accepted == 3 && handle.undecided().partial == 1).await;
        old.accept().await.unwrap();
        let late = async {
            Timer::after(Duration::from_secs(5)).await;
            panic!("the place is free, and nobody comes")
        };
        smol::future::or(old.accept(), late).await.unwrap();
        // Nor does it hold the route when all else has ended.
        handle.shutdown();
        until(|| handle.undecided() == Default::default()).await;
        let late = async {
            Timer::after(Duration::from_secs(5)).await;
            panic!("the route does not end")
        };
        assert!(smol::future::or(old.accept(), late).await.is_none());
    });
}

#[test]
fn bounds_may_be_as_large_as_can_be() {
    let mut limits = Limits::default();
    limits.backlog = usize::MAX;
    limits.delivery_deadline = Duration::MAX;
    limits.linger = Duration::MAX;
    let (mut mux, address) = mux(limits);
    let outcomes = outcomes(&mut mux);
    let mut route = mux.route("a", prefix("a"));
    let _routed = connect(address, b"a");
    let refused = thread::spawn(move || {
        let mut heard = String::new();
        connect(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").read_to_string(&mut heard).unwrap();
        heard
    });
    tell(mux, async {
        route.accept().await.unwrap();
        until(|| outcomes.lock().unwrap().len() == 2 && refused.is_finished()).await;
    });
    assert!(refused.join().unwrap().starts_with("HTTP/1.1 404"));
}

#[test]
fn a_dropped_route_refuses_those_who_wait_in_it() {
    let (mut mux, address) = mux(Limits::default());
    let outcomes = outcomes(&mut mux);
    let old = mux.route("http1", http1());
    let handle = mux.handle();
    let client = thread::spawn(move || {
        let mut heard = String::new();
        connect(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").read_to_string(&mut heard).unwrap();
        heard
    });
    tell(mux, async {
        until(|| handle.counters().accepted == 1 && handle.undecided() == Default::default()).await;
        drop(old);
        until(|| client.is_finished()).await;
    });
    assert!(client.join().unwrap().starts_with("HTTP/1.1 502"));
    assert_eq!(*outcomes.lock().unwrap(), [Outcome::Refused(Reason::BackendDown)]);
}

#[test]
fn shutdown_ends_the_undecided_at_once_and_lets_refusals_be_read() {
    let (mut mux, address) = mux(Limits::default());
    let handle = mux.handle();
    let _route = mux.route("a", prefix("a"));
    let silent = connect(address, b"");
    let refused = connect(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let start = Instant::now();
    let stop = {
        let handle = handle.clone();
        async move { until(|| handle.counters().count("refused") == 1 && handle.undecided().silent == 1).await }
    };
    smol::block_on(mux.serve_until(stop));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((&silent).read(&mut [0]).unwrap(), 0);
    let mut heard = String::new();
    (&refused).read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 404"), "{heard}");
    assert!(TcpStream::connect(address).is_err());
}
