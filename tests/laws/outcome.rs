//! Law 9: every accepted connection ends in exactly one outcome: routed, refused, left, timed out, or closed by shutdown. (That
//! it is one, and that nothing told to a spent machine changes it, the driver asserts of every scene.)

use std::time::Duration;

use oneport_core::testing::{literals, Client, End, Hello, Script, Shape, GET, GRPC_CALL};
use oneport_core::wire::frame::Kind;
use oneport_core::{Outcome, Output, Phase, Reason};
use proptest::prelude::*;

use crate::support::drive::{play, tell, Cuts, Player, Seen};
use crate::support::model::{expect, PREFACE};
use crate::support::scene::{Scene, To};
use crate::support::strategies::{cuts, scene};
use crate::support::terms::Term;
use crate::support::words::{parse, Word};
use crate::support::{ms, s};

fn http2() -> Script {
    Client::http2().settings(&[])
}

fn settings() -> Word {
    Word::Settings(vec![(3, 100)])
}

fn goaway(last: u32, code: u32) -> Word {
    Word::GoAway { last, code }
}

fn http1(status: u16) -> Vec<Word> {
    vec![Word::Http1 { status, has_body: true }]
}

/// One conversation of each kind.
fn conversations() -> Vec<(&'static str, Script)> {
    let block = literals(GRPC_CALL);
    vec![
        ("eager gRPC", http2().block(1, &block, &Shape { cuts: vec![9, 30], ..Shape::default() })),
        ("waiting gRPC", http2().ping([1; 8]).pause(ms(9)).settings_ack().headers(1, GRPC_CALL)),
        ("HTTP/1", Client::silent().raw("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")),
        ("TLS", Client::tls(&Hello::to("a.example"))),
        ("SSH", Client::silent().raw("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n")),
        ("PostgreSQL", Client::silent().raw(b"\0\0\0\x08\x04\xd2\x16\x2f")),
        ("SOCKS", Client::silent().raw(b"\x05\x02\x00\x02")),
    ]
}

fn all_routes() -> Vec<Term> {
    vec![Term::Postgres, Term::Socks5, Term::Ssh, Term::Tls, Term::Grpc, Term::HeaderIs("host", "a.example")]
}

/// D-18: FIN and RST at every offset of every opening, with and without somewhere to go.
#[test]
fn the_end_may_come_at_every_offset() {
    for (what, whole) in conversations() {
        let len = whole.bytes().len();
        for end in [End::Fin, End::Reset] {
            for cut in 0..=len {
                let cut_off = whole.clone().cut_off(cut).ends(end);
                let scene = Scene::new(all_routes(), cut_off.clone()).otherwise();
                let seen = tell(&scene);
                let is_http2 = cut_off.bytes().starts_with(PREFACE);
                match (&seen.ending, seen.to()) {
                    (_, Some(To::Otherwise)) => {
                        assert!(
                            end == End::Fin && cut > 0 && !is_http2,
                            "{what} cut at {cut}: nobody else's"
                        );
                        assert_eq!(seen.said(), [], "{what} cut at {cut}");
                    }
                    (_, Some(_)) => {
                        assert!(cut == len || !is_http2, "{what} cut at {cut}: decided too early");
                    }
                    // An HTTP/2 client without a complete request has left, and no backend is touched.
                    (_, None) => assert!(
                        matches!(seen.outcome(), Some(Outcome::Left(_))),
                        "{what} cut at {cut}: {:?}",
                        seen.outcome()
                    ),
                }
                tell(&Scene { has_otherwise: false, ..scene });
            }
        }
    }
}

/// D-14: connected and left without a byte is a probe: no backend, not a word, not even where everything goes somewhere.
#[test]
fn a_probe_touches_nobody() {
    for end in [End::Fin, End::Reset] {
        let seen = tell(&Scene::grpc_or_rest(Client::silent().pause(s(3)).ends(end)));
        assert_eq!(seen.outcome(), Some(Outcome::Left(Phase::Silent)));
        assert!(seen.outcome().is_some_and(Outcome::is_probe));
        assert_eq!(seen.said(), []);
    }
}

