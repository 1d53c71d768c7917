//! The behaviours, by topic. Each is a function of the kit that it is checked on.

pub(super) mod ends;
pub(super) mod greeted;
pub(super) mod listener;
pub(super) mod openings;
pub(super) mod outcomes;
pub(super) mod per_request;
pub(super) mod refusals;
pub(super) mod routes;
pub(super) mod shares;

use super::eventually;
use super::port::Port;

/// Waits until the undecided connections are so many, silent ones and others, and at least `bytes` of theirs were read.
#[track_caller]
fn wait_read(port: &Port, silent: usize, partial: usize, bytes: usize) {
    eventually("read", || {
        let undecided = port.control.undecided();
        undecided.silent == silent && undecided.partial == partial && undecided.bytes >= bytes
    });
}
