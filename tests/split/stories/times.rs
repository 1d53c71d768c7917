//! Rule 6: how long a backend may take, and for what.

use std::time::Duration;

use oneport_core::split::{ConnectionEnd, Side, SplitConfig};
use oneport_core::wire::frame::{encode_frame, flag, Kind};

use super::super::rig::{Rig, OK, POST};
use super::super::strict::{data, head, Word};
use super::failure::bad_gateway;

#[test]
fn a_backend_that_does_not_answer_in_time() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    rig.get(1, "/");
    let silent = rig.to("rest");
    rig.stick(Some(silent));
    rig.connect(silent);
    rig.backends.get_mut(&silent).unwrap().peer.out.clear();
    rig.pass(Duration::from_secs(4));
    rig.expect_client(1, &[]);
    rig.pass(Duration::from_secs(1));
    rig.expect_client(1, &[bad_gateway(), Word::End]);
    assert_eq!(rig.backends[&silent].closed, Some(ConnectionEnd::Cut));
}

/// Lets a backend say more to a client that takes nothing than there is room for.
fn fill_up(rig: &mut Rig, target: &str, id: u32) {
    rig.stick(None);
    let long = "f".repeat(250);
    for _ in 0..2 {
        rig.at(target).say_head(id, &[(":status", "103"), ("secret-filler", &long)], false, None);
        rig.run();
    }
}

/// It has answered in time; that nobody looks at it is the client's doing, which has a deadline of its own.
#[test]
fn a_backend_that_waits_to_be_heard_is_not_judged() {
    for is_late in [false, true] {
        let mut config = SplitConfig::default();
        config.output_mark = 200;
        let mut rig = Rig::with(config);
        rig.get(1, "/a");
        fill_up(&mut rig, "a", 1);
        // One says half of the head of its SETTINGS, the other nothing; they take nothing, so that they answer nothing either.
        rig.auto_connect = false;
        rig.greet = |peer| {
            peer.is_raw = true;
            peer.out.extend_from_slice(b"\0\0\0\x04");
        };
        rig.get(3, "/b");
        rig.greet = |_| ();
        rig.get(5, "/");
        let (waits, silent) = (rig.to("b"), rig.to("rest"));
        for id in [waits, silent] {
            rig.stick(Some(id));
            rig.connect(id);
            rig.run();
        }
        rig.pass(Duration::from_secs(20));
        assert_eq!(rig.backends[&waits].closed, None);
        assert_eq!(rig.backends[&silent].closed, Some(ConnectionEnd::Cut), "it has said nothing");
        rig.unstick(None);
        rig.pass(Duration::from_secs(if is_late { 5 } else { 4 }));
        assert_eq!(
            rig.backends[&waits].closed,
            is_late.then_some(ConnectionEnd::Cut),
            "it has its time again"
        );
        if !is_late {
            rig.at("b").out.extend_from_slice(b"\0\0\0\0\0");
            rig.unstick(Some(waits));
            rig.at("b").say_head(3, &OK, true, None);
            rig.run();
            rig.expect_client(3, &[head(&OK), Word::End]);
        }
        rig.expect_client(5, &[bad_gateway(), Word::End]);
    }
}

/// However long nobody has asked what time it is.
#[test]
fn a_backend_that_is_heard_again_has_its_time_again() {
    let mut config = SplitConfig::default();
    config.output_mark = 200;
    config.keepalive_after = Duration::from_secs(30);
    let mut rig = Rig::with(config);
    rig.get(1, "/a");
    fill_up(&mut rig, "a", 1);
    rig.now += Duration::from_secs(250);
    rig.unstick(None);
    rig.pass(Duration::from_secs(1));
    assert!(rig.at("a").pings.is_empty());
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.at("a").pings.len(), 1);
}

/// The same with half a header block, and with a backend that is open and seems to be silent.
#[test]
fn a_header_block_that_waits_to_be_heard_is_not_judged() {
    let mut config = SplitConfig::default();
    config.output_mark = 200;
    config.keepalive_after = Duration::from_secs(8);
    config.keepalive_timeout = Duration::from_secs(5);
    let mut rig = Rig::with(config);
    rig.get(1, "/a");
    rig.get(3, "/b");
    encode_frame(&mut rig.at("a").out, Kind::HEADERS, 0, 1, b"");
    rig.run();
    fill_up(&mut rig, "b", 3);
    encode_frame(&mut rig.at("a").out, Kind::CONTINUATION, 0, 1, b"\x88");
    rig.run();
    for _ in 0..4 {
        rig.pass(Duration::from_secs(5));
    }
    rig.unstick(None);
    rig.pass(Duration::from_secs(7));
    assert!(rig.backends.values().all(|backend| backend.closed.is_none()));
    encode_frame(&mut rig.at("a").out, Kind::CONTINUATION, flag::END_HEADERS, 1, b"");
    rig.run();
    rig.expect_client(1, &[head(&OK)]);
}

