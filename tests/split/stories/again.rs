//! Rule 3: what a backend did not process is sent again, whole, in its place, and never twice.

use oneport_core::split::SplitConfig;

use super::super::rig::{Rig, OK, POST};
use super::super::strict::{head, Word};
use super::failure::bad_gateway;

/// Ids rise on every connection: what comes back from an old one goes ahead of later requests that wait for the new one.
#[test]
fn what_is_sent_again_takes_its_place_in_the_line() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.get(3, "/");
    let old = rig.to("rest");
    rig.at("rest").say_goaway(0x7fff_ffff, 0);
    rig.run();
    rig.auto_connect = false;
    rig.get(5, "/");
    rig.backends.get_mut(&old).unwrap().peer.say_goaway(1, 0);
    rig.run();
    let new = rig.to("rest");
    assert_ne!(new, old);
    rig.connect(new);
    // The strict backend takes no id below one that it has seen.
    rig.run();
    assert_eq!(rig.at("rest").ids(), [3, 5]);
}

/// Whatever it would do: the backend has not seen it.
#[test]
fn what_waits_for_a_backend_that_dies_goes_to_the_next_connection() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(1), &[]);
    rig.client.say_head(1, &POST, true, None);
    rig.client.say_head(3, &POST, true, None);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1]);
    let old = rig.to("rest");
    rig.lose(old);
    rig.expect_client(1, &[bad_gateway(), Word::End]);
    assert_eq!(rig.at("rest").ids(), [3]);
    rig.at("rest").say_head(3, &OK, true, None);
    rig.run();
    rig.expect_client(3, &[head(&OK), Word::End]);
}

/// A client that has heard of a first response must not hear of a second one.
#[test]
fn a_request_of_which_the_response_has_begun_is_not_sent_again() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.at("rest").say_head(1, &[(":status", "103")], false, None);
    rig.run();
    rig.at("rest").say_goaway(0, 0);
    rig.run();
    rig.expect_client(1, &[head(&[(":status", "103")]), Word::Reset(7)]);
    assert_eq!(rig.backends.len(), 1);
}

/// What is left of a stream at the connection that it was taken from does nothing there, also when that one can go on.
#[test]
fn a_body_goes_to_one_connection_only() {
    let mut rig = Rig::new();
    rig.greet = |peer| {
        peer.say_settings(1_000_000, 4_096, None, &[]);
        peer.auto_credit = false;
    };
    rig.get(1, "/");
    let old = rig.to("rest");
    rig.client.say_head(3, &POST, false, None);
    let mut body = Vec::new();
    // As much as the window of the backend's connection takes.
    for length in [16_384, 16_384, 16_384, 16_383] {
        body.extend(vec![b'x'; length]);
        rig.client.say_data(3, &vec![b'x'; length], false, None);
        rig.run();
    }
    assert_eq!(rig.at("rest").content(3).len(), 65_535);
    rig.client.say_data(3, b"more", false, None);
    rig.run();
    // The old one is being written to, so that what waits for it is looked at only when the new one has the stream.
    rig.stick(Some(old));
    rig.backends.get_mut(&old).unwrap().peer.say_ping(*b"12345678");
    rig.run();
    rig.backends.get_mut(&old).unwrap().peer.say_goaway(1, 0);
    rig.run();
    assert_ne!(rig.to("rest"), old);
    rig.backends.get_mut(&old).unwrap().peer.grant(0, 100_000);
    rig.run();
    rig.unstick(Some(old));
    assert_eq!(rig.backends[&old].peer.content(3).len(), 65_535);
    rig.at("rest").grant(0, 100);
    rig.client.say_data(3, b" still", true, None);
    rig.run();
    body.extend_from_slice(b"more still");
    assert_eq!(rig.at("rest").content(3), body);
    assert!(rig.at("rest").has_ended(3));
}

/// Up to the bound, that one included.
#[test]
fn a_body_is_held_up_to_its_bound() {
    for (length, is_sent_again) in [(1_000, true), (1_001, false)] {
        let mut config = SplitConfig::default();
        config.max_replay = 1_000;
        let mut rig = Rig::with(config);
        rig.client.say_head(1, &POST, false, None);
        rig.client.say_data(1, &vec![b'x'; length], false, None);
        rig.run();
        assert_eq!(rig.at("rest").content(1).len(), length);
        rig.at("rest").say_goaway(0, 0);
        rig.run();
        assert_eq!(rig.backends.len(), if is_sent_again { 2 } else { 1 });
        assert_eq!(rig.client.words(1).last() == Some(&Word::Reset(7)), !is_sent_again);
    }
}

/// A body that was sent in pieces is sent again in the same order, and goes on from there.
#[test]
fn the_pieces_of_a_body_keep_their_order() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    let mut body = Vec::new();
    for byte in b'a'..=b'h' {
        let piece = [byte; 1_000];
        body.extend_from_slice(&piece);
        rig.client.say_data(1, &piece, false, None);
        rig.run();
    }
    assert_eq!(rig.at("rest").content(1), body);
    rig.at("rest").say_goaway(0, 0);
    rig.run();
    rig.client.say_data(1, b"the end", true, None);
    rig.run();
    body.extend_from_slice(b"the end");
    assert_eq!(rig.backends.len(), 2);
    assert!(rig.at("rest").content(1) == body, "in order, and once");
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
}

/// What is held of all bodies together has a bound: who is beyond it has to try again itself.
#[test]
fn bodies_that_are_held_have_a_bound_together() {
    let mut config = SplitConfig::default();
    config.max_replay_total = 4_000;
    let mut rig = Rig::with(config);
    for id in [1, 3, 5] {
        rig.client.say_head(id, &POST, false, None);
        rig.client.say_data(id, &[b'x'; 2_000], false, None);
        rig.run();
    }
    rig.at("rest").say_goaway(0, 0);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1, 3]);
    assert_eq!(rig.at("rest").content(3).len(), 2_000);
    rig.expect_client(5, &[Word::Reset(7)]);
}

/// The client was given credit for it when it was sent for the first time.
#[test]
fn a_body_that_is_sent_again_is_credited_once() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    for _ in 0..4 {
        rig.client.say_data(1, &[b'x'; 10_000], false, None);
    }
    rig.run();
    let before = rig.client.sendable(1);
    for _ in 0..3 {
        rig.at("rest").say_goaway(0, 0);
        rig.run();
        assert_eq!(rig.client.words(1), [], "it is tried again");
    }
    assert_eq!(rig.backends.len(), 4);
    assert_eq!(rig.at("rest").content(1).len(), 40_000);
    assert_eq!(rig.client.sendable(1), before);
}

/// The connection that was to take it over can not be had: nobody has processed it, and the client may try again.
#[test]
fn what_finds_no_other_connection_may_be_tried_again() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.auto_connect = false;
    rig.at("rest").say_goaway(0, 0);
    rig.run();
    let new = rig.to("rest");
    rig.machine.handle_connect_failed(new, oneport_core::split::ConnectFailure::Down, rig.now);
    rig.run();
    rig.expect_client(1, &[Word::Reset(7)]);
}
