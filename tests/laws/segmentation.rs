//! Law 2: for the same bytes at the same instants, the verdict, the mux's words and what the backend receives do not depend on
//! how they are cut. And all of it is what the model says, which knows no cuts.

use std::collections::BTreeMap;

use oneport_core::testing::{Client, Script, GET, GRPC_CALL};
use oneport_core::{Bound, Outcome, Reason};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::drive::{play, tell, Cuts, Ending};
use crate::support::model::expect;
use crate::support::ms;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{cuts, scene};
use crate::support::terms::Term;
use crate::support::words::Word;

proptest! {
    #[test]
    fn any_cuts_give_what_the_model_says(scene in scene(), cuts in cuts()) {
        prop_assert_eq!(play(&scene, &cuts).0, expect(&scene));
    }
}

/// A bound that is known to be passed early must not be a race with a matcher of raw bytes that needs more: nobody sees what is
/// behind the byte that settled it.
#[test]
fn a_bound_is_no_race() {
    let announced = Client::silent().raw(b"\x16\x03\x01\x40\0\x01\xff\0\0 too long");
    let seen = tell(&Scene::new([Term::Prefix(b"\x16\x03\x01\x40\0\x01\xff\0\0 too")], announced.clone()));
    assert!(seen.to().is_none(), "the seventh byte is enough to refuse it");
    let seen = tell(&Scene::new([Term::Prefix(b"\x16\x03\x01\x40\0\x01\xff")], announced));
    assert_eq!(seen.to(), Some(To::Route(0)), "and to take it");
    let frames = Client::http2().settings(&[]).raw(b"\0\x40\x01\xee\0\0\0\0\0 too long");
    for scene in [
        Scene::new([Term::ByteAt(45, b'o')], frames.clone()),
        Scene::new([Term::ByteAt(45, b'o')], frames).otherwise(),
    ] {
        let seen = tell(&scene);
        let refused = Ending::Closed(Outcome::Refused(Reason::TooLarge(Bound::FrameSize)));
        assert_eq!(seen.ending, refused, "padding is no way around a route");
    }
}

/// Raw matchers see so many bytes and no more, whatever a bound cuts off behind them; and nothing behind the first request, which is
/// then all there is for them.
#[test]
fn who_wants_more_than_there_is_for_raw_matchers_is_passed_over() {
    let head = Client::silent().raw(format!("GET /x HTTP/1.1\r\nx-filler: {}", "f".repeat(70_000)));
    let request = Client::http2().settings(&[]).headers(1, GET);
    for complete in [false, true] {
        let goes_to = |routes: [Term; 2], client: &Script, to: To| {
            let scene = Scene::new(routes, client.clone()).otherwise();
            let seen = tell(&scene.configured(|config| config.complete_facts = complete));
            assert_eq!(seen.to(), Some(to), "{seen:?}");
        };
        goes_to([Term::ByteAt(4_096, b'f'), Term::Http1], &head, To::Route(1));
        goes_to([Term::ByteAt(4_095, b'f'), Term::Http1], &head, To::Route(0));
        goes_to([Term::ByteAt(2_000, 0), Term::Path("/x")], &request, To::Route(1));
        goes_to([Term::ByteAt(2_000, 0), Term::Grpc], &request, To::Otherwise);
    }
}

/// What raw matchers were shown before the greeting stays, though a frame of it is answered and taken out once it is whole.
#[test]
fn what_raw_matchers_have_seen_stays() {
    const KIND: usize = 24 + 9 + 3;
    let client = |cut: usize| {
        let ping = Client::silent().ping([9; 8]).bytes();
        let start = Client::http2().settings(&[]).raw(&ping[..cut]).pause(ms(9));
        start.raw(&ping[cut..]).headers(1, GRPC_CALL)
    };
    for cut in 4..=17 {
        for (kind, to) in [(6, To::Route(0)), (1, To::Otherwise)] {
            let route = Term::All(vec![Term::ByteAt(KIND, kind), Term::Grpc]);
            assert_eq!(tell(&Scene::new([route], client(cut)).otherwise()).to(), Some(to), "{cut} {kind}");
        }
    }
}

/// A property that never meets its case proves nothing: among a fixed sample of scenes, each kind of end is there, often.
#[test]
fn the_scenes_reach_every_kind_of_end() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..3_000 {
        let scene = scene().new_tree(&mut runner).unwrap().current();
        let (story, _) = play(&scene, &Cuts::whole());
        let mut count = |what: &str| *seen.entry(what.to_owned()).or_default() += 1;
        match &story.ending {
            Ending::Routed { owed_by_backend: Some(_), owes_ack: false, .. } => {
                count("routed, greeted, ACK removed");
            }
            Ending::Routed { owed_by_backend: Some(_), .. } => count("routed, greeted, ACK to come"),
            Ending::Routed { to: To::Route(_), .. } => count("routed"),
            Ending::Routed { to, .. } => count(&format!("routed to {to:?}")),
            Ending::Closed(outcome) => count(&outcome.to_string()),
        }
        for (_, word) in story.words {
            count(match word {
                Word::Pong(_) => "says PONG",
                Word::Response { .. } => "says a response",
                Word::Http1 { .. } => "says HTTP/1",
                Word::Alert(_) => "says an alert",
                Word::GoAway { .. } => "says GOAWAY",
                _ => continue,
            });
        }
    }
    for (what, least) in [
        ("routed", 300),
        ("routed, greeted, ACK removed", 40),
        ("routed, greeted, ACK to come", 30),
        ("routed to Otherwise", 100),
        ("routed to OnTimeout", 5),
        ("routed to ServerFirst", 2),
        ("left (http2-waiting)", 1),
        ("left (http2-headers)", 1),
        ("probe (silent)", 1),
        ("refused (no-route)", 100),
        ("refused (too large: ClientHello)", 1),
        ("refused (too large: Continuations)", 1),
        ("refused (too large: Frames)", 1),
        ("refused (too large: HeaderBlock)", 1),
        ("refused (too large: HeaderList)", 1),
        ("refused (too large: Http1Head)", 1),
        ("refused (too large: Pings)", 1),
        ("refused (too large: Settings)", 5),
        ("timed-out (opening)", 10),
        ("timed-out (http2-settings)", 1),
        ("timed-out (http2-headers)", 1),
        ("timed-out (http2-idle)", 5),
        ("timed-out (silent)", 1),
        ("says PONG", 100),
        ("says a response", 5),
        ("says HTTP/1", 5),
        ("says an alert", 5),
        ("says GOAWAY", 100),
    ] {
        assert!(seen.get(what).is_some_and(|n| *n >= least), "{what}, among {seen:#?}");
    }
}
