//! What users of other multiplexers ran into, row by row: what fails elsewhere, told as a story of one connection. Rows that a
//! law already holds name the test; rows about sockets, logs and commands are the adapters' and the command's.
//!
//! | row | where |
//! |---|---|
//! | C-1 | `laws::replay::the_ack_leaves_wherever_it_comes`, `peers` |
//! | C-2 | `laws::first_request::two_requests_of_one_client_go_where_the_first_one_goes` |
//! | C-3 | `laws::silence::an_eager_client_hears_nothing_and_a_waiting_one_is_greeted` |
//! | C-4 | `laws::exact_return`, `peers` (what is in force at the client is what the backend said) |
//! | C-5 | `laws::silence::an_ack_is_never_answered` |
//! | C-6 | `laws::transparent::after_the_verdict_the_machine_is_out_of_the_way` |
//! | C-7 | `laws::outcome::{shutdown_ends_what_is_undecided, every_phase_has_its_deadline}` |
//! | C-8 | `laws::outcome` (exactly one end of each) |
//! | C-9, C-10, C-11 | `conformance::matchers::{prefixes, socks5_greetings}`, here, `laws::priority` |
//! | C-12, C-13 | `conformance::matchers::tls_hellos`, here |
//! | C-14 | here |
//! | C-16 | here, and `forbid(unsafe_code)` |
//! | C-17 | `laws::priority::all_the_matchers_of_a_route_count` |
//! | C-18 | `conformance::matchers::{headers, paths, path_prefixes_go_by_segments, authorities}` |
//! | C-20 | here |
//! | C-21 | `laws::bounded` |
//! | C-22 | `conformance::content_type` |
//! | C-24 | `laws::silence::only_a_client_that_waits_is_spoken_to`, here |
//! | C-25, C-27 | `conformance::matchers::{websockets, h2c_upgrades}`, here |
//! | C-26 | here |
//! | D-1, D-3, D-4, D-19 | `laws::outcome` |
//! | D-2 | `laws::bounded` |
//! | D-5, D-6 | `laws::progress`, `laws::transparent::after_the_verdict_the_machine_is_out_of_the_way` |
//! | D-7 | `laws::replay::without_a_greeting_every_byte_goes_through`, here |
//! | D-8, D-9, D-10 | `laws::priority` |
//! | D-11, D-17 | `conformance::matchers::http1_request_lines` |
//! | D-12 | `laws::segmentation` |
//! | D-13, D-14 | here, `laws::outcome::a_probe_touches_nobody` |
//! | D-16, D-18 | `conformance::matchers::combinators`, `laws::outcome::the_end_may_come_at_every_offset` |
//!
//! C-15 (PROXY protocol) is not part of oneport yet. C-19, C-23 and D-15 are about adapters, dependencies and listeners.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::testing::{Client, End, Hello, GRPC_CALL};
use oneport_core::{matchers, Bound, Config, Fact, MuxMachine, Outcome, Output, Phase, Reason, Routes, Why};

use crate::support::drive::{play, tell, Cuts, Player};
use crate::support::scene::{Scene, To};
use crate::support::terms::Term;
use crate::support::words::Word;
use crate::support::{ms, s};

/// C-9: an SSH client of 21 bytes must not wait for a matcher that wants 24.
#[test]
fn a_short_banner_is_no_reason_to_wait() {
    let seen = tell(&Scene::new(
        [Term::Http2, Term::Grpc, Term::Ssh],
        Client::silent().raw("SSH-2.0-OpenSSH_7.6\r\n"),
    ));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(2)), s(0)));
}

/// C-11: the check of a load balancer is a whole request of 18 bytes.
#[test]
fn a_request_of_18_bytes_is_whole() {
    let check = Client::silent().raw("GET / HTTP/1.0\r\n\r\n");
    let seen = tell(&Scene::new([Term::Grpc, Term::Http2, Term::HeaderIs("host", "a"), Term::Http1], check));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(3)), s(0)));
}

