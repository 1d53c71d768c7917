//! Openings as they come: whole, in pieces, slowly, not at all (laws 1, 2, 5 and 9).

use std::time::Duration;

use oneport::{Outcome, Phase, Why};

use crate::adapters::frames::{frames, request, waiting};
use crate::adapters::kit::{Faults, Kit};
use crate::adapters::port::{pairs, tcp, Port};
use crate::adapters::{eventually, PATIENCE};
use crate::flights::{flight, Flight, Speaks, FLIGHTS};
use oneport_core::wire::frame::{flag, ErrorCode, Kind};

/// Longer than a deadline that is to run out, shorter than anything that is not to.
const SOON: Duration = Duration::from_millis(60);

/// The recorded openings that settle a verdict, and the route of each.
fn decided() -> impl Iterator<Item = (&'static Flight, &'static str)> {
    FLIGHTS.iter().filter(|flight| !flight.name.ends_with(".silent")).map(|flight| {
        let route = match (flight.name, flight.speaks) {
            ("grpc-go-1.33" | "grpcio-1.85", _) => "grpc",
            (_, Speaks::Http1) => "http1",
            (_, Speaks::Http2) => "http2",
            (_, Speaks::Ssh) => "ssh",
            (_, Speaks::Tls) => "tls",
        };
        (flight, route)
    })
}

/// Every recorded opening that comes at once reaches its route; the server reads it whole and then what follows; the client hears
/// the server's words first.
pub(crate) fn recorded_openings_reach_their_routes(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    for (flight, route) in decided() {
        let mut client = port.client_that_says(flight.bytes);
        let mut served = port.accept(route);
        assert!(client.hears_nothing(), "{}", flight.name);
        served.expect(flight.bytes);
        client.send(b"and more");
        served.expect(b"and more");
        served.say(b"an answer");
        client.expect(b"an answer");
    }
    assert!(port.records.all().iter().all(|record| !record.greeted));
    port.check_books();
}

/// The same in reads of one byte each, with writes of one byte each.
pub(crate) fn reads_and_writes_of_one_byte(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().open(kit);
    for (flight, route) in decided() {
        let faults =
            Faults { read_at_most: Some(1), write_at_most: Some(1), stutters: true, ..Faults::default() };
        let mut client = port.pair(faults);
        client.send(&[flight.bytes, b"and more"].concat());
        let mut served = port.accept(route);
        served.expect(flight.bytes);
        served.expect(b"and more");
        served.say(b"an answer");
        client.expect(b"an answer");
    }
}

/// What the socket holds comes before the clock: without any patience, nobody is greeted whose request is there.
pub(crate) fn what_has_come_is_taken_before_the_clock_is_believed(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().config(|config| config.settings_patience = Duration::ZERO).open(kit);
    let opening = [waiting(), request("application/grpc")].concat();
    for _ in 0..10 {
        // One byte for each read: behind SETTINGS the time to greet has come before every one of them.
        let mut client = port.pair(Faults { read_at_most: Some(1), ..Faults::default() });
        client.send(&opening);
        let mut served = port.accept("grpc");
        assert!(!served.about().was_greeted);
        served.expect(&opening);
        assert!(client.hears_nothing());
    }
}

/// A client that takes its time gets its route, and others are served meanwhile.
pub(crate) fn a_slow_client_is_waited_for(kit: &dyn Kit) {
    let slow = flight("curl-h1").bytes;
    let mut port = tcp().by_protocol().open(kit);
    let mut client = port.client();
    let dripping = std::thread::spawn(move || {
        client.drip(slow, Duration::from_millis(3));
        client
    });
    let mut others = 0;
    while !dripping.is_finished() {
        port.check_life("ssh", flight("ssh").bytes);
        others += 1;
    }
    assert!(others > 0);
    let mut client = dripping.join().expect("it sends all");
    let mut served = port.accept("http1");
    served.expect(slow);
    served.say(b"at last");
    client.expect(b"at last");
}

/// A client without a byte is closed at its deadline, without a word.
pub(crate) fn a_silent_client_is_closed_silently(kit: &dyn Kit) {
    let port = tcp().by_protocol().config(|config| config.silent_deadline = SOON).open(kit);
    port.client().expect_silent_end();
    assert_eq!(port.records.only(), Outcome::TimedOut(Phase::Silent));
    port.check_books();
}

/// The deadline of an opening runs from its first byte and is not put off by more bytes; then the client is answered.
pub(crate) fn trickling_does_not_put_off_the_deadline(kit: &dyn Kit) {
    let waits = oneport::matchers::header("x-waits-for-the-head", oneport::matchers::is("1"));
    let port = tcp().route("waits", waits).config(|config| config.opening_deadline = 2 * SOON).open(kit);
    let mut client = port.client_that_says(b"GET / HTTP/1.1\r\n");
    let mut other_hand = client.share();
    let trickling = std::thread::spawn(move || other_hand.trickle(b'x', SOON / 10));
    let answer = client.read_to_fin();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(port.records.only(), Outcome::TimedOut(Phase::Opening));
    drop(client);
    trickling.join().expect("the connection ends");
}

