//! Rule 1: the hop's own business.

use std::time::Duration;

use oneport_core::split::{ConnectionEnd, SplitConfig, SplitOutcome, SplitPhase};
use oneport_core::wire::frame::{encode_frame, ErrorCode, Kind};
use oneport_core::wire::settings::{Setting, SettingId};

use super::super::rig::{Rig, GET, OK};
use super::super::strict::{head, Strict, Word};

fn setting(peer: &Strict, id: SettingId) -> Option<u32> {
    peer.settings.iter().find(|setting| setting.id == id).map(|setting| setting.value)
}

#[test]
fn the_machine_speaks_first() {
    let mut rig = Rig::silent(SplitConfig::default());
    rig.client.out.clear();
    rig.run();
    assert_eq!(setting(&rig.client, SettingId::NO_RFC7540_PRIORITIES), Some(1));
    assert_eq!(setting(&rig.client, SettingId::MAX_CONCURRENT_STREAMS), Some(100));
    assert_eq!(setting(&rig.client, SettingId::ENABLE_CONNECT_PROTOCOL), None);
    let mut config = SplitConfig::default();
    config.extended_connect = true;
    let rig = Rig::with(config);
    assert_eq!(setting(&rig.client, SettingId::ENABLE_CONNECT_PROTOCOL), Some(1));
}

#[test]
fn backends_are_told_not_to_push() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    assert_eq!(setting(rig.at("rest"), SettingId::ENABLE_PUSH), Some(0));
}

#[test]
fn pings_end_at_the_hop() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.client.say_ping(*b"12345678");
    rig.at("rest").say_ping(*b"abcdefgh");
    rig.run();
    assert_eq!(rig.client.ping_acks, [*b"12345678"]);
    assert_eq!(rig.at("rest").ping_acks, [*b"abcdefgh"]);
    assert!(rig.client.pings.is_empty() && rig.at("rest").pings.is_empty());
}

