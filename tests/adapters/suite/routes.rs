//! Routes whose servers are slow, hang, or are gone: their clients are answered in their own protocol, and all others live (laws
//! 9 and 11).

use std::os::unix::net::UnixStream;
use std::time::Duration;

use oneport::matchers::{header, is, path};
use oneport::{Addresses, Outcome, Reason, StillOwed, EVICTION_GRACE};
use oneport_core::wire::frame::{flag, Kind};

use crate::adapters::client::Client;
use crate::adapters::frames::{frames, request, waiting};
use crate::adapters::kit::{Faults, Kit};
use crate::adapters::port::{handed, tcp, timed, Record};
use crate::flights::flight;

const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// The most that may have been read beyond the verdict.
const ONE_READ: usize = 4 * 1024;

/// A gRPC client is told a status in a trailers-only response on its stream, so that it neither waits nor tries again.
#[track_caller]
fn expect_grpc_status(client: &mut Client, status: &str) {
    let said = frames(&client.read_to_fin());
    let kinds: Vec<_> = said.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::SETTINGS, Kind::SETTINGS, Kind::HEADERS, Kind::GOAWAY], "{said:?}");
    let headers = &said[2];
    assert_eq!((headers.stream, headers.flags), (1, flag::END_HEADERS | flag::END_STREAM));
    let fields = fields(&headers.payload);
    let value = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(value(":status"), Some("200"));
    assert_eq!(value("content-type"), Some("application/grpc"));
    assert_eq!(value("grpc-status"), Some(status));
    assert_eq!(said[3].goaway(), Some((0, 1)));
}

fn fields(block: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("plain text");
    let mut fields = Vec::new();
    fluke_hpack::Decoder::new()
        .decode_with_cb(block, |name, value| {
            fields.push((text(name.into_owned()), text(value.into_owned())));
        })
        .expect("a block");
    fields
}

#[track_caller]
fn expect_http1_status(client: &mut Client, status: &str) {
    let answer = String::from_utf8(client.read_to_fin()).expect("text");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    assert!(head.contains("\r\nConnection: close"), "{answer}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{answer}");
}

#[track_caller]
fn expect_http2_status(client: &mut Client, status: &str) {
    let said = frames(&client.read_to_fin());
    let headers = said.iter().find(|frame| frame.kind == Kind::HEADERS).expect("an answer");
    assert_eq!(fields(&headers.payload), [(":status".to_owned(), status.to_owned())]);
    assert_eq!(said.last().and_then(|frame| frame.goaway()), Some((0, 1)));
}

/// A full backlog holds back its own route only; who waits longer than the deadline for a place is refused; who has a place keeps it.
pub(crate) fn a_full_backlog_holds_back_its_route_only(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .limits(|limits| {
            limits.backlog = 1;
            limits.delivery_deadline = Duration::from_millis(150);
        })
        .open(kit);
    let mut first = port.client_that_says(HTTP1);
    port.wait_decided();
    let mut second = port.client_that_says(HTTP1);
    port.check_life("ssh", flight("ssh").bytes);
    expect_http1_status(&mut second, "502");
    let second = second.address().into();
    let records = port.records.wait(3);
    let record = records.iter().find(|record| record.peer == second).expect("an outcome");
    assert_eq!(record.outcome, Outcome::Refused(Reason::DeliveryTimeout));
    assert_eq!(record.route.as_deref(), Some("http1"));

    let call = [waiting(), request("application/grpc+proto")].concat();
    let queued = port.client_that_says(&call);
    port.wait_decided();
    expect_grpc_status(&mut port.client_that_says(&call), "14");
    port.check_life("ssh", flight("ssh").bytes);
    drop(queued);

    let mut served = port.accept("http1");
    served.expect(HTTP1);
    served.say(b"it was worth the wait");
    first.expect(b"it was worth the wait");
}

/// Connections that wait for a place get it when one becomes free, in the order in which they came.
pub(crate) fn a_place_that_becomes_free_is_taken(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().limits(|limits| limits.backlog = 1).open(kit);
    let mut clients = Vec::new();
    for i in 0..3 {
        clients.push(port.client_that_says(&[HTTP1, &[b'0' + i]].concat()));
        port.check_life("ssh", flight("ssh").bytes);
        port.wait_undecided(0, usize::from(i), 0);
    }
    assert!(port.control.undecided().bytes >= 2 * HTTP1.len(), "what waits is in the books");
    for (i, client) in clients.iter_mut().enumerate() {
        let mut served = port.accept("http1");
        served.expect(HTTP1);
        served.expect(&[b'0' + i as u8]);
        served.say(b"served");
        client.expect(b"served");
    }
    port.check_books();
}

