//! Requests that are routed one by one: each gets to its own server, whole, whatever else is on the connection.

use std::io::{IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use oneport::matchers::{grpc, path};
use oneport::{Address, BridgeEnd, Outcome, SplitOutcome, StillOwed, Why};
use oneport_core::wire::frame::{ErrorCode, PREFACE};

use crate::adapters::client::Client;
use crate::adapters::eventually;
use crate::adapters::frames::{frames, waiting};
use crate::adapters::kit::{Faults, Kit};
use crate::adapters::port::{handed, pairs, tcp, timed, Port};
use crate::adapters::talker::{Talker, GRPC, POST};
use crate::adapters::PATIENCE;
use crate::flights::flight;

/// What may be held of a body that is not taken, by the mux and the buffers of sockets together: far from the whole of it.
const HELD: usize = 1 << 20;
const LONG: usize = 3 << 20;

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i >> 8) as u8 ^ i as u8).collect()
}

/// Waits until it has not changed for a while.
fn stalled(sent: &AtomicUsize) -> usize {
    let (mut last, mut same) = (0, 0);
    eventually("it stops", || {
        sleep(Duration::from_millis(20));
        let now = sent.load(Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same == 15
    });
    last
}

/// Calls and other requests share a connection: each server gets its own, and sees a plain HTTP/2 client.
pub(crate) fn two_routes_share_a_connection(kit: &dyn Kit) {
    let mut port = tcp().route("grpc", grpc()).otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.call(1);
    client.get(3, "/");
    let mut calls = Talker::server(port.accept("grpc"));
    let mut rest = Talker::server(port.accept("rest"));
    for round in 0..10 {
        let (call, get) = (1 + 4 * round, 3 + 4 * round);
        if round > 0 {
            client.call(call);
            client.get(get, "/");
        }
        rest.answer(get, b"rest");
        calls.answer(call, b"\0\0\0\0\x03def");
        client.expect_answer(call, b"\0\0\0\0\x03def");
        client.expect_answer(get, b"rest");
        assert_eq!(calls.peer.content(call), b"\0\0\0\0\x03abc");
    }
    assert_eq!(calls.peer.ids(), (0..10).map(|round| 1 + 4 * round).collect::<Vec<_>>());
    assert_eq!(rest.peer.ids(), (0..10).map(|round| 3 + 4 * round).collect::<Vec<_>>());

    // One connection was accepted, and it has one outcome, which is no route's.
    let record = port.records.wait(1).remove(0);
    assert_eq!(
        (record.outcome, record.route, record.greeted),
        (Outcome::Routed(Why::PerRequest), None, false)
    );
    assert_eq!(port.control.counters().accepted, 1);
    assert_eq!(port.control.undecided().split, 1);
    client.io.finish();
    calls.io.expect_fin();
    rest.io.expect_fin();
    eventually("it is gone", || port.control.undecided().split == 0);
    port.records.wait(1);
    port.check_books();
}

/// A share tells whose client it is of, and has no stream of its own.
pub(crate) fn a_share_tells_about_itself(kit: &dyn Kit) {
    let mut port = tcp().route("grpc", grpc()).otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut served = port.accept("rest");
    let about = served.about();
    assert_eq!(about.peer, Address::Tcp(client.io.address()));
    assert_eq!(about.local, port.address);
    assert_eq!((about.route.as_deref(), about.why), (Some("rest"), Why::PerRequest));
    assert!(!about.was_greeted);
    assert_eq!((about.target, about.sni), (None, None), "each request has a head of its own");
    assert_eq!(served.owed(), Some(StillOwed::Shared));
    served = match served.into_inner() {
        Err((served, owed)) => {
            assert_eq!(owed, StillOwed::Shared);
            served
        }
        Ok(_) => panic!("there is no inner stream"),
    };
    let mut server = Talker::server(served);
    server.answer(1, b"still whole");
    client.expect_answer(1, b"still whole");
}

/// Both halves of a share work at a time, and vectored writes arrive.
pub(crate) fn halves_of_a_share(kit: &dyn Kit) {
    let mut port = tcp().otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let served = port.accept("rest");
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let mut preface = vec![0; PREFACE.len()];
    let mut served = served.on_halves(&mut preface, settings);
    assert_eq!(preface, PREFACE);
    assert_ne!(served.writes_vectored(), Some(false));
    // HEADERS with END_HEADERS and END_STREAM on stream 1.
    let head = [1, 5, 0, 0, 0, 1];
    let mut asked = Vec::new();
    while !asked.windows(head.len()).any(|window| window == head) {
        let mut buffer = [0; 100];
        let count = served.read(&mut buffer).expect("the request");
        asked.extend_from_slice(&buffer[..count]);
    }
    // `:status: 200` is an index of the static table.
    let slices = [&b"\0\0\x01\x01"[..], b"", b"\x05\0\0\0\x01\x88"].map(IoSlice::new);
    assert_eq!(served.write_vectored_once(&slices).expect("the client reads"), 10);
    client.expect_answer(1, b"");
}

/// A server that takes nothing of an upload holds back its client, and nothing is lost.
pub(crate) fn an_upload_waits_for_its_server(kit: &dyn Kit) {
    let mut port = handed().otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.pair(Faults::default()));
    client.peer.say_head(1, &POST, false, None);
    client.flush();
    let mut server = Talker::generous_server(port.accept("rest"));
    server.peer.auto_credit = false;
    server.until("the head", |peer| !peer.words(1).is_empty());
    let sent = AtomicUsize::new(0);
    let whole = body(LONG);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.pour(1, &whole, &sent);
            client.expect_answer(1, b"thanks");
        });
        let held = stalled(&sent);
        assert!(held < HELD, "{held} bytes were taken from the client");
        server.answer(1, b"thanks");
    });
    assert!(server.peer.content(1) == whole);
}

