//! Last words: they reach their client although it is still sending, and nobody lingers for ever (design §5).

use std::time::Duration;

use oneport::matchers::{header, is, present, ssh};
use oneport::{Bound, Outcome, Reason};
use oneport_core::wire::frame::{ErrorCode, Kind, PREFACE};

use crate::adapters::eventually;
use crate::adapters::frames::{frame, frames, waiting};
use crate::adapters::kit::Kit;
use crate::adapters::port::{tcp, timed, Plan};
use crate::flights::flight;

/// A client that no route wants once its head is whole.
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 60000\r\n\r\n";

fn nowhere() -> Plan {
    tcp().route("never", header("x-never", present())).route("ssh", ssh())
}

/// The whole answer is read by a client that was still sending its body, in spite of input that nobody reads.
pub(crate) fn a_refusal_reaches_a_client_that_still_sends(kit: &dyn Kit) {
    let port = nowhere().open(kit);
    for _ in 0..20 {
        let mut client = port.client_that_says(POST);
        client.send(&[7; 60_000]);
        let answer = String::from_utf8(client.read_to_fin()).expect("text");
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.ends_with("oneport: no route takes this request\n"), "{answer}");
    }
    assert_eq!(port.records.wait(20)[0].outcome, Outcome::Refused(Reason::NoRoute));
}

