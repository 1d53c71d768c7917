//! Rules 2, 3, 7 and 8: requests go where they say, and arrive as they were.

use oneport_core::split::{ConnectFailure, SplitConfig};
use oneport_core::wire::frame::{encode_frame, flag, Kind};
use oneport_core::wire::settings::{encode_settings, Setting, SettingId};

use super::super::rig::{Rig, GET, GRPC, OK, POST};
use super::super::strict::{data, head, Strict, Word};

#[test]
fn each_request_goes_where_it_says() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &GRPC, false, None);
    rig.client.say_head(3, &GET, true, None);
    rig.client.say_data(1, b"\0\0\0\0\0", true, None);
    rig.run();
    rig.expect_at("grpc", 1, &[head(&GRPC), data(b"\0\0\0\0\0"), Word::End]);
    rig.expect_at("rest", 3, &[head(&GET), Word::End]);
    assert_eq!(rig.backends.len(), 2);

    let response = [(":status", "200"), ("content-type", "application/grpc")];
    rig.at("grpc").say_head(1, &response, false, None);
    rig.at("grpc").say_data(1, b"\0\0\0\0\x01x", false, None);
    rig.at("grpc").say_head(1, &[("grpc-status", "0")], true, None);
    rig.at("rest").say_head(3, &OK, false, None);
    rig.at("rest").say_data(3, b"hello", true, None);
    rig.run();
    rig.expect_client(
        1,
        &[head(&response), data(b"\0\0\0\0\x01x"), head(&[("grpc-status", "0")]), Word::End],
    );
    rig.expect_client(3, &[head(&OK), data("hello"), Word::End]);
    assert_eq!(rig.machine.streams(), 0);
    assert_eq!(rig.machine.buffered(), 0);
}

#[test]
fn one_connection_serves_all_requests_of_a_target() {
    let mut rig = Rig::new();
    for id in [1, 5, 7, 99] {
        rig.get(id, "/");
        rig.at("rest").say_head(id, &OK, true, None);
        rig.run();
        rig.expect_client(id, &[head(&OK), Word::End]);
    }
    assert_eq!(rig.backends.len(), 1);
    assert_eq!(rig.at("rest").ids(), [1, 5, 7, 99]);
}

#[test]
fn all_that_a_head_says_passes_as_it_came() {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/a/b?c=d&e"),
        (":authority", "Example.COM:443"),
        ("te", "trailers"),
        ("grpc-timeout", "100m"),
        ("x-bin", "AAEC/w"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("secret-token", "abc"),
        ("expect", "100-continue"),
        ("content-length", "3"),
        ("empty", ""),
    ];
    let trailers = [("x-sum", "1"), ("secret", "2")];
    let mut rig = Rig::new();
    rig.client.say_head(1, &fields, false, Some(20));
    rig.run();
    rig.at("a").say_head(1, &[(":status", "100")], false, None);
    rig.at("a").say_head(1, &[(":status", "103"), ("link", "x")], false, None);
    rig.run();
    rig.expect_client(1, &[head(&[(":status", "100")]), head(&[(":status", "103"), ("link", "x")])]);
    rig.client.say_data(1, b"abc", false, Some(17));
    rig.client.say_head(1, &trailers, true, None);
    rig.run();
    rig.expect_at("a", 1, &[head(&fields), data("abc"), head(&trailers), Word::End]);
    let response = [(":status", "200"), ("set-cookie", "a"), ("set-cookie", "b"), ("secret-a", "x")];
    rig.at("a").say_head(1, &response, false, Some(3));
    rig.at("a").say_data(1, b"", false, Some(9));
    rig.at("a").say_head(1, &trailers, true, None);
    rig.run();
    assert_eq!(rig.client.words(1)[2..], [head(&response), head(&trailers), Word::End]);
}