/// A client that takes nothing of a download holds back its server, and nothing is lost.
pub(crate) fn a_download_waits_for_its_client(kit: &dyn Kit) {
    let mut port = handed().otherwise("rest").per_request().open(kit);
    let mut client = Talker::generous_client(port.pair(Faults::default()));
    client.peer.auto_credit = false;
    client.get(1, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(1);
    let sent = AtomicUsize::new(0);
    let whole = body(LONG);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.peer.say_head(1, &[(":status", "200")], false, None);
            server.pour(1, &whole, &sent);
        });
        let held = stalled(&sent);
        assert!(held < HELD, "{held} bytes were taken from the server");
        client.expect_answer(1, &whole);
    });
}

/// A body both ways at once, sip by sip: what comes is sent back.
pub(crate) fn bodies_both_ways_at_once(kit: &dyn Kit) {
    let mut port = tcp().otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.peer.say_head(1, &POST, false, None);
    client.flush();
    let mut server = Talker::server(port.accept("rest"));
    let whole = body(1 << 20);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.until("the head", |peer| !peer.words(1).is_empty());
            server.peer.say_head(1, &[(":status", "200")], false, None);
            let mut echoed = 0;
            while echoed < whole.len() {
                server.flush();
                let count = (server.content(1).len() - echoed).min(server.peer.sendable(1)).min(16_384);
                if count == 0 {
                    assert!(server.try_hear().expect("it lives") > 0, "the end after {echoed} bytes");
                    continue;
                }
                let piece = server.content(1)[echoed..echoed + count].to_vec();
                echoed += count;
                server.peer.say_data(1, &piece, echoed == whole.len(), None);
            }
            server.flush();
        });
        client.pour(1, &whole, &sent);
        client.expect_answer(1, &whole);
    });
}

/// A server that has taken its share and does nothing holds back no other route, and its clients are answered.
pub(crate) fn a_share_that_hangs_is_alone(kit: &dyn Kit) {
    let deadline = Duration::from_millis(300);
    let mut port = tcp()
        .route("grpc", grpc())
        .otherwise("rest")
        .split(|split| split.connect_deadline = deadline)
        .open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut hanging = port.accept("rest");
    client.call(3);
    let mut calls = Talker::server(port.accept("grpc"));
    for id in 0..10 {
        if id > 0 {
            client.call(3 + 2 * id);
        }
        calls.answer(3 + 2 * id, b"\0\0\0\0\0");
        client.expect_answer(3 + 2 * id, b"\0\0\0\0\0");
    }
    client.expect_status(1, "502");
    // It was cut off; a later request gets a new one.
    assert!(hanging.read_to_end(&mut Vec::new()).is_err());
    client.get(101, "/");
    Talker::server(port.accept("rest")).answer(101, b"awake");
    client.expect_answer(101, b"awake");
}

/// A server that answers and reads no more while its client uploads: others on the connection are not held back.
pub(crate) fn a_server_that_stops_reading_is_alone(kit: &dyn Kit) {
    let mut port = tcp().route("grpc", grpc()).otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.peer.say_head(1, &POST, false, None);
    client.flush();
    let mut stuck = Talker::generous_server(port.accept("rest"));
    stuck.until("the head", |peer| !peer.words(1).is_empty());
    // More than is held of it; the rest would wait for the window.
    let sendable = client.peer.sendable(1);
    client.peer.say_data(1, &body(16_384), false, None);
    client.flush();
    let mut sent = 16_384;
    while sent + 16_384 <= sendable {
        client.peer.say_data(1, &body(16_384), false, None);
        client.flush();
        sent += 16_384;
    }
    client.call(3);
    let mut calls = Talker::server(port.accept("grpc"));
    for id in 0..10 {
        if id > 0 {
            client.call(3 + 2 * id);
        }
        calls.answer(3 + 2 * id, b"\0\0\0\0\0");
        client.expect_answer(3 + 2 * id, b"\0\0\0\0\0");
    }
}

