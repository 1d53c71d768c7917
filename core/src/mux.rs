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

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
pub use config::Config;
pub use greeting::{Greeting, GreetingError, DEFAULT_MAX_CONCURRENT_STREAMS};
pub use handover::{Handover, Parts};
pub(crate) use live::after;
use live::{silence_ends, Live};
pub use outcome::{Outcome, Phase, Reason};
pub use refusal::{Refusal, Response, ResponseKind};
pub use reply::Reply;

use crate::facts::Facts;
use crate::matchers::Opening;
use crate::routes::{Choice, Routes, Why};
use crate::unsaid::Unsaid;

/// Decides where one connection goes.
///
/// # Grammar of the methods
/// `handle_*` tells the machine what happened, [`poll_output`](Self::poll_output) says what to do; nouns are looks inside.
/// After each `handle_*`, call `poll_output` until it says [`Output::NeedInput`], [`Output::Routed`], [`Output::Split`] or
/// [`Output::Closed`]; the last three end the machine, and whatever is told to it afterwards has no effect.
///
/// No input makes it panic or grow beyond the bounds of its [`Config`].
pub struct MuxMachine<R>(State<R>);

enum State<R> {
    /// Nothing has happened yet: no box for what may. Many connections are opened ahead of need.
    Silent(Silent<R>),
    // In a box: a machine waits in the task of its connection, which is as large as the largest thing that ever is in it.
    Live(Box<Live<R>>),
    Spent(Option<Outcome>),
}

/// A connection that has sent nothing.
struct Silent<R> {
    routes: Arc<Routes<R>>,
    config: Arc<Config>,
    started: Instant,
    first_open: usize,
}

/// What is known of a connection that has sent nothing.
static NO_FACTS: Facts = Facts::new();

impl<R> Silent<R> {
    fn deadline(&self) -> Instant {
        silence_ends(&self.routes, &self.config, self.started)
    }

    /// What the routes say before the first byte.
    fn choose(&mut self) -> Choice {
        if self.config.per_request {
            // No route takes the connection before it is known whether its requests are routed one by one.
            return Choice::NeedMore;
        }
        let opening = Opening::new(&NO_FACTS, &[], self.config.max_prefix == 0);
        self.routes.choose(&opening, &mut self.first_open)
    }

    fn wake(self) -> Box<Live<R>> {
        Box::new(Live::new(self.routes, self.config, self.started, self.first_open))
    }
}

/// What to do next.
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

/// Says how much the client has sent, and not what: cookies and credentials are not for logs.
impl<R> fmt::Debug for MuxMachine<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MuxMachine")
            .field("phase", &self.phase())
            .field("facts", &self.facts())
            .field("is_greeted", &self.is_greeted())
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

/// As that of [`MuxMachine`].
impl<R> fmt::Debug for Output<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(outcome) => f.debug_tuple("Closed").field(outcome).finish(),
            Self::NeedInput { until } => f.debug_struct("NeedInput").field("until", until).finish(),
            Self::Routed(handover) => f.debug_tuple("Routed").field(handover).finish(),
            Self::Split(bytes) => f.debug_tuple("Split").field(&Unsaid(bytes)).finish(),
            Self::Write(reply) => f.debug_tuple("Write").field(reply).finish(),
        }
    }
}

impl<R> MuxMachine<R> {
    /// The machine of a connection accepted `now`. Where the first route takes everything it is decided at once.
    pub fn new(routes: Arc<Routes<R>>, config: Arc<Config>, now: Instant) -> Self {
        let mut silent = Silent { routes, config, started: now, first_open: 0 };
        if silent.choose() == Choice::NeedMore {
            return Self(State::Silent(silent));
        }
        let mut live = silent.wake();
        live.decide(now);
        Self(State::Live(live))
    }

    fn refusing(live: Box<Live<R>>) -> Self {
        Self(State::Live(live))
    }

    /// The inside, because something has happened; `None` once the machine is spent.
    fn live(&mut self) -> Option<&mut Live<R>> {
        if matches!(self.0, State::Silent(_)) {
            if let State::Silent(silent) = core::mem::replace(&mut self.0, State::Spent(None)) {
                self.0 = State::Live(silent.wake());
            }
        }
        match &mut self.0 {
            State::Live(live) => Some(live),
            State::Silent(_) | State::Spent(_) => None,
        }
    }

