//! The second machine: one HTTP/2 connection of a client, split request by request over several backends.
//!
//! ```text
//!                                       +-> reader -> peer -> backend --+   one of these for each backend in use
//!  client -> reader -> peer -> client --+                               |
//!            cuts      one     requests |   routes  -> dispatch         |   waiting, opening in order, again elsewhere
//!            frames    hop     checked  |   streams -> fill             |   turns, windows, credit
//!                                       +<------------------------------+
//! ```
//!
//! Towards the client it is the HTTP/2 server, towards each backend an HTTP/2 client on a connection of its own. Every request
//! goes where its own header block says, through the same [`Routes`] that connection routing uses.
//!
//! - *Hops*: SETTINGS, PING, GOAWAY and the windows of connections end at each hop. Header blocks are decoded in order and
//!   compressed anew for each peer.
//! - *Ids*: a stream has the same id on both sides. Ids rise on every connection, since requests are opened there in the order
//!   of their ids, so no map is needed.
//! - *Windows*: what a far side does not take is held, at most [`SplitConfig::stream_window`] for each stream and direction.
//!   Credit for the client's connection is given on receipt, so that a stuck backend stops only its own streams; credit for a
//!   backend's as its bytes leave for the client.
//! - *Ends*: what a backend does wrong ends its own streams only. The client's connection ends when the client or
//!   [`SplitMachine::handle_shutdown`] ends it, or the client breaks the protocol.
//!
//! The machine owns no socket and reads no clock; an adapter is one `match` in a loop, as for
//! [`MuxMachine`](crate::MuxMachine):
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use bytes::{Buf, Bytes};
//! use oneport_core::split::{Output, Side, SplitConfig, SplitMachine};
//! use oneport_core::{matchers, Routes};
//!
//! let now = Instant::now();
//! let routes = Arc::new(Routes::new().route(matchers::grpc(), "grpc").otherwise("rest"));
//! let mut machine = SplitMachine::new(routes, Arc::new(SplitConfig::default()), now);
//!
//! // The preface, empty SETTINGS, and GET http://a/ as the first request.
//! let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
//! let request = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";
//! machine.handle_input(Side::Client, Bytes::from_static(opening), now);
//! machine.handle_input(Side::Client, Bytes::from_static(request), now);
//!
//! let mut to_backend = Vec::new();
//! loop {
//!     match machine.poll_output() {
//!         Output::Connect { backend, target } => {
//!             assert_eq!(target, "rest");
//!             machine.handle_connected(backend, now);
//!         }
//!         Output::Write { to, mut batch } => {
//!             let bytes = batch.copy_to_bytes(batch.remaining());
//!             if to != Side::Client {
//!                 to_backend.extend_from_slice(&bytes);
//!                 if bytes.starts_with(b"PRI") {
//!                     // The backend's SETTINGS say that it takes requests.
//!                     machine.handle_input(to, Bytes::from_static(b"\0\0\0\x04\0\0\0\0\0"), now);
//!                 }
//!             }
//!             machine.handle_written(to, batch, now);
//!         }
//!         Output::Close { .. } | Output::Done(_) => unreachable!(),
//!         Output::NeedInput { .. } => break,
//!     }
//! }
//! assert!(to_backend.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
//! assert!(to_backend.ends_with(request), "compressed anew, and here to the same bytes");
//! ```

mod answers;
mod backend;
mod batch;
mod bucket;
mod client;
mod clock;
mod config;
mod core;
mod dispatch;
mod drain;
mod fields;
mod fill;
mod links;
mod message;
mod outcome;
mod peer;
mod pieces;
mod priority;
mod reader;
mod report;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

pub use batch::Batch;
pub use bucket::Rate;
use bytes::Bytes;
pub use config::SplitConfig;
pub use links::BackendId;
pub use outcome::{SplitOutcome, SplitPhase};
pub use report::{RequestObserver, RequestReport};

use self::core::Core;
use crate::routes::Routes;
use crate::wire::frame::ErrorCode;

/// One of the connections that the machine speaks on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The connection to a backend.
    Backend(BackendId),
    /// The client's connection.
    Client,
}

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// Nothing was in progress: shut the write side down (FIN).
    Clean,
    /// Something was in progress and is cut off: reset it, where the transport can.
    Cut,
    /// A backend broke the protocol, with the code that names it; to be reset and to be logged. A backend that speaks only
    /// HTTP/1 looks like this, with [`ErrorCode::FRAME_SIZE_ERROR`].
    Fault(ErrorCode),
}

/// Why there is no connection to a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// It can not be reached: the requests that wait are answered 502 or `grpc-status` 14, and the next one tries again.
    Down,
    /// The route is closed: the requests that wait, and all that follow, are answered 403 or `grpc-status` 7.
    Forbidden,
}