/// Reads of one byte, writes of one byte, writes that are not ready: each exchange is the same.
pub(crate) fn every_cut_of_the_clients_stream(kit: &dyn Kit) {
    let faults = [
        Faults { read_at_most: Some(1), ..Faults::default() },
        Faults { write_at_most: Some(1), stutters: true, ..Faults::default() },
        Faults { write_at_most: Some(7), stutters: true, is_vectored: true, ..Faults::default() },
        Faults { read_cuts: vec![3, 23, 24, 25, 33, 34, 50], is_vectored: true, ..Faults::default() },
    ];
    let mut port = pairs().route("grpc", grpc()).otherwise("rest").per_request().open(kit);
    for faults in faults {
        // Each write of a byte is a turn of the driver.
        let answer = body(if faults.write_at_most == Some(1) { 500 } else { 16_000 });
        let mut client = Talker::client(port.pair(faults));
        // In pieces from here as well, for runtimes whose streams have no faults.
        client.peer.say_head(1, &GRPC, false, None);
        client.peer.say_data(1, &[7; 300], true, None);
        let bytes = std::mem::take(&mut client.peer.out);
        client.io.drip(&bytes, Duration::ZERO);
        client.get(3, "/");
        let mut calls = Talker::server(port.accept("grpc"));
        let mut rest = Talker::server(port.accept("rest"));
        calls.answer(1, &answer);
        rest.answer(3, &answer);
        client.expect_answer(1, &answer);
        client.expect_answer(3, &answer);
        assert_eq!(calls.peer.content(1), [7; 300]);
    }
}

/// What is not HTTP/2 is routed as before, connection by connection.
pub(crate) fn other_protocols_are_routed_as_before(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().per_request().open(kit);
    port.check_life("http1", flight("curl-h1").bytes);
    port.check_life("tls", flight("openssl-tls13").bytes);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    client.call(3);
    Talker::server(port.accept("http2")).answer(1, b"ok");
    Talker::server(port.accept("grpc")).answer(3, b"\0\0\0\0\0");
    client.expect_answer(1, b"ok");
    port.check_life("ssh", flight("ssh").bytes);
    port.check_life("http1", flight("curl-h1").bytes);
    port.records.wait(5);
    port.check_books();
}

/// Silent clients and prefaces that do not come whole have the same deadlines as ever; one without SETTINGS has the machine's.
pub(crate) fn openings_have_their_deadlines(kit: &dyn Kit) {
    let deadline = Duration::from_millis(200);
    let mut port = tcp()
        .by_protocol()
        .config(|config| {
            config.silent_deadline = deadline;
            config.opening_deadline = deadline;
        })
        .split(|split| split.opening_deadline = deadline)
        .open(kit);
    let mut silent = port.client();
    let mut partial = port.client_that_says(&PREFACE[..20]);
    let mut wordless = port.client_that_says(PREFACE);
    let (said, took) = timed(|| {
        silent.expect_silent_end();
        partial.read_what_comes();
        frames(&wordless.read_to_fin())
    });
    assert!(took < PATIENCE / 2, "{took:?}");
    assert_eq!(said.last().and_then(|frame| frame.goaway()), Some((0, 0)), "{said:?}");
    let timed_out = |outcome: Outcome| matches!(outcome, Outcome::TimedOut(_));
    let records = port.records.wait(3);
    assert_eq!(records.iter().filter(|record| timed_out(record.outcome)).count(), 2, "{records:?}");
    assert_eq!(port.control.undecided().split, 0);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    Talker::server(port.accept("http2")).answer(1, b"ok");
    client.expect_answer(1, b"ok");
}

/// A connection from elsewhere is split like one of the listener's.
pub(crate) fn a_stream_from_elsewhere_is_split(kit: &dyn Kit) {
    let mut port = handed().route("a", path("/a")).otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.pair(Faults::default()));
    client.get(1, "/a");
    client.get(3, "/b");
    Talker::server(port.accept("a")).answer(1, b"a");
    Talker::server(port.accept("rest")).answer(3, b"b");
    client.expect_answer(1, b"a");
    client.expect_answer(3, b"b");
    assert_eq!(port.records.only(), Outcome::Routed(Why::PerRequest));
}