    /// The client has sent bytes. What lies behind the verdict belongs to the replay. Bytes that are told to a spent machine are
    /// lost: after [`Output::Routed`] they belong to whoever reads the socket.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        if let Some(live) = self.live() {
            live.handle_input(bytes, now);
        }
    }

    /// The client has ended its side (FIN). It may still be reading. An opening that is not HTTP/2 is judged by what has come;
    /// an HTTP/2 client without a complete request has left.
    pub fn handle_eof(&mut self, now: Instant) {
        if let Some(live) = self.live() {
            live.handle_eof(now);
        }
    }

    /// The connection is broken (RST, or any error of the socket).
    pub fn handle_reset(&mut self, _now: Instant) {
        if let Some(live) = self.live() {
            live.leave();
        }
    }

    /// A reply could not be written in time, or must not be waited for: the connection ends as `outcome`, without another word, since
    /// what was written of the reply may not be whole.
    pub fn handle_cut(&mut self, outcome: Outcome, _now: Instant) {
        if let Some(live) = self.live() {
            live.cut(outcome);
        }
    }

    /// The time of the last [`Output::NeedInput`] has come, and the socket held no more input. Exactly at that time counts as
    /// come; earlier calls have no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(&self.0, State::Silent(silent) if now < silent.deadline()) {
            return;
        }
        if let Some(live) = self.live() {
            live.handle_timeout(now);
        }
    }

    /// The listener shuts down: a connection that is undecided ends at once, in [`Outcome::Shutdown`].
    pub fn handle_shutdown(&mut self, _now: Instant) {
        if let Some(live) = self.live() {
            live.close(Outcome::Shutdown);
        }
    }

    /// The listener holds too many undecided connections, and this one has to go: it ends in [`Reason::Overload`].
    pub fn handle_eviction(&mut self, _now: Instant) {
        if let Some(live) = self.live() {
            live.close(Outcome::Refused(Reason::Overload));
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output<R> {
        let live = match &mut self.0 {
            State::Silent(silent) => return Output::NeedInput { until: Some(silent.deadline()) },
            State::Spent(Some(outcome)) => return Output::Closed(*outcome),
            State::Spent(None) => return Output::NeedInput { until: None },
            State::Live(live) => live,
        };
        if let Some(reply) = live.next_reply() {
            return Output::Write(reply);
        }
        if let Some(outcome) = live.end() {
            self.0 = State::Spent(Some(outcome));
            return Output::Closed(outcome);
        }
        let Some(why) = live.verdict() else {
            return Output::NeedInput { until: Some(live.deadline()) };
        };
        match core::mem::replace(&mut self.0, State::Spent(None)) {
            State::Live(live) if why == Why::PerRequest => Output::Split(live.opening.into()),
            State::Live(live) => Output::Routed(Handover::new(live, why)),
            State::Silent(_) | State::Spent(_) => Output::NeedInput { until: None },
        }
    }

    /// How far the opening has come; [`Phase::Delivery`] once the machine is spent.
    pub fn phase(&self) -> Phase {
        match &self.0 {
            State::Silent(_) => Phase::Silent,
            State::Live(live) => live.phase(),
            State::Spent(_) => Phase::Delivery,
        }
    }

    /// When the phase that the opening is in ends by itself; `None` once the machine is spent. A reply that is not read by then
    /// is not worth waiting for, last words ([`Reply::Refusal`]) apart: they often are about this very deadline, so give them a
    /// time of their own.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.0 {
            State::Silent(silent) => Some(silent.deadline()),
            State::Live(live) => Some(live.deadline()),
            State::Spent(_) => None,
        }
    }

    /// When the client's last byte came, if any did; `None` once the machine is spent.
    pub fn last_byte(&self) -> Option<Instant> {
        match &self.0 {
            State::Live(live) => live.last_byte(),
            State::Silent(_) | State::Spent(_) => None,
        }
    }

    /// Bytes of memory held for the opening; 0 once the machine is spent.
    pub fn buffered(&self) -> usize {
        match &self.0 {
            State::Live(live) => live.buffered(),
            State::Silent(_) | State::Spent(_) => 0,
        }
    }

    /// What the opening has shown so far; `None` once the machine is spent.
    pub fn facts(&self) -> Option<&Facts> {
        match &self.0 {
            State::Silent(_) => Some(&NO_FACTS),
            State::Live(live) => Some(live.facts()),
            State::Spent(_) => None,
        }
    }

    /// Whether the mux has greeted this client; `false` once the machine is spent ([`Handover::is_greeted`] knows it then).
    pub fn is_greeted(&self) -> bool {
        matches!(&self.0, State::Live(live) if live.is_greeted())
    }
}