#[test]
fn no_route_and_a_closed_route_are_answered_in_the_protocol_of_the_request() {
    let mut rig = Rig::new();
    rig.get(1, "/none");
    rig.expect_client(1, &[head(&[(":status", "404")]), Word::End]);
    assert!(rig.backends.is_empty());

    rig.auto_connect = false;
    rig.get(3, "/closed");
    rig.get(5, "/closed");
    let closed = rig.to("closed");
    rig.fail_connect(closed, ConnectFailure::Forbidden);
    rig.get(7, "/closed");
    for id in [3, 5, 7] {
        rig.expect_client(id, &[head(&[(":status", "403")]), Word::End]);
    }
    assert_eq!(rig.backends.len(), 1, "a route that is known to be closed is not asked again");

    let mut grpc = GRPC;
    rig.client.say_head(9, &grpc, false, None);
    rig.run();
    let there = rig.to("grpc");
    rig.fail_connect(there, ConnectFailure::Forbidden);
    let status = |code, message| {
        head(&[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", code),
            ("grpc-message", message),
        ])
    };
    rig.expect_client(9, &[status("7", "oneport: this route is closed"), Word::End, Word::Reset(0)]);

    // What comes late for a request that was answered is no error, and its windows are given back.
    rig.client.say_data(9, &[0; 1_000], true, None);
    rig.run();
    grpc[4] = ("content-type", "application/grpc-web");
    rig.client.say_head(11, &grpc, false, None);
    rig.run();
    rig.expect_client(11, &[]);
    assert_eq!((rig.outcome, rig.machine.streams()), (None, 1));
}

#[test]
fn an_early_response_stops_the_body() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, &[1; 100], false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    rig.at("rest").say_data(1, b"enough", true, None);
    rig.at("rest").say_reset(1, 0);
    rig.run();
    rig.expect_client(1, &[head(&OK), data("enough"), Word::End, Word::Reset(0)]);
    rig.client.say_data(1, &[1; 100], true, None);
    rig.run();
    assert_eq!((rig.outcome, rig.machine.streams(), rig.machine.buffered()), (None, 0, 0));
}

#[test]
fn an_early_response_that_does_not_stop_it_lets_it_go_on() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    rig.client.say_data(1, b"rest", true, None);
    rig.run();
    rig.expect_at("rest", 1, &[head(&POST), data("rest"), Word::End]);
    assert_eq!(rig.machine.streams(), 0);
}

#[test]
fn resets_go_to_the_other_side_with_their_code() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_head(3, &POST, false, None);
    rig.run();
    rig.client.say_reset(1, 8);
    rig.at("rest").say_head(3, &OK, false, None);
    rig.at("rest").say_data(3, b"half", false, None);
    rig.run();
    rig.at("rest").say_reset(3, 2);
    rig.run();
    rig.expect_at("rest", 1, &[head(&POST), Word::Reset(8)]);
    rig.expect_client(3, &[head(&OK), data("half"), Word::Reset(2)]);
    // Blocks of streams that are gone are decoded all the same: the next one needs the table.
    rig.at("rest").say_head(1, &[(":status", "200"), ("new-name", "new-value")], false, None);
    rig.at("rest").say_data(1, &[0; 500], false, None);
    rig.get(5, "/");
    rig.at("rest").say_head(5, &[(":status", "200"), ("new-name", "new-value")], true, None);
    rig.run();
    rig.expect_client(5, &[head(&[(":status", "200"), ("new-name", "new-value")]), Word::End]);
    assert_eq!(rig.machine.streams(), 0);
}

#[test]
fn blocks_of_refused_requests_are_decoded() {
    let mut config = SplitConfig::default();
    config.max_concurrent_streams = 1;
    let mut rig = Rig::with(config);
    rig.client.say_head(1, &POST, false, None);
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a-name", "a-value")];
    rig.client.say_head(3, &fields, true, None);
    rig.run();
    rig.expect_client(3, &[Word::Reset(7)]);
    rig.client.say_reset(1, 8);
    rig.client.say_head(5, &fields, true, None);
    rig.run();
    rig.expect_at("rest", 5, &[head(&fields), Word::End]);
}

#[test]
fn connect_is_a_tunnel() {
    let mut rig = Rig::new();
    let connect = [(":method", "CONNECT"), (":authority", "db:5432")];
    rig.client.say_head(1, &connect, false, None);
    rig.run();
    rig.at("rest").say_head(1, &[(":status", "200")], false, None);
    for _ in 0..3 {
        rig.client.say_data(1, b"ping", false, None);
        rig.run();
        rig.at("rest").say_data(1, b"pong", false, None);
        rig.run();
    }
    rig.client.say_data(1, b"", true, None);
    rig.at("rest").say_data(1, b"", true, None);
    rig.run();
    rig.expect_at("rest", 1, &[head(&connect), data("pingpingping"), Word::End]);
    rig.expect_client(1, &[head(&OK), data("pongpongpong"), Word::End]);
}

