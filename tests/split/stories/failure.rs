//! Rules 3 and 6: backends that fail, go, or are not there.

use oneport_core::split::{ConnectFailure, ConnectionEnd, Side, SplitConfig};
use oneport_core::wire::frame::{encode_frame, ErrorCode, Kind};

use super::super::rig::{Rig, GET, GRPC, OK, POST};
use super::super::strict::{data, head, Word};

fn unavailable() -> Word {
    head(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "14"),
        ("grpc-message", "oneport: the backend is down"),
    ])
}

pub(super) fn bad_gateway() -> Word {
    head(&[(":status", "502")])
}

#[test]
fn a_backend_that_is_not_there() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    rig.client.say_head(1, &GET, true, None);
    rig.client.say_head(3, &GRPC, false, None);
    rig.run();
    for target in ["rest", "grpc"] {
        let id = rig.to(target);
        rig.fail_connect(id, ConnectFailure::Down);
    }
    rig.expect_client(1, &[bad_gateway(), Word::End]);
    rig.expect_client(3, &[unavailable(), Word::End, Word::Reset(0)]);
    // The next request tries again.
    rig.auto_connect = true;
    rig.get(5, "/");
    rig.at("rest").say_head(5, &OK, true, None);
    rig.run();
    rig.expect_client(5, &[head(&OK), Word::End]);
    assert_eq!(rig.backends.len(), 3);
}

#[test]
fn a_backend_that_speaks_http1_is_named() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    rig.get(1, "/");
    let wrong = rig.to("rest");
    rig.expect_client(1, &[bad_gateway(), Word::End]);
    assert_eq!(rig.backends[&wrong].closed, Some(ConnectionEnd::Fault(ErrorCode::FRAME_SIZE_ERROR)));
}

#[test]
fn a_backend_that_dies_takes_its_own_streams_only() {
    let mut rig = Rig::new();
    rig.get(1, "/a");
    rig.get(3, "/a");
    rig.get(5, "/a");
    rig.get(7, "/b");
    rig.at("a").say_head(1, &OK, false, None);
    rig.at("a").say_data(1, b"half", false, None);
    rig.at("a").say_head(5, &[(":status", "103")], false, None);
    rig.run();
    let dead = rig.to("a");
    rig.lose(dead);
    rig.expect_client(1, &[head(&OK), data("half"), Word::Reset(2)]);
    rig.expect_client(3, &[bad_gateway(), Word::End]);
    rig.expect_client(5, &[head(&[(":status", "103")]), bad_gateway(), Word::End]);
    rig.at("b").say_head(7, &OK, true, None);
    rig.run();
    rig.expect_client(7, &[head(&OK), Word::End]);
    assert_eq!(rig.backends[&dead].closed, Some(ConnectionEnd::Cut), "requests were in progress");
    rig.get(9, "/a");
    rig.expect_at("a", 9, &[head(&[(":method", "GET"), (":scheme", "http"), (":path", "/a")]), Word::End]);
    let idle = rig.to("b");
    rig.lose(idle);
    assert_eq!(rig.backends[&idle].closed, Some(ConnectionEnd::Clean), "nobody waited for it");
}

#[test]
fn a_whole_response_survives_its_backend() {
    let mut rig = Rig::new();
    rig.client.auto_credit = false;
    rig.get(1, "/");
    rig.at("rest").say_head(1, &OK, false, None);
    for count in [16_384, 16_384, 16_384, 16_383] {
        rig.at("rest").say_data(1, &vec![b'x'; count], false, None);
    }
    rig.run();
    rig.at("rest").say_data(1, b"the end", true, None);
    rig.run();
    let dead = rig.to("rest");
    rig.lose(dead);
    assert!(!rig.client.has_ended(1));
    rig.client.grant(0, 10);
    rig.client.grant(1, 10);
    rig.run();
    assert!(rig.client.content(1).ends_with(b"xthe end"));
    assert_eq!(rig.client.words(1).last(), Some(&Word::End));
    assert_eq!(rig.machine.streams(), 0);
}

#[test]
fn what_a_going_backend_did_not_process_is_sent_again() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.client.say_head(3, &POST, false, None);
    rig.client.say_data(3, b"first ", false, None);
    rig.client.say_head(5, &GRPC, false, None);
    rig.client.say_data(5, &[7; 5], true, None);
    rig.run();
    let old = rig.to("rest");
    rig.expect_at("rest", 3, &[head(&POST), data("first ")]);
    rig.at("rest").say_goaway(1, 0);
    rig.run();
    let new = rig.to("rest");
    assert_ne!(old, new);
    rig.client.say_data(3, b"second", false, None);
    rig.client.say_head(3, &[("t", "u")], true, None);
    rig.run();
    rig.expect_at("rest", 3, &[head(&POST), data("first second"), head(&[("t", "u")]), Word::End]);
    rig.at("rest").say_head(3, &OK, true, None);
    // The old connection finishes what it has, and is closed then.
    assert_eq!(rig.backends[&old].closed, None);
    rig.backends.get_mut(&old).unwrap().peer.say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    rig.expect_client(3, &[head(&OK), Word::End]);
    assert_eq!(rig.backends[&old].closed, Some(ConnectionEnd::Clean));
    assert_eq!(rig.client.words(5), []);
}