/// C-13: TLS goes through unopened, by the name and the protocol that it asks for.
#[test]
fn tls_is_routed_by_name_and_protocol() {
    let to = |hello: Hello| {
        let routes =
            [Term::Alpn("grpc-exp"), Term::All(vec![Term::Sni("a.example"), Term::Alpn("h2")]), Term::Tls];
        tell(&Scene::new(routes, Client::tls(&hello))).to()
    };
    assert_eq!(to(Hello::to("a.example").offering(&["grpc-exp", "h2"])), Some(To::Route(0)));
    assert_eq!(to(Hello::to("a.example").offering(&["h2", "http/1.1"])), Some(To::Route(1)));
    assert_eq!(to(Hello::to("a.example").offering(&["http/1.1"])), Some(To::Route(2)));
    assert_eq!(to(Hello::to("b.example").offering(&["h2"])), Some(To::Route(2)));
    assert_eq!(to(Hello::default()), Some(To::Route(2)));
}

/// C-14: what the verdict was made of is in the handover, for auth and logs.
#[test]
fn facts_come_with_the_verdict() {
    let facts_of = |bytes: &[u8]| {
        let mut player =
            Player::new(&Scene::new([Term::Tls, Term::Path("/x"), Term::Grpc], Client::silent()));
        player.input(bytes);
        let handover = player.into_handover();
        let why = handover.why();
        (why, handover.into_parts().facts)
    };
    let (why, facts) = facts_of(&Hello::to("a.example").offering(&["h2"]).encode());
    assert_eq!(why, Why::Matched(0));
    assert_eq!(
        facts.tls().present().and_then(|hello| hello.sni().map(str::to_owned)).as_deref(),
        Some("a.example")
    );

    let call = Client::http2().settings(&[]).headers(7, GRPC_CALL).bytes();
    let (why, facts) = facts_of(&call);
    let request = facts.request().present().expect("the request");
    assert_eq!((why, request.stream(), request.ends_stream()), (Why::Matched(2), 7, true));
    assert_eq!(request.authority(), Some(&b"a.example"[..]));
    assert_eq!(request.scheme(), Some(&b"http"[..]));
    assert_eq!((request.content_type(), request.protocol()), (Some(&b"application/grpc"[..]), None));
    let fields: Vec<_> = request.fields().collect();
    assert_eq!(fields, [(&b"content-type"[..], &b"application/grpc"[..]), (b"te", b"trailers")]);

    let (_, facts) = facts_of(b"GET /x?y HTTP/1.1\r\n");
    let line = facts.request_line().present().expect("the request line");
    assert_eq!((line.method(), line.target(), line.path()), (&b"GET"[..], &b"/x?y"[..], Some(&b"/x"[..])));
    assert!(matches!(facts.request(), Fact::Unknown), "the head was not whole when it was decided");
}

/// C-16, C-20: connections share routes and bounds, and nothing else. One in trouble does not touch the other.
#[test]
fn connections_do_not_share_state() {
    let routes = Arc::new(
        Routes::new().route(matchers::grpc(), "grpc").route(matchers::tls(), "tls").otherwise("rest"),
    );
    let config = Arc::new(Config::default());
    let now = Instant::now();
    let machine = || MuxMachine::new(routes.clone(), config.clone(), now);
    let (mut call, mut hello, mut broken) = (machine(), machine(), machine());
    let call_bytes = Client::http2().settings(&[]).headers(1, GRPC_CALL).bytes();
    let hello_bytes = Hello::to("a.example").encode();
    for i in 0..call_bytes.len().max(hello_bytes.len()) {
        call.handle_input(call_bytes.get(i..=i).unwrap_or_default(), now);
        hello.handle_input(hello_bytes.get(i..=i).unwrap_or_default(), now);
        broken.handle_input(&[i as u8], now);
    }
    broken.handle_reset(now);
    let target = |mut machine: MuxMachine<&'static str>| match machine.poll_output() {
        Output::Routed(handover) => handover.target().copied(),
        _ => None,
    };
    assert_eq!([target(call), target(hello)], [Some("grpc"), Some("tls")]);
    // The machine can move between threads, and so can what it hands over.
    fn moves<T: Send>() {}
    moves::<MuxMachine<&'static str>>();
    moves::<oneport_core::Parts>();
}

