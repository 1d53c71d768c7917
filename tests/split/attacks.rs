//! Attacks, each held against what it may cost: memory, output, work.

use std::time::{Duration, Instant};

use oneport_core::split::{Batch, ConnectFailure, Rate, SplitConfig, SplitOutcome};
use oneport_core::wire::frame::{encode_frame, flag, ErrorCode, Kind};
use oneport_core::wire::settings::{Setting, SettingId};

use super::rig::{Rig, GET, GRPC, OK, POST};
use super::strict::{data, head, Strict, Word};

const CALM: Option<SplitOutcome> = Some(SplitOutcome::Refused(ErrorCode::ENHANCE_YOUR_CALM));

/// Lets the client do this until the machine has had enough, and holds memory flat meanwhile; says how often that was.
fn until_calm(rig: &mut Rig, most: u32, memory: usize, mut act: impl FnMut(&mut Strict, u32)) -> u32 {
    for count in 0..most {
        act(&mut rig.client, count);
        rig.run();
        assert!(rig.machine.buffered() <= memory, "{} bytes after {count}", rig.machine.buffered());
        if rig.outcome.is_some() {
            assert_eq!(rig.outcome, CALM);
            assert_eq!(
                rig.client.goaways.last().map(|(_, code)| *code),
                Some(ErrorCode::ENHANCE_YOUR_CALM.0)
            );
            return count;
        }
    }
    panic!("never calm");
}

/// CVE-2023-44487.
#[test]
fn rapid_reset() {
    let mut rig = Rig::new();
    let count = until_calm(&mut rig, 2_000, 10_000, |client, count| {
        client.say_head(count * 2 + 1, &GET, true, None);
        client.say_reset(count * 2 + 1, 8);
    });
    assert_eq!(count, 1_000);
    // A client that cancels now and then is not concerned.
    let mut rig = Rig::new();
    for count in 0..3_000 {
        rig.client.say_head(count * 2 + 1, &GET, true, None);
        rig.run();
        rig.client.say_reset(count * 2 + 1, 8);
        rig.run();
        rig.now += Duration::from_millis(11);
    }
    assert_eq!(rig.outcome, None);
}

/// As before, but the resets are provoked (CVE-2025-8671): each way for a client to make the server reset its streams.
#[test]
fn made_you_reset() {
    let provoke: [fn(&mut Strict, u32); 5] = [
        |client, id| encode_frame(&mut client.out, Kind::WINDOW_UPDATE, 0, id, &[0; 4]),
        |client, id| encode_frame(&mut client.out, Kind::WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff]),
        |client, id| encode_frame(&mut client.out, Kind::DATA, 0, id, b"behind the end"),
        |client, id| encode_frame(&mut client.out, Kind::HEADERS, flag::END_HEADERS, id, b"\x82"),
        |client, id| {
            encode_frame(&mut client.out, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, b"\x82");
        },
    ];
    for provoke in provoke {
        let mut rig = Rig::new();
        let count = until_calm(&mut rig, 2_000, 70_000, |client, count| {
            let id = count * 2 + 1;
            client.say_head(id, &GET, true, None);
            provoke(client, id);
        });
        assert_eq!(count, 1_000);
        assert_eq!(rig.machine.streams(), 0);
    }
}

/// What frames that carry nothing may cost is earned by those that carry something: two and one for each KiB.
#[test]
fn data_pays_for_frames_without_any() {
    let pings = |data: usize| {
        let mut config = SplitConfig::default();
        // SETTINGS take 20 of it.
        config.idle_frames = Rate::new(30, 0);
        let mut rig = Rig::with(config);
        rig.client.say_head(1, &POST, false, None);
        if data > 0 {
            rig.client.say_data(1, &vec![b'x'; data], false, None);
        }
        rig.run();
        until_calm(&mut rig, 200, 70_000, |client, _| client.say_ping(*b"12345678"))
    };
    for (data, earned) in [(64, 2), (1_023, 2), (1_024, 3), (10_239, 11), (10_240, 12)] {
        assert_eq!(pings(data), pings(0) + earned, "{data}");
    }
}

