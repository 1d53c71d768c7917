//! Stage 5: the machine that reads one client's opening, speaks to it if it must, and hands the connection over.
//!
//! ```text
//!             handle_input / handle_eof / handle_reset / handle_timeout / handle_shutdown / handle_eviction
//!                                                   |
//!                      +----------------------------v-----------------------------+
//!   Silent -> Opening -+-> Http2Settings -> Http2Waiting -(patience)-> Http2Idle  |   facts, routes
//!                      |                        |        greeted          |       |
//!                      |                        +----> Http2Headers <-----+       |
//!                      +----------------------------+-----------------------------+
//!                                                   |
//!                        poll_output: Write(reply) | NeedInput { until } | Routed(handover) | Split(opening) | Closed(outcome)
//! ```
//!
//! It owns no socket and reads no clock: time comes in as an argument, and the deadline goes out with [`Output::NeedInput`].

mod config;
mod greeting;
mod handover;
mod live;
mod outcome;
mod pings;
mod refusal;
mod reply;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
pub use config::Config;
pub use greeting::{Greeting, GreetingError, DEFAULT_MAX_CONCURRENT_STREAMS};
pub use handover::{Handover, Parts};
pub(crate) use live::after;
use live::Live;
pub use outcome::{Outcome, Phase, Reason};
pub use refusal::{Refusal, Response, ResponseKind};
pub use reply::Reply;

use crate::facts::Facts;
use crate::routes::{Routes, Why};

/// Decides where one connection goes.
///
/// # Grammar of the methods
/// `handle_*` tells the machine what happened, [`poll_output`](Self::poll_output) says what to do; nouns are looks inside.
/// After each `handle_*`, call `poll_output` until it says [`Output::NeedInput`], [`Output::Routed`], [`Output::Split`] or
/// [`Output::Closed`]; the last three end the machine, and whatever is told to it afterwards has no effect.
///
/// No input makes it panic or grow beyond the bounds of its [`Config`].
#[derive(Debug)]
pub struct MuxMachine<R> {
    // In a box: a machine waits in the task of its connection, which is as large as the largest thing that ever is in it.
    live: Option<Box<Live<R>>>,
    end: Option<Outcome>,
}

/// What to do next.
#[derive(Debug)]
#[must_use]
pub enum Output<R> {
    /// The connection got no backend. Everything to say has been said by [`Output::Write`]; now end it: shut the write side
    /// down, and if something was written, discard input for a moment before closing (a close with unread input resets the
    /// connection and destroys what was written). The machine is spent.
    Closed(Outcome),
    /// Read from the client, or call [`MuxMachine::handle_timeout`] at that time, whichever comes first. Without a time, the
    /// machine is spent.
    NeedInput {
        /// When to call `handle_timeout`.
        until: Option<Instant>,
    },
    /// The connection goes to a route. The machine is spent.
    Routed(Handover<R>),
    /// The connection is HTTP/2 and [`Config::per_request`] is set: these bytes, which are all that the client has sent, are the
    /// first input of a [`SplitMachine`](crate::split::SplitMachine). Nothing was said to the client. The machine is spent.
    Split(Bytes),
    /// Write this to the client before anything else.
    Write(Reply),
}

impl<R> MuxMachine<R> {
    /// The machine of a connection accepted `now`. Where the first route takes everything it is decided at once.
    pub fn new(routes: Arc<Routes<R>>, config: Arc<Config>, now: Instant) -> Self {
        let mut live = Box::new(Live::new(routes, config, now));
        live.decide(now);
        Self { live: Some(live), end: None }
    }

    fn refusing(live: Box<Live<R>>) -> Self {
        Self { live: Some(live), end: None }
    }

    /// The client has sent bytes. What lies behind the verdict belongs to the replay. Bytes that are told to a spent machine are
    /// lost: after [`Output::Routed`] they belong to whoever reads the socket.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if let Some(live) = &mut self.live {
            live.handle_input(bytes, now);
        }
    }

    /// The client has ended its side (FIN). It may still be reading. An opening that is not HTTP/2 is judged by what has come;
    /// an HTTP/2 client without a complete request has left.
    pub fn handle_eof(&mut self, now: Instant) {
        if let Some(live) = &mut self.live {
            live.handle_eof(now);
        }
    }

    /// The connection is broken (RST, or any error of the socket).
    pub fn handle_reset(&mut self, _now: Instant) {
        if let Some(live) = &mut self.live {
            live.leave();
        }
    }

    /// A reply could not be written in time, or must not be waited for: the connection ends as `outcome`, without another word, since
    /// what was written of the reply may not be whole.
    pub fn handle_cut(&mut self, outcome: Outcome, _now: Instant) {
        if let Some(live) = &mut self.live {
            live.cut(outcome);
        }
    }

    /// The time of the last [`Output::NeedInput`] has come, and the socket held no more input. Exactly at that time counts as
    /// come; earlier calls have no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(live) = &mut self.live {
            live.handle_timeout(now);
        }
    }

    /// The listener shuts down: a connection that is undecided ends at once, in [`Outcome::Shutdown`].
    pub fn handle_shutdown(&mut self, _now: Instant) {
        if let Some(live) = &mut self.live {
            live.close(Outcome::Shutdown);
        }
    }

    /// The listener holds too many undecided connections, and this one has to go: it ends in [`Reason::Overload`].
    pub fn handle_eviction(&mut self, _now: Instant) {
        if let Some(live) = &mut self.live {
            live.close(Outcome::Refused(Reason::Overload));
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output<R> {
        let Some(live) = &mut self.live else {
            return match self.end {
                Some(outcome) => Output::Closed(outcome),
                None => Output::NeedInput { until: None },
            };
        };
        if let Some(reply) = live.next_reply() {
            return Output::Write(reply);
        }
        if let Some(outcome) = live.end() {
            self.live = None;
            self.end = Some(outcome);
            return Output::Closed(outcome);
        }
        let until = Some(live.deadline());
        match (live.verdict(), self.live.take()) {
            (Some(Why::PerRequest), Some(live)) => Output::Split(live.opening.into()),
            (Some(why), Some(live)) => Output::Routed(Handover::new(live, why)),
            (_, live) => {
                self.live = live;
                Output::NeedInput { until }
            }
        }
    }

    /// How far the opening has come; [`Phase::Delivery`] once the machine is spent.
    pub fn phase(&self) -> Phase {
        self.live.as_ref().map_or(Phase::Delivery, |live| live.phase())
    }

    /// When the phase that the opening is in ends by itself; `None` once the machine is spent. A reply that is not read by then
    /// is not worth waiting for, last words ([`Reply::Refusal`]) apart: they often are about this very deadline, so give them a
    /// time of their own.
    pub fn deadline(&self) -> Option<Instant> {
        self.live.as_ref().map(|live| live.deadline())
    }

    /// When the client's last byte came, if any did; `None` once the machine is spent.
    pub fn last_byte(&self) -> Option<Instant> {
        self.live.as_ref().and_then(|live| live.last_byte())
    }

    /// Bytes of memory held for the opening; 0 once the machine is spent.
    pub fn buffered(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.buffered())
    }

    /// What the opening has shown so far; `None` once the machine is spent.
    pub fn facts(&self) -> Option<&Facts> {
        self.live.as_ref().map(|live| live.facts())
    }

    /// Whether the mux has greeted this client; `false` once the machine is spent ([`Handover::is_greeted`] knows it then).
    pub fn is_greeted(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_greeted())
    }
}