#[test]
fn every_faulty_frame_ends_the_connection_with_its_code() {
    let calm = ErrorCode::ENHANCE_YOUR_CALM;
    let (protocol, size, flow) =
        (ErrorCode::PROTOCOL_ERROR, ErrorCode::FRAME_SIZE_ERROR, ErrorCode::FLOW_CONTROL_ERROR);
    for (kind, flags, stream, payload, code) in [
        (Kind::SETTINGS, 0, 1, &b""[..], protocol),
        (Kind::SETTINGS, 0, 0, b"12345", size),
        (Kind::SETTINGS, 1, 0, b"123456", size),
        (Kind::SETTINGS, 0, 0, b"\0\x04\x80\0\0\0", flow),
        (Kind::SETTINGS, 0, 0, b"\0\x02\0\0\0\x02", protocol),
        (Kind::SETTINGS, 0, 0, b"\0\x05\0\0\x3f\xff", protocol),
        (Kind::SETTINGS, 0, 0, b"\0\x05\x01\0\0\0", protocol),
        (Kind::SETTINGS, 1, 0, b"", protocol), // already acknowledged
        (Kind::PING, 0, 1, b"12345678", protocol),
        (Kind::PING, 0, 0, b"1234567", size),
        (Kind::GOAWAY, 0, 1, b"12345678", protocol),
        (Kind::GOAWAY, 0, 0, b"1234567", size),
        (Kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\0", protocol),
        (Kind::WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff", flow),
        (Kind::WINDOW_UPDATE, 0, 0, b"\0\0\0", size),
        (Kind::WINDOW_UPDATE, 0, 9, b"\0\0\0\x01", protocol),
        (Kind::RST_STREAM, 0, 0, b"\0\0\0\0", protocol),
        (Kind::RST_STREAM, 0, 9, b"\0\0\0\0", protocol),
        (Kind::RST_STREAM, 0, 1, b"\0\0\0", size),
        (Kind::PRIORITY, 0, 0, b"12345", protocol),
        (Kind::PRIORITY, 0, 1, b"1234", size),
        (Kind::PUSH_PROMISE, 4, 1, b"\0\0\0\x02", protocol),
        (Kind::CONTINUATION, 4, 1, b"", protocol),
        (Kind::DATA, 0, 0, b"", protocol),
        (Kind::DATA, 0, 9, b"", protocol),
        (Kind::DATA, 0, 2, b"", protocol),
        (Kind::HEADERS, 5, 0, b"\x82", protocol),
        (Kind::HEADERS, 5, 2, b"\x82", protocol),
        (Kind::HEADERS, 13, 3, b"\x09\x82", protocol),
        (Kind::HEADERS, 5, 3, b"\xff\xff\xff\xff\xff\xff", ErrorCode::COMPRESSION_ERROR),
        (Kind::HEADERS, 5, 3, b"\x3f\xe2\x1f\x82", ErrorCode::COMPRESSION_ERROR),
        (Kind::PRIORITY_UPDATE, 0, 0, b"123", size),
        (Kind(0xbe), 0, 0, &[0; 16_385], size),
    ] {
        let mut rig = Rig::new();
        rig.get(1, "/");
        let backend = rig.to("rest");
        encode_frame(&mut rig.client.out, kind, flags, stream, payload);
        rig.run();
        assert_eq!(rig.outcome, Some(SplitOutcome::Refused(code)), "{kind:?} {flags} {stream} {payload:?}");
        assert_eq!(rig.client.goaways, [(1, code.0)]);
        assert!(rig.backends[&backend].closed.is_some());
        assert_ne!(code, calm);
    }
}

/// What RFC 9113 §6.5.2 and RFC 8441 §3 let either side say, up to the last value that is right.
#[test]
fn settings_that_a_peer_may_say_and_those_that_it_may_not() {
    const PROTOCOL: Option<ErrorCode> = Some(ErrorCode::PROTOCOL_ERROR);
    const FLOW: Option<ErrorCode> = Some(ErrorCode::FLOW_CONTROL_ERROR);
    for (id, value, from_client, from_backend) in [
        (SettingId::ENABLE_PUSH, 0, None, None),
        (SettingId::ENABLE_PUSH, 1, None, PROTOCOL),
        (SettingId::ENABLE_PUSH, 2, PROTOCOL, PROTOCOL),
        (SettingId::INITIAL_WINDOW_SIZE, 0x7fff_ffff, None, None),
        (SettingId::INITIAL_WINDOW_SIZE, 0x8000_0000, FLOW, FLOW),
        (SettingId::MAX_FRAME_SIZE, 16_383, PROTOCOL, PROTOCOL),
        (SettingId::MAX_FRAME_SIZE, 16_384, None, None),
        (SettingId::MAX_FRAME_SIZE, 0xff_ffff, None, None),
        (SettingId::MAX_FRAME_SIZE, 0x100_0000, PROTOCOL, PROTOCOL),
        (SettingId::ENABLE_CONNECT_PROTOCOL, 0, None, None),
        (SettingId::ENABLE_CONNECT_PROTOCOL, 1, None, None),
        (SettingId::ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL, PROTOCOL),
        (SettingId(0xf0_00), 0xffff_ffff, None, None),
    ] {
        let more = [Setting { id, value }];
        let mut rig = Rig::new();
        rig.client.say_settings(65_535, 4_096, None, &more);
        rig.run();
        assert_eq!(rig.outcome, from_client.map(SplitOutcome::Refused), "client: {id:?} {value}");
        let mut rig = Rig::new();
        rig.get(1, "/");
        rig.at("rest").say_settings(65_535, 4_096, None, &more);
        rig.run();
        let closed = rig.backends[&rig.to("rest")].closed;
        assert_eq!(closed, from_backend.map(ConnectionEnd::Fault), "backend: {id:?} {value}");
    }
    // What was promised is not taken back.
    let mut rig = Rig::new();
    rig.get(1, "/");
    for value in [1, 1, 0] {
        assert_eq!(rig.backends[&rig.to("rest")].closed, None);
        let promise = Setting { id: SettingId::ENABLE_CONNECT_PROTOCOL, value };
        rig.at("rest").say_settings(65_535, 4_096, None, &[promise]);
        rig.run();
    }
    assert_eq!(rig.backends[&rig.to("rest")].closed, PROTOCOL.map(ConnectionEnd::Fault));
}

#[test]
fn settings_come_first_and_in_time() {
    let mut rig = Rig::silent(SplitConfig::default());
    // Its acknowledgement of ours, which would be wrong as well, is not to come.
    rig.stick(None);
    rig.client.say_head(1, &GET, true, None);
    rig.run();
    rig.unstick(None);
    assert_eq!(rig.outcome, Some(SplitOutcome::Refused(ErrorCode::PROTOCOL_ERROR)));
    assert!(rig.backends.is_empty(), "the request was passed on");

    let mut rig = Rig::silent(SplitConfig::default());
    rig.stick(None);
    rig.run();
    rig.pass(Duration::from_millis(4_999));
    assert_eq!(rig.client_closed, None);
    rig.pass(Duration::from_millis(1));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Opening)));
}

