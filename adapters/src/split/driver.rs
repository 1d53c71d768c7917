//! One client's connection, split: tells the machine what happens on all its connections, and does what it says.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use oneport_core::split::{
    BackendId, Batch, ConnectFailure, ConnectionEnd, Output, Side, SplitMachine, SplitOutcome,
};

use super::ask::{ask, Ask};
use super::life::Life;
use super::Hop;
use crate::backlog::{Reserve, Sender};
use crate::context::{ConnectionInfo, Shared};
use crate::parcel::Share;
use crate::registry::Ticket;

/// Rounds over all connections before other tasks have their turn.
const ROUNDS: usize = 16;

/// A client's connection on its way to being split.
pub(crate) struct Passage {
    pub(crate) shared: Arc<Shared>,
    /// Both ends of the client's connection.
    pub(crate) info: ConnectionInfo,
    pub(crate) ticket: Ticket,
    /// All that the client has sent.
    pub(crate) opening: Bytes,
}

/// Drives the machine. `C` is the client's connection, `A` what arrives at a route.
pub(crate) struct Driver<C, A> {
    machine: SplitMachine<usize>,
    client: C,
    /// What is being written to the client.
    batch: Option<Batch>,
    /// The machine has done with the client, in this way.
    client_end: Option<ConnectionEnd>,
    /// The client has ended or broken its connection: it reads no last words.
    has_client_left: bool,
    backends: Vec<Backend<A>>,
    slots: Arc<Vec<Sender<A>>>,
    make: Box<dyn Fn(Share) -> A + Send>,
    life: Life,
    ticket: Ticket,
    is_idle: bool,
    is_told_to_go: bool,
    until: Option<Instant>,
    outcome: Option<SplitOutcome>,
}

struct Backend<A> {
    id: BackendId,
    route: usize,
    state: State<A>,
}

enum State<A> {
    /// Waits for a place in the backlog of the route.
    InLine(Reserve<A>),
    /// Its server has to take it.
    Asked(Ask),
    Open {
        hop: Box<dyn Hop>,
        batch: Option<Batch>,
        /// It takes nothing any more. What it has said before is heard.
        is_broken: bool,
    },
}

impl<C: Hop, A> Driver<C, A> {
    /// `make` makes what arrives at a route.
    pub(crate) fn new(
        client: C,
        slots: Arc<Vec<Sender<A>>>,
        make: impl Fn(Share) -> A + Send + 'static,
        passage: Passage,
        now: Instant,
    ) -> Self {
        let Passage { shared, info, ticket, opening } = passage;
        let mut machine = SplitMachine::new(shared.routes.clone(), shared.split.clone(), now);
        ticket.split(true, now);
        machine.handle_input(Side::Client, opening, now);
        let mut driver = Self {
            machine,
            client,
            batch: None,
            client_end: None,
            has_client_left: false,
            backends: Vec::new(),
            slots,
            make: Box::new(make),
            life: Life::new(shared, info, now),
            ticket,
            is_idle: true,
            is_told_to_go: false,
            until: None,
            outcome: None,
        };
        driver.follow(now);
        driver
    }

    /// The senders to all routes.
    #[cfg(test)]
    pub(super) fn slots(&self) -> Arc<Vec<Sender<A>>> {
        self.slots.clone()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless something happens before.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        self.follow(now);
    }

    /// The client's connection, and whether it may be left some time to read what was said last.
    pub(crate) fn into_client(self) -> (C, bool) {
        let is_whole = self.outcome.is_some() && self.client_end == Some(ConnectionEnd::Clean);
        (self.client, is_whole && !self.has_client_left)
    }

    /// Goes on until nothing more can be done now; ready when the client's connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<SplitOutcome> {
        if !self.is_told_to_go && self.ticket.poll_signal(cx).is_ready() {
            // Whether the listener ends or has too many of them: requests in progress are finished.
            self.is_told_to_go = true;
            self.machine.handle_shutdown(now);
            self.follow(now);
        }
        for _ in 0..ROUNDS {
            // Between the client's words and looking at them, backends are heard: a request that was sent after a backend's
            // connection had ended is not opened on it, however long this thread has just been off its processor.
            let said = self.hear_client(cx);
            // Twice, since behind the last that one says may be its end.
            let times = if said.is_ready() { 2 } else { 1 };
            let mut has_moved = false;
            let mut at = 0;
            while let Some(backend) = self.backends.get(at) {
                let id = backend.id;
                let is_there = |driver: &Self| driver.backends.get(at).is_some_and(|there| there.id == id);
                for _ in 0..times {
                    if !is_there(self) || !self.poll_backend(at, cx, now) {
                        break;
                    }
                    has_moved = true;
                }
                // It may be gone, and another in its place.
                at += usize::from(is_there(self));
            }
            has_moved |= self.poll_client(said, cx, now);
            if let Some(outcome) = self.outcome {
                return Poll::Ready(outcome);
            }
            if !has_moved {
                self.tell_registry(now);
                return Poll::Pending;
            }
        }
        self.tell_registry(now);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn tell_registry(&mut self, now: Instant) {
        let is_idle = self.machine.streams() == 0;
        if std::mem::replace(&mut self.is_idle, is_idle) != is_idle {
            self.ticket.split(is_idle, now);
        }
    }