/// The same where the client is answered instead of reset, and only a backend sees the reset.
#[test]
fn backends_made_to_be_reset() {
    const LONG: [(&str, &str); 2] = [("x", "a value of some length"), ("y", "another one")];
    let limit = |most| Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: most };
    let mut config = SplitConfig::default();
    config.own_resets = Rate::new(10, 0);
    // Trailers that the backend does not take, once it has the request; a response, and its trailers, that the client does not take.
    for way in ["trailers", "response", "trailers of the response"] {
        let mut rig = Rig::with(config.clone());
        rig.greet = |peer| {
            let limit = Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: 200 };
            peer.say_settings(65_535, 4_096, None, &[limit]);
        };
        if way != "trailers" {
            rig.client.say_settings(65_535, 4_096, None, &[limit(if way == "response" { 0 } else { 90 })]);
        }
        let mut count = 0;
        while rig.outcome.is_none() && count < 100 {
            let id = count * 2 + 1;
            count += 1;
            rig.client.say_head(id, &POST, false, None);
            rig.run();
            match way {
                "trailers" => rig.client.say_head(id, &[LONG.as_slice(), &LONG, &LONG].concat(), true, None),
                "response" => rig.at("rest").say_head(id, &OK, false, None),
                _ => {
                    rig.at("rest").say_head(id, &OK, false, None);
                    rig.at("rest").say_head(id, &LONG, true, None);
                }
            }
            rig.run();
        }
        assert_eq!(rig.outcome, Some(SplitOutcome::Refused(ErrorCode::ENHANCE_YOUR_CALM)), "{way}");
        assert_eq!(count, 11, "{way}");
    }
}

#[test]
fn more_streams_than_allowed() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(0), &[]);
    let count = until_calm(&mut rig, 2_000, 100 * 200, |client, count| {
        client.say_head(count * 2 + 1, &GET, true, None);
    });
    assert_eq!(count, 100 + 1_000);
}

/// They count as resets of the client, whatever the machine may reset of its own.
#[test]
fn streams_in_excess_are_paid_by_the_client() {
    let mut config = SplitConfig::default();
    config.resets = Rate::new(10, 0);
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(0), &[]);
    let count = until_calm(&mut rig, 2_000, 100 * 200, |client, count| {
        client.say_head(count * 2 + 1, &GET, true, None);
    });
    assert_eq!(count, 100 + 10);
}

/// CVE-2024-27316 and its like, with fragments and without.
#[test]
fn continuation_floods() {
    for fragment in [&b""[..], &[0; 1], &[0; 16_384]] {
        let mut rig = Rig::new();
        encode_frame(&mut rig.client.out, Kind::HEADERS, 0, 1, b"\x82");
        let count = until_calm(&mut rig, 20, 80_000, |client, _| {
            encode_frame(&mut client.out, Kind::CONTINUATION, 0, 1, fragment);
        });
        assert!(count <= 8, "{count}");
        assert!(rig.backends.is_empty());
    }
}