/// What to do next.
#[derive(Debug)]
#[must_use]
pub enum Output<R> {
    /// Close this connection and forget it; what happens on it afterwards need not be told. For the client's, discard input
    /// for a moment first: a close with unread input destroys what was written.
    Close {
        /// Which one.
        side: Side,
        /// How.
        how: ConnectionEnd,
    },
    /// Connect to a backend and tell the machine by [`SplitMachine::handle_connected`] or
    /// [`SplitMachine::handle_connect_failed`].
    Connect {
        /// The name of the new connection.
        backend: BackendId,
        /// Where it leads.
        target: R,
    },
    /// It is over. Every connection has been closed.
    Done(SplitOutcome),
    /// Read from each side of which [`SplitMachine::wants_input`] says so, or call [`SplitMachine::handle_timeout`] at that
    /// time, whichever comes first. Without a time, the machine is spent.
    NeedInput {
        /// When to call `handle_timeout`.
        until: Option<Instant>,
    },
    /// Write all of this to one side and give it back by [`SplitMachine::handle_written`]. Until then no other batch comes for
    /// that side: that is how a side that does not read holds back what is for it, and nothing else.
    Write {
        /// Whom it is for.
        to: Side,
        /// The bytes.
        batch: Batch,
    },
}

/// Splits one HTTP/2 connection over backends. The module has the picture.
///
/// # Grammar of the methods
/// `handle_*` tells the machine what happened, [`poll_output`](Self::poll_output) says what to do. After each `handle_*`, call
/// `poll_output` until it says [`Output::NeedInput`] or [`Output::Done`]. What is told of a connection that was closed, or after
/// the end, has no effect.
///
/// No input makes it panic or grow beyond the bounds of its [`SplitConfig`].
pub struct SplitMachine<R> {
    core: Core<R>,
    /// The place of the backend whose input is looked at first.
    turn: usize,
    is_client_closed: bool,
    is_done: bool,
}

/// Says how much there is, and not what: cookies and credentials are not for logs.
impl<R> fmt::Debug for SplitMachine<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitMachine")
            .field("requests", &self.requests())
            .field("streams", &self.streams())
            .field("buffered", &self.buffered())
            .field("is_done", &self.is_done)
            .finish_non_exhaustive()
    }
}

impl<R: Clone + PartialEq> SplitMachine<R> {
    /// The machine of a connection whose bytes, from the preface on, are to come. Its SETTINGS go out at once. Targets that are
    /// equal share a connection.
    pub fn new(routes: Arc<Routes<R>>, config: Arc<SplitConfig>, now: Instant) -> Self {
        Self { core: Core::new(routes, config, now), turn: 0, is_client_closed: false, is_done: false }
    }
}

impl<R> SplitMachine<R> {
    /// A side has sent bytes. Slices of them are passed on: a buffer of its own for each read keeps little memory alive.
    ///
    /// What can not be looked at yet is kept; call this only while [`wants_input`](Self::wants_input) says so.
    pub fn handle_input(&mut self, from: Side, bytes: Bytes, now: Instant) {
        self.core.tick(now);
        if self.core.end.is_some() {
            return;
        }
        match from {
            Side::Client => self.core.client.feed(bytes),
            Side::Backend(id) => {
                if let Some(link) = self.core.link_mut(id) {
                    link.last_input = now;
                    link.asked = None;
                    link.peer.feed(bytes);
                }
            }
        }
        self.pump();
    }

    /// A side has ended its direction (FIN), which on HTTP/2 is the end of its connection.
    pub fn handle_eof(&mut self, from: Side, now: Instant) {
        self.lost(from, now, ConnectionEnd::Clean);
    }

    /// A connection is broken (RST, or any error of the socket).
    pub fn handle_reset(&mut self, from: Side, now: Instant) {
        self.lost(from, now, ConnectionEnd::Cut);
    }

    fn lost(&mut self, from: Side, now: Instant, how: ConnectionEnd) {
        self.core.tick(now);
        match from {
            Side::Client => {
                self.core.finish(SplitOutcome::Left);
                self.close_client(how);
            }
            Side::Backend(id) => {
                // A FIN in the middle of a request is no clean end of it.
                let is_cut = self.core.link(id).is_some_and(|link| link.is_needed());
                self.core.fail_link(id, Some(if is_cut { ConnectionEnd::Cut } else { how }));
            }
        }
    }

    /// A backend's connection is there.
    pub fn handle_connected(&mut self, backend: BackendId, now: Instant) {
        self.core.tick(now);
        self.core.connected(backend);
    }

    /// A backend's connection is not to be had.
    pub fn handle_connect_failed(&mut self, backend: BackendId, why: ConnectFailure, now: Instant) {
        self.core.tick(now);
        match why {
            ConnectFailure::Down => self.core.fail_link(backend, None),
            ConnectFailure::Forbidden => self.core.forbidden(backend),
        }
    }

    /// A batch has been written in full; its memory is used again.
    pub fn handle_written(&mut self, to: Side, batch: Batch, now: Instant) {
        self.core.tick(now);
        match to {
            Side::Client => self.core.client.written(batch),
            Side::Backend(id) => {
                if let Some(link) = self.core.link_mut(id) {
                    link.peer.written(batch);
                }
            }
        }
    }

