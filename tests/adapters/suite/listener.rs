//! The listener as a whole: errors of accept, shutdown, bounds over all connections, Unix sockets, the generic entry (laws 8, 9
//! and 11).

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use oneport::{Address, Addresses, Outcome, Reason, Why, EVICTION_GRACE};

use crate::adapters::client::Client;
use crate::adapters::frames::{frames, greeting, request, settings_ack, waiting};
use crate::adapters::kit::{AcceptLog, Faults, Kit};
use crate::adapters::port::{check_books, flaky_tcp, handed, tcp, timed, unix, Port};
use crate::adapters::{eventually, PATIENCE};
use crate::flights::flight;

const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// What a shutdown may take (cmux: as long as the slowest client).
const AT_ONCE: Duration = Duration::from_millis(100);
/// How long the clients of a shutdown may read its words.
const LINGER: Duration = Duration::from_millis(50);

// Numbers of errors on Linux, the BSDs and macOS alike.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
/// Linux; elsewhere the kind counts.
const ECONNABORTED: i32 = if cfg!(target_os = "linux") { 103 } else { 53 };

/// Errors of accept are counted and waited out, longer each time; connections that are there or come by hand are served, and
/// then all others.
pub(crate) fn errors_of_accept_are_waited_out(kit: &dyn Kit) {
    let calls = Arc::new(AcceptLog::default());
    let mut port = flaky_tcp(vec![EMFILE, ENFILE, EMFILE, EMFILE], calls.clone()).by_protocol().open(kit);
    port.check_life("http1", HTTP1);
    port.check_life("ssh", flight("ssh").bytes);
    assert_eq!(port.control.counters().accept_errors, 4);
    let pauses = calls.pauses();
    assert_eq!(pauses.len(), 3);
    for (pause, least) in pauses.iter().zip([5, 10, 20]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
    port.check_books();
}

/// A connection that was gone before it was accepted is its own business: the next one is accepted without a pause.
pub(crate) fn a_connection_that_is_gone_makes_no_pause(kit: &dyn Kit) {
    let calls = Arc::new(AcceptLog::default());
    // With a pause for each, doubled each time, they would take over a minute.
    let mut port = flaky_tcp(vec![ECONNABORTED; 64], calls).by_protocol().open(kit);
    port.check_life("http1", HTTP1);
    assert_eq!(port.control.counters().accept_errors, 64);
}

/// Shutdown ends undecided connections at once, each with the words of its protocol, whatever they do; those that are routed
/// live, also those that their server has not taken yet; and nobody new comes in.
pub(crate) fn shutdown_is_at_once_and_harms_nobody_routed(kit: &dyn Kit) {
    // On a busy machine one try may be late; none may have to wait for a client.
    let is_at_once = (0..5).any(|_| shut_down(kit) < AT_ONCE);
    assert!(is_at_once, "never at once");
}

/// Returns how long it took until every undecided connection had ended and been told so, with none of the clients doing anything.
fn shut_down(kit: &dyn Kit) -> Duration {
    let mut port = tcp().by_protocol().impatient().limits(|limits| limits.linger = LINGER).open(kit);
    let mut routed = port.client_that_says(HTTP1);
    let mut served = port.accept("http1");
    let mut queued = port.client_that_says(HTTP1);
    port.wait_decided();

    let mut silent: Vec<_> = (0..50).map(|_| port.client()).collect();
    let mut partial = port.client_that_says(b"SS");
    let mut greeted = port.client_that_says(&waiting());
    greeted.expect(&greeting());
    let mut halfway = port.client_that_says(&waiting());
    halfway.expect(&greeting());
    halfway.send(&[settings_ack(), request("application/grpc")[..20].to_vec()].concat());
    eventually("all have come", || {
        let undecided = port.control.undecided();
        undecided.silent == 50 && undecided.partial == 2 && undecided.idle == 1
    });

    let ((), took) = timed(|| {
        port.control.shutdown();
        silent.iter_mut().for_each(Client::expect_silent_end);
        partial.expect_end_without_a_word();
        for client in [&mut greeted, &mut halfway] {
            let said = frames(&client.read_to_fin());
            assert_eq!(said.iter().map(|frame| frame.goaway()).collect::<Vec<_>>(), [Some((0, 0))]);
        }
    });
    // Those who were told something are given a moment to read it, and no more: they do not close here.
    let (counters, lingered) = timed(|| port.control.wait_served());
    assert!(lingered < LINGER + Duration::from_secs(5), "{lingered:?}");
    let records = port.records.all();
    let shut_down = records.iter().filter(|record| record.outcome == Outcome::Shutdown).count();
    assert_eq!(shut_down, 53, "all outcomes are there when serving comes back");
    assert_eq!((counters.accepted, counters.count("shutdown")), (56, 53));

    // Nobody listens any more, and nothing can be brought in by hand.
    assert!(TcpStream::connect(port.socket_address()).is_err());

    served.expect(HTTP1);
    served.say(b"still here");
    routed.expect(b"still here");
    let mut late = port.accept("http1");
    late.expect(HTTP1);
    late.say(b"here too");
    queued.expect(b"here too");
    for route in ["http1", "grpc"] {
        assert!(port.route(route).accept().is_none(), "that was all");
    }
    port.check_books();
    took
}

/// An undecided HTTP/1 request is answered when the listener shuts down.
pub(crate) fn shutdown_answers_a_request_that_has_begun(kit: &dyn Kit) {
    let waits = oneport::matchers::header("x-waits", oneport::matchers::present());
    let port = tcp().route("waits", waits).limits(|limits| limits.linger = LINGER).open(kit);
    let mut client = port.client_that_says(b"GET / HTTP/1.1\r\nHost:");
    port.wait_undecided(0, 1, 0);
    port.control.shutdown();
    let answer = String::from_utf8(client.read_to_fin()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    port.control.wait_served();
    assert_eq!(port.records.only(), Outcome::Shutdown);
}

/// Routes end when nobody can come any more: not when those who were told to go have read that.
pub(crate) fn routes_end_though_a_client_does_not_read(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().limits(|limits| limits.linger = PATIENCE / 4).open(kit);
    let mut greeted = port.client_that_says(&waiting());
    greeted.expect(&greeting());
    port.wait_undecided(0, 0, 1);
    let (end, took) = timed(|| {
        port.control.shutdown();
        port.route("http1").accept()
    });
    assert!(end.is_none(), "nobody came");
    assert!(took < PATIENCE / 8, "{took:?}");
    // It is still there, and has its words.
    let said = frames(&greeted.read_to_fin());
    assert_eq!(said.iter().map(|frame| frame.goaway()).collect::<Vec<_>>(), [Some((0, 0))]);
}

/// Who is delivered, waits in a full backlog, and is shut down, is told so and counted.
pub(crate) fn shutdown_reaches_who_waits_for_a_place(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .limits(|limits| {
            limits.backlog = 1;
            limits.linger = LINGER;
            // Nothing but the shutdown may end its wait.
            limits.delivery_deadline = 4 * PATIENCE;
        })
        .open(kit);
    let mut first = port.client_that_says(HTTP1);
    port.wait_decided();
    let mut second = port.client_that_says(HTTP1);
    port.check_life("ssh", flight("ssh").bytes);
    port.wait_undecided(0, 1, 0);
    port.control.shutdown();
    let answer = String::from_utf8(second.read_to_fin()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
    port.control.wait_served();
    let mut served = port.accept("http1");
    served.expect(HTTP1);
    served.say(b"in time");
    first.expect(b"in time");
    assert!(port.route("http1").accept().is_none());
    port.records.wait(4);
    port.check_books();
}

/// Whatever was accepted when the listener shuts down has its outcome before serving comes back.
pub(crate) fn no_outcome_is_lost_at_shutdown(kit: &dyn Kit) {
    for round in 0..20 {
        let port = tcp().by_protocol().open(kit);
        let clients: Vec<_> = (0..30).map(|_| port.client()).collect();
        eventually("some are accepted", || port.control.counters().accepted > round);
        port.control.shutdown();
        let counters = port.control.wait_served();
        check_books(&counters, &port.records.all());
        drop(clients);
    }
}

/// Beyond the bound the silent go first, and of them the one that has been there for longest; then those in mid-opening. Who has
/// just come is spared.
pub(crate) fn the_longest_silent_goes_first(kit: &dyn Kit) {
    // On a machine so busy that newcomers are none any more before all have come, it shows nothing.
    assert!((0..5).any(|_| evict(kit)), "never in time");
}

/// Whether those who have just come were newcomers to the end.
fn evict(kit: &dyn Kit) -> bool {
    let mut port = tcp().by_protocol().limits(|limits| limits.undecided = 4).open(kit);
    let mut partial = port.client_that_says(b"SS");
    port.wait_undecided(0, 1, 0);
    let mut silent = Vec::new();
    for i in 0..3 {
        silent.push(port.client());
        port.wait_undecided(i + 1, 1, 0);
    }
    // So long after they have come they are no newcomers any more.
    sleep(EVICTION_GRACE + Duration::from_millis(20));
    let start = Instant::now();
    let mut newcomers = Vec::new();
    // One after the other: two that are told to go may end in any order.
    for gone in 1..=3 {
        newcomers.push(port.client());
        port.records.wait(gone);
    }
    // Only newcomers are silent now: the one in mid-opening has to go.
    newcomers.push(port.client());
    let records = port.records.wait(4);
    if start.elapsed() >= EVICTION_GRACE {
        return false;
    }
    silent.iter_mut().for_each(Client::expect_silent_end);
    partial.expect_end_without_a_word();
    assert!(newcomers.iter_mut().all(Client::hears_nothing));
    assert!(records.iter().all(|record| record.outcome == Outcome::Refused(Reason::Overload)));
    let peers: Vec<_> = silent.iter().chain([&partial]).map(|client| client.address().into()).collect();
    assert_eq!(records.iter().map(|record| record.peer.clone()).collect::<Vec<Address>>(), peers);
    // Who speaks is served although the house is full.
    port.check_life("http1", HTTP1);
    true
}

/// Idle HTTP/2 connections have a bound of their own; the longest idle one is told to go elsewhere.
pub(crate) fn the_longest_idle_goes_first(kit: &dyn Kit) {
    let port = tcp()
        .by_protocol()
        .impatient()
        .limits(|limits| {
            limits.idle = 2;
            limits.undecided = 1;
        })
        .open(kit);
    let mut idle: Vec<_> = (0..3)
        .map(|_| {
            let mut client = port.client_that_says(&waiting());
            client.expect(&greeting());
            eventually("idle", || port.control.undecided().silent + port.control.undecided().partial == 0);
            client
        })
        .collect();
    let said = frames(&idle[0].read_to_fin());
    assert_eq!(said.iter().map(|frame| frame.goaway()).collect::<Vec<_>>(), [Some((0, 0))]);
    assert_eq!(port.records.only(), Outcome::Refused(Reason::Overload));
    assert!(idle[1..].iter_mut().all(Client::hears_nothing));
    port.wait_undecided(0, 0, 2);
}

/// Unix sockets, from the listener's path to the end.
pub(crate) fn unix_sockets_are_served(kit: &dyn Kit) {
    let path = socket_path();
    let mut port = unix(path.clone()).by_protocol().impatient().open(kit);
    assert_eq!(port.address, Address::Unix(Some(path.clone())));
    port.check_life("http1", HTTP1);

    let mut client = port.client_that_says(&waiting());
    client.expect(&greeting());
    client.send(&[settings_ack(), request("application/grpc")].concat());
    let mut served = port.accept("grpc");
    let about = served.about();
    assert_eq!(about.peer, Address::Unix(None));
    assert_eq!(about.local, Address::Unix(Some(path.clone())));
    served.expect(&[waiting(), request("application/grpc")].concat());
    client.finish();
    served.expect_fin();
    port.control.shutdown();
    port.control.wait_served();
    let _ = std::fs::remove_file(path);
}

/// A path of its own for each socket of a run.
fn socket_path() -> std::path::PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("oneport-{}-{}.sock", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

/// A stream that was accepted elsewhere is routed as if the listener had; after shutdown it is given back, still whole.
pub(crate) fn a_stream_from_elsewhere_is_routed(kit: &dyn Kit) {
    let mut port = handed().by_protocol().open(kit);
    let addresses = Addresses {
        peer: Address::Tcp(([192, 0, 2, 1], 50_000).into()),
        local: Address::Tcp(([192, 0, 2, 2], 443).into()),
    };
    // The first one waits until the mux is served.
    let mut unknown = port.pair(Faults::default());
    unknown.send(HTTP1);
    let about = port.accept("http1").about();
    assert_eq!((about.peer, about.local), (Address::Unknown, Address::Unknown));

    let (ours, theirs) = UnixStream::pair().expect("a pair");
    port.control.connect(theirs, Faults::default(), addresses.clone()).expect("it is served");
    let mut client = Client::of_pair(ours);
    client.send(HTTP1);
    let mut served = port.accept("http1");
    let about = served.about();
    assert_eq!((about.peer, about.local), (addresses.peer.clone(), addresses.local.clone()));
    assert_eq!(port.records.wait(2)[1].peer, addresses.peer);
    served.expect(HTTP1);

    port.control.shutdown();
    port.control.wait_served();
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let theirs =
        port.control.connect(theirs, Faults::default(), addresses).expect_err("it is not served any more");
    Client::of_pair(ours).send(b"whole");
    Client::of_pair(theirs).expect(b"whole");
    port.check_books();
}

/// A routed connection knows where it comes from, what it asked for, and why it is here.
pub(crate) fn a_connection_tells_about_itself(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .impatient()
        .otherwise("other")
        .config(|config| config.complete_facts = true)
        .open(kit);
    let local = port.address.clone();
    let check = |port: &mut Port, client: &Client, route: &str, why: Why| {
        let served = port.accept(route);
        let about = served.about();
        assert_eq!(about.peer, Address::Tcp(client.address()));
        assert_eq!(about.local, local);
        assert_eq!(about.route.as_deref(), Some(route));
        assert_eq!(about.why, why);
        about
    };
    let client = port.client_that_says(b"GET /a/b?c=d HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let about = check(&mut port, &client, "http1", Why::Matched(2));
    assert_eq!(about.target.as_deref(), Some(&b"/a/b?c=d"[..]));
    assert!(!about.was_greeted);

    let client = port.client_that_says(flight("openssl-tls13").bytes);
    let about = check(&mut port, &client, "tls", Why::Matched(3));
    assert_eq!(about.sni.as_deref(), Some("a.example"));

    let mut client = port.client_that_says(&waiting());
    client.expect(&greeting());
    client.send(&request("application/grpc"));
    let about = check(&mut port, &client, "grpc", Why::Matched(0));
    assert_eq!(about.target.as_deref(), Some(&b"/"[..]));
    assert!(about.was_greeted);

    let client = port.client_that_says(b"\0\0\0");
    check(&mut port, &client, "other", Why::Otherwise);
    assert_eq!(port.route("other").local_address(), local);

    let records = port.records.wait(4);
    assert_eq!(records.iter().map(|record| record.greeted).collect::<Vec<_>>(), [false, false, true, false]);
    port.check_books();
}

/// Routed sockets do not hold back small writes: the servers behind can not ask for that.
pub(crate) fn nodelay_is_set(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    let _client = port.client_that_says(HTTP1);
    assert_eq!(port.accept("http1").nodelay(), Some(true));
}