/// RFC 9113 §3.4: nothing else, not even their acknowledgement, comes before a backend's SETTINGS.
#[test]
fn a_backend_says_its_settings_first() {
    for (kind, flags, payload) in
        [(Kind::PING, 0, &b"12345678"[..]), (Kind::SETTINGS, 1, b""), (Kind::WINDOW_UPDATE, 0, b"\0\0\0\x01")]
    {
        let mut rig = Rig::new();
        rig.auto_connect = false;
        rig.greet = |_| ();
        rig.get(1, "/");
        let rest = rig.to("rest");
        // Its acknowledgement of ours is not to come by itself.
        rig.stick(Some(rest));
        rig.connect(rest);
        encode_frame(&mut rig.at("rest").out, kind, flags, 0, payload);
        rig.run();
        let fault = ConnectionEnd::Fault(ErrorCode::PROTOCOL_ERROR);
        assert_eq!(rig.backends[&rest].closed, Some(fault), "{kind:?}");
    }
}

#[test]
fn nothing_comes_between_the_frames_of_a_block() {
    const HEADERS: (Kind, u8, u32, &[u8]) = (Kind::HEADERS, 1, 1, b"\x82");
    for (kind, flags, stream, payload) in [
        (Kind::PING, 0, 0, &b"12345678"[..]),
        (Kind::CONTINUATION, 4, 3, b""),
        (Kind::CONTINUATION, 0, 3, b""),
        (Kind::RST_STREAM, 0, 1, b"\0\0\0\x08"),
        (Kind::HEADERS, 5, 1, b"\x82"),
        (Kind::DATA, 1, 1, b""),
        (Kind(0xbe), 0, 1, b""),
    ] {
        let mut rig = Rig::new();
        for (kind, flags, stream, payload) in [HEADERS, (kind, flags, stream, payload)] {
            encode_frame(&mut rig.client.out, kind, flags, stream, payload);
        }
        rig.run();
        let refused = Some(SplitOutcome::Refused(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(rig.outcome, refused, "{kind:?} {flags} {stream}");
    }
}

/// Blocks are bounded in bytes and in frames, to the last of each.
#[test]
fn blocks_are_bounded() {
    /// The fields of a request, and one that fills the block.
    fn block(len: usize) -> Vec<u8> {
        let start = b"\x82\x86\x84\x41\x01a";
        // A literal without indexing: its name, and the length of its value in one byte.
        let mut block = [&start[..], b"\0\x01x", &[(len - start.len() - 4) as u8]].concat();
        block.resize(len, b'y');
        block
    }
    let mut config = SplitConfig::default();
    (config.max_header_block, config.max_continuations) = (100, 3);
    for (len, continuations, is_good) in [
        (100, 0, true),
        (101, 0, false),
        (100, 3, true),
        (101, 3, false),
        (102, 1, false),
        (60, 3, true),
        (60, 4, false),
    ] {
        let (mut rig, block) = (Rig::with(config.clone()), block(len));
        let pieces: Vec<&[u8]> = block.chunks(len.div_ceil(continuations + 1)).collect();
        assert_eq!(pieces.len(), continuations + 1);
        for (number, piece) in pieces.iter().enumerate() {
            let kind = if number == 0 { Kind::HEADERS } else { Kind::CONTINUATION };
            let ends = u8::from(number == 0) | if number == continuations { 4 } else { 0 };
            encode_frame(&mut rig.client.out, kind, ends, 1, piece);
        }
        rig.run();
        let refused = (!is_good).then_some(SplitOutcome::Refused(ErrorCode::ENHANCE_YOUR_CALM));
        assert_eq!(rig.outcome, refused, "{len} bytes, {continuations} CONTINUATIONs");
        assert_eq!(rig.backends.len(), usize::from(is_good));
    }
}

/// RFC 9113 §6.9.1: a window of 2³¹ − 1 is right.
#[test]
fn a_window_may_be_as_large_as_it_can() {
    for (more, outcome) in [(0, None), (1, Some(SplitOutcome::Refused(ErrorCode::FLOW_CONTROL_ERROR)))] {
        let mut rig = Rig::new();
        let increment = 0x7fff_ffff - 65_535 + more;
        encode_frame(&mut rig.client.out, Kind::WINDOW_UPDATE, 0, 0, &u32::to_be_bytes(increment));
        rig.run();
        assert_eq!(rig.outcome, outcome);
    }
}

/// RFC 9218 §7.1: it is for servers; to a client it is a frame of an unknown kind.
#[test]
fn what_a_backend_says_of_priorities_is_nothing() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    for (stream, payload) in [(0, &b""[..]), (1, b"\0\0\0\x01u=0"), (0, b"\0\0\0\x01u=0")] {
        encode_frame(&mut rig.at("rest").out, Kind::PRIORITY_UPDATE, 0, stream, payload);
    }
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    assert!(rig.client.priority_updates.is_empty() && rig.at("rest").priority_updates.is_empty());
}

/// RFC 9113 §6.5.2: what a peer takes in one frame, it gets, if a turn is as large.
#[test]
fn frames_are_as_large_as_their_receiver_takes() {
    for (takes, quantum, most) in
        [(20_000, 1 << 20, 20_000), (20_000, 16_384, 16_384), (16_384, 1 << 20, 16_384)]
    {
        let mut config = SplitConfig::default();
        config.quantum = quantum;
        let mut rig = Rig::with(config);
        rig.client.max_frame = takes as usize;
        rig.client.say_settings(
            65_535,
            4_096,
            None,
            &[Setting { id: SettingId::MAX_FRAME_SIZE, value: takes }],
        );
        rig.get(1, "/");
        rig.at("rest").say_head(1, &OK, false, None);
        for _ in 0..3 {
            rig.at("rest").say_data(1, &[7; 16_000], false, None);
        }
        rig.run();
        assert_eq!(rig.client.content(1).len(), 48_000);
        assert_eq!(rig.client.largest_frame, most, "{takes} taken, turns of {quantum}");
    }
}

#[test]
fn a_block_has_its_time() {
    let mut rig = Rig::new();
    encode_frame(&mut rig.client.out, Kind::HEADERS, 1, 1, b"\x82");
    rig.run();
    rig.pass(Duration::from_secs(9));
    assert_eq!(rig.outcome, None);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Headers)));
}

#[test]
fn memory_of_many_streams_is_given_back_after_a_second_without_any() {
    let mut rig = Rig::new();
    let second = Duration::from_secs(1);
    for id in (0..100).map(|n| 2 * n + 1) {
        rig.get(id, "/");
    }
    for id in (0..100).map(|n| 2 * n + 1) {
        assert!(rig.until.unwrap() - rig.now > second, "not while a stream is open");
        rig.at("rest").say_head(id, &OK, true, None);
        rig.run();
    }
    assert_eq!(rig.until.unwrap() - rig.now, second);
    rig.pass(second);
    assert!(rig.until.unwrap() - rig.now > second, "it was given back, and there is no need to look again");
    rig.get(201, "/");
    rig.at("rest").say_head(201, &OK, true, None);
    rig.run();
    rig.expect_client(201, &[head(&OK), Word::End]);
    assert!(rig.until.unwrap() - rig.now > second, "a few are kept");
}

#[test]
fn an_idle_client_has_long() {
    let mut rig = Rig::new();
    assert!(rig.until.unwrap() - rig.now > Duration::from_secs(30 * 60));
    rig.pass(Duration::from_secs(35 * 60));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Idle)));
    assert_eq!(rig.client.goaways, [(0, 0)]);
}
