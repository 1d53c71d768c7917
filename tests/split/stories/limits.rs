//! Rule 5: what the peers allow.

use std::time::Duration;

use oneport_core::split::{Batch, Side, SplitConfig};
use oneport_core::wire::settings::{Setting, SettingId};

use super::super::rig::{Rig, GRPC, OK, POST};
use super::super::strict::{data, head, Word};

#[test]
fn requests_above_a_backends_limit_wait_in_order() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(2), &[]);
    for id in [1, 3, 5, 7, 9] {
        rig.get(id, "/");
    }
    assert_eq!(rig.at("rest").ids(), [1, 3]);
    rig.at("rest").say_head(3, &OK, true, None);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1, 3, 5]);
    rig.client.say_reset(7, 8);
    rig.client.say_reset(1, 8);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1, 3, 5, 9], "one that was given up in line is never sent");
    rig.at("rest").say_settings(65_535, 4_096, Some(0), &[]);
    rig.run();
    rig.get(11, "/");
    rig.at("rest").say_head(5, &OK, true, None);
    rig.at("rest").say_head(9, &OK, true, None);
    rig.run();
    assert!(!rig.at("rest").ids().contains(&11));
    rig.at("rest").say_settings(
        65_535,
        4_096,
        None,
        &[Setting { id: SettingId::MAX_CONCURRENT_STREAMS, value: 1 }],
    );
    rig.run();
    assert!(rig.at("rest").ids().contains(&11));
}

#[test]
fn requests_wait_for_the_connection_with_their_bodies() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, b"early", true, None);
    rig.client.say_head(3, &POST, true, None);
    rig.run();
    let there = rig.to("rest");
    rig.connect(there);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1, 3]);
    assert_eq!(rig.at("rest").content(1), b"early");
}

#[test]
fn requests_above_our_limit_are_refused() {
    let mut config = SplitConfig::default();
    config.max_concurrent_streams = 3;
    let mut rig = Rig::with(config);
    for id in [1, 3, 5, 7] {
        rig.get(id, "/");
    }
    rig.expect_client(7, &[Word::Reset(7)]);
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.get(9, "/");
    assert_eq!(rig.at("rest").ids(), [1, 3, 5, 9]);
}

#[test]
fn a_client_that_is_done_while_its_backend_is_not_is_counted_too() {
    let mut config = SplitConfig::default();
    config.max_concurrent_streams = 3;
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(0, 4_096, None, &[]);
    for id in (1..=19).step_by(2) {
        rig.client.say_head(id, &POST, false, None);
        rig.client.say_data(id, b"held", true, None);
        rig.run();
        if id <= 11 {
            let is_open = rig.at("rest").ids().contains(&id);
            if is_open {
                rig.at("rest").say_head(id, &OK, true, None);
                rig.run();
            }
        }
    }
    assert!(rig.machine.streams() <= 6, "{}", rig.machine.streams());
    assert_eq!(rig.client.words(19), [Word::Reset(7)]);
}

/// The same where no backend's own limit holds them back: each of several has as many as it may.
#[test]
fn streams_of_all_backends_together_are_bounded() {
    let mut config = SplitConfig::default();
    config.max_concurrent_streams = 3;
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(0, 4_096, None, &[]);
    for (id, target) in [(1, "a"), (3, "a"), (5, "a"), (7, "b"), (9, "b"), (11, "b")] {
        let path = format!("/{target}");
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", &*path)];
        rig.client.say_head(id, &fields, false, None);
        rig.client.say_data(id, b"held", true, None);
        rig.run();
        rig.at(target).say_head(id, &OK, true, None);
        rig.run();
        rig.expect_client(id, &[head(&OK), Word::End]);
    }
    assert_eq!(rig.machine.streams(), 6, "the backends have not taken the bodies");
    rig.get(13, "/");
    rig.expect_client(13, &[Word::Reset(7)]);
}

#[test]
fn a_head_that_is_too_large_is_answered() {
    let mut rig = Rig::new();
    let long = "e".repeat(30_000);
    let mut fields = GRPC.to_vec();
    fields.extend([("a", &*long), ("b", &*long)]);
    rig.client.say_head(1, &fields, true, None);
    rig.run();
    rig.expect_at("grpc", 1, &[head(&fields), Word::End]);
    fields.push(("c", &long));
    rig.client.say_head(3, &fields, true, None);
    rig.run();
    let exhausted = rig.client.words(3).first().cloned();
    assert!(
        matches!(exhausted, Some(Word::Head(fields)) if fields.contains(&("grpc-status".into(), "8".into())))
    );
    // The blocks went through the same tables.
    rig.client.say_head(5, &GRPC, true, None);
    rig.run();
    rig.expect_at("grpc", 5, &[head(&GRPC), Word::End]);
}