/// T-idle: an idle grpcio channel that closes has left.
#[test]
fn an_http2_client_without_a_request_has_left() {
    let preface = Client::http2().ends(End::Fin);
    assert_eq!(tell(&Scene::grpc_or_rest(preface)).outcome(), Some(Outcome::Left(Phase::Http2Settings)));
    let waiting = http2().pause(ms(3)).ends(End::Fin);
    assert_eq!(tell(&Scene::grpc_or_rest(waiting)).outcome(), Some(Outcome::Left(Phase::Http2Waiting)));
    let idle = http2().pause(ms(9)).settings_ack().pause(s(600)).ends(End::Reset);
    assert_eq!(tell(&Scene::grpc_or_rest(idle)).outcome(), Some(Outcome::Left(Phase::Http2Idle)));
    let begun = http2().frame(Kind::HEADERS, 0, 1, &[0x83]).ends(End::Fin);
    assert_eq!(tell(&Scene::grpc_or_rest(begun)).outcome(), Some(Outcome::Left(Phase::Http2Headers)));
    // Not even a matcher of raw bytes, to which the end is the end, may send it to a backend.
    let raw = Scene::new([Term::ByteAt(70, 0)], http2().ends(End::Fin)).otherwise();
    assert_eq!(tell(&raw).outcome(), Some(Outcome::Left(Phase::Http2Waiting)));
}

/// T-phase: every phase, with every partial input, runs out at its deadline to the nanosecond, and not before.
#[test]
fn every_phase_has_its_deadline() {
    let start = ms(1_500);
    let at = |script: Script| Client::silent().pause(start).raw(script.bytes());
    let cases: Vec<(Phase, Duration, Vec<Script>)> = vec![
        (Phase::Silent, s(75), vec![Client::silent()]),
        (
            Phase::Opening,
            start + s(10),
            [
                &b"P"[..],
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
                b"GET /",
                b"GET / HTTP/1.1\r\nHost: a",
                b"\x16\x03\x01",
                b"SSH",
            ]
            .map(|bytes| at(Client::silent().raw(bytes)))
            .to_vec(),
        ),
        (
            Phase::Http2Settings,
            start + s(5),
            (0..9).map(|n| at(Client::http2().raw(&b"\0\0\x06\x04\0\0\0\0\0\0\x03"[..n]))).collect(),
        ),
        (
            Phase::Http2Headers,
            start + s(10),
            (9..20)
                .map(|n| at(http2().raw(&b"\0\0\x20\x01\x04\0\0\0\x01\0\x07:method\x04POST"[..n])))
                .collect(),
        ),
        // Greeted after its patience; PINGs and ACKs do not extend it.
        (
            Phase::Http2Idle,
            start + ms(5) + s(35 * 60),
            vec![
                at(http2()),
                at(http2()).pause(ms(50)).settings_ack().pause(s(1_000)).ping([1; 8]),
                at(http2()).pause(s(2_099)).raw([0, 0, 8, 6]),
            ],
        ),
    ];
    for (phase, deadline, clients) in cases {
        for client in clients {
            let scene = Scene::new(all_routes(), client);
            let seen = tell(&scene);
            assert_eq!((seen.outcome(), seen.at), (Some(Outcome::TimedOut(phase)), deadline), "{scene:?}");
            // One that leaves at that very instant has left: the socket is read before the deadline counts.
            let client = scene.client.clone();
            let last = client.now();
            let left = Scene { client: client.pause(deadline - last).ends(End::Reset), ..scene };
            assert_eq!(tell(&left).outcome(), Some(Outcome::Left(phase)));
        }
    }
}