/// Who waits for a place counts as undecided. If there are too many of those, it is told so at once, long before its deadline.
pub(crate) fn who_waits_for_a_place_can_be_told_to_go(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .limits(|limits| {
            limits.backlog = 1;
            limits.undecided = 2;
            limits.delivery_deadline = 4 * crate::adapters::PATIENCE;
        })
        .open(kit);
    let _first = port.client_that_says(HTTP1);
    port.wait_decided();
    let mut second = port.client_that_says(HTTP1);
    port.wait_undecided(0, 1, 0);
    // So long after its last byte it is no newcomer any more.
    std::thread::sleep(EVICTION_GRACE + Duration::from_millis(20));
    let _newcomers = [port.client(), port.client()];
    expect_http1_status(&mut second, "503");
    assert_eq!(port.records.wait(2)[1].outcome, Outcome::Refused(Reason::Overload));
    // Its place in the line is free, too.
    let mut served = port.accept("http1");
    served.expect(HTTP1);
}

/// Who waits for a place at a server that goes is answered at once, long before its deadline.
pub(crate) fn who_waits_for_a_place_hears_that_its_server_is_gone(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .limits(|limits| {
            limits.backlog = 1;
            limits.delivery_deadline = 4 * crate::adapters::PATIENCE;
        })
        .open(kit);
    let mut first = port.client_that_says(HTTP1);
    port.wait_decided();
    let mut second = port.client_that_says(HTTP1);
    port.wait_undecided(0, 1, 0);
    drop(port.routes.remove("http1"));
    expect_http1_status(&mut first, "502");
    expect_http1_status(&mut second, "502");
    let records = port.records.wait(3);
    let down = |record: &&Record| matches!(record.outcome, Outcome::Refused(Reason::BackendDown));
    assert_eq!(records.iter().filter(down).count(), 2, "{records:?}");
}

