//! The machine always comes to rest, and whatever it waits for is still to come: no adapter can be made to spin (D-5).

use proptest::prelude::*;

use crate::support::drive::{play, Cuts};
use crate::support::scene::Scene;
use crate::support::strategies::{cuts, pinging, scene};
use crate::support::terms::Term;

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
    use crate::support::drive::Player;
    use crate::support::ms;
    use oneport_core::testing::Client;

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

#[test]
fn cuts_of_nothing_are_whole() {
    // What `play` itself relies on: sizes of zero do not stall it.
    let client = oneport_core::testing::Client::silent().raw("\x05\x01\0");
    assert!(play(&Scene::new([Term::Socks5], client), &Cuts(vec![0])).0.to().is_some());
}