/// One byte of a block stands for 4 KiB of text.
#[test]
fn hpack_bomb() {
    let mut rig = Rig::new();
    rig.client.is_raw = true;
    let value = vec![b'x'; 3_900];
    let mut block = b"\x82\x86\x84\x40\x01a\x7f".to_vec();
    let mut length = value.len() - 127;
    while length >= 128 {
        block.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    block.push(length as u8);
    block.extend_from_slice(&value);
    encode_frame(&mut rig.client.out, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block);
    rig.run();
    assert_eq!(rig.at("rest").words(1).len(), 2);
    // 20 times: larger than a list may be, and answered. 16,000 times: the end.
    for (id, times, is_end) in [(3, 20, false), (5, 16_000, true)] {
        let mut block = b"\x82\x86\x84".to_vec();
        block.extend(std::iter::repeat_n(0xbe, times));
        encode_frame(&mut rig.client.out, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &block);
        let started = Instant::now();
        rig.run();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(rig.machine.buffered() < 10_000);
        assert_eq!(rig.outcome.is_some(), is_end);
        assert!(!rig.at("rest").ids().contains(&id));
    }
    assert_eq!(rig.outcome, CALM);
}

#[test]
fn floods_of_frames_that_carry_nothing() {
    for (kind, flags, stream, payload, expected) in [
        (Kind::PING, 0, 0, &b"12345678"[..], 10_000),
        (Kind::SETTINGS, 0, 0, b"", 500),
        (Kind::SETTINGS, 0, 0, b"\0\x04\0\0\0\0\0\x04\0\x01\0\0", 500),
        (Kind::PRIORITY, 0, 1, b"\0\0\0\x03\x01", 10_000),
        (Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1", 10_000),
        (Kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\x01", 10_000),
        (Kind::WINDOW_UPDATE, 0, 1, b"\0\0\0\x01", 10_000),
        (Kind::DATA, 0, 1, b"", 10_000),
        (Kind::DATA, flag::PADDED, 1, b"\x02\0\0", 10_000),
        (Kind(0xfa), 0, 0, b"", 10_000),
        (Kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0", 10_000),
    ] {
        let mut rig = Rig::new();
        rig.client.say_head(1, &POST, false, None);
        rig.run();
        rig.client.is_raw = true;
        let (received, at_backend) = (rig.client.received, rig.at("rest").received);
        let mut frame = Vec::new();
        encode_frame(&mut frame, kind, flags, stream, payload);
        let mut bytes = 0;
        let count = until_calm(&mut rig, 600, 70_000, |client, _| {
            for _ in 0..20 {
                client.out.extend_from_slice(&frame);
                bytes += frame.len();
            }
        });
        let count = (count + 1) * 20;
        assert!((expected..=expected + 60).contains(&count), "{kind:?}: {count}");
        // What comes out is no more than what came in.
        assert!(rig.client.received - received <= bytes + 100, "{kind:?}");
        let at_backend = rig.at("rest").received - at_backend;
        assert!(at_backend <= bytes, "{kind:?}: {at_backend}");
    }
}

/// Answers to a client that does not read: at twice the mark, no more of it is read.
#[test]
fn a_client_that_asks_and_never_reads() {
    let mut rig = Rig::new();
    rig.stick(None);
    for count in 0..9_000u32 {
        rig.client.say_ping(*b"12345678");
        if count % 100 == 0 {
            rig.client.say_head(
                count * 2 + 1,
                &[(":method", "GET"), (":scheme", "http"), (":path", "/none")],
                true,
                None,
            );
        }
        rig.run();
        assert!(rig.machine.buffered() <= 2 * 64 * 1024 + 1_000);
    }
    assert!(!rig.machine.wants_input(oneport_core::split::Side::Client));
    rig.pass(Duration::from_secs(31));
    rig.pass(Duration::from_secs(1));
    assert!(matches!(rig.outcome, Some(SplitOutcome::TimedOut(_))));
}

/// One read can ask for answers that are many times as long: behind the mark it is not looked at, and goes on later.
#[test]
fn a_read_that_asks_for_much_is_looked_at_in_parts() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    // Without a table each answer is said in full.
    rig.client.say_settings(65_535, 0, None, &[]);
    rig.client.say_head(1, &GRPC, false, None);
    rig.run();
    let closed = rig.to("grpc");
    rig.fail_connect(closed, ConnectFailure::Forbidden);
    rig.stick(None);
    for id in (3..8_003).step_by(2) {
        rig.client.say_head(id, &GRPC, false, None);
    }
    let asked = rig.client.out.len();
    let before = rig.client.received;
    rig.run();
    let batch = rig.stuck[&None].as_ref().map_or(0, Batch::len);
    let mark = 2 * 64 * 1024;
    assert!(batch <= mark + 1_000, "{batch}");
    assert!(rig.machine.buffered() <= mark + 1_000 + asked, "{}", rig.machine.buffered());
    rig.unstick(None);
    assert!(rig.client.received - before > 2 * mark, "it was no attack");
    assert_eq!(rig.client.words(8_001).last(), Some(&Word::Reset(0)));
}

#[test]
fn windows_that_overflow() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &GET, true, None);
    encode_frame(&mut rig.client.out, Kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
    rig.run();
    rig.expect_client(1, &[Word::Reset(3)]);
    // By SETTINGS: an error of the connection (RFC 9113 §6.9.2).
    let mut rig = Rig::new();
    rig.client.is_raw = true;
    rig.client.say_head(1, &GET, true, None);
    rig.run();
    encode_frame(&mut rig.client.out, Kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]);
    encode_frame(&mut rig.client.out, Kind::SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff");
    rig.run();
    assert_eq!(rig.outcome, Some(SplitOutcome::Refused(ErrorCode::FLOW_CONTROL_ERROR)));
}

/// Every stream asks for a large response and takes nothing of it.
#[test]
fn zero_windows_and_a_full_backend() {
    let mut rig = Rig::new();
    rig.client.say_settings(0, 4_096, None, &[]);
    for id in (1..200).step_by(2) {
        rig.client.say_head(id, &GET, true, None);
    }
    rig.run();
    let ids = rig.at("rest").ids();
    assert_eq!(ids.len(), 100);
    for id in &ids {
        rig.at("rest").say_head(*id, &OK, false, None);
    }
    for _ in 0..10 {
        for id in &ids {
            let count = rig.at("rest").sendable(*id).min(16_384);
            if count > 0 {
                rig.at("rest").say_data(*id, &vec![0; count], false, None);
            }
        }
        rig.run();
        assert!(rig.machine.buffered() <= (1 << 20) + 70_000, "{}", rig.machine.buffered());
    }
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.machine.streams(), 100);
    rig.at("rest").say_ping(*b"12345678");
    rig.run();
    // The stalled responses are given up.
    for _ in 0..12 {
        rig.pass(Duration::from_secs(25));
    }
    assert!(rig.machine.streams() < 100);
    assert_eq!(rig.outcome, None);
}

/// A body in frames of one byte each, to a backend that does not read.
#[test]
fn dribbled_bodies() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    let stuck = rig.to("rest");
    rig.stick(Some(stuck));
    for count in 0..20_000usize {
        rig.client.say_data(1, b"x", false, None);
        if count % 50 == 0 {
            rig.run();
            assert!(rig.machine.buffered() <= count + 3_000, "{} of {count}", rig.machine.buffered());
        }
    }
    rig.unstick(Some(stuck));
    let backend = &rig.backends[&stuck].peer;
    assert_eq!(backend.content(1).len(), 20_000);
    // Gathered again on the way: no frame for each byte.
    assert!(backend.frames < 1_000, "{}", backend.frames);
}

