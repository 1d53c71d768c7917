//! Rule 6: the ends of the client's connection.

use std::time::Duration;

use oneport_core::split::{ConnectionEnd, Side, SplitConfig, SplitOutcome, SplitPhase};
use oneport_core::wire::frame::{encode_frame, ErrorCode, Kind};

use super::super::rig::{Rig, GET, OK, POST};
use super::super::strict::{data, head, Word};

#[test]
fn a_drain_loses_nothing() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.stick(None);
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    // Sent before the client could know.
    rig.client.say_head(3, &GET, true, None);
    rig.run();
    rig.unstick(None);
    // Once is enough.
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    assert_eq!(rig.client.goaways, [(0x7fff_ffff, 0), (3, 0)]);
    // Sent after it knew: not looked at, and no error.
    rig.client.say_head(5, &GET, false, None);
    rig.client.say_data(5, b"x", true, None);
    rig.run();
    rig.expect_client(5, &[]);
    for id in [1, 3] {
        rig.at("rest").say_head(id, &OK, true, None);
        assert_eq!(rig.outcome, None);
        rig.run();
        rig.expect_client(id, &[head(&OK), Word::End]);
    }
    assert_eq!(rig.outcome, Some(SplitOutcome::Drained));
    assert_eq!(rig.client_closed, Some(ConnectionEnd::Clean));
    let rest = rig.to("rest");
    assert_eq!(rig.backends[&rest].closed, Some(ConnectionEnd::Clean));
}

#[test]
fn an_idle_connection_drains_at_once() {
    let mut rig = Rig::new();
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    assert_eq!(rig.outcome, Some(SplitOutcome::Drained));
}

#[test]
fn a_drain_has_its_time() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.stick(None);
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    rig.pass(Duration::from_secs(1));
    // It has not answered the PING, which it has not even read.
    rig.client.say_head(3, &GET, true, None);
    rig.run();
    assert_eq!(rig.at("rest").ids(), [1], "the last request is fixed all the same");
    rig.unstick(None);
    assert_eq!(rig.client.goaways.last(), Some(&(1, 0)));
    rig.pass(Duration::from_secs(7));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Drain)));
    let rest = rig.to("rest");
    assert_eq!(rig.backends[&rest].closed, Some(ConnectionEnd::Cut));
}

#[test]
fn a_client_that_leaves_takes_everything_with_it() {
    for is_reset in [false, true] {
        let mut rig = Rig::new();
        rig.get(1, "/a");
        rig.get(3, "/b");
        rig.at("b").say_head(3, &OK, true, None);
        rig.run();
        match is_reset {
            false => rig.machine.handle_eof(Side::Client, rig.now),
            true => rig.machine.handle_reset(Side::Client, rig.now),
        }
        rig.run();
        assert_eq!(rig.outcome, Some(SplitOutcome::Left));
        let ends = ["a", "b"].map(|target| rig.backends[&rig.to(target)].closed);
        assert_eq!(ends, [Some(ConnectionEnd::Cut), Some(ConnectionEnd::Clean)]);
        assert_eq!(rig.machine.buffered(), 0);
    }
}

#[test]
fn a_client_that_goes_is_served_to_the_end() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.client.say_goaway(0, 0);
    rig.run();
    assert_eq!(rig.outcome, None);
    rig.at("rest").say_head(1, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&OK), Word::End]);
    assert_eq!(rig.outcome, Some(SplitOutcome::Left));
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.stick(None);
    rig.client.say_ping(*b"12345678");
    rig.run();
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.outcome, None);
    rig.pass(Duration::from_secs(1));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Write)));
    assert_eq!(rig.client_closed, Some(ConnectionEnd::Cut));
}

#[test]
fn the_config_sets_the_times() {
    let mut config = SplitConfig::default();
    config.drain_deadline = Duration::from_secs(2);
    let mut rig = Rig::with(config);
    rig.get(1, "/");
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.outcome, Some(SplitOutcome::TimedOut(SplitPhase::Drain)));
}