#[test]
fn a_silent_backend_is_asked_and_then_given_up() {
    let mut config = SplitConfig::default();
    config.keepalive_after = Duration::from_secs(30);
    let mut rig = Rig::with(config);
    rig.get(1, "/a");
    rig.get(3, "/b");
    rig.pass(Duration::from_secs(29));
    assert!(rig.at("a").pings.is_empty());
    let dead = rig.to("a");
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.at("b").pings.len(), 1, "it answers, and lives on");
    assert_eq!(rig.at("a").pings.len(), 1);
    // From here on the first one is silent.
    rig.pass(Duration::from_secs(25));
    rig.stick(Some(dead));
    rig.pass(Duration::from_secs(5));
    rig.at("b").say_ping(*b"00000000");
    rig.run();
    rig.pass(Duration::from_secs(10));
    rig.expect_client(1, &[bad_gateway(), Word::End]);
    rig.expect_client(3, &[]);
    assert_eq!(rig.backends[&dead].closed, Some(ConnectionEnd::Cut));
}

/// A backend that takes long to be there is not asked whether it lives: the preface comes first, and so do its SETTINGS.
#[test]
fn a_backend_that_is_still_coming_is_not_asked() {
    let mut config = SplitConfig::default();
    config.connect_deadline = Duration::from_secs(90);
    config.write_deadline = Duration::from_secs(90);
    let mut rig = Rig::with(config);
    rig.auto_connect = false;
    rig.greet = |_| ();
    rig.get(1, "/a");
    let id = rig.to("a");
    rig.pass(Duration::from_secs(40));
    rig.stick(Some(id));
    rig.connect(id);
    rig.run();
    rig.pass(Duration::from_secs(40));
    rig.at("a").say_plain_settings();
    rig.unstick(Some(id));
    assert!(rig.at("a").pings.is_empty());
    rig.at("a").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
}

/// A time that no clock reaches never comes, for each of them.
#[test]
fn no_deadline_need_be() {
    let mut config = SplitConfig::default();
    for deadline in [
        &mut config.opening_deadline,
        &mut config.headers_deadline,
        &mut config.idle_deadline,
        &mut config.write_deadline,
        &mut config.stall_deadline,
        &mut config.connect_deadline,
        &mut config.keepalive_after,
        &mut config.keepalive_timeout,
        &mut config.drain_grace,
        &mut config.drain_deadline,
        &mut config.linger_deadline,
    ] {
        *deadline = Duration::MAX;
    }
    let mut rig = Rig::silent(config);
    rig.auto_connect = false;
    rig.stick(None);
    rig.pass(Duration::from_secs(3_600));
    rig.client.say_plain_settings();
    rig.unstick(None);
    rig.get(1, "/a");
    rig.pass(Duration::from_secs(3_600));
    let id = rig.to("a");
    rig.connect(id);
    rig.stick(Some(id));
    rig.run();
    rig.pass(Duration::from_secs(3_600));
    rig.unstick(Some(id));
    rig.at("a").say_head(1, &OK, false, None);
    rig.at("a").say_data(1, b"some", false, None);
    rig.stick(None);
    rig.run();
    rig.pass(Duration::from_secs(3_600));
    rig.machine.handle_shutdown(rig.now);
    rig.unstick(None);
    rig.pass(Duration::from_secs(3_600));
    rig.at("a").say_data(1, b" more", true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), data(b"some more"), Word::End]);
    assert!(rig.outcome.is_some());
}

/// Without requests it may be silent for as long as it likes; one that was given up in line is none.
#[test]
fn a_silent_backend_that_nobody_needs_is_not_asked() {
    let mut config = SplitConfig::default();
    config.keepalive_after = Duration::from_secs(30);
    let mut rig = Rig::with(config);
    rig.greet = |peer| peer.say_settings(65_535, 4_096, Some(0), &[]);
    rig.get(1, "/");
    rig.client.say_reset(1, 8);
    rig.run();
    for _ in 0..10 {
        rig.pass(Duration::from_secs(20));
    }
    assert_eq!(rig.at("rest").pings, [[0; 8]; 0]);
    let silent = rig.to("rest");
    assert_eq!(rig.backends[&silent].closed, None);
}

#[test]
fn a_backend_that_does_not_read_is_given_up() {
    let mut rig = Rig::new();
    rig.get(1, "/a");
    let dead = rig.to("a");
    rig.stick(Some(dead));
    rig.get(3, "/a");
    rig.pass(Duration::from_secs(30));
    assert_eq!(rig.backends[&dead].closed, Some(ConnectionEnd::Cut));
    rig.expect_client(3, &[bad_gateway(), Word::End]);
}