    /// The time of the last [`Output::NeedInput`] has come. Early calls have no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.tick(now);
        self.core.look_at_clock();
        if self.core.end.is_some_and(|(_, until)| now >= until) {
            // The last words had their time.
            self.close_client(ConnectionEnd::Cut);
        }
    }

    fn close_client(&mut self, how: ConnectionEnd) {
        if !std::mem::replace(&mut self.is_client_closed, true) {
            self.core.closes.push_back((Side::Client, how));
        }
    }

    /// Ends gracefully: the client is told to send no more requests, and those in progress are finished, within
    /// [`SplitConfig::drain_deadline`].
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.core.tick(now);
        self.core.begin_drain();
    }

    /// Whether a side may be read from: not while it does not take its answers, and not while input of it is still waiting.
    ///
    /// A backend's waits while the client does not take what is for it. One read of each backend is taken all the same, so that
    /// it has its turn when there is room, however much the others have to say.
    pub fn wants_input(&self, from: Side) -> bool {
        let core = &self.core;
        let peer = match from {
            Side::Client => Some(&core.client),
            Side::Backend(id) => core.link(id).map(|link| &link.peer),
        };
        core.end.is_none() && peer.is_some_and(|peer| !peer.has_input() && peer.may_be_read(&core.config))
    }

    /// Bytes held: payload, heads of requests, frames and input that are not whole, and output that was not handed out.
    pub fn buffered(&self) -> usize {
        self.core.buffered()
    }

    /// Requests that the routes were asked for so far, as [`RequestObserver`] hears of them.
    pub fn requests(&self) -> u64 {
        self.core.requests
    }

    /// Streams that are known to the machine.
    pub fn streams(&self) -> usize {
        self.core.streams.len()
    }

    /// Looks at input that found no place before: of the client, and then of the backends in turns, first of the one that was
    /// left without room the last time.
    fn pump(&mut self) {
        if self.core.client.has_input() {
            self.core.pump_client();
        }
        for _ in 0..self.core.links.len() {
            let at = if self.turn < self.core.links.len() { self.turn } else { 0 };
            let Some(link) = self.core.links.get(at) else { return };
            let (id, has_input) = (link.id, link.peer.has_input());
            if has_input && !self.core.client_has_room() {
                self.turn = at;
                return;
            }
            if has_input {
                self.core.pump_link(id);
            }
            // The link may be gone, and another in its place.
            self.turn = at + usize::from(self.core.links.get(at).is_some_and(|link| link.id == id));
        }
    }
}

impl<R: Clone> SplitMachine<R> {
    /// What to do next.
    pub fn poll_output(&mut self) -> Output<R> {
        if self.is_done {
            return Output::NeedInput { until: None };
        }
        if self.core.end.is_none() {
            self.pump();
            self.core.close_drained();
            self.core.end_if_done();
        }
        if let Some((side, how)) = self.core.closes.pop_front() {
            return Output::Close { side, how };
        }
        if let Some((outcome, _)) = self.core.end {
            return self.poll_end(outcome);
        }
        while let Some(backend) = self.core.connects.pop_front() {
            let outlet = self.core.link(backend).and_then(|link| self.core.outlets.get(link.outlet));
            if let Some(outlet) = outlet {
                return Output::Connect { backend, target: outlet.target.clone() };
            }
        }
        if let Some((to, batch)) = self.next_batch() {
            return Output::Write { to, batch };
        }
        Output::NeedInput { until: self.core.next_deadline() }
    }

    /// Composes for every side that takes bytes, and then hands out: what is composed for one side gives credit to others.
    fn next_batch(&mut self) -> Option<(Side, Batch)> {
        for at in 0..self.core.links.len() {
            let Some(link) = self.core.links.get(at) else { break };
            let (id, is_writing) = (link.id, link.peer.in_flight().is_some());
            self.core.dispatch(id);
            if !is_writing {
                self.core.fill_link(id);
            }
        }
        if self.core.client.in_flight().is_none() {
            self.core.fill_client();
        }
        let now = self.core.now;
        if let Some(batch) = self.core.client.take_batch(now) {
            return Some((Side::Client, batch));
        }
        let mut links = self.core.links.iter_mut();
        links.find_map(|link| Some((Side::Backend(link.id), link.peer.take_batch(now)?)))
    }

    /// The last words go out, then the connection is closed.
    fn poll_end(&mut self, outcome: SplitOutcome) -> Output<R> {
        let core = &mut self.core;
        if self.is_client_closed {
            self.is_done = true;
            return Output::Done(outcome);
        }
        if let Some(batch) = core.client.take_batch(core.now) {
            return Output::Write { to: Side::Client, batch };
        }
        if core.client.in_flight().is_some() {
            return Output::NeedInput { until: core.next_deadline() };
        }
        self.is_client_closed = true;
        Output::Close { side: Side::Client, how: ConnectionEnd::Clean }
    }
}