#[test]
fn a_head_that_is_too_large_for_the_backend_is_answered() {
    let mut rig = Rig::new();
    rig.greet = |peer| {
        let limit = Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: 200 };
        peer.say_settings(65_535, 4_096, None, &[limit]);
    };
    rig.get(1, "/");
    rig.get(3, &format!("/{}", "x".repeat(200)));
    assert_eq!(rig.at("rest").ids(), [1]);
    rig.expect_client(3, &[head(&[(":status", "431")]), Word::End]);
    // Three fields of 32 bytes each, their names and values.
    let rest = 200 - 3 * 32 - ":method".len() - "GET".len() - ":scheme".len() - "http".len() - ":path/".len();
    rig.get(5, &format!("/{}", "x".repeat(rest)));
    rig.get(7, &format!("/{}", "x".repeat(rest + 1)));
    assert_eq!(rig.at("rest").ids(), [1, 5], "as large as it may be");
}

#[test]
fn a_head_that_is_too_large_for_the_client_is_answered_for() {
    let mut rig = Rig::new();
    let limit = Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: 200 };
    rig.client.say_settings(65_535, 4_096, None, &[limit]);
    // Two fields of 32 bytes each, their names and values.
    let fits = 200 - 2 * 32 - ":status".len() - "200".len() - "x".len();
    for (id, length) in [(1, fits), (3, fits + 1)] {
        let value = "y".repeat(length);
        let response = [(":status", "200"), ("x", value.as_str())];
        rig.get(id, "/");
        rig.at("rest").say_head(id, &response, true, None);
        rig.run();
        let answer = if length == fits { head(&response) } else { head(&[(":status", "502")]) };
        rig.expect_client(id, &[answer, Word::End]);
    }
    assert_eq!(rig.at("rest").words(3).last(), Some(&Word::Reset(8)), "there is nothing wrong with it");
}

/// What a backend has finished costs it nothing to give up: a client with small bounds is not told to go for it.
#[test]
fn a_finished_response_that_is_too_large_costs_the_client_nothing() {
    let mut config = SplitConfig::default();
    config.own_resets = oneport_core::split::Rate::new(1, 0);
    let mut rig = Rig::with(config);
    let limit = Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: 100 };
    rig.client.say_settings(65_535, 4_096, None, &[limit]);
    let long = "y".repeat(100);
    for id in (1..40).step_by(2) {
        rig.get(id, "/");
        if id % 4 == 1 {
            rig.at("rest").say_head(id, &OK, false, None);
            rig.at("rest").say_head(id, &[("x", &long)], true, None);
        } else {
            rig.at("rest").say_head(id, &[(":status", "200"), ("x", &long)], true, None);
        }
        rig.run();
        assert_eq!(rig.outcome, None, "{id}");
    }
}

/// At the mark nothing of others is looked at any more that would add to what a side does not take, and no request is added to it;
/// the side alone may cause twice as much on itself. A backend is read once all the same, for when it has its turn.
#[test]
fn at_the_mark_nobody_is_read() {
    const ANSWER: usize = 9 + 8;
    let mut config = SplitConfig::default();
    config.output_mark = 2 * ANSWER;
    let mut rig = Rig::with(config);
    rig.get(1, "/");
    let rest = rig.to("rest");
    let (client, backend) = (Side::Client, Side::Backend(rest));

    rig.stick(None);
    for answers in 0..=4 {
        // The first of them is on its way, and does not count.
        rig.client.say_ping([0; 8]);
        rig.run();
        assert_eq!(rig.machine.wants_input(client), answers < 4, "{answers} wait");
        assert!(rig.machine.wants_input(backend));
    }
    rig.at("rest").say_head(1, &[(":status", "103")], false, None);
    rig.run();
    assert!(!rig.machine.wants_input(backend), "it has been read, and waits");
    rig.unstick(None);
    rig.expect_client(1, &[head(&[(":status", "103")])]);
    assert!(rig.machine.wants_input(client) && rig.machine.wants_input(backend));
    // It is not asked who has filled it up.
    rig.stick(None);
    rig.client.say_ping([0; 8]);
    rig.run();
    let long = "f".repeat(30);
    rig.at("rest").say_head(1, &[(":status", "103"), ("secret-filler", &long)], false, None);
    rig.run();
    assert!(rig.machine.wants_input(client) && !rig.machine.wants_input(backend));
    rig.unstick(None);

    rig.stick(Some(rest));
    for answers in 0..=4 {
        rig.at("rest").say_ping([0; 8]);
        rig.run();
        assert_eq!(rig.machine.wants_input(backend), answers < 4, "{answers} wait");
        assert!(rig.machine.wants_input(client));
        // Given up while it waits, it is never sent; and it leaves a reset behind if it did not wait.
        if answers == 2 {
            rig.get(3, "/");
            rig.client.say_reset(3, 8);
            rig.run();
        }
    }
    rig.unstick(Some(rest));
    assert_eq!(rig.at("rest").ids(), [1]);
}

