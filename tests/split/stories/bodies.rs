//! Rules 4 and 10: windows, what is held, and turns.

use std::time::Duration;

use oneport_core::split::{Batch, SplitConfig};
use oneport_core::wire::frame::{encode_frame, Kind};

use super::super::rig::{Rig, GET, OK, POST};
use super::super::strict::{data, head, Strict, Word};

/// Sends as much as the windows allow, up to this; says how much.
fn pour(peer: &mut Strict, id: u32, most: usize) -> usize {
    let count = peer.sendable(id).min(16_384).min(most);
    if count > 0 {
        peer.say_data(id, &vec![b'x'; count], false, None);
    }
    count
}

#[test]
fn a_large_upload_arrives_through_small_windows() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(1_000, 4_096, None, &[]);
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    let mut sent = 0;
    while sent < 300_000 {
        sent += pour(&mut rig.client, 1, 300_000 - sent);
        rig.run();
    }
    rig.client.say_data(1, b"", true, None);
    rig.run();
    assert_eq!(rig.at("rest").content(1).len(), 300_000);
    assert!(rig.at("rest").has_ended(1));
}

#[test]
fn a_stuck_backend_holds_its_own_requests_only() {
    let mut rig = Rig::new();
    rig.get(1, "/a");
    rig.get(3, "/b");
    let stuck = rig.to("a");
    rig.stick(Some(stuck));
    let up = |path| [(":method", "POST"), (":scheme", "http"), (":path", path)];
    for (number, id) in (5..205).step_by(2).enumerate().take(90) {
        rig.client.say_head(id, &up("/a"), false, None);
        while pour(&mut rig.client, id, usize::MAX) > 0 {
            rig.run();
        }
        // All of the stream's window, and none of the connection's: that was given back.
        assert_eq!(rig.client.sendable(id), 0);
        assert!(rig.machine.buffered() <= (number + 2) * 2 * 65_535, "{}", rig.machine.buffered());
    }
    rig.client.say_head(301, &up("/b"), false, None);
    let mut sent = 0;
    for _ in 0..100 {
        sent += pour(&mut rig.client, 301, usize::MAX);
        rig.run();
    }
    assert!(sent > 1_000_000, "{sent}");
    assert_eq!(rig.at("b").content(301).len(), sent);
    rig.unstick(Some(stuck));
    assert_eq!(rig.at("a").content(5).len(), 65_535);
}

#[test]
fn a_client_that_takes_nothing_is_held_for_within_bounds() {
    let mut rig = Rig::new();
    rig.client.auto_credit = false;
    rig.client.say_head(1, &GET, true, None);
    rig.client.say_head(3, &GET, true, None);
    rig.run();
    for id in [1, 3] {
        rig.at("rest").say_head(id, &OK, false, None);
    }
    let mut sent = 0;
    for _ in 0..100 {
        sent += pour(rig.at("rest"), 1, usize::MAX);
        rig.run();
    }
    // What the client has of the connection's window, and what the machine holds of the stream.
    assert_eq!(sent, 65_535 + 65_535);
    assert_eq!(rig.client.content(1).len(), 65_535);
    rig.client.grant(0, 30_000);
    rig.run();
    assert_eq!(rig.client.content(1).len(), 65_535, "the stream's window is used up");
    rig.client.grant(1, 10_000);
    rig.run();
    assert_eq!(rig.client.content(1).len(), 75_535);
    rig.at("rest").say_data(3, b"small", true, None);
    rig.run();
    assert_eq!(rig.client.content(3), b"small");
    // A response that is not taken for long is given up, and its windows come back.
    rig.pass(Duration::from_secs(299));
    rig.at("rest").say_ping(*b"12345678");
    rig.run();
    assert!(!rig.client.has_ended(1));
    rig.pass(Duration::from_secs(301));
    assert_eq!(rig.client.words(1).last(), Some(&Word::Reset(8)));
    assert_eq!((rig.outcome, rig.machine.streams()), (None, 0));
}

