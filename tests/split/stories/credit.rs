//! Rule 4: each byte of DATA counts against the windows that it came through, and is given back once.

use oneport_core::split::{ConnectionEnd, SplitConfig};
use oneport_core::wire::frame::{encode_frame, ErrorCode, Kind};

use super::super::rig::{Rig, GET, OK, POST};
use super::super::strict::{head, Word};

/// The windows of its streams do not add up to more than the connection's, also where its SETTINGS gave each of them as much.
#[test]
fn more_than_the_connections_window_is_an_error_of_the_backend() {
    let mut config = SplitConfig::default();
    config.backend_connection_window = 65_535;
    for (more, is_fault) in [(5_535, false), (5_536, true)] {
        let mut rig = Rig::with(config.clone());
        // The client takes nothing, so nothing is given back.
        rig.client.say_settings(0, 4_096, None, &[]);
        for id in [1, 3] {
            rig.client.say_head(id, &GET, true, None);
        }
        rig.run();
        let greedy = rig.to("rest");
        for id in [1, 3] {
            rig.at("rest").say_head(id, &OK, false, None);
        }
        for _ in 0..6 {
            rig.at("rest").say_data(1, &[b'x'; 10_000], false, None);
        }
        rig.run();
        encode_frame(&mut rig.at("rest").out, Kind::DATA, 0, 3, &vec![b'x'; more]);
        rig.run();
        let end = is_fault.then_some(ConnectionEnd::Fault(ErrorCode::FLOW_CONTROL_ERROR));
        assert_eq!(rig.backends[&greedy].closed, end, "{more}");
        assert_eq!(rig.outcome, None);
    }
}

/// Padding counts as DATA (RFC 9113 §6.9.1), and nobody takes it: it is given back at once, on both sides.
#[test]
fn padding_is_given_back() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    // Many times each window, and hardly any content.
    for _ in 0..10_000 {
        assert!(rig.client.sendable(1) >= 257 && rig.at("rest").sendable(1) >= 257, "the window is used up");
        rig.client.say_data(1, b"u", false, Some(255));
        rig.at("rest").say_data(1, b"d", false, Some(255));
        rig.run();
    }
    assert_eq!(rig.at("rest").content(1).len(), 10_000);
    assert_eq!(rig.client.content(1).len(), 10_000);
    rig.client.say_data(1, b"", true, None);
    rig.at("rest").say_data(1, b"", true, None);
    rig.run();
    assert_eq!(rig.client.words(1).first(), Some(&head(&OK)));
    assert_eq!(rig.client.words(1).last(), Some(&Word::End));
    assert_eq!((rig.machine.streams(), rig.machine.buffered()), (0, 0));
}

/// DATA of streams that are gone counts against the connection's window like any other, and comes back: otherwise each of them
/// would narrow it for good.
#[test]
fn streams_that_are_gone_keep_nothing_of_the_connections_windows() {
    let mut config = SplitConfig::default();
    config.client_connection_window = 65_535;
    config.backend_connection_window = 65_535;
    let mut rig = Rig::with(config);
    for id in (1..80).step_by(4) {
        // The backend has reset it, and the client has more on the way.
        rig.client.say_head(id, &POST, false, None);
        rig.run();
        rig.at("rest").say_reset(id, 2);
        rig.run();
        rig.client.say_data(id, &[b'u'; 10_000], false, None);
        // The client has reset it, and the backend has more on the way.
        rig.client.say_head(id + 2, &GET, true, None);
        rig.run();
        rig.at("rest").say_head(id + 2, &OK, false, None);
        rig.run();
        rig.client.say_reset(id + 2, 8);
        rig.run();
        rig.at("rest").say_data(id + 2, &[b'd'; 10_000], false, None);
        rig.run();
    }
    assert_eq!(rig.outcome, None);
}

/// What is held of a response for a client that then gives it up comes back to its backend.
#[test]
fn responses_that_are_given_up_keep_nothing_of_the_connections_window() {
    let mut config = SplitConfig::default();
    config.backend_connection_window = 65_535;
    let mut rig = Rig::with(config);
    rig.client.say_settings(0, 4_096, None, &[]);
    for id in (1..40).step_by(2) {
        rig.client.say_head(id, &GET, true, None);
        rig.run();
        rig.at("rest").say_head(id, &OK, false, None);
        rig.at("rest").say_data(id, &[b'x'; 10_000], false, None);
        rig.run();
        assert_eq!(rig.client.content(id), b"");
        rig.client.say_reset(id, 8);
        rig.run();
    }
    assert_eq!(rig.machine.buffered(), 0);
}

/// The same where the backend takes them back itself, which it must not: others go on with its connection.
#[test]
fn responses_that_a_backend_disowns_keep_nothing_of_its_window() {
    let mut config = SplitConfig::default();
    config.backend_connection_window = 65_535;
    let mut rig = Rig::with(config);
    rig.client.say_settings(0, 4_096, None, &[]);
    for id in [1, 3, 5, 7, 9] {
        rig.get(id, "/");
        rig.at("rest").say_head(id, &OK, false, None);
        if id > 1 {
            rig.at("rest").say_data(id, &[b'x'; 16_000], false, None);
        }
        rig.run();
    }
    rig.at("rest").say_goaway(1, 0);
    rig.run();
    for id in [3, 5, 7, 9] {
        // Not REFUSED_STREAM: nobody knows what it did.
        rig.expect_client(id, &[head(&OK), Word::Reset(2)]);
    }
    assert!(rig.at("rest").sendable(1) > 32_000, "{}", rig.at("rest").sendable(1));
}

/// Responses that stand still, because the client takes nothing of them, hold a part of their backend's connection window. What is
/// left of it goes round for the others, however little it is.
#[test]
fn streams_that_stand_still_do_not_keep_the_others_waiting() {
    for still in [8, 9, 12, 15] {
        let mut rig = Rig::new();
        rig.client.say_settings(0, 4_096, None, &[]);
        rig.client.grant(0, 1 << 20);
        rig.run();
        let live = 2 * still + 1;
        for id in (1..=live).step_by(2) {
            rig.get(id, "/");
            rig.at("rest").say_head(id, &OK, false, None);
            rig.run();
        }
        for id in (1..live).step_by(2) {
            while rig.at("rest").sendable(id) > 0 {
                let count = rig.at("rest").sendable(id).min(16_384);
                rig.at("rest").say_data(id, &vec![b'x'; count], false, None);
                rig.run();
            }
            assert_eq!(rig.client.content(id), b"");
        }
        rig.client.grant(live, 65_535);
        let mut sent = 0;
        while sent < 4 << 20 {
            rig.run();
            let count = rig.at("rest").sendable(live).min(16_384);
            assert!(count > 0, "with {still} that stand still, the other one does after {sent} bytes");
            rig.at("rest").say_data(live, &vec![b'y'; count], false, None);
            sent += count;
        }
        rig.run();
        assert_eq!(rig.client.content(live).len(), sent);
    }
}