/// What the client sent of a request goes to its backend, also if the response was there before: a connection is not closed
/// over what was composed for it and is not written yet.
#[test]
fn the_end_of_a_request_is_written_before_its_connection_is_closed() {
    for who_ends in ["backend", "shutdown", "client"] {
        let mut rig = Rig::new();
        rig.client.say_head(1, &POST, false, None);
        rig.run();
        rig.at("rest").say_head(1, &OK, true, None);
        rig.run();
        let rest = rig.to("rest");
        rig.stick(Some(rest));
        match who_ends {
            "backend" => rig.at("rest").say_goaway(1, 0),
            "shutdown" => rig.machine.handle_shutdown(rig.now),
            _ => rig.client.say_goaway(0, 0),
        }
        rig.run();
        rig.client.say_data(1, b"the end", true, None);
        rig.run();
        assert_eq!((rig.backends[&rest].closed, rig.outcome), (None, None), "{who_ends}");
        rig.unstick(Some(rest));
        rig.expect_at("rest", 1, &[head(&POST), data("the end"), Word::End]);
        assert_eq!(rig.backends[&rest].closed, Some(ConnectionEnd::Clean), "{who_ends}");
        let outcome = match who_ends {
            "backend" => None,
            "shutdown" => Some(SplitOutcome::Drained),
            _ => Some(SplitOutcome::Left),
        };
        assert_eq!(rig.outcome, outcome, "{who_ends}");
    }
}

/// A response is finished when its client has taken it, and not when it was composed for it.
#[test]
fn a_client_that_is_slow_gets_the_end_of_its_response() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    assert_eq!(rig.client.goaways.last(), Some(&(1, 0)));
    rig.stick(None);
    rig.at("rest").say_head(1, &OK, false, None);
    rig.at("rest").say_data(1, b"the last words", true, None);
    rig.run();
    assert_eq!(rig.machine.streams(), 0);
    rig.pass(Duration::from_secs(3));
    assert_eq!((rig.outcome, rig.client_closed), (None, None));
    rig.unstick(None);
    rig.expect_client(1, &[head(&OK), data("the last words"), Word::End]);
    assert_eq!(rig.outcome, Some(SplitOutcome::Drained));
}

/// A backend that never got a request has nothing to lose: what it was greeted with is not waited for.
#[test]
fn a_backend_without_requests_holds_up_no_end() {
    let mut rig = Rig::new();
    rig.auto_connect = false;
    rig.get(1, "/");
    let rest = rig.to("rest");
    rig.client.say_reset(1, 8);
    rig.run();
    rig.stick(Some(rest));
    rig.connect(rest);
    rig.run();
    assert!(rig.stuck[&Some(rest)].is_some(), "it was greeted");
    rig.machine.handle_shutdown(rig.now);
    rig.run();
    assert_eq!(rig.outcome, Some(SplitOutcome::Drained));
}

/// Late frames of the last stream that is served are as wrong as ever; those of the streams behind it are not.
#[test]
fn only_streams_behind_the_last_one_are_late() {
    for (late, outcome) in [(5, None), (3, Some(SplitOutcome::Refused(ErrorCode::STREAM_CLOSED)))] {
        let mut rig = Rig::new();
        rig.get(1, "/");
        rig.get(3, "/");
        rig.client.is_raw = true;
        rig.at("rest").say_head(3, &OK, true, None);
        rig.run();
        rig.at("rest").say_head(1, &OK, false, None);
        rig.run();
        rig.machine.handle_shutdown(rig.now);
        rig.run();
        assert_eq!(rig.client.goaways.last(), Some(&(3, 0)));
        rig.get(5, "/");
        encode_frame(&mut rig.client.out, Kind::HEADERS, 5, late, b"\x82");
        rig.run();
        assert_eq!(rig.outcome, outcome, "{late}");
    }
}

/// RFC 9113 §6.8: the last stream of a GOAWAY never rises, whatever the client opened behind the one that fixed it.
#[test]
fn the_last_stream_never_rises() {
    let mut config = SplitConfig::default();
    config.headers_deadline = Duration::from_secs(2);
    let mut broken = Rig::with(config.clone());
    let mut late = Rig::with(config);
    for rig in [&mut broken, &mut late] {
        rig.get(1, "/");
        rig.machine.handle_shutdown(rig.now);
        rig.run();
        assert_eq!(rig.client.goaways, [(0x7fff_ffff, 0), (1, 0)]);
        rig.get(3, "/");
    }
    encode_frame(&mut broken.client.out, Kind::PING, 0, 0, b"short");
    broken.run();
    assert_eq!(broken.client.goaways.last(), Some(&(1, ErrorCode::FRAME_SIZE_ERROR.0)));
    encode_frame(&mut late.client.out, Kind::HEADERS, 0, 5, b"\x82");
    late.run();
    late.pass(Duration::from_secs(2));
    assert_eq!(late.client.goaways.last(), Some(&(1, ErrorCode::ENHANCE_YOUR_CALM.0)));
}
