//! Beside the laws: an opening is looked at no closer than its verdict needs, and nobody can tell by the verdict. What was looked at
//! is right, what was not is unknown, and with `complete_facts` nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::testing::{Client, Hello, Piece, Script, GET};
use oneport_core::wire::tls::OwnedHello;
use oneport_core::{
    matchers, Bound, Config, Fact, Facts, Handover, MuxMachine, Outcome, Output, Reason, Request, Routes,
};
use proptest::prelude::*;

use crate::support::drive::{play, tell, Cuts, Player};
use crate::support::scene::{Scene, To};
use crate::support::strategies::{client, cuts, scene};
use crate::support::terms::Term;
use crate::support::words::{parse, Word};

fn complete(scene: &Scene) -> Scene {
    scene.clone().configured(|config| config.complete_facts = true)
}

/// The handover of a scene in which the client does not end, if there is one.
fn handover(scene: &Scene, cuts: &Cuts) -> Option<Handover<To>> {
    let mut player = Player::new(scene);
    let mut sizes = cuts.0.iter().copied().cycle();
    for Piece { at, bytes } in scene.client.pieces() {
        player.wait(*at);
        let mut rest = &bytes[..];
        while !rest.is_empty() && !player.is_over() {
            let (chunk, behind) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
            rest = behind;
            player.now = *at;
            player.input(chunk);
        }
    }
    player.wait_for_end();
    matches!(player.outcome(), Some(Outcome::Routed(_))).then(|| player.into_handover())
}

fn agree<T: PartialEq + std::fmt::Debug>(what: &str, looked: Fact<T>, all: Fact<T>) {
    assert!(looked.is_unknown() || looked == all, "{what}: {looked:?}, and all that there is {all:?}");
}

type Line = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, u32);

fn line(request: &Request) -> Line {
    let path = request.path().map(<[u8]>::to_vec);
    (request.method().to_vec(), request.target().to_vec(), path, request.stream())
}

type Head = (Line, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Vec<u8>)>, bool, bool);

fn head(request: &Request) -> Head {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let fields = request.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let (host, kind) = (owned(request.authority()), owned(request.content_type()));
    (line(request), host, kind, fields, request.is_grpc(), request.is_grpc_web())
}

fn assert_agree(looked: &Facts, all: &Facts) {
    agree("http1", looked.http1(), all.http1());
    agree("http2", looked.http2(), all.http2());
    agree("tls", looked.tls().map(OwnedHello::clone), all.tls().map(OwnedHello::clone));
    agree("line", looked.request_line().map(line), all.request_line().map(line));
    agree("head", looked.request().map(head), all.request().map(head));
    assert!(looked.exceeded().is_none() || looked.exceeded() == all.exceeded());
}

proptest! {
    /// Whatever the routes, the client and the cut: verdict, words, instant and replay are the same.
    #[test]
    fn a_closer_look_changes_no_verdict(scene in scene(), cuts in cuts()) {
        prop_assert_eq!(play(&scene, &cuts).0, play(&complete(&scene), &cuts).0);
    }

    #[test]
    fn what_was_looked_at_is_what_there_is(scene in scene(), cuts in cuts()) {
        let looked = handover(&scene, &cuts);
        let all = handover(&complete(&scene), &cuts);
        prop_assert_eq!(looked.is_some(), all.is_some());
        if let (Some(looked), Some(all)) = (looked, all) {
            assert_agree(looked.facts(), all.facts());
            assert_agree(&looked.into_parts().facts, &all.into_parts().facts);
        }
    }

    /// A route that is passed over because the opening is in another protocol would have said no: behind a double negation, which is
    /// never passed over, it is the same route.
    #[test]
    fn routes_that_are_not_asked_would_have_said_no(scene in scene(), cuts in cuts()) {
        let not = |term: Term| Term::Not(Box::new(term));
        let routes = scene.routes.iter().map(|term| not(not(term.clone()))).collect();
        let asked = Scene { routes, ..scene.clone() };
        prop_assert_eq!(play(&scene, &cuts).0, play(&asked, &cuts).0);
    }

    /// What comes behind a verdict does not change what is told to a client that is refused then.
    #[test]
    fn a_refusal_knows_what_the_verdict_did_not_need(client in client(), cuts in cuts()) {
        let routes = [Term::Http1, Term::Http2, Term::Tls];
        let last_words = |scene: &Scene| {
            let mut words = Vec::new();
            for refuses in [true, false] {
                let handover = handover(scene, &cuts)?;
                let now = Instant::now();
                let mut machine = match refuses {
                    true => handover.refuse(Reason::Forbidden, now),
                    false => handover.shut_down(),
                };
                machine.handle_timeout(now + Duration::from_secs(3_600));
                while let Output::Write(reply) = machine.poll_output() {
                    reply.encode(&mut words);
                }
            }
            Some(words)
        };
        let scene = Scene::new(routes, client).otherwise();
        prop_assert_eq!(last_words(&scene), last_words(&complete(&scene)));
    }
}

