//! Rule 6: the ends of the client's connection.

use std::time::Duration;

use oneport_core::split::{ConnectionEnd, Side, SplitConfig, SplitOutcome, SplitPhase};

use super::super::rig::{Rig, GET, OK};
use super::super::strict::{head, Word};

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