#[test]
fn heads_that_are_held_are_bounded() {
    let mut config = SplitConfig::default();
    config.max_held_fields = 10_000;
    let mut rig = Rig::with(config);
    rig.auto_connect = false;
    let long = "x".repeat(3_000);
    for id in [1, 3, 5, 7] {
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", &long)];
        rig.client.say_head(id, &fields, true, None);
        rig.run();
    }
    rig.expect_client(5, &[]);
    rig.expect_client(7, &[Word::Reset(7)]);
    assert!(rig.machine.buffered() <= 10_000);
    // To the byte: what one of them takes is what the bound was reached with.
    let one = rig.machine.buffered() / 3;
    for (bound, is_good) in [(2 * one, true), (2 * one - 1, false)] {
        let mut config = SplitConfig::default();
        config.max_held_fields = bound;
        let mut rig = Rig::with(config);
        rig.auto_connect = false;
        for id in [1, 3] {
            let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", &long)];
            rig.client.say_head(id, &fields, true, None);
            rig.run();
        }
        rig.expect_client(3, if is_good { &[] } else { &[Word::Reset(7)] });
    }
}

/// Trailers wait behind their bodies, and are held like heads.
#[test]
fn trailers_that_are_held_are_bounded() {
    let mut config = SplitConfig::default();
    config.max_held_fields = 8_000;
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(0, 4_096, None, &[]);
    let long = "x".repeat(5_000);
    for id in [1, 3] {
        rig.client.say_head(id, &POST, false, None);
        rig.client.say_data(id, b"some", false, None);
        rig.client.say_head(id, &[("x-long", &long)], true, None);
        rig.run();
    }
    rig.expect_client(1, &[]);
    rig.expect_client(3, &[Word::Reset(0xb)]);
    // A response's. Its backend has done nothing wrong.
    rig.client.say_settings(0, 4_096, None, &[]);
    rig.get(5, "/a");
    rig.at("a").say_head(5, &OK, false, None);
    rig.at("a").say_data(5, b"some", false, None);
    rig.at("a").say_head(5, &[("x-long", &long)], true, None);
    rig.run();
    rig.expect_client(5, &[head(&OK), Word::Reset(2)]);
    rig.expect_at(
        "a",
        5,
        &[head(&[(":method", "GET"), (":scheme", "http"), (":path", "/a")]), Word::End, Word::Reset(8)],
    );
    assert_eq!(rig.outcome, None);
}

/// Heads of requests that wait take no place from the end of those that are nearly done.
#[test]
fn small_trailers_are_held_in_any_case() {
    let mut config = SplitConfig::default();
    config.max_held_fields = 10_000;
    let mut rig = Rig::with(config);
    let upload = [(":method", "POST"), (":scheme", "http"), (":path", "/a")];
    for (id, fields) in [(1, &GRPC[..]), (3, &upload)] {
        rig.client.say_head(id, fields, false, None);
    }
    rig.run();
    rig.auto_connect = false;
    let long = "x".repeat(3_000);
    for id in [5, 7, 9, 11] {
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", &*long)];
        rig.client.say_head(id, &fields, true, None);
    }
    rig.run();
    rig.expect_client(11, &[Word::Reset(7)]);
    let message = "m".repeat(3_500);
    let (status, small) = ([("grpc-status", "0"), ("grpc-message", &*message)], [("x-small", &*message)]);
    rig.at("grpc").say_head(1, &OK, false, None);
    rig.at("grpc").say_data(1, b"answer", false, None);
    rig.at("grpc").say_head(1, &status, true, None);
    rig.client.say_data(3, b"body", false, None);
    rig.client.say_head(3, &small, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), data("answer"), head(&status), Word::End]);
    rig.expect_at("a", 3, &[head(&upload), data("body"), head(&small), Word::End]);
}