/// T-slow, D-3: however an opening trickles in, its deadline counts from the first byte, once. Nothing is guessed.
#[test]
fn a_slow_client_is_not_taken_for_another() {
    for (what, whole) in conversations() {
        let mut slow = Client::silent();
        for byte in whole.bytes() {
            slow = slow.raw([byte]).pause(s(2));
        }
        let scene = Scene::new(all_routes(), slow);
        for seen in [play(&scene, &Cuts::whole()).0, play(&scene, &Cuts::bytewise()).0] {
            if matches!(what, "SOCKS" | "SSH") {
                // Four bytes are enough, and come in time.
                assert!(seen.to().is_some());
            } else {
                assert_eq!(
                    (seen.outcome(), seen.at),
                    (Some(Outcome::TimedOut(Phase::Opening)), s(10)),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn on_timeout_takes_what_is_undecided_and_not_http2() {
    let with_on_timeout = |client| {
        let scene = Scene { has_on_timeout: true, ..Scene::grpc_or_rest(client) };
        tell(&Scene { routes: vec![Term::Tls, Term::Grpc, Term::Ssh], ..scene })
    };
    let half = Client::silent().pause(s(1)).raw("PRI * HTTP");
    let seen = with_on_timeout(half.clone());
    assert_eq!((seen.to(), seen.at, seen.said()), (Some(To::OnTimeout), s(11), vec![]));
    assert_eq!(seen.backend(), half.bytes());
    assert_eq!(with_on_timeout(half.pause(s(10)).raw("!")).to(), Some(To::Otherwise), "decided in time");
    for (client, phase) in [
        (Client::silent(), Phase::Silent),
        (Client::http2(), Phase::Http2Settings),
        (http2(), Phase::Http2Idle),
        (http2().raw([0, 0, 9, 1, 4, 0, 0, 0, 1]), Phase::Http2Headers),
    ] {
        assert_eq!(with_on_timeout(client).outcome(), Some(Outcome::TimedOut(phase)));
    }
}

/// D-4: who waits for the server to speak gets the server that speaks, after its own delay and only without a byte.
#[test]
fn server_first_takes_who_says_nothing() {
    let scene = |client| Scene { server_first: Some(ms(300)), ..Scene::new([Term::Tls], client) };
    let seen = tell(&scene(Client::silent()));
    assert_eq!((seen.to(), seen.at, seen.backend()), (Some(To::ServerFirst), ms(300), &[][..]));
    let seen = tell(&scene(Client::silent().pause(s(1)).raw("QUIT\r\n")));
    assert_eq!((seen.to(), seen.backend()), (Some(To::ServerFirst), &b"QUIT\r\n"[..]));
    let early = tell(&scene(Client::silent().pause(ms(300)).raw("\x16")));
    assert_eq!(early.outcome(), Some(Outcome::TimedOut(Phase::Opening)), "it has spoken");
    let gone = tell(&scene(Client::silent().pause(ms(299)).ends(End::Fin)));
    assert_eq!(gone.outcome(), Some(Outcome::Left(Phase::Silent)));
}

#[track_caller]
fn refused(routes: impl IntoIterator<Item = Term>, client: Script) -> Seen {
    let seen = tell(&Scene::new(routes, client));
    assert!(seen.to().is_none());
    seen
}

/// Once a first request is read, the refusal answers it.
#[test]
fn nobody_takes_this_request() {
    let grpc = refused([Term::Tls], http2().headers(5, GRPC_CALL));
    let response = Word::Response { stream: 5, status: "200".to_owned(), grpc: Some("12".to_owned()) };
    assert_eq!(grpc.said(), [settings(), Word::SettingsAck, response, goaway(5, 0)]);
    assert_eq!(grpc.outcome(), Some(Outcome::Refused(Reason::NoRoute)));

    let plain = refused([Term::Grpc], http2().headers(1, GET));
    let response = Word::Response { stream: 1, status: "404".to_owned(), grpc: None };
    assert_eq!(plain.said(), [settings(), Word::SettingsAck, response.clone(), goaway(1, 0)]);

    // With a body still to come the client is told to stop.
    let shape = Shape { has_body: true, ..Shape::default() };
    let body = refused([Term::Grpc], http2().block(1, &literals(GET), &shape).data(1, true, b"x"));
    let reset = Word::Reset { stream: 1, code: 0 };
    assert_eq!(body.said(), [settings(), Word::SettingsAck, response.clone(), reset, goaway(1, 0)]);

    // A greeted client has heard the mux's SETTINGS already.
    let waiting = refused([Term::Grpc], http2().pause(ms(9)).settings_ack().headers(1, GET));
    assert_eq!(waiting.said(), [settings(), Word::SettingsAck, response, goaway(1, 0)]);
    assert_eq!(waiting.words[1].0, ms(5));
}

/// That nobody will take it may be clear before the request is there: it is waited for, so that it can be answered, and the
/// client that waits is greeted for it.
#[test]
fn a_refusal_waits_for_the_request_that_it_answers() {
    let seen = refused([Term::Tls], http2().pause(ms(20)).settings_ack().pause(s(1)).headers(1, GET));
    assert_eq!((seen.outcome(), seen.at), (Some(Outcome::Refused(Reason::NoRoute)), s(1) + ms(20)));
    assert_eq!(seen.words[0], (ms(5), settings()));
    let never = refused([Term::Tls], http2());
    assert_eq!((never.outcome(), never.at), (Some(Outcome::Refused(Reason::NoRoute)), s(5)));
    assert_eq!(never.said(), [settings(), Word::SettingsAck, goaway(0, 0)]);
    let head = refused([Term::Tls], Client::silent().raw("GET / HTTP/1.1\r\n").pause(s(1)).raw("\r\n"));
    assert_eq!((head.said(), head.at), (http1(404), s(1)));
}

/// Every refusal in its client's own protocol.
#[test]
fn refusals_speak_the_clients_language() {
    let raw = |bytes: &[u8]| Client::silent().raw(bytes);
    let none: [Term; 0] = [];
    assert_eq!(refused([Term::Tls], raw(b"GET / HTTP/1.0\r\n\r\n")).said(), http1(404));
    assert_eq!(refused([Term::Tls], raw(b"GET / HTTP/1.0\r\n\0")).said(), http1(400));
    assert_eq!(refused([Term::Tls], raw(b"GET / HTTP/1.0\r\nHost: a")).said(), http1(408));
    assert_eq!(refused([Term::Path("/x")], raw(b"GET /y HTTP/1.1\r\n\r\n")).said(), http1(404));
    assert_eq!(
        refused([Term::Grpc, Term::HeaderIs("a", "b")], raw(b"GET / HTTP/1.1\r\nHo")).said(),
        http1(408)
    );
    let head = refused([Term::Tls], raw(b"HEAD / HTTP/1.1\r\n\r\n"));
    assert_eq!(head.said(), [Word::Http1 { status: 404, has_body: false }], "RFC 9110 §9.3.2");

    let hello = |hello: Hello| refused([Term::Ssh, Term::Alpn("x")], Client::tls(&hello)).said();
    assert_eq!(hello(Hello::to("a.example").offering(&["h2"])), [Word::Alert(112)], "unrecognized_name");
    assert_eq!(hello(Hello::default().offering(&["h2"])), [Word::Alert(120)], "no_application_protocol");
    assert_eq!(hello(Hello::default()), [Word::Alert(80)], "internal_error");

    for bytes in [&b"SSH-2.0-x\r\n"[..], b"\x05\x01\0", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\xff"] {
        let seen = refused(none.clone(), raw(bytes));
        assert_eq!((seen.said(), seen.outcome()), (vec![], Some(Outcome::Refused(Reason::NoRoute))));
    }
    for half in [&b"SSH-2.0"[..], b"\x16\x03", b"GET / HT", b"PRI * "] {
        let seen = refused([Term::Postgres, Term::Grpc, Term::Http, Term::Tls], raw(half));
        assert_eq!((seen.said(), seen.outcome()), (vec![], Some(Outcome::TimedOut(Phase::Opening))));
    }

    let http2_codes = [
        (Client::http2().ping([0; 8]), vec![settings(), goaway(0, 1)]),
        (http2().frame(Kind::PING, 0, 0, &[0; 7]), vec![settings(), Word::SettingsAck, goaway(0, 6)]),
        (http2().frame(Kind::HEADERS, 4, 1, &[0x3f]), vec![settings(), Word::SettingsAck, goaway(0, 9)]),
        (Client::http2(), vec![settings(), goaway(0, 0)]),
        (http2().frame(Kind::HEADERS, 0, 1, &[0x83]), vec![settings(), Word::SettingsAck, goaway(0, 11)]),
        (http2(), vec![settings(), Word::SettingsAck, goaway(0, 0)]),
    ];
    for (client, words) in http2_codes {
        assert_eq!(refused([Term::Grpc], client.clone()).said(), words, "{client:?}");
    }
}

/// What a route that does not take its connection makes of it. `read` is what has come when the verdict falls.
#[track_caller]
fn undelivered(
    routes: impl IntoIterator<Item = Term>,
    client: &Script,
    reason: Reason,
) -> (Vec<Word>, Option<Outcome>) {
    let scene = Scene::new(routes, client.clone());
    let mut player = Player::new(&scene);
    let mut has_refused = false;
    let refuse = |player: &mut Player, has_refused: &mut bool| {
        if player.is_over() && !*has_refused {
            *has_refused = true;
            player.refuse(reason);
        }
    };
    refuse(&mut player, &mut has_refused);
    for piece in client.pieces() {
        player.wait(piece.at);
        if !player.is_over() {
            player.now = piece.at;
            player.input(&piece.bytes);
            refuse(&mut player, &mut has_refused);
        }
    }
    player.wait_for_end();
    assert!(has_refused);
    (player.words.iter().map(|(_, word)| word.clone()).collect(), player.outcome())
}

/// A backend that is down, a backlog that is full, a route that leads nowhere: the request is read, and answered.
#[test]
fn a_handover_that_nobody_takes_is_refused_like_all_else() {
    let down = Reason::BackendDown;
    let outcome = Some(Outcome::Refused(down));
    let grpc = |status: &str| Word::Response { stream: 1, status: "200".into(), grpc: Some(status.into()) };
    let plain = |status: &str| Word::Response { stream: 1, status: status.into(), grpc: None };
    let call = http2().headers(1, GRPC_CALL);
    let get = http2().headers(1, GET);
    let said = |response| vec![settings(), Word::SettingsAck, response, goaway(1, 0)];
    assert_eq!(undelivered([Term::Grpc], &call, down), (said(grpc("14")), outcome));
    assert_eq!(undelivered([Term::Http2], &get, down), (said(plain("502")), outcome));
    assert_eq!(undelivered([Term::Grpc], &call, Reason::DeliveryTimeout).0, said(grpc("14")));
    assert_eq!(undelivered([Term::Http2], &get, Reason::DeliveryTimeout).0, said(plain("502")));
    assert_eq!(undelivered([Term::Grpc], &call, Reason::Forbidden).0, said(grpc("7")));
    assert_eq!(undelivered([Term::Any], &get, Reason::Forbidden).0, said(plain("403")));

    // The verdict fell before the request: the client is greeted for it, if it waits.
    let waiting = http2().pause(ms(50)).settings_ack().headers(1, GRPC_CALL);
    assert_eq!(undelivered([Term::Http2], &waiting, down), (said(grpc("14")), outcome));
    assert_eq!(undelivered([Term::Any], &waiting, down), (said(grpc("14")), outcome));
    // A greeted one hears no second SETTINGS.
    assert_eq!(undelivered([Term::Grpc], &waiting, down), (said(grpc("14")), outcome));

    let head = Client::silent().raw("GET / HTTP/1.1\r\n").pause(s(1)).raw("\r\n");
    assert_eq!(undelivered([Term::Http1], &head, down), (http1(502), outcome));
    assert_eq!(undelivered([Term::Any], &head, down), (http1(502), outcome));
    let hello = Client::tls(&Hello::to("a.example"));
    assert_eq!(undelivered([Term::Tls], &hello, down).0, [Word::Alert(80)]);
    assert_eq!(undelivered([Term::Tls], &hello, Reason::Forbidden).0, [Word::Alert(49)]);
    assert_eq!(undelivered([Term::Ssh], &Client::silent().raw("SSH-2.0-x\r\n"), down), (vec![], outcome));
    assert_eq!(
        undelivered([Term::Any], &Client::silent(), down),
        (vec![], outcome),
        "after its own deadline"
    );
}

/// C-7: undecided connections end at once, without a backend, each in its own protocol.
#[test]
fn shutdown_ends_what_is_undecided() {
    let ended = |client: &Script| {
        let mut player =
            Player::new(&Scene::new([Term::Grpc, Term::HeaderIs("a", "b"), Term::Sni("x")], client.clone()));
        for piece in client.pieces() {
            player.wait(piece.at);
            player.now = piece.at;
            player.input(&piece.bytes);
        }
        player.wait(client.now());
        player.shut_down();
        assert_eq!((player.outcome(), player.now), (Some(Outcome::Shutdown), client.now()));
        player.words.into_iter().map(|(_, word)| word).collect::<Vec<_>>()
    };
    assert_eq!(ended(&Client::silent()), []);
    assert_eq!(ended(&Client::silent().raw("GET / HT")), []);
    assert_eq!(ended(&Client::silent().raw("GET / HTTP/1.1\r\n")), http1(503));
    assert_eq!(ended(&Client::silent().raw("\x16\x03")), []);
    assert_eq!(ended(&Client::http2()), [settings(), goaway(0, 0)]);
    assert_eq!(ended(&http2()), [settings(), Word::SettingsAck, goaway(0, 0)]);
    assert_eq!(ended(&http2().pause(s(60))), [settings(), Word::SettingsAck, goaway(0, 0)]);
}

/// A verdict that was not delivered when the listener shuts down: answered, if there is a request to answer.
#[test]
fn shutdown_answers_what_waits_for_its_route() {
    let ended = |routes: Vec<Term>, client: Script| {
        let mut player = Player::new(&Scene::new(routes, client.clone()));
        if !player.is_over() {
            player.input(&client.bytes());
        }
        let now = player.instant();
        let mut machine = player.into_handover().shut_down();
        let mut out = Vec::new();
        loop {
            match machine.poll_output() {
                Output::Write(reply) => reply.encode(&mut out),
                Output::Closed(outcome) => break assert_eq!(outcome, Outcome::Shutdown),
                other => panic!("{other:?} at {now:?}"),
            }
        }
        parse(&out)
    };
    let unavailable = Word::Response { stream: 1, status: "200".into(), grpc: Some("14".into()) };
    let call = ended(vec![Term::Grpc], http2().headers(1, GRPC_CALL));
    assert_eq!(call, [settings(), Word::SettingsAck, unavailable, goaway(1, 0)]);
    assert_eq!(ended(vec![Term::Http1], Client::silent().raw("GET / HTTP/1.1\r\n")), http1(503));
    assert_eq!(ended(vec![Term::Http2], Client::http2()), [settings(), goaway(0, 0)]);
    assert_eq!(ended(vec![Term::Any], Client::silent()), []);
}

/// One that has to go because there are too many: refused, with GOAWAY(NO_ERROR, last stream 0) where it speaks HTTP/2.
#[test]
fn an_evicted_connection_is_refused() {
    let idle = http2();
    let mut player = Player::new(&Scene::grpc_or_rest(idle.clone()));
    player.input(&idle.bytes());
    player.wait(s(60));
    assert!(player.machine.is_greeted());
    player.machine.handle_eviction(player.instant());
    player.wait_for_end_of_outputs();
    assert_eq!(player.outcome(), Some(Outcome::Refused(Reason::Overload)));
    assert_eq!(player.words.last().map(|(_, word)| word), Some(&goaway(0, 0)));
}

/// C-7, D-4: where the first route takes everything there is nothing to detect, and nobody is kept waiting.
#[test]
fn a_catch_all_skips_detection() {
    let seen = tell(&Scene::new([Term::Any], Client::silent()));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(0)), s(0)));
}

proptest! {
    /// The end of a connection does not depend on what comes behind it.
    #[test]
    fn what_comes_after_the_end_is_not_heard(scene in scene(), cuts in cuts(), extra in any::<[u8; 7]>()) {
        let seen = play(&scene, &cuts).0;
        let far = s(100 * 60);
        let late = Scene { client: scene.client.clone().pause(far).raw(extra), ..scene.clone() };
        if seen.to().is_none() && scene.client.end().is_none() {
            prop_assert_eq!(play(&late, &cuts).0, seen);
        }
    }

    /// FIN at any moment of any scene: the model and the machine agree on what becomes of it.
    #[test]
    fn an_end_at_any_moment_is_an_outcome(scene in scene(), cuts in cuts(), cut in any::<proptest::sample::Index>()) {
        let len = scene.client.bytes().len();
        let scene = Scene { client: scene.client.clone().cut_off(cut.index(len + 1)).ends(End::Fin), ..scene };
        prop_assert_eq!(play(&scene, &cuts).0, expect(&scene));
    }
}