/// The response is whole, and the backend takes no more of the request, nor says that it does not want it.
/// A request that goes on behind its whole response has all the time that its client takes.
#[test]
fn an_upload_behind_a_whole_response_may_pause() {
    let mut rig = Rig::new();
    rig.client.say_head(1, &POST, false, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    let pause = Duration::from_secs(30);
    for _ in 0..=SplitConfig::default().stall_deadline.as_secs() / pause.as_secs() {
        rig.pass(pause);
    }
    rig.client.say_data(1, b"the rest", true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    rig.expect_at("rest", 1, &[head(&POST), data("the rest"), Word::End]);
}

/// As long as it takes some of it.
#[test]
fn what_is_taken_slowly_behind_a_whole_response_goes_on() {
    let mut rig = Rig::new();
    rig.greet = |peer| {
        peer.say_settings(0, 4_096, None, &[]);
        peer.auto_credit = false;
    };
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, &[7; 50], true, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    for taken in (10..=50).step_by(10) {
        rig.pass(Duration::from_secs(200));
        rig.at("rest").grant(1, 10);
        rig.run();
        assert_eq!(rig.at("rest").content(1).len(), taken);
    }
    assert!(rig.at("rest").has_ended(1));
}

#[test]
fn what_nobody_takes_behind_a_whole_response_is_given_up() {
    let mut rig = Rig::new();
    rig.greet = |peer| peer.say_settings(0, 4_096, None, &[]);
    rig.client.say_head(1, &POST, false, None);
    rig.client.say_data(1, &[7; 100], true, None);
    rig.run();
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    assert_eq!(rig.machine.streams(), 1, "it may still want it");
    rig.pass(SplitConfig::default().stall_deadline);
    assert_eq!(rig.machine.streams(), 0);
    assert_eq!(rig.outcome, None);
}

/// A backend that had nothing to do was silent with good reason: its time begins with the request.
#[test]
fn a_backend_is_not_asked_for_the_time_in_which_nobody_needed_it() {
    let mut config = SplitConfig::default();
    config.keepalive_after = Duration::from_secs(30);
    let mut rig = Rig::with(config);
    rig.get(1, "/a");
    rig.at("a").say_head(1, &OK, true, None);
    rig.run();
    rig.pass(Duration::from_secs(100));
    rig.get(3, "/a");
    rig.pass(Duration::from_secs(29));
    assert!(rig.at("a").pings.is_empty());
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.at("a").pings.len(), 1);
    // One request more is no sign of life.
    rig.get(5, "/a");
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.at("a").pings.len(), 1);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.at("a").pings.len(), 2);
}

/// Nor is it spared because clients give their requests up one after the other.
#[test]
fn a_dead_backend_is_found_by_requests_that_are_given_up() {
    let mut config = SplitConfig::default();
    config.keepalive_after = Duration::from_secs(100);
    let mut rig = Rig::with(config);
    rig.get(1, "/a");
    rig.at("a").say_head(1, &OK, true, None);
    rig.run();
    rig.pass(Duration::from_secs(1_000));
    for id in (3..).step_by(2).take(4) {
        assert!(rig.at("a").pings.is_empty());
        rig.get(id, "/a");
        rig.pass(Duration::from_secs(30));
        rig.client.say_reset(id, 8);
        rig.run();
    }
    assert_eq!(rig.at("a").pings.len(), 1, "120 s without a word");
}

/// One that was asked whether it lives, and could then not be read for long, has its time to answer when it can be.
#[test]
fn an_answer_that_could_not_be_read_has_its_time_again() {
    let mut config = SplitConfig::default();
    config.output_mark = 200;
    config.keepalive_after = Duration::from_secs(8);
    config.keepalive_timeout = Duration::from_secs(5);
    let mut rig = Rig::with(config);
    for id in (1..80).step_by(2) {
        rig.get(id, "/a");
    }
    let slow = rig.to("a");
    rig.stick(Some(slow));
    rig.pass(Duration::from_secs(8));
    // More than there may be for a backend that is read.
    for id in (3..80).step_by(2) {
        rig.client.say_reset(id, 8);
    }
    rig.run();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.backends[&slow].closed, None);
    // What was being written is; the next batch waits.
    let batch = rig.stuck.insert(Some(slow), None).flatten().expect("a batch with the PING");
    rig.machine.handle_written(Side::Backend(slow), batch, rig.now);
    rig.run();
    rig.pass(Duration::from_millis(4_999));
    assert_eq!(rig.backends[&slow].closed, None);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.backends[&slow].closed, Some(ConnectionEnd::Cut));
}
