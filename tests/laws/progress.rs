//! The machine always comes to rest, and whatever it waits for is still to come: no adapter can be made to spin (D-5).

use std::time::Duration;

use oneport_core::testing::Client;
use oneport_core::{Config, Outcome, Phase, Reason};
use proptest::prelude::*;

use crate::support::drive::{play, tell, Cuts, Player};
use crate::support::scene::Scene;
use crate::support::strategies::{cuts, pinging, scene};
use crate::support::terms::Term;
use crate::support::{ms, s};

proptest! {
    /// The driver asserts that each wait ends in the future; here: how much one event can make the machine say.
    #[test]
    fn one_event_calls_for_few_outputs(scene in scene(), cuts in cuts()) {
        let (_, cost) = play(&scene, &cuts);
        // The greeting, an answer for each PING that may be answered, an ACK for each SETTINGS, the last words, the end.
        let most = 4 + scene.config.ping_burst + scene.config.max_settings;
        prop_assert!(cost.outputs <= most as usize, "{} outputs", cost.outputs);
    }

    #[test]
    fn a_burst_of_pings_calls_for_as_many_outputs(client in pinging(), cuts in cuts()) {
        let (_, cost) = play(&Scene::new([Term::Grpc], client).otherwise(), &cuts);
        prop_assert!(cost.outputs <= 14, "{} outputs", cost.outputs);
    }
}

/// A timeout that comes early, or twice, has no effect.
#[test]
fn early_timeouts_have_no_effect() {
    let client = Client::http2().settings(&[]);
    let mut player = Player::new(&Scene::grpc_or_rest(client.clone()));
    player.input(&client.bytes());
    for at in 0..5 {
        player.now = ms(at);
        player.machine.handle_timeout(player.instant());
        player.input(&[]);
        assert!(player.words.is_empty(), "patience has not run out after {at} ms");
        assert_eq!(player.until(), Some(ms(5)), "and neither an empty read nor a timeout puts it off");
    }
    player.wait(ms(6));
    assert_eq!(player.words.len(), 2);
    let until = player.until();
    player.machine.handle_timeout(player.instant());
    player.input(&[]);
    assert_eq!((player.words.len(), player.until()), (2, until), "once");
}

/// Whose time is over is not greeted any more, nor given to a server that speaks first, be it at the same instant.
#[test]
fn of_two_deadlines_at_one_instant_the_end_counts() {
    let silent = |after| Scene { server_first: Some(after), ..Scene::new([Term::Tls], Client::silent()) };
    assert_eq!(tell(&silent(s(75))).outcome(), Some(Outcome::TimedOut(Phase::Silent)));
    assert!(tell(&silent(s(74))).to().is_some());

    let waits = |routes: Vec<Term>, patience| {
        let scene = Scene::new(routes, Client::http2().settings(&[]));
        tell(&scene.configured(|config| {
            config.settings_patience = patience;
            config.http2_idle_deadline = s(4);
            config.refusal_deadline = s(4);
        }))
    };
    let (idle, refused) = (Outcome::TimedOut(Phase::Http2Waiting), Outcome::Refused(Reason::NoRoute));
    for (routes, outcome) in [(vec![Term::Grpc], idle), (vec![Term::Tls], refused)] {
        let seen = waits(routes.clone(), s(4));
        assert_eq!((seen.outcome(), seen.at, seen.is_greeted()), (Some(outcome), s(4), false));
        assert!(waits(routes, s(3)).is_greeted());
    }
}

/// Who configures a time that no clock reaches waits for as good as ever, and not for a day.
#[test]
fn a_deadline_that_the_clock_does_not_reach_is_as_good_as_never() {
    let never = |config: &mut Config| {
        config.silent_deadline = Duration::MAX;
        config.opening_deadline = Duration::MAX;
    };
    let mut player = Player::new(&Scene::grpc_or_rest(Client::silent()).configured(never));
    let months = Some(Duration::from_secs(300 * 24 * 3_600));
    assert!(player.until() > months);
    player.input(b"P");
    assert!(player.until() > months);
}

#[test]
fn cuts_of_nothing_are_whole() {
    // What `play` itself relies on: sizes of zero do not stall it.
    let client = Client::silent().raw("\x05\x01\0");
    assert!(play(&Scene::new([Term::Socks5], client), &Cuts(vec![0])).0.to().is_some());
}