fn facts_of(scene: &Scene) -> Facts {
    handover(scene, &Cuts::whole()).expect("a route takes it").into_parts().facts
}

fn get() -> Script {
    Client::silent().raw("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

#[test]
fn nothing_is_read_that_nobody_asks_for() {
    let scene = Scene::new([Term::Grpc, Term::Http1], get());
    let facts = facts_of(&scene);
    assert!(facts.http1().is_present() && facts.http2() == Fact::Absent && facts.tls() == Fact::Absent);
    assert!(facts.request_line().is_unknown() && facts.request().is_unknown());
    let facts = facts_of(&complete(&scene));
    assert_eq!(
        facts.request().map(|r| r.authority().map(<[u8]>::to_vec)),
        Fact::Present(Some(b"a.example".to_vec()))
    );

    let facts = facts_of(&Scene::new([Term::Path("/x")], get()));
    assert_eq!(
        facts.request_line().map(|r| r.path().map(<[u8]>::to_vec)),
        Fact::Present(Some(b"/x".to_vec()))
    );
    assert!(facts.request().is_unknown());

    let scene = Scene::new([Term::Http], Client::tls(&Hello::to("a.example"))).otherwise();
    assert!(facts_of(&scene).tls().is_unknown());
    let sni = facts_of(&complete(&scene)).tls().map(|hello| hello.sni().map(str::to_owned));
    assert_eq!(sni, Fact::Present(Some("a.example".to_owned())));

    let scene = Scene::new([Term::Http2], Client::http2().settings(&[]).headers(1, GET));
    assert!(facts_of(&scene).request().is_unknown());
    assert!(facts_of(&complete(&scene)).request().is_present());
}

/// Names that are not there are told by a set of bits, which must never hide one that is.
#[test]
fn each_of_many_fields_is_found() {
    let names: Vec<String> =
        (0..200).map(|n| format!("X-{}", "ab".repeat(n % 40) + &n.to_string())).collect();
    let lines: String = names.iter().map(|name| format!("{name}: blue\r\n")).collect();
    let opening = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    for name in names {
        for name in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
            let routes = Routes::new().route(matchers::header(name.as_str(), matchers::is("blue")), ());
            let now = Instant::now();
            let mut machine = MuxMachine::new(routes.into(), Config::default().into(), now);
            machine.handle_input(opening.as_bytes(), now);
            assert!(matches!(machine.poll_output(), Output::Routed(_)), "{name}");
        }
    }
}

/// A ClientHello that says at its ninth byte that it is too long ends there, for raw matchers too, however it is cut.
#[test]
fn raw_matchers_see_nothing_behind_a_bound_that_nobody_has_looked_for() {
    let mut hello = Hello::to("a.example");
    hello.filler = 1_700;
    let client = Client::tls(&hello);
    let byte = client.bytes()[100];
    let scene = Scene::new([Term::ByteAt(100, byte), Term::Tls], client).otherwise();
    let seen = tell(&scene.clone().configured(|config| config.max_client_hello = 300));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::ClientHello))));
    assert_eq!(tell(&scene).to(), Some(To::Route(0)));
}