/// A backend that has not acknowledged what its streams' windows are has those that it knew, and a stream that is open gets the rest
/// with the acknowledgement (RFC 9113 §6.9.2).
#[test]
fn the_windows_of_streams_grow_with_the_acknowledgement() {
    let mut config = SplitConfig::default();
    config.stream_window = 100_000;
    let mut rig = Rig::with(config);
    rig.client.auto_credit = false;
    // One byte at a time: the request is on its way when the SETTINGS of the backend have come, and the acknowledgement is behind them.
    rig.segment = 1;
    rig.get(1, "/");
    rig.segment = usize::MAX;
    rig.at("rest").say_head(1, &OK, false, None);
    let mut sent = 0;
    for _ in 0..100 {
        sent += pour(rig.at("rest"), 1, usize::MAX);
        rig.run();
    }
    assert_eq!(sent, 65_535 + 100_000);
    rig.expect_client(1, &[head(&OK), data(vec![b'x'; 65_535])]);
}

/// The same where they become smaller.
#[test]
fn the_windows_of_streams_shrink_with_the_acknowledgement() {
    let mut config = SplitConfig::default();
    config.stream_window = 20_000;
    let mut rig = Rig::with(config);
    rig.segment = 1;
    rig.get(1, "/");
    rig.segment = usize::MAX;
    // Nothing leaves, so no credit comes back.
    rig.client.say_settings(0, 4_096, None, &[]);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    for (length, is_held) in [(20_000, true), (1, false)] {
        for piece in vec![b'x'; length].chunks(16_384) {
            encode_frame(&mut rig.at("rest").out, Kind::DATA, 0, 1, piece);
        }
        rig.run();
        let reset = rig.at("rest").words(1).contains(&Word::Reset(3));
        assert_eq!(reset, !is_held, "{length}");
    }
}

/// What has no body but trailers is passed on without an empty one.
#[test]
fn trailers_without_a_body_are_one_frame() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    rig.run();
    let before = (rig.at("rest").frames, rig.client.frames);
    rig.client.say_head(1, &[("a", "b")], true, None);
    rig.at("rest").say_head(1, &[("c", "d")], true, None);
    rig.run();
    assert_eq!((rig.at("rest").frames, rig.client.frames), (before.0 + 1, before.1 + 1));
    rig.expect_client(1, &[head(&OK), head(&[("c", "d")]), Word::End]);
}

/// What waits for the window of the client's connection has its turn when there is some, and is given up like all that the client does
/// not take, however often it is looked at meanwhile.
#[test]
fn a_stream_that_waits_for_the_connections_window() {
    for is_granted in [true, false] {
        let mut rig = Rig::new();
        rig.client.auto_credit = false;
        rig.get(1, "/");
        rig.get(3, "/");
        rig.at("rest").say_head(1, &OK, false, None);
        while pour(rig.at("rest"), 1, usize::MAX) > 0 {
            rig.run();
        }
        rig.at("rest").say_head(3, &OK, false, None);
        rig.at("rest").say_data(3, b"small", true, None);
        rig.run();
        rig.expect_client(3, &[head(&OK)]);
        rig.pass(Duration::from_secs(200));
        rig.client.say_ping(*b"12345678");
        rig.run();
        if is_granted {
            rig.client.grant(0, 5);
            rig.run();
            rig.expect_client(3, &[head(&OK), data("small"), Word::End]);
        } else {
            rig.pass(Duration::from_secs(100));
            rig.expect_client(3, &[head(&OK), Word::Reset(8)]);
        }
    }
}

#[test]
fn windows_that_shrink_below_nothing_are_absorbed() {
    let mut rig = Rig::new();
    rig.client.auto_credit = false;
    rig.get(1, "/");
    rig.at("rest").say_head(1, &OK, false, None);
    pour(rig.at("rest"), 1, 10_000);
    rig.run();
    rig.client.say_settings(5_000, 4_096, None, &[]);
    rig.run();
    let mut sent = 10_000;
    for _ in 0..10 {
        sent += pour(rig.at("rest"), 1, usize::MAX);
        rig.run();
    }
    assert!(sent >= 65_535, "the backend's window is not the client's");
    assert_eq!(rig.client.content(1).len(), 10_000);
    rig.client.grant(1, 5_001);
    rig.run();
    assert_eq!(rig.client.content(1).len(), 10_001);
    rig.client.say_settings(6_000, 4_096, None, &[]);
    rig.run();
    assert_eq!(rig.client.content(1).len(), 11_001);
}