/// A client that breaks the protocol is told so, and its servers hear the end.
pub(crate) fn a_broken_client_gets_a_goaway(kit: &dyn Kit) {
    let mut port = tcp().otherwise("rest").per_request().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(1);
    // HEADERS on an even stream.
    client.io.send(b"\0\0\x03\x01\x05\0\0\0\x02\x82\x86\x84");
    client.hear_the_end().expect("a FIN");
    assert_eq!(client.peer.goaways, [(1, 1)]);
    assert!(server.io.read_to_end(&mut Vec::new()).is_err(), "its request was cut off");
}

/// How each split connection ends is told once, and counted: behind its outcome, which is that it was routed.
pub(crate) fn each_has_one_end(kit: &dyn Kit) {
    let mut port = tcp().otherwise("rest").per_request().open(kit);
    let mut broken = Talker::client(port.client());
    broken.get(1, "/");
    broken.get(3, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(3);
    assert!(port.split_ends.lock().expect("a lock").is_empty(), "it goes on");
    // HEADERS on an even stream.
    broken.io.send(b"\0\0\x03\x01\x05\0\0\0\x02\x82\x86\x84");
    broken.hear_the_end().expect("a FIN");
    let refused = (Some(SplitOutcome::Refused(ErrorCode::PROTOCOL_ERROR)), 2);
    eventually("its end", || *port.split_ends.lock().expect("a lock") == [refused]);
    drop(Talker::client(port.client()));
    let left = (Some(SplitOutcome::Left), 0);
    eventually("the other's end", || *port.split_ends.lock().expect("a lock") == [refused, left]);
    assert_eq!(port.records.wait(2)[0].outcome, Outcome::Routed(Why::PerRequest));
    let counters = port.control.counters();
    let counted: Vec<_> = counters
        .splits
        .iter()
        .map(|(key, tally)| (key.outcome, key.detail.as_str(), tally.count, tally.requests))
        .collect();
    assert_eq!(counted, [("left", "", 1, 0), ("refused", "PROTOCOL_ERROR", 1, 2)]);
}

/// The mux itself speaks HTTP/2 with a server at the other end of a socket, and says how that ends.
pub(crate) fn a_server_elsewhere_is_bridged(kit: &dyn Kit) {
    let mut port = tcp().route("grpc", grpc()).otherwise("rest").per_request().open(kit);
    let bridged = |port: &mut Port, client: &mut Talker<Client>, id| {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.get(id, "/");
        let end = port.route("rest").bridge(theirs);
        (Talker::server(ours), end)
    };
    // Large bodies, beside a share of another route.
    let mut client = Talker::client(port.client());
    let (mut server, end) = bridged(&mut port, &mut client, 1);
    server.answer(1, b"from afar");
    client.expect_answer(1, b"from afar");
    client.call(3);
    Talker::server(port.accept("grpc")).answer(3, b"\0\0\0\0\0");
    client.expect_answer(3, b"\0\0\0\0\0");
    client.peer.say_head(5, &POST, false, None);
    let whole = body(1 << 20);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| client.pour(5, &whole, &sent));
        server.until_asked(5);
    });
    assert!(server.peer.content(5) == whole);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.peer.say_head(5, &[(":status", "200")], false, None);
            server.pour(5, &whole, &sent);
        });
        client.expect_answer(5, &whole);
    });
    client.io.finish();
    server.hear_the_end().expect("a FIN");
    assert_eq!(end(), BridgeEnd::Clean);

    // The server goes with a request in progress.
    let mut client = Talker::client(port.client());
    let (mut server, end) = bridged(&mut port, &mut client, 1);
    server.until_asked(1);
    server.io.shutdown(Shutdown::Both).expect("a socket");
    drop(server);
    client.expect_status(1, "502");
    assert_eq!(end(), BridgeEnd::Cut);

    // It speaks HTTP/1.
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    client.get(3, "/");
    let end = port.route("rest").bridge(theirs);
    (&ours).write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").expect("it is read");
    client.expect_status(3, "502");
    assert!(matches!(end(), BridgeEnd::Fault(_)));

    // The client goes with a request in progress.
    let (mut server, end) = bridged(&mut port, &mut client, 5);
    server.until_asked(5);
    client.io.reset();
    let _ = server.io.read_to_end(&mut Vec::new());
    assert_eq!(end(), BridgeEnd::Cut);
}

/// A client that begins with a preface and then takes its time is split at once: it hears SETTINGS without waiting.
pub(crate) fn everybody_is_greeted_at_once(kit: &dyn Kit) {
    let port = tcp().by_protocol().per_request().open(kit);
    let mut client = port.client_that_says(&waiting());
    let mut head = [0; 9];
    client.read_exact(&mut head).expect("SETTINGS");
    assert_eq!((head[3], head[4]), (4, 0));
    assert_eq!(port.records.only(), Outcome::Routed(Why::PerRequest));
}