#[test]
fn extended_connect_needs_the_backend() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/a"),
        (":authority", "x"),
    ];
    let mut config = SplitConfig::default();
    config.extended_connect = true;
    let mut rig = Rig::with(config.clone());
    rig.client.say_head(1, &fields, false, None);
    rig.run();
    rig.expect_client(1, &[head(&[(":status", "501")]), Word::End, Word::Reset(0)]);

    let mut rig = Rig::with(config);
    rig.greet = |peer| {
        let able = Setting { id: SettingId::ENABLE_CONNECT_PROTOCOL, value: 1 };
        peer.say_settings(65_535, 4_096, None, &[able]);
    };
    rig.client.say_head(1, &fields, false, None);
    rig.run();
    rig.expect_at("a", 1, &[head(&fields)]);
}

#[test]
fn priority_is_dropped_and_its_update_goes_to_the_backend() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    encode_frame(&mut rig.client.out, Kind::PRIORITY, 0, 1, b"\0\0\0\0\x10");
    encode_frame(&mut rig.client.out, Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1");
    encode_frame(&mut rig.client.out, Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x07u=1");
    // Servers reset the stream for this one, or end the connection: that would cost the client nothing.
    encode_frame(&mut rig.client.out, Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=!");
    rig.run();
    assert_eq!(rig.at("rest").priority_updates, [1]);
}

#[test]
fn a_head_of_several_frames_with_padding_and_priority() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &GET, true, None);
    // The same request once more, by hand: all of it is in the static and the dynamic table.
    rig.run();
    let block = b"\x82\x86\x84\x41\x01a";
    let payload = [&b"\x02\0\0\0\x01\x10"[..], &block[..3], b"\0\0"].concat();
    let flags = flag::END_STREAM | flag::PADDED | flag::PRIORITY;
    encode_frame(&mut rig.client.out, Kind::HEADERS, flags, 3, &payload);
    encode_frame(&mut rig.client.out, Kind::CONTINUATION, 0, 3, b"");
    encode_frame(&mut rig.client.out, Kind::CONTINUATION, flag::END_HEADERS, 3, &block[3..]);
    rig.run();
    rig.expect_at("rest", 3, &[head(&GET), Word::End]);
}

/// Whether the peers say how large theirs may be or not.
#[test]
fn no_table_is_larger_than_configured() {
    for (most, is_compressed) in [(0, false), (4_096, true)] {
        let mut config = SplitConfig::default();
        config.max_encoder_table = most;
        let mut rig = Rig::silent(config);
        let say_nothing = |peer: &mut Strict| {
            peer.is_raw = true;
            encode_settings(&mut peer.out, &[]);
        };
        say_nothing(&mut rig.client);
        rig.greet = say_nothing;
        let response = [(":status", "200"), ("x-name", "a value of some length")];
        let (mut at_backend, mut at_client) = (0, 0);
        for id in [1, 3, 5] {
            // The last ones are measured.
            at_client = rig.client.received;
            at_backend = rig.backends.values().map(|backend| backend.peer.received).sum();
            rig.client.say_head(id, &GRPC, true, None);
            rig.run();
            rig.expect_at("grpc", id, &[head(&GRPC), Word::End]);
            rig.at("grpc").say_head(id, &response, true, None);
            rig.run();
            rig.expect_client(id, &[head(&response), Word::End]);
        }
        let lengths = [rig.at("grpc").received - at_backend, rig.client.received - at_client];
        assert_eq!(lengths.map(|length| length < 9 + 10), [is_compressed; 2], "{lengths:?}");
    }
}

#[test]
fn tables_follow_the_settings_of_each_peer() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(65_535, 0, None, &[]);
    for id in [1, 3, 5] {
        rig.client.say_head(id, &GRPC, true, None);
        rig.run();
        rig.expect_at("grpc", id, &[head(&GRPC), Word::End]);
        if id == 3 {
            rig.at("grpc").say_settings(65_535, 100, None, &[]);
            rig.at("grpc").say_settings(65_535, 4_096, None, &[]);
            rig.run();
        }
    }
    rig.client.say_settings(65_535, 60, None, &[]);
    rig.run();
    for id in [1, 3, 5] {
        let fields = [(":status", "200"), ("x-name", "x-value"), ("content-type", "application/grpc")];
        rig.at("grpc").say_head(id, &fields, true, None);
        rig.run();
        rig.expect_client(id, &[head(&fields), Word::End]);
    }
}
