//! One connection on its own thread, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reason, Reply};

use super::connection::Connection;
use super::socket::Io;
use crate::address::Addresses;
use crate::context::{Journey, Shared};
use crate::limits::after;
use crate::parcel::Parcel;
use crate::registry::{Signal, Ticket};
use crate::talk::READ_SIZE;

/// The longest wait before a look at whether the connection has to go.
const LOOK: Duration = Duration::from_millis(100);
/// The shortest wait: sockets take a timeout of zero for none.
const MOMENT: Duration = Duration::from_millis(1);

pub(super) fn decide<T: Io>(
    mut io: T,
    addresses: Addresses,
    shared: &Arc<Shared>,
) -> Result<Connection<T>, Outcome> {
    let mut journey = Journey::new(shared.clone(), addresses, Instant::now());
    let ticket = shared.registry.enter(journey.accepted);
    let mut machine = shared.machine(journey.accepted);
    loop {
        match run(&mut io, machine, &ticket, shared.limits.linger) {
            End::Routed(handover) => {
                let now = Instant::now();
                journey.decided(&handover, now);
                // The verdict may have come before the ticket was asked: with a route for everything it is there at once. What is
                // refused here is not routed again.
                machine = match ticket.signal() {
                    None => return deliver(Parcel { io, handover, journey, ticket }),
                    Some(Signal::Evicted) => handover.refuse(Reason::Overload, now),
                    Some(Signal::Shutdown) => handover.shut_down(),
                };
            }
            End::Closed { outcome, greeted, has_said } => {
                journey.greeted |= greeted;
                close(io, journey, ticket, outcome, has_said);
                return Err(outcome);
            }
        }
    }
}

fn deliver<T: Io>(parcel: Parcel<T>) -> Result<Connection<T>, Outcome> {
    let (io, now) = (&parcel.io, Instant::now());
    if io.set_read_timeout(None).and_then(|()| io.set_write_timeout(None)).is_err() {
        let outcome = Outcome::Left(Phase::Delivery);
        parcel.journey.end(outcome, now);
        return Err(outcome);
    }
    Ok(Connection::new(parcel.open(now)))
}

/// How the machine's part ends.
enum End {
    Closed { outcome: Outcome, greeted: bool, has_said: bool },
    Routed(Handover<usize>),
}

/// The loop of the machine. The buffer is this thread's.
fn run<T: Io>(io: &mut T, mut machine: MuxMachine<usize>, ticket: &Ticket, linger: Duration) -> End {
    let mut greeted = false;
    let mut has_said = false;
    loop {
        match machine.poll_output() {
            Output::Write(reply) => {
                let mut words = Vec::new();
                reply.encode(&mut words);
                has_said = true;
                // Last words have a time of their own: what they answer is often that the phase's time, or the listener's, is over.
                let is_last = matches!(reply, Reply::Refusal(_));
                let (deadline, ticket) = match machine.deadline() {
                    Some(deadline) if !is_last => (deadline, Some(ticket)),
                    _ => (after(Instant::now(), linger), None),
                };
                // A client that does not read or is not there any more: the machine learns of it, and nothing more is said.
                if let Err(outcome) = write_all(io, &words, deadline, machine.phase(), ticket) {
                    machine.handle_cut(outcome, Instant::now());
                }
            }
            Output::NeedInput { until } => {
                greeted |= machine.is_greeted();
                ticket.update(machine.phase(), machine.last_byte(), machine.buffered(), Instant::now());
                let Some(until) = until else {
                    return End::Closed { outcome: Outcome::Left(Phase::Delivery), greeted, has_said };
                };
                match ticket.signal() {
                    Some(Signal::Evicted) => machine.handle_eviction(Instant::now()),
                    Some(Signal::Shutdown) => machine.handle_shutdown(Instant::now()),
                    None => read(io, &mut machine, until),
                }
            }
            Output::Routed(handover) => return End::Routed(handover),
            // A router has no incomings that requests could go to, and never asks for this.
            Output::Split(_) => return End::Closed { outcome: Outcome::Shutdown, greeted, has_said },
            Output::Closed(outcome) => return End::Closed { outcome, greeted, has_said },
        }
    }
}

/// Reads once and feeds the machine. What the socket holds comes before the deadline.
fn read<T: Io>(io: &mut T, machine: &mut MuxMachine<usize>, until: Instant) {
    let mut buffer = [0; READ_SIZE];
    let wait = Wait::until(until);
    let read = io.set_read_timeout(Some(wait.time)).and_then(|()| io.read(&mut buffer));
    let now = Instant::now();
    match read {
        Ok(0) => machine.handle_eof(now),
        Ok(n) => machine.handle_input(buffer.get(..n).unwrap_or_default(), now),
        // Before its deadline, the machine takes no notice.
        Err(error) if is_timeout(&error) => {
            machine.handle_timeout(now);
            wait.has_ended();
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(_) => machine.handle_reset(now),
    }
}

/// Writes until the deadline, or until the ticket says that the connection has to go. Otherwise says how it ends in this phase.
fn write_all<T: Io>(
    io: &mut T,
    mut words: &[u8],
    until: Instant,
    phase: Phase,
    ticket: Option<&Ticket>,
) -> Result<(), Outcome> {
    loop {
        let wait = Wait::until(until);
        let written = io.set_write_timeout(Some(wait.time)).and_then(|()| match words {
            [] => io.flush().map(|()| 0),
            words => io.write(words),
        });
        match written {
            Ok(_) if words.is_empty() => return Ok(()),
            Ok(n) if n > 0 => words = words.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                // The signal and the clock are about a client that does not read.
                if let Some(signal) = ticket.and_then(Ticket::signal) {
                    return Err(signal.into());
                }
                if Instant::now() >= until {
                    return Err(Outcome::TimedOut(phase));
                }
                wait.has_ended();
            }
            Ok(_) | Err(_) => return Err(Outcome::Left(phase)),
        }
    }
}

/// Ends a connection that got no backend. If something was said to it, it gets a moment to read that: closing with unread input
/// would reset the connection and destroy what was written.
fn close<T: Io>(mut io: T, journey: Journey, ticket: Ticket, outcome: Outcome, has_said: bool) {
    let shared = journey.shared.clone();
    journey.end(outcome, Instant::now());
    drop(ticket);
    let lingers = has_said && !matches!(outcome, Outcome::Left(_));
    let Some(_place) = lingers.then(|| shared.linger()).flatten() else {
        return;
    };
    let until = after(Instant::now(), shared.limits.linger);
    let _ = io.shutdown(Shutdown::Write);
    let mut left = shared.limits.linger_bytes;
    let mut buffer = [0; READ_SIZE];
    while left > 0 && Instant::now() < until {
        let wait = Wait::until(until);
        match io.set_read_timeout(Some(wait.time)).and_then(|()| io.read(&mut buffer)) {
            Ok(0) => return,
            Ok(n) => left = left.saturating_sub(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => wait.has_ended(),
            Err(_) => return,
        }
    }
}

/// A wait of the stream's: for so long at most, and since when.
struct Wait {
    time: Duration,
    since: Instant,
}

impl Wait {
    fn until(until: Instant) -> Self {
        let since = Instant::now();
        Self { time: until.saturating_duration_since(since).clamp(MOMENT, LOOK), since }
    }

    /// Nothing has come of it. A stream that does not block says so at once: asking it again without a pause would take a whole core.
    fn has_ended(self) {
        if self.since.elapsed() < self.time / 2 {
            sleep(MOMENT);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