#[test]
fn a_request_goes_to_no_connection_that_has_later_ones() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.get(3, "/");
    let old = rig.to("rest");
    rig.at("rest").say_goaway(0x7fff_ffff, 0);
    rig.run();
    rig.get(5, "/");
    assert_ne!(rig.to("rest"), old);
    rig.backends.get_mut(&old).unwrap().peer.say_goaway(1, 0);
    rig.run();
    rig.expect_client(3, &[Word::Reset(7)]);
    rig.expect_client(1, &[]);
    assert_eq!(rig.at("rest").ids(), [5]);
}

#[test]
fn a_body_that_is_not_held_is_not_sent_again() {
    let mut config = SplitConfig::default();
    config.max_replay = 1_000;
    for (length, is_sent_again) in [(1_000, true), (1_001, false)] {
        let mut rig = Rig::with(config.clone());
        rig.client.say_head(1, &POST, false, None);
        rig.client.say_data(1, &vec![b'x'; length], false, None);
        rig.run();
        rig.at("rest").say_goaway(0, 0);
        rig.run();
        if is_sent_again {
            assert_eq!(rig.at("rest").content(1).len(), length);
            assert_eq!(rig.backends.len(), 2);
        } else {
            rig.expect_client(1, &[Word::Reset(7)]);
            assert_eq!(rig.backends.len(), 1);
        }
    }
}

#[test]
fn a_backend_that_always_goes_is_given_up() {
    let mut rig = Rig::new();
    rig.greet = |peer| {
        peer.say_plain_settings();
        peer.say_goaway(0, 0);
    };
    rig.get(1, "/");
    rig.expect_client(1, &[Word::Reset(7)]);
    assert_eq!(rig.backends.len(), 17);
    assert_eq!(rig.machine.streams(), 0);
}

#[test]
fn a_refusal_of_the_backend_goes_to_the_client() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.at("rest").say_reset(1, 7);
    rig.run();
    rig.expect_client(1, &[Word::Reset(7)]);
}

#[test]
fn faults_of_a_backend_end_its_connection() {
    for (kind, flags, stream, payload, code) in [
        (Kind::HEADERS, 5, 3, &b"\x88"[..], ErrorCode::PROTOCOL_ERROR), // a stream that was never opened
        (Kind::DATA, 0, 3, b"x", ErrorCode::PROTOCOL_ERROR),
        (Kind::RST_STREAM, 0, 3, b"\0\0\0\0", ErrorCode::PROTOCOL_ERROR),
        (Kind::WINDOW_UPDATE, 0, 3, b"\0\0\0\x01", ErrorCode::PROTOCOL_ERROR),
        (Kind::PUSH_PROMISE, 4, 1, b"\0\0\0\x02\x82", ErrorCode::PROTOCOL_ERROR),
        (Kind::SETTINGS, 0, 0, b"\0\x02\0\0\0\x01", ErrorCode::PROTOCOL_ERROR),
        (Kind::HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff", ErrorCode::COMPRESSION_ERROR),
        (Kind::WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff", ErrorCode::FLOW_CONTROL_ERROR),
    ] {
        let mut rig = Rig::new();
        rig.get(1, "/");
        let wrong = rig.to("rest");
        encode_frame(&mut rig.at("rest").out, kind, flags, stream, payload);
        rig.run();
        assert_eq!(rig.backends[&wrong].closed, Some(ConnectionEnd::Fault(code)), "{kind:?}");
        rig.expect_client(1, &[bad_gateway(), Word::End]);
        assert_eq!(rig.outcome, None);
    }
}

#[test]
fn what_is_told_of_a_closed_connection_has_no_effect() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    let dead = rig.to("rest");
    rig.lose(dead);
    rig.machine.handle_eof(Side::Backend(dead), rig.now);
    rig.machine.handle_connected(dead, rig.now);
    rig.machine.handle_connect_failed(dead, ConnectFailure::Forbidden, rig.now);
    rig.machine.handle_input(Side::Backend(dead), bytes::Bytes::from_static(b"junk"), rig.now);
    rig.run();
    rig.get(3, "/");
    rig.expect_at("rest", 3, &[head(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]), Word::End]);
}

/// What a backend refuses or cancels costs its own requests and nothing else, however many there are.
#[test]
fn what_backends_reset_is_not_on_the_clients_account() {
    for code in [2, 7, 8] {
        let mut rig = Rig::new();
        for count in 0..2_500 {
            let id = count * 2 + 1;
            rig.get(id, "/a");
            rig.at("a").say_reset(id, code);
            rig.run();
        }
        assert_eq!(rig.outcome, None);
        rig.get(9_999, "/b");
        rig.at("b").say_head(9_999, &OK, true, None);
        rig.run();
        rig.expect_client(9_999, &[head(&OK), Word::End]);
    }
}

/// What the client has on its way for streams that one backend took with it is late, however many they were, and harms no other.
#[test]
fn a_backend_that_dies_with_many_streams_harms_no_other() {
    let mut config = SplitConfig::default();
    config.max_concurrent_streams = 1_500;
    assert!(config.remembered_resets < 1_500, "or this shows nothing");
    let mut rig = Rig::with(config);
    rig.get(1, "/b");
    let streams: Vec<u32> = (3..3_000).step_by(2).collect();
    for id in &streams {
        rig.client.say_head(*id, &[(":method", "POST"), (":scheme", "http"), (":path", "/a")], false, None);
    }
    rig.run();
    assert_eq!(rig.at("a").ids().len(), streams.len());
    let dead = rig.to("a");
    rig.lose(dead);
    for id in &streams {
        rig.client.say_data(*id, b"late", true, None);
    }
    rig.run();
    assert_eq!(rig.outcome, None);
    rig.at("b").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
}