/// Nothing is known that could be answered when the verdict comes; when the listener shuts down instead, it is.
#[test]
fn who_is_shut_down_before_delivery_is_answered() {
    let said = |routes: &[Term], client: Script| {
        let scene = Scene::new(routes.to_vec(), client).otherwise();
        let mut machine = handover(&scene, &Cuts::whole()).expect("a route takes it").shut_down();
        let mut words = Vec::new();
        while let Output::Write(reply) = machine.poll_output() {
            reply.encode(&mut words);
        }
        parse(&words)
    };
    assert_eq!(said(&[Term::Http1], get()), [Word::Http1 { status: 503, has_body: true }]);
    assert_eq!(said(&[Term::Http1], Client::tls(&Hello::to("a.example"))), [Word::Alert(80)]);
    let words = said(&[Term::Http2], Client::http2().settings(&[]).headers(1, GET));
    assert!(matches!(words[..], [Word::Settings(_), .., Word::GoAway { last: 1, .. }]), "{words:?}");
}

/// What a machine with this configuration does with these segments, said to it at once; then nothing more comes.
fn told(config: Config, routes: Routes<&'static str>, segments: &[&[u8]]) -> (Option<Outcome>, Vec<u8>) {
    let now = Instant::now();
    let mut machine = MuxMachine::new(routes.into(), config.into(), now);
    let mut words = Vec::new();
    for segment in segments {
        machine.handle_input(segment, now);
        loop {
            match machine.poll_output() {
                Output::Write(reply) => reply.encode(&mut words),
                Output::Routed(handover) => return (Some(Outcome::Routed(handover.why())), words),
                Output::Closed(outcome) => return (Some(outcome), words),
                Output::NeedInput { .. } | Output::Split(_) => break,
            }
        }
    }
    (None, words)
}

#[test]
fn a_request_line_that_ends_at_the_bound_of_the_head_is_known() {
    for (method, body) in [("GET", true), ("HEAD", false)] {
        let line = format!("{method} /x?{} HTTP/1.1\r\n", "a".repeat(60)).into_bytes();
        for (limit, path) in [(-1, "/x"), (0, "/x"), (1, "/x"), (0, "/y")] {
            let seen = [true, false].map(|complete_facts| {
                let mut config = Config::default();
                config.complete_facts = complete_facts;
                config.max_http1_head = line.len().saturating_add_signed(limit);
                told(config, Routes::new().route(matchers::path(path), "x"), &[&line, b"Host: a"])
            });
            assert_eq!(seen[0], seen[1], "{method} {limit} {path}");
            let (outcome, words) = &seen[0];
            match (limit, path) {
                (0 | 1, "/x") => assert!(matches!(outcome, Some(Outcome::Routed(_))), "{limit}: {outcome:?}"),
                _ => {
                    assert_eq!(*outcome, Some(Outcome::Refused(Reason::TooLarge(Bound::Http1Head))));
                    let answered_with_body = !words.ends_with(b"\r\n\r\n");
                    assert_eq!(answered_with_body, body || limit < 0, "{method} {limit} {path}");
                }
            }
        }
    }
}

/// What the machine holds are the bytes of the opening and what it knows of them.
#[test]
fn facts_are_held_too() {
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "p".repeat(200), "v".repeat(300));
    // It waits for one byte more.
    let routes = Routes::new().route(matchers::prefix(format!("{head}!")), "more");
    let now = Instant::now();
    let mut machine = MuxMachine::new(Arc::new(routes), Arc::default(), now);
    machine.handle_input(head.as_bytes(), now);
    assert!(matches!(machine.poll_output(), Output::NeedInput { .. }));
    // Once as they came, and of the request all but a few bytes of syntax.
    assert!(machine.buffered() >= 2 * head.len() - 30, "{} of {}", machine.buffered(), head.len());

    // Half of a ClientHello, and what has read it so far.
    let hello = crate::flights::flight("openssl-tls13").bytes;
    let half = &hello[..hello.len() / 2];
    let buffered = |matcher| {
        let mut machine = MuxMachine::new(Arc::new(Routes::new().route(matcher, "")), Arc::default(), now);
        machine.handle_input(half, now);
        assert!(matches!(machine.poll_output(), Output::NeedInput { .. }));
        machine.buffered()
    };
    let unread = buffered(matchers::prefix([half, b"!"].concat()));
    assert!(buffered(matchers::sni("a")) >= unread.min(half.len()) + 64);
}