/// As heads: a peer that is sent more than it takes may end its connection.
#[test]
fn trailers_keep_to_what_their_receiver_takes() {
    let mut rig = Rig::new();
    let list = |most| Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: most };
    rig.greet = |peer| {
        let list = Setting { id: SettingId::MAX_HEADER_LIST_SIZE, value: 1_000 };
        peer.say_settings(65_535, 4_096, None, &[list]);
    };
    let long = "x".repeat(1_500);
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.client.say_head(1, &[("x-long", &long)], true, None);
    rig.run();
    // Not REFUSED_STREAM, which would say that the backend has not seen the request (RFC 9113 §8.7).
    rig.expect_client(1, &[head(&[(":status", "431")]), Word::End]);
    rig.expect_at("rest", 1, &[head(&POST), Word::Reset(8)]);
    // Nor are those above our own bound, whatever the backend takes.
    let huge = "x".repeat(70_000);
    rig.client.say_head(3, &POST, false, None);
    rig.run();
    rig.client.say_head(3, &[("x-long", &huge)], true, None);
    rig.run();
    rig.expect_client(3, &[head(&[(":status", "431")]), Word::End]);
    rig.client.say_head(9, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(9, &OK, false, None);
    rig.run();
    rig.client.say_head(9, &[("x-long", &long)], true, None);
    rig.run();
    rig.expect_client(9, &[head(&OK), Word::Reset(8)]);
    // They come before the backend has said what it takes.
    rig.auto_connect = false;
    rig.client.say_head(11, &[(":method", "POST"), (":scheme", "http"), (":path", "/b")], false, None);
    rig.client.say_head(11, &[("x-long", &long)], true, None);
    rig.run();
    let late = rig.to("b");
    rig.connect(late);
    rig.run();
    rig.expect_client(11, &[head(&[(":status", "431")]), Word::End]);
    assert_eq!(rig.at("b").ids(), [0; 0]);
    rig.auto_connect = true;
    rig.client.say_settings(65_535, 4_096, None, &[list(1_000)]);
    rig.get(13, "/a");
    rig.at("a").say_head(13, &OK, false, None);
    rig.at("a").say_head(13, &[("x-long", &long)], true, None);
    rig.run();
    rig.expect_client(13, &[head(&OK), Word::Reset(2)]);

    // As large as they may be, to the byte: 32 for each field, its name and its value.
    let most = "x".repeat(1_000 - 32 - "x-long".len());
    let trailers = [("x-long", &*most)];
    rig.client.say_head(15, &POST, false, None);
    rig.run();
    rig.client.say_head(15, &trailers, true, None);
    rig.run();
    rig.expect_at("rest", 15, &[head(&POST), head(&trailers), Word::End]);
    rig.at("rest").say_head(15, &OK, false, None);
    rig.at("rest").say_head(15, &trailers, true, None);
    rig.run();
    rig.expect_client(15, &[head(&OK), head(&trailers), Word::End]);
    let response = [(":status", "200"), ("x-long", &most[32 + ":status".len() + "200".len()..])];
    rig.get(17, "/a");
    rig.at("a").say_head(17, &response, true, None);
    rig.run();
    rig.expect_client(17, &[head(&response), Word::End]);
}

/// One read of a backend can say much for a client that takes nothing: behind the mark it is not looked at, and goes on later.
#[test]
fn a_read_of_a_backend_is_looked_at_in_parts() {
    let mut config = SplitConfig::default();
    config.output_mark = 200;
    let mut rig = Rig::with(config);
    // Without a table each head is said in full.
    rig.client.say_settings(65_535, 0, None, &[]);
    for id in (1..=19).step_by(2) {
        rig.get(id, "/");
    }
    rig.stick(None);
    let long = "x".repeat(100);
    let response = [(":status", "200"), ("x-long", &*long)];
    for id in (1..=19).step_by(2) {
        rig.at("rest").say_head(id, &response, true, None);
    }
    rig.run();
    let batch = rig.stuck[&None].as_ref().map_or(0, Batch::len);
    assert!((1..400).contains(&batch), "{batch} bytes at once");
    rig.unstick(None);
    for id in (1..=19).step_by(2) {
        rig.expect_client(id, &[head(&response), Word::End]);
    }
}

/// A backend that takes no more requests, and lives, does not keep them for ever. They may be sent again: nobody has processed them.
#[test]
fn who_waits_for_a_turn_has_a_time() {
    let mut config = SplitConfig::default();
    config.stall_deadline = Duration::from_secs(20);
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(1), &[]);
    for id in [1, 3] {
        rig.get(id, "/");
    }
    rig.pass(Duration::from_secs(10));
    rig.get(5, "/");
    rig.pass(Duration::from_millis(9_900));
    assert!(rig.client.words(3).is_empty());
    rig.pass(Duration::from_millis(100));
    rig.expect_client(3, &[Word::Reset(7)]);
    rig.expect_client(5, &[]);
    // Who has had its turn takes the time that it needs, as does who gets it now.
    rig.expect_client(1, &[]);
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.at("rest").ids(), [1, 5]);
    rig.expect_client(5, &[]);
}