/// C-24, R6: routes that look at the request do not each send a SETTINGS.
#[test]
fn many_routes_send_one_settings() {
    let client = Client::http2().settings(&[]).pause(ms(30)).settings_ack().headers(1, GRPC_CALL);
    let routes: Vec<_> = (0..10).map(|_| Term::HeaderIs("x-tenant", "blue")).chain([Term::Grpc]).collect();
    let seen = tell(&Scene::new(routes, client));
    assert_eq!(seen.to(), Some(To::Route(10)));
    assert_eq!(seen.said(), [Word::Settings(vec![(3, 100)]), Word::SettingsAck]);
}

/// C-26, the reason to exist: a gRPC client that waits and a plain HTTP/2 client that does not, on one port, each whole.
#[test]
fn grpc_and_plain_http2_share_a_port() {
    let waiting = Client::http2().settings(&[]).pause(s(1)).settings_ack().headers(1, GRPC_CALL);
    assert_eq!(tell(&Scene::grpc_or_rest(waiting)).to(), Some(To::Route(0)));
    let plain =
        Client::http2().settings(&[(3, 100)]).window_update(0, 99).headers(1, oneport_core::testing::GET);
    let seen = tell(&Scene::grpc_or_rest(plain.clone()));
    assert_eq!((seen.to(), seen.backend(), seen.said()), (Some(To::Otherwise), &plain.bytes()[..], vec![]));
}

/// C-27: an offer to upgrade is an HTTP/1 request, and goes through untouched: 101 and SETTINGS are its backend's.
#[test]
fn an_offer_to_upgrade_goes_through_untouched() {
    let offer = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let client = Client::silent()
        .raw(offer)
        .pause(ms(300))
        .raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\x01\0\0\0\0");
    let seen = tell(&Scene::new([Term::Grpc, Term::Http1], client.clone()));
    assert_eq!((seen.to(), seen.backend(), seen.said()), (Some(To::Route(1)), &client.bytes()[..], vec![]));
}

/// D-3: a slow client of one protocol is not a client of another, even where raw bytes could be anything.
#[test]
fn ten_milliseconds_prove_nothing() {
    let hello = Hello::to("a.example").encode();
    let mut slow = Client::silent();
    for chunk in hello.chunks(20) {
        slow = slow.raw(chunk).pause(ms(900));
    }
    let scene = Scene { has_on_timeout: true, ..Scene::new([Term::Sni("a.example")], slow) };
    assert_eq!(tell(&scene).to(), Some(To::Route(0)));
}

/// D-7: a client that sends more than its opening at once loses nothing of it, whatever is inside.
#[test]
fn what_was_read_beyond_the_verdict_belongs_to_the_replay() {
    let client = Client::silent().raw(b"\0\0\0\x08\x04\xd2\x16\x2f").raw([0x16; 9_000]).pause(ms(1)).raw("S");
    for cuts in [Cuts::whole(), Cuts(vec![16_384]), Cuts(vec![7, 1_000])] {
        let seen = play(&Scene::new([Term::Postgres], client.clone()), &cuts).0;
        assert_eq!(seen.backend(), client.bytes());
    }
}

/// D-13, D-14: every end has a name for counters and a line for logs, and a probe has a name of its own.
#[test]
fn outcomes_have_names() {
    for (outcome, name, line) in [
        (Outcome::Left(Phase::Silent), "probe", "probe (silent)"),
        (Outcome::Left(Phase::Http2Idle), "left", "left (http2-idle)"),
        (Outcome::TimedOut(Phase::Opening), "timed-out", "timed-out (opening)"),
        (Outcome::Refused(Reason::NoRoute), "refused", "refused (no-route)"),
        (Outcome::Refused(Reason::TooLarge(Bound::Frames)), "refused", "refused (too large: Frames)"),
        (Outcome::Shutdown, "shutdown", "shutdown"),
        (Outcome::Routed(Why::Otherwise), "routed", "routed"),
    ] {
        assert_eq!((outcome.name(), outcome.to_string().as_str()), (name, line));
        assert_eq!(outcome.is_probe(), name == "probe");
    }
}

/// D-18: half-closing is an end of input, and not of the connection: what the opening is, it still is.
#[test]
fn a_half_closed_client_is_served() {
    let client = Client::silent().raw("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").ends(End::Fin);
    assert_eq!(
        tell(&Scene::new([Term::Prefix(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n more"), Term::Http1], client))
            .to(),
        Some(To::Route(1))
    );
}
