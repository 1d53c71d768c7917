//! Law 2: for the same bytes at the same instants, the verdict, the mux's words and what the backend receives do not depend on
//! how they are cut. And all of it is what the model says, which knows no cuts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::drive::{play, Cuts, Ending};
use crate::support::model::expect;
use crate::support::scene::To;
use crate::support::strategies::{cuts, scene};
use crate::support::words::Word;

proptest! {
    #[test]
    fn any_cuts_give_what_the_model_says(scene in scene(), cuts in cuts()) {
        prop_assert_eq!(play(&scene, &cuts).0, expect(&scene));
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