/// The machine's own SETTINGS leave less of a window than was used up before the client knew them: that is no fault, and the end, which
/// needs no window, is heard.
#[test]
fn a_window_that_our_settings_take_back_is_no_fault() {
    let mut config = SplitConfig::default();
    config.stream_window = 1_000;
    let mut rig = Rig::silent(config);
    rig.auto_connect = false;
    rig.client.say_plain_settings();
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, &[b'x'; 5_000], false, None);
    rig.run();
    assert!(rig.client.sendable(1) == 0);
    rig.client.say_data(1, b"", true, None);
    rig.run();
    rig.expect_client(1, &[]);
    rig.connect(rig.to("rest"));
    rig.run();
    assert_eq!((rig.at("rest").content(1).len(), rig.at("rest").has_ended(1)), (5_000, true));
}

#[test]
fn the_end_needs_no_window() {
    let mut rig = Rig::new();
    rig.client.auto_credit = false;
    for id in [1, 3, 5] {
        rig.get(id, "/");
        rig.at("rest").say_head(id, &OK, false, None);
    }
    rig.run();
    while pour(rig.at("rest"), 1, usize::MAX) > 0 {
        rig.run();
    }
    rig.at("rest").say_data(3, b"", true, None);
    rig.at("rest").say_head(5, &[("a", "b")], true, None);
    rig.run();
    rig.expect_client(3, &[head(&OK), Word::End]);
    rig.expect_client(5, &[head(&OK), head(&[("a", "b")]), Word::End]);
}

#[test]
fn a_small_response_passes_a_large_one() {
    let mut rig = Rig::new();
    rig.get(1, "/a");
    rig.get(3, "/b");
    rig.client.grant(0, 10_000_000);
    rig.client.grant(1, 10_000_000);
    rig.run();
    rig.stick(None);
    rig.at("a").say_head(1, &OK, false, None);
    rig.run();
    while pour(rig.at("a"), 1, usize::MAX) > 0 {
        rig.run();
    }
    rig.at("b").say_head(3, &OK, false, None);
    rig.at("b").say_data(3, b"small", true, None);
    rig.run();
    let before = rig.client.received;
    rig.client.auto_credit = false;
    rig.unstick(None);
    assert_eq!(rig.client.content(3), b"small");
    let words = rig.client.words(1).len();
    assert!(words > 0 && rig.client.received - before > 5);
}

/// Streams take turns in pieces of at most the quantum, whatever each has to send.
#[test]
fn turns_are_bounded() {
    let mut config = SplitConfig::default();
    config.quantum = 1_000;
    config.write_batch = 1_000;
    let mut rig = Rig::with(config);
    for id in [1, 3, 5] {
        rig.get(id, "/");
        rig.at("rest").say_head(id, &OK, false, None);
    }
    rig.run();
    rig.stick(None);
    for id in [1, 3, 5] {
        rig.at("rest").say_data(id, &vec![b'x'; 10_000], false, None);
    }
    rig.run();
    // One batch after the other: no stream is ever more than two turns ahead of another.
    for _ in 0..40 {
        rig.unstick_once(None);
        let lengths = [1, 3, 5].map(|id| rig.client.content(id).len());
        let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
        assert!(most - least <= 2_000, "{lengths:?}");
    }
    rig.unstick(None);
    assert_eq!([1, 3, 5].map(|id| rig.client.content(id).len()), [10_000; 3]);
}

/// A batch goes on growing up to its bound, and with the piece that reaches it, it is full.
#[test]
fn a_batch_is_full_at_its_bound() {
    let mut config = SplitConfig::default();
    config.quantum = 991;
    config.write_batch = 2 * (9 + 991);
    let mut rig = Rig::with(config);
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    rig.run();
    let rest = rig.to("rest");
    for side in [None, Some(rest)] {
        rig.stick(side);
    }
    rig.at("rest").say_data(1, &[b'x'; 10_000], true, None);
    rig.client.say_data(1, &[b'x'; 10_000], true, None);
    rig.run();
    for side in [None, Some(rest)] {
        assert_eq!(rig.stuck[&side].as_ref().map(Batch::len), Some(2_000), "{side:?}");
        rig.unstick(side);
    }
    assert_eq!((rig.client.content(1).len(), rig.at("rest").content(1).len()), (10_000, 10_000));
}