    /// Does what the machine says, up to where it waits.
    fn follow(&mut self, now: Instant) {
        loop {
            match self.machine.poll_output() {
                Output::Close { side: Side::Client, how } => {
                    self.client_end = Some(how);
                    self.batch = None;
                }
                Output::Close { side: Side::Backend(id), how } => {
                    let at = self.backends.iter().position(|backend| backend.id == id);
                    if let Some(Backend { state: State::Open { mut hop, .. }, .. }) =
                        at.map(|at| self.backends.swap_remove(at))
                    {
                        hop.close(how);
                    }
                }
                Output::Connect { backend: id, target: route } => match self.slots.get(route) {
                    Some(slot) => {
                        let state = State::InLine(slot.reserve());
                        self.backends.push(Backend { id, route, state });
                    }
                    None => self.machine.handle_connect_failed(id, ConnectFailure::Down, now),
                },
                Output::Done(outcome) => {
                    self.life.requests = self.machine.requests();
                    self.life.end(Some(outcome), now);
                    self.outcome = Some(outcome);
                    self.until = None;
                    return;
                }
                Output::NeedInput { until } => {
                    self.life.requests = self.machine.requests();
                    self.until = until;
                    return;
                }
                Output::Write { to: Side::Client, batch } => self.batch = Some(batch),
                Output::Write { to: Side::Backend(id), batch: words } => {
                    let mut backends = self.backends.iter_mut();
                    if let Some(Backend { state: State::Open { batch, .. }, .. }) =
                        backends.find(|backend| backend.id == id)
                    {
                        *batch = Some(words);
                    }
                }
            }
        }
    }

    fn hear_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.client_end.is_some() || !self.machine.wants_input(Side::Client) {
            return Poll::Pending;
        }
        self.client.poll_receive(cx)
    }

    /// Tells the machine what the client has `said`, and the client what the machine says. Whether anything came of it.
    fn poll_client(&mut self, said: Poll<io::Result<Bytes>>, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.client_end.is_some() {
            return false;
        }
        let mut received = take(said, Side::Client, &mut self.machine, now);
        let has_sent =
            match poll_send(&mut self.client, &mut self.batch, Side::Client, &mut self.machine, cx, now) {
                Ok(has_sent) => has_sent,
                Err(Broken) => {
                    // Who does not hear its answers has no more questions.
                    self.machine.handle_reset(Side::Client, now);
                    received = Moved::Ended;
                    true
                }
            };
        self.has_client_left |= received == Moved::Ended;
        let has_moved = has_sent || received != Moved::No;
        if has_moved {
            self.follow(now);
        }
        has_moved
    }

    fn poll_backend(&mut self, at: usize, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(Backend { id, route, state }) = self.backends.get_mut(at) else { return false };
        let id = *id;
        let moved = match state {
            State::InLine(reserve) => match reserve.poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(permit)) => {
                    let (ask, asked) = ask();
                    let name = self.life.shared.names.get(*route).cloned();
                    let info = ConnectionInfo { route: name, ..self.life.info.clone() };
                    *state = State::Asked(ask);
                    permit.send((self.make)(Share { asked, info, since: now }));
                    true
                }
                Poll::Ready(Err(_)) => {
                    self.connect_failed(at, ConnectFailure::Down, now);
                    true
                }
            },
            State::Asked(ask) => match ask.poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(hop)) => {
                    *state = State::Open { hop, batch: None, is_broken: false };
                    self.machine.handle_connected(id, now);
                    true
                }
                Poll::Ready(Err(why)) => {
                    self.connect_failed(at, why, now);
                    true
                }
            },
            State::Open { hop, batch, is_broken } => {
                let side = Side::Backend(id);
                let has_sent = match poll_send(&mut **hop, batch, side, &mut self.machine, cx, now) {
                    Ok(has_sent) => has_sent,
                    Err(Broken) => {
                        *is_broken = true;
                        // As if written: a last answer may wait behind what could not be said.
                        self.machine.handle_written(side, Batch::default(), now);
                        true
                    }
                };
                let said = if self.machine.wants_input(side) { hop.poll_receive(cx) } else { Poll::Pending };
                let received = take(said, side, &mut self.machine, now);
                let is_over = *is_broken && received == Moved::No && self.machine.wants_input(side);
                if is_over {
                    self.machine.handle_reset(side, now);
                }
                is_over || has_sent || received != Moved::No
            }
        };
        if moved {
            self.follow(now);
        }
        moved
    }

    fn connect_failed(&mut self, at: usize, why: ConnectFailure, now: Instant) {
        let backend = self.backends.swap_remove(at);
        self.machine.handle_connect_failed(backend.id, why, now);
    }
}

/// What came of looking at a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moved {
    /// Nothing can be done now.
    No,
    Yes,
    /// The other side has ended or broken it.
    Ended,
}

/// The other side takes nothing any more.
struct Broken;

/// Writes to one connection what is to be written; whether that was done.
fn poll_send(
    hop: &mut (impl Hop + ?Sized),
    batch: &mut Option<Batch>,
    side: Side,
    machine: &mut SplitMachine<usize>,
    cx: &mut Context<'_>,
    now: Instant,
) -> Result<bool, Broken> {
    let Some(words) = batch else { return Ok(false) };
    match hop.poll_send(cx, words) {
        Poll::Pending => Ok(false),
        Poll::Ready(Ok(())) => {
            if let Some(words) = batch.take() {
                machine.handle_written(side, words, now);
            }
            Ok(true)
        }
        Poll::Ready(Err(_)) => {
            *batch = None;
            Err(Broken)
        }
    }
}

/// Tells the machine what one side has said, if anything.
fn take(said: Poll<io::Result<Bytes>>, side: Side, machine: &mut SplitMachine<usize>, now: Instant) -> Moved {
    match said {
        Poll::Pending => return Moved::No,
        Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
            machine.handle_input(side, bytes, now);
            return Moved::Yes;
        }
        Poll::Ready(Ok(_)) => machine.handle_eof(side, now),
        Poll::Ready(Err(_)) => machine.handle_reset(side, now),
    }
    Moved::Ended
}