/// The same for a head that is too large, while the client is still sending it.
pub(crate) fn a_head_that_is_too_large_is_answered(kit: &dyn Kit) {
    let port = nowhere().config(|config| config.max_http1_head = 1_024).open(kit);
    let mut client = port.client_that_says(b"GET /padded HTTP/1.1\r\nX: ");
    client.send(&[b'x'; 40_000]);
    let answer = String::from_utf8(client.read_to_fin()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(port.records.only(), Outcome::Refused(Reason::TooLarge(Bound::Http1Head)));
}

/// A client that reads its refusal and never closes is closed after the time to linger; the refusal's FIN comes at once.
pub(crate) fn lingering_ends_after_its_time(kit: &dyn Kit) {
    let port = nowhere().limits(|limits| limits.linger = Duration::from_millis(200)).open(kit);
    let mut client = port.client_that_says(POST);
    let (answer, took) = timed(|| client.read_to_fin());
    assert!(answer.starts_with(b"HTTP/1.1 404 "));
    assert!(took < Duration::from_secs(5));
    let ((), took) = timed(|| client.trickle(7, Duration::from_millis(5)));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A client that goes on sending is closed when it has sent more than is discarded, long before the time to linger is over.
pub(crate) fn lingering_ends_after_its_bytes(kit: &dyn Kit) {
    let port = nowhere()
        .limits(|limits| {
            limits.linger = 4 * crate::adapters::PATIENCE;
            limits.linger_bytes = 64 * 1024;
        })
        .open(kit);
    let mut client = port.client_that_says(POST);
    // Besides what is discarded, buffers of sockets take their share.
    let sent = client.flood(&[7; 16 * 1024], 64 << 20);
    assert!(sent < 64 << 20, "somebody reads all of it");
}

/// Beyond the bound of refusals in progress a refused connection is told so and closed at once; those in progress go on.
pub(crate) fn refusals_in_progress_are_bounded(kit: &dyn Kit) {
    let lingering = |limits: &mut oneport::Limits| {
        limits.refusals = 1;
        limits.linger = 4 * crate::adapters::PATIENCE;
    };
    let port = nowhere().limits(lingering).open(kit);
    let mut first = port.client_that_says(POST);
    assert!(first.read_to_fin().starts_with(b"HTTP/1.1 404 "));
    let mut second = port.client_that_says(POST);
    assert!(second.read_to_fin().starts_with(b"HTTP/1.1 404 "));
    second.trickle(7, Duration::from_millis(1));
    for _ in 0..10 {
        first.send(&[7]);
        std::thread::sleep(Duration::from_millis(1));
    }
    first.finish();
    port.records.wait(2);
}

/// Who has had its moment gives its place among the refusals back, and the next one has a moment, too.
pub(crate) fn a_place_among_the_refusals_comes_back(kit: &dyn Kit) {
    let lingering = |limits: &mut oneport::Limits| {
        limits.refusals = 1;
        limits.linger = 4 * crate::adapters::PATIENCE;
    };
    let port = nowhere().limits(lingering).open(kit);
    for _ in 0..3 {
        // The one before has gone, which the mux hears of a moment later.
        eventually("a place", || {
            let mut client = port.client_that_says(POST);
            assert!(client.read_to_fin().starts_with(b"HTTP/1.1 404 "));
            let is_read = (0..10).all(|_| {
                std::thread::sleep(Duration::from_millis(1));
                client.flood(&[7], 1) == 1
            });
            drop(client);
            is_read
        });
    }
}

/// A client that is refused and reads nothing holds nobody up: the outcome is there at once.
pub(crate) fn a_refused_client_need_not_read(kit: &dyn Kit) {
    let mut port = nowhere().open(kit);
    let _deaf = port.client_that_says(&[waiting(), frame(Kind::HEADERS, 0, 2, &[0x82])].concat());
    port.check_life("ssh", flight("ssh").bytes);
    eventually("nobody is undecided", || port.control.undecided() == oneport::Undecided::default());
    port.check_books();
}

/// Floods of all kinds end at their bound with a word, and the mux holds no more than the bound meanwhile.
pub(crate) fn floods_end_at_their_bound(kit: &dyn Kit) {
    const MOST: usize = 32 << 20;
    let port = nowhere()
        .impatient()
        .config(|config| config.settings_patience = crate::adapters::PATIENCE)
        .limits(|limits| limits.linger = Duration::from_millis(300))
        .open(kit);
    let with_waiting = |frame: Vec<u8>| (waiting(), frame.repeat(16 * 1024 / frame.len()));
    let begun = [waiting(), frame(Kind::HEADERS, 0, 1, &[])].concat();
    let record = [&[22, 3, 1, 64, 0][..], &[1, 255, 255, 255], &[0; 16 * 1024 - 4]].concat();
    let floods = [
        ("unknown frames", with_waiting(frame(Kind(0xfa), 0, 0, &[0; 1_000]))),
        ("PINGs", with_waiting(frame(Kind::PING, 0, 0, &[0; 8]))),
        ("SETTINGS", with_waiting(frame(Kind::SETTINGS, 0, 0, &[]))),
        ("CONTINUATIONs", (begun, frame(Kind::CONTINUATION, 0, 1, &[]).repeat(1_000))),
        ("HTTP/1 fields", (b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(2_000))),
        ("an HTTP/1 line", (b"GET /".to_vec(), vec![b'x'; 16 * 1024])),
        ("a ClientHello", (Vec::new(), record)),
    ];
    for (i, (name, (start, chunk))) in floods.into_iter().enumerate() {
        let mut client = port.client_that_says(&start);
        let mut hand = client.share();
        let flooding = std::thread::spawn(move || hand.flood(&chunk, MOST));
        let mut most = 0;
        while port.records.all().len() <= i {
            most = most.max(port.control.undecided().bytes);
        }
        // 64 KiB, one read, and what a growing buffer has in reserve.
        assert!(most <= 2 * (64 + 16) * 1024, "{name}: {most}");
        let outcome = port.records.all()[i].outcome;
        assert!(
            matches!(outcome, Outcome::Refused(Reason::TooLarge(_) | Reason::NoRoute)),
            "{name}: {outcome}"
        );
        drop(client.read_what_comes());
        drop(client);
        assert!(flooding.join().expect("it ends") < MOST, "{name}");
    }
    eventually("nothing is held", || port.control.undecided() == oneport::Undecided::default());
    port.check_books();
}

/// A hundred openings that never end share the listener's budget of bytes; when they are gone nothing is held.
pub(crate) fn many_openings_share_a_budget(kit: &dyn Kit) {
    const BUDGET: usize = 512 * 1024;
    const HEAD: usize = 20_000;
    let mut port = nowhere().limits(|limits| limits.opening_bytes = BUDGET).open(kit);
    let head = [&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; HEAD]].concat();
    let flooding = std::thread::spawn({
        let address = port.socket_address();
        move || {
            let client = |_| crate::adapters::client::Client::tcp(address);
            let mut clients: Vec<_> = (0..100).map(client).collect();
            clients.iter_mut().for_each(|client| _ = client.flood(&head, head.len()));
            clients
        }
    });
    let mut most = 0;
    eventually("the flood has come", || {
        most = most.max(port.control.undecided().bytes);
        // They are four times the budget: some of them must go, however slowly they are read.
        flooding.is_finished() && most > BUDGET / 2 && port.control.counters().count("refused") > 0
    });
    let clients = flooding.join().expect("it ends");
    assert!(most <= BUDGET, "{most}");
    port.check_life("ssh", flight("ssh").bytes);
    drop(clients);
    port.records.wait(101);
    eventually("nothing is held", || port.control.undecided() == oneport::Undecided::default());
    assert!(port.control.counters().count("refused") > 0);
    port.check_books();
}

/// An opening that is larger than what all openings may hold together is refused, although its route is free.
pub(crate) fn an_opening_beyond_the_budget_is_refused(kit: &dyn Kit) {
    // Its route is known with the last field, when all of it has come.
    let port = tcp()
        .route("never", header("x-never", is("there")))
        .by_protocol()
        .limits(|limits| limits.opening_bytes = 8 * 1024)
        .open(kit);
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let mut client = port.client_that_says(head.as_bytes());
    let answer = String::from_utf8_lossy(&client.read_to_fin()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(port.records.only(), Outcome::Refused(Reason::Overload));
}

/// HTTP/2 that breaks the protocol is no client of anybody: it is told so by GOAWAY, and nothing else breaks.
pub(crate) fn broken_http2_gets_a_goaway(kit: &dyn Kit) {
    let port = nowhere().open(kit);
    // The first frame must be SETTINGS (RFC 9113 §3.4).
    let broken = [&PREFACE[..], &frame(Kind::PING, 0, 0, &[0; 8])].concat();
    let said = frames(&port.client_that_says(&broken).read_to_fin());
    assert_eq!(said[0].kind, Kind::SETTINGS);
    let code = said.last().and_then(|frame| frame.goaway());
    assert_eq!(code, Some((ErrorCode::PROTOCOL_ERROR.0, 0)), "{said:?}");
}