/// However long a turn may be, a frame is no longer than its receiver allows.
#[test]
fn frames_are_no_longer_than_their_receiver_allows() {
    let mut config = SplitConfig::default();
    config.quantum = 1 << 20;
    let mut rig = Rig::with(config);
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, false, None);
    rig.run();
    // All of a window gathers before it can go on in one turn.
    let slow = rig.to("rest");
    rig.stick(None);
    rig.stick(Some(slow));
    while pour(&mut rig.client, 1, usize::MAX) + pour(rig.at("rest"), 1, usize::MAX) > 0 {
        rig.run();
    }
    // The strict peers take no frame of more than 16,384 bytes.
    rig.unstick(Some(slow));
    rig.unstick(None);
    assert!(rig.at("rest").content(1).len() >= 65_535 && rig.client.content(1).len() >= 65_535);
}

/// Streams take turns on the way to a backend as well.
#[test]
fn turns_of_uploads_are_bounded() {
    let mut config = SplitConfig::default();
    config.quantum = 1_000;
    config.write_batch = 1_000;
    let mut rig = Rig::with(config);
    for id in [1, 3, 5] {
        rig.client.say_head(id, &POST, false, None);
    }
    rig.run();
    let slow = rig.to("rest");
    rig.stick(Some(slow));
    for id in [1, 3, 5] {
        rig.client.say_data(id, &[b'x'; 10_000], false, None);
    }
    rig.run();
    for _ in 0..40 {
        rig.unstick_once(Some(slow));
        let lengths = [1, 3, 5].map(|id| rig.at("rest").content(id).len());
        let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
        assert!(most - least <= 2_000, "{lengths:?}");
    }
    rig.unstick(Some(slow));
    assert_eq!([1, 3, 5].map(|id| rig.at("rest").content(id).len()), [10_000; 3]);
}

#[test]
fn data_of_streams_that_are_gone_is_counted_and_given_back() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_reset(1, 2);
    rig.run();
    rig.expect_client(1, &[Word::Reset(2)]);
    let mut sent = 0;
    while sent < 60_000 {
        sent += pour(&mut rig.client, 1, 10_000);
        rig.run();
    }
    rig.client.say_head(3, &POST, false, None);
    rig.run();
    for _ in 0..200 {
        pour(&mut rig.client, 3, 16_384);
        rig.run();
    }
    assert!(rig.at("rest").content(3).len() > 1 << 20);

    // The same from a backend.
    rig.client.say_head(5, &GET, true, None);
    rig.client.say_head(7, &GET, true, None);
    rig.run();
    rig.at("rest").say_head(5, &OK, false, None);
    rig.at("rest").say_head(7, &OK, false, None);
    rig.run();
    rig.client.say_reset(5, 8);
    rig.run();
    let sent = pour(rig.at("rest"), 5, 16_384);
    assert_eq!(sent, 16_384);
    for _ in 0..200 {
        pour(rig.at("rest"), 7, 16_384);
        rig.run();
    }
    assert!(rig.client.content(7).len() > 1 << 20);
}

#[test]
fn more_than_a_window_is_an_error_of_its_stream() {
    let mut rig = Rig::new();
    let up = |path| [(":method", "POST"), (":scheme", "http"), (":path", path)];
    rig.auto_connect = false;
    rig.client.say_head(1, &up("/a"), false, None);
    rig.run();
    while pour(&mut rig.client, 1, usize::MAX) > 0 {
        rig.run();
    }
    encode_frame(&mut rig.client.out, Kind::DATA, 0, 1, b"x");
    rig.run();
    rig.expect_client(1, &[Word::Reset(3)]);
    assert_eq!(rig.outcome, None);
}

#[test]
fn what_is_held_counts_until_it_has_gone() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, &[b'x'; 10_000], true, None);
    rig.run();
    assert!(rig.machine.buffered() >= 10_000, "{} bytes", rig.machine.buffered());
    // Half a frame more.
    let before = rig.machine.buffered();
    rig.client.out.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0ping");
    rig.run();
    assert!(
        (before + 4..before + 100).contains(&rig.machine.buffered()),
        "{before}, then {}",
        rig.machine.buffered()
    );
    rig.client.out.extend_from_slice(b"pong");
    rig.connect(rig.to("rest"));
    rig.run();
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    assert_eq!(rig.at("rest").content(1).len(), 10_000);
    assert!(rig.machine.buffered() < 1_000, "{} bytes", rig.machine.buffered());
}