/// Openings that wait for a server that does not take them have a bound of bytes, and take nothing from other routes.
pub(crate) fn what_waits_for_a_server_takes_no_room_from_others(kit: &dyn Kit) {
    const BUDGET: usize = 64 * 1024;
    let large =
        |path: &str, size| format!("GET {path} HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(size)).into_bytes();
    // Their routes are known with the last field, when all of a head has come.
    let mut port = tcp()
        .route("never", header("x-never", is("there")))
        .route("stuck", path("/stuck"))
        .by_protocol()
        .limits(|limits| limits.opening_bytes = BUDGET)
        .open(kit);
    let stuck: Vec<_> = (0..8).map(|_| port.client_that_says(&large("/stuck", 15_000))).collect();
    port.wait_decided();
    let record = port.records.all();
    let refused = |record: &&Record| record.outcome == Outcome::Refused(Reason::Overload);
    assert!(record.iter().filter(refused).count() >= 3, "they do not all fit: {record:?}");
    for _ in 0..10 {
        port.check_life("http1", &large("/", 15_000));
    }
    drop(stuck);
}

/// A server that has taken a connection and does nothing harms nobody else, not even on its own route.
pub(crate) fn a_server_that_hangs_is_alone(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    let mut client = port.client_that_says(HTTP1);
    let hanging = port.accept("http1");
    for _ in 0..5 {
        port.check_life("http1", HTTP1);
        port.check_life("ssh", flight("ssh").bytes);
    }
    assert!(client.hears_nothing());
    drop(hanging);
}

/// A dropped `Incoming` refuses what waits in it and what comes later, each in its own protocol; the other routes live.
pub(crate) fn a_dropped_incoming_refuses_its_own(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    let grpc = [waiting(), request("application/grpc")].concat();
    let http2 = [waiting(), request("text/plain")].concat();
    let hello = flight("openssl-tls13").bytes;

    let openings = [HTTP1, &grpc, &http2, hello];

    let queued = openings.map(|opening| port.client_that_says(opening));
    port.wait_decided();
    for route in ["http1", "grpc", "http2", "tls"] {
        drop(port.routes.remove(route));
    }
    expect_backend_down(queued);
    port.check_life("ssh", flight("ssh").bytes);
    expect_backend_down(openings.map(|opening| port.client_that_says(opening)));
    port.check_life("ssh", flight("ssh").bytes);
    let records = port.records.wait(11);
    let down = |record: &&Record| matches!(record.outcome, Outcome::Refused(Reason::BackendDown));
    assert_eq!(records.iter().filter(down).count(), 8);
    port.check_books();
}

#[track_caller]
fn expect_backend_down([mut http1, mut grpc, mut http2, mut tls]: [Client; 4]) {
    expect_http1_status(&mut http1, "502");
    expect_grpc_status(&mut grpc, "14");
    expect_http2_status(&mut http2, "502");
    assert_eq!(tls.read_to_fin(), [21, 3, 3, 0, 2, 2, 80], "internal_error");
}

/// A server may look at a connection and refuse it for a reason of its own; forgetting it refuses it too.
pub(crate) fn a_server_can_refuse(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    let mut client = port.client_that_says(HTTP1);
    port.route("http1").refuse(Reason::Forbidden);
    expect_http1_status(&mut client, "403");
    assert_eq!(port.records.only(), Outcome::Refused(Reason::Forbidden));

    let mut client = port.client_that_says(HTTP1);
    port.route("http1").forget();
    expect_http1_status(&mut client, "502");
    port.records.wait(2);
    port.check_books();
}

/// Whoever is on no route is refused in its own protocol, at once.
pub(crate) fn no_route_is_answered_at_once(kit: &dyn Kit) {
    let port = tcp().route("never", path("/nowhere")).open(kit);
    expect_http1_status(&mut port.client_that_says(HTTP1), "404");
    expect_http2_status(&mut port.client_that_says(&[waiting(), request("text/plain")].concat()), "404");
    expect_grpc_status(&mut port.client_that_says(&[waiting(), request("application/grpc")].concat()), "12");
    let hello = flight("openssl-tls13").bytes;
    assert_eq!(port.client_that_says(hello).read_to_fin(), [21, 3, 3, 0, 2, 2, 112], "unrecognized_name");
    // Nothing can be said to SSH.
    let (_, took) = timed(|| port.client_that_says(flight("ssh").bytes).expect_end_without_a_word());
    assert!(took < Duration::from_secs(5));
    port.records.wait(5);
    port.check_books();
}

/// Of what a client has sent before it was accepted, one read is taken and no more.
pub(crate) fn one_read_is_all_that_is_taken(kit: &dyn Kit) {
    let mut port = handed().by_protocol().open(kit);
    // It waits until the mux is served.
    port.pair(Faults::default()).send(HTTP1);
    drop(port.accept("http1"));

    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let sent = [HTTP1, &[7; 4 * ONE_READ]].concat();
    Client::of_pair(ours.try_clone().expect("a socket")).send(&sent);
    port.control.connect(theirs, Faults::default(), Addresses::UNKNOWN).expect("it is served");
    let mut served = port.accept("http1");
    let Some(StillOwed::Replay(bytes)) = served.owed() else { panic!("{:?}", served.owed()) };
    assert!((HTTP1.len()..=ONE_READ).contains(&bytes), "{bytes}");
    served.expect(&sent);
    drop(ours);
}

/// A connection that is refused after all gives its place in the backlog back before it is answered.
pub(crate) fn who_is_refused_holds_no_place(kit: &dyn Kit) {
    let mut port = tcp()
        .by_protocol()
        .limits(|limits| {
            limits.backlog = 1;
            limits.opening_bytes = ONE_READ / 2;
            limits.linger = 4 * crate::adapters::PATIENCE;
            limits.delivery_deadline = 4 * crate::adapters::PATIENCE;
        })
        .open(kit);
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let mut client = port.client_that_says(head.as_bytes());
    expect_http1_status(&mut client, "503");
    // It may go on reading for long, and nobody waits for that.
    port.check_life("http1", HTTP1);
    drop(client);
}

/// After the verdict nothing is read from the client until its server has taken it: what it sends waits in the kernel.
pub(crate) fn what_follows_the_verdict_waits_in_the_kernel(kit: &dyn Kit) {
    const BODY: usize = 8 << 20;
    let mut port = tcp().by_protocol().open(kit);
    let mut client = port.client_that_says(HTTP1);
    let sending = std::thread::spawn(move || {
        client.send(&vec![7; BODY]);
        client
    });
    port.wait_decided();
    // Long enough for a reader that does not stop to have read much more than one read.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!sending.is_finished(), "nobody has read it");
    let mut served = port.accept("http1");
    let Some(StillOwed::Replay(bytes)) = served.owed() else { panic!("{:?}", served.owed()) };
    assert!((HTTP1.len()..=HTTP1.len() + ONE_READ).contains(&bytes), "{bytes}");
    served.expect(HTTP1);
    let mut body = vec![0; BODY];
    served.read_exact(&mut body).expect("the body");
    assert!(body == vec![7; BODY]);
    assert_eq!(served.owed(), None);
    sending.join().expect("all was read");
}