/// A backend is no more trusted than a client.
#[test]
fn a_hostile_backend_ends_only_itself() {
    for (kind, flags, stream, payload) in [
        (Kind::PING, 0, 0, &b"12345678"[..]),
        (Kind::SETTINGS, 0, 0, b""),
        (Kind::WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"),
        (Kind::CONTINUATION, 0, 1, b""),
    ] {
        let mut config = SplitConfig::default();
        config.idle_frames = Rate::new(1_000, 100);
        let mut rig = Rig::with(config);
        rig.get(1, "/a");
        rig.get(3, "/b");
        let hostile = rig.to("a");
        if kind == Kind::CONTINUATION {
            encode_frame(&mut rig.at("a").out, Kind::HEADERS, 0, 1, b"\x88");
        }
        for _ in 0..1_100 {
            encode_frame(&mut rig.at("a").out, kind, flags, stream, payload);
        }
        rig.run();
        assert!(rig.backends[&hostile].closed.is_some(), "{kind:?}");
        rig.at("b").say_head(3, &OK, true, None);
        rig.run();
        assert_eq!(rig.client.words(3).last(), Some(&Word::End));
        assert_eq!(rig.client.words(1).last(), Some(&Word::End));
        assert_eq!(rig.outcome, None);
    }
}

/// The index of a field of 4,000 bytes that `say_large` has put into the table, and how often it makes nearly the largest list.
const LARGE: u8 = 0xbe;
const TIMES: usize = 15;

/// A backend's response with a block that puts such a field there.
fn say_large(backend: &mut Strict, id: u32) {
    let value = vec![b'x'; 3_900];
    let mut block = b"\x08\x03103\x40\x01x\x7f".to_vec();
    let rest = value.len() - 127;
    block.extend([(rest % 128) as u8 | 0x80, (rest / 128) as u8]);
    block.extend_from_slice(&value);
    encode_frame(&mut backend.out, Kind::HEADERS, flag::END_HEADERS, id, &block);
}

/// Interim responses of a few bytes that stand for 60 KB each: those of one response together are no larger than a list.
#[test]
fn interim_responses_that_stand_for_much() {
    let mut rig = Rig::new();
    let ids = || (1..=39).step_by(2);
    ids().for_each(|id| rig.get(id, "/a"));
    let backend = rig.at("a");
    say_large(backend, 1);
    let interim = [b"\x08\x03103", &[LARGE; TIMES][..]].concat();
    for id in ids() {
        for _ in 0..32 {
            encode_frame(&mut backend.out, Kind::HEADERS, flag::END_HEADERS, id, &interim);
        }
    }
    let (said, before) = (backend.out.len(), rig.client.received);
    rig.run();
    let heard = rig.client.received - before;
    assert!(said < 25_000 && heard > 20 * 50_000, "{said}, {heard}: it was no attack");
    assert!(heard < 20 * 66_000, "{heard}");
    for id in ids() {
        assert_eq!(rig.client.words(id).last(), Some(&Word::End));
    }
}

/// The same with whole responses, which are bounded by the requests: another backend's response does not wait behind them, nor is
/// the client left unheard that wants no more of it.
#[test]
fn responses_that_stand_for_much_take_turns() {
    let mut rig = Rig::new();
    rig.get(1, "/a");
    rig.get(3, "/b");
    (5..=83).step_by(2).for_each(|id| rig.get(id, "/a"));
    rig.stick(None);
    say_large(rig.at("a"), 1);
    let response = [b"\x88", &[LARGE; TIMES][..]].concat();
    for id in (5..=83).step_by(2) {
        let backend = rig.at("a");
        encode_frame(&mut backend.out, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &response);
    }
    rig.at("b").say_head(3, &OK, false, None);
    rig.at("b").say_data(3, b"small", true, None);
    rig.run();
    rig.client.say_reset(1, 8);
    rig.run();
    assert_eq!(rig.at("a").words(1).last(), Some(&Word::Reset(8)), "the client is heard");
    let mut batches = 0;
    while !rig.client.has_ended(3) {
        rig.unstick_once(None);
        batches += 1;
        assert!(batches <= 4, "the other backend waits for its turn");
    }
    rig.expect_client(3, &[head(&OK), data("small"), Word::End]);
    rig.unstick(None);
    assert!(rig.client.received > 2_000_000, "it was no attack");
    assert!(rig.client.has_ended(83));
}

/// Decoding them is work, also when their streams are long gone.
#[test]
fn header_blocks_of_streams_that_nobody_wants() {
    let mut rig = Rig::new();
    let nowhere = [(":method", "POST"), (":scheme", "http"), (":path", "/none"), (":authority", "a")];
    rig.client.say_head(1, &nowhere, false, None);
    rig.run();
    let count = until_calm(&mut rig, 2_000, 70_000, |client, _| {
        encode_frame(&mut client.out, Kind::HEADERS, flag::END_HEADERS, 1, b"\x82");
    });
    assert_eq!(count, 1_000);
}