/// What is still undecided at its deadline goes to `on_timeout`, if that was asked for.
pub(crate) fn on_timeout_takes_what_is_undecided(kit: &dyn Kit) {
    let mut port =
        tcp().by_protocol().on_timeout("late").config(|config| config.opening_deadline = SOON).open(kit);
    let mut client = port.client_that_says(b"SS");
    let mut served = port.accept("late");
    served.expect(b"SS");
    client.send(b"H-");
    served.expect(b"H-");
    assert_eq!(port.records.only(), Outcome::Routed(Why::OnTimeout));
}

/// A client that waits for the server to speak gets the one that does, and a client that speaks does not.
pub(crate) fn server_first_takes_the_silent(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().server_first("mysql", SOON).open(kit);
    let mut client = port.client();
    let mut served = port.accept("mysql");
    served.say(b"hello, I am a database");
    client.expect(b"hello, I am a database");
    client.send(b"hello");
    served.expect(b"hello");
    assert_eq!(port.records.only(), Outcome::Routed(Why::ServerFirst));

    let mut port = tcp().by_protocol().server_first("mysql", 2 * PATIENCE).open(kit);
    port.check_life("ssh", flight("ssh").bytes);
}

/// Where the only route takes everything there is nothing to detect: not even a byte is waited for.
pub(crate) fn a_single_route_for_all_waits_for_nothing(kit: &dyn Kit) {
    let mut port = tcp().otherwise("all").open(kit);
    let mut client = port.client();
    let mut served = port.accept("all");
    served.say(b"220 ready");
    client.expect(b"220 ready");
    port.check_books();
}

/// Deadlines end with the verdict: a routed connection may be as slow as it likes.
pub(crate) fn no_deadline_outlives_the_verdict(kit: &dyn Kit) {
    let head = flight("curl-h1").bytes;
    // Longer than a busy machine may be between a client's connecting and its first byte.
    const LATER: Duration = Duration::from_millis(500);
    let mut port = tcp()
        .by_protocol()
        .config(|config| {
            config.silent_deadline = LATER;
            config.opening_deadline = LATER;
        })
        .open(kit);
    let mut client = port.client_that_says(head);
    let mut served = port.accept("http1");
    // A silent client that comes now shows by its end that the deadlines of the first one have passed too.
    port.client().expect_silent_end();
    served.expect(head);
    client.send(b"late");
    served.expect(b"late");
}

/// Each HTTP/2 phase has a deadline of its own, and its client is told in HTTP/2.
pub(crate) fn every_http2_phase_ends(kit: &dyn Kit) {
    let port = tcp()
        .by_protocol()
        .config(|config| {
            config.http2_settings_deadline = SOON;
            config.http2_headers_deadline = SOON;
        })
        .open(kit);
    let headers = request("text/plain");
    let cases = [
        (waiting()[..25].to_vec(), Phase::Http2Settings, ErrorCode::NO_ERROR),
        ([waiting(), headers[..11].to_vec()].concat(), Phase::Http2Headers, ErrorCode::ENHANCE_YOUR_CALM),
    ];
    for (i, (opening, phase, code)) in cases.into_iter().enumerate() {
        let mut client = port.client_that_says(&opening);
        let said = frames(&client.read_to_fin());
        assert_eq!(said[0].kind, Kind::SETTINGS, "the first frame of a server");
        assert_eq!(said[0].flags & flag::ACK, 0);
        assert_eq!(said.last().and_then(|frame| frame.goaway()), Some((code.0, 0)), "{phase:?}");
        assert_eq!(port.records.wait(i + 1)[i].outcome, Outcome::TimedOut(phase));
    }

    let port = tcp().by_protocol().impatient().config(|config| config.http2_idle_deadline = SOON).open(kit);
    let mut client = port.client_that_says(&waiting());
    client.expect(&crate::adapters::frames::greeting());
    let said = frames(&client.read_to_fin());
    assert_eq!(said.iter().map(|frame| frame.goaway()).collect::<Vec<_>>(), [Some((0, 0))]);
    assert_eq!(port.records.only(), Outcome::TimedOut(Phase::Http2Idle));
}

/// A thousand clients that say nothing: others are served as if they were not there.
pub(crate) fn a_thousand_silent_clients_are_in_nobodys_way(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().config(|config| config.silent_deadline = 4 * PATIENCE).open(kit);
    let silent: Vec<_> = (0..1_000).map(|_| port.client()).collect();
    port.wait_undecided(1_000, 0, 0);
    for _ in 0..20 {
        port.check_life("http1", flight("curl-h1").bytes);
    }
    assert_eq!(port.control.undecided().bytes, 0, "a silent client holds nothing");
    drop(silent);
    port.records.wait(1_020);
    check_probes(&port, 1_000);
}

#[track_caller]
fn check_probes(port: &Port, count: u64) {
    eventually("all gone", || port.control.undecided() == oneport::Undecided::default());
    assert_eq!(port.control.counters().count("probe"), count);
    port.check_books();
}
