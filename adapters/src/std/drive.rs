//! One connection on its own thread, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reply};

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
    match run(&mut io, shared.machine(journey.accepted), &ticket, shared.limits.linger) {
        End::Routed(handover) => {
            journey.decided(&handover, Instant::now());
            if io.set_read_timeout(None).and_then(|()| io.set_write_timeout(None)).is_err() {
                let outcome = Outcome::Left(Phase::Delivery);
                journey.end(outcome, Instant::now());
                return Err(outcome);
            }
            Ok(Connection::new(Parcel { io, handover, journey, ticket }.open(Instant::now())))
        }
        End::Closed { outcome, greeted, has_said } => {
            journey.greeted |= greeted;
            close(io, journey, ticket, outcome, has_said);
            Err(outcome)
        }
    }
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
                // A client that neither reads nor is there any more: the machine learns of it, and nothing more is said.
                if write_all(io, &words, deadline, ticket).is_err() {
                    machine.handle_reset(Instant::now());
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
    let read = io.set_read_timeout(Some(wait(until))).and_then(|()| io.read(&mut buffer));
    let now = Instant::now();
    match read {
        Ok(0) => machine.handle_eof(now),
        Ok(n) => machine.handle_input(buffer.get(..n).unwrap_or_default(), now),
        // Before its deadline, the machine takes no notice.
        Err(error) if is_timeout(&error) => machine.handle_timeout(now),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(_) => machine.handle_reset(now),
    }
}

/// Writes until the deadline, or until the ticket says that the connection has to go.
fn write_all<T: Io>(io: &mut T, mut words: &[u8], until: Instant, ticket: Option<&Ticket>) -> io::Result<()> {
    while !words.is_empty() {
        io.set_write_timeout(Some(wait(until)))?;
        match io.write(words) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => words = words.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                // The clock and the signal are about a client that does not read.
                if Instant::now() >= until || ticket.is_some_and(|ticket| ticket.signal().is_some()) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    io.flush()
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
        match io.set_read_timeout(Some(wait(until))).and_then(|()| io.read(&mut buffer)) {
            Ok(0) => return,
            Ok(n) => left = left.saturating_sub(n),
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn wait(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).clamp(MOMENT, LOOK)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
