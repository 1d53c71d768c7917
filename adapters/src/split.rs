//! Per-request routing: what drives a [`SplitMachine`](oneport_core::split::SplitMachine), whatever the runtime.
//!
//! ```text
//!  client's stream <-> hop <-> driver <-> hop <-> link <-> Connection of a route   (a server in this process)
//!                              (machine)  hop <-> any stream of the user's         (a server elsewhere: Arrival::bridge)
//! ```

mod ask;
mod bridge;
mod driver;
mod hop;
mod life;
mod link;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use ask::Asked;
pub(crate) use bridge::bridge;
pub use bridge::{Bridge, BridgeEnd};
pub(crate) use driver::{Driver, Passage};
pub(crate) use hop::{poll_write_all, Hop, ReadSize};
pub(crate) use link::{link, Link};
