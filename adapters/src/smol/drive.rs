//! One connection, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::future::{poll_fn, Future};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use bytes::Bytes;
use futures_io::AsyncWrite;
use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reason, Reply};

use super::home::Home;
use super::incoming::Arrival;
use super::listener::Io;
use super::mux::Slots;
use super::split::split;
use crate::backlog::{Closed, Permit, Sender};
use crate::context::{Journey, Lingering};
use crate::limits::after;
use crate::parcel::Parcel;
use crate::registry::{Signal, Ticket};
use crate::split::Passage;

/// Bytes read at a time from an undecided connection: the most that may lie behind the verdict in the replay.
const READ_SIZE: usize = 16 * 1024;

/// Decides where an accepted connection goes, and takes it there.
///
/// Thousands of tasks may wait here, each as large as all that can ever be in it: what comes after the verdict is in boxes.
pub(super) fn drive<T: Io>(
    mut io: T,
    mut journey: Journey,
    slots: Arc<Slots<T>>,
    home: Home,
) -> impl Future<Output = ()> + Send {
    // At once, and not when the task first runs: whoever waits for all connections to end knows of this one.
    let ticket = journey.shared.registry.enter(journey.accepted);
    async move {
        let machine = journey.shared.machine(journey.accepted);
        match run(&mut io, machine, &ticket, journey.shared.limits.linger).await {
            End::Closed { outcome, greeted, has_said } => {
                journey.greeted |= greeted;
                close(io, journey, ticket, outcome, has_said).await;
            }
            End::Split(opening) => {
                let shared = journey.shared.clone();
                let info = journey.split(Instant::now());
                let passage = Passage { shared, info, ticket, opening };
                Box::pin(split(io, slots, home, passage)).await;
            }
            End::Routed(handover) => {
                journey.decided(&handover, Instant::now());
                ticket.update(Phase::Delivery, handover.last_byte(), handover.buffered(), Instant::now());
                let slot = handover.target().and_then(|slot| slots.get(*slot)).cloned();
                drop(slots);
                let parcel = Parcel { io, handover, journey, ticket };
                match slot {
                    Some(slot) => Box::pin(deliver(parcel, slot, home)).await,
                    None => refuse(parcel, Reason::BackendDown).await,
                }
            }
        }
    }
}

async fn deliver<T: Io>(parcel: Parcel<T>, slot: Sender<Arrival<T>>, home: Home) {
    let until = after(Instant::now(), parcel.journey.shared.limits.delivery_deadline);
    let route = parcel.handover.target().copied().unwrap_or_default();
    match wait_for_place(slot, &parcel.ticket, until).await {
        Ok(permit) if parcel.ticket.park(route) => permit.send(Arrival::new(parcel, home)),
        Ok(permit) => {
            // Its place is not held while the client reads.
            drop(permit);
            refuse(parcel, Reason::Overload).await;
        }
        Err(Some(reason)) => refuse(parcel, reason).await,
        Err(None) => {
            let Parcel { io, handover, journey, ticket } = parcel;
            dismiss(io, handover.shut_down(), journey, ticket).await;
        }
    }
}

/// Waits for a place in the route's backlog. Meanwhile the connection counts as undecided, and can be told to go: for a reason, or
/// because all have to.
///
/// It takes the sender with it: while a refused client reads, the route may end, and nobody waits behind it in the line.
async fn wait_for_place<T: Io>(
    slot: Sender<Arrival<T>>,
    ticket: &Ticket,
    until: Instant,
) -> Result<Permit<Arrival<T>>, Option<Reason>> {
    let mut reserve = slot.reserve();
    let mut timer = Timer::at(until);
    poll_fn(|cx| {
        match ticket.poll_signal(cx) {
            Poll::Ready(Signal::Evicted) => return Poll::Ready(Err(Some(Reason::Overload))),
            Poll::Ready(Signal::Shutdown) => return Poll::Ready(Err(None)),
            Poll::Pending => {}
        }
        if let Poll::Ready(reserved) = reserve.poll(cx) {
            return Poll::Ready(reserved.map_err(|Closed| Some(Reason::BackendDown)));
        }
        Pin::new(&mut timer).poll(cx).map(|_| Err(Some(Reason::DeliveryTimeout)))
    })
    .await
}

/// The route does not take the connection: answers it, as soon as it is known how.
pub(super) fn refuse<T: Io>(parcel: Parcel<T>, reason: Reason) -> Pin<Box<impl Future<Output = ()> + Send>> {
    let Parcel { io, handover, journey, ticket } = parcel;
    Box::pin(dismiss(io, handover.refuse(reason, Instant::now()), journey, ticket))
}

/// Says what a machine that does not route any more has to say, and ends the connection.
async fn dismiss<T: Io>(mut io: T, machine: MuxMachine<usize>, mut journey: Journey, ticket: Ticket) {
    let end = run(&mut io, machine, &ticket, journey.shared.limits.linger).await;
    if let End::Closed { outcome, greeted, has_said } = end {
        journey.greeted |= greeted;
        close(io, journey, ticket, outcome, has_said).await;
    }
}

/// How the machine's part ends.
enum End {
    Closed { outcome: Outcome, greeted: bool, has_said: bool },
    Routed(Handover<usize>),
    Split(Bytes),
}

/// What an undecided connection waits for.
enum Event {
    Input(usize),
    Reset,
    Signal(Signal),
    Timeout,
}

/// The loop of the machine. No buffer is held while it waits.
async fn run<T: Io>(io: &mut T, mut machine: MuxMachine<usize>, ticket: &Ticket, linger: Duration) -> End {
    let mut alarm = Alarm::default();
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
                alarm.set(match machine.deadline() {
                    Some(deadline) if !is_last => deadline,
                    _ => after(Instant::now(), linger),
                });
                let mut written = 0;
                let phase = machine.phase();
                let result = poll_fn(|cx| {
                    // The write comes first: the clock and the signal are about a client that does not read.
                    if let Poll::Ready(written) = poll_write_all(io, cx, &words, &mut written) {
                        return Poll::Ready(written.map_err(|_| Outcome::Left(phase)));
                    }
                    match ticket.poll_signal(cx) {
                        Poll::Ready(signal) if !is_last => Poll::Ready(Err(signal.into())),
                        _ => alarm.poll(cx).map(|_| Err(Outcome::TimedOut(phase))),
                    }
                });
                if let Err(outcome) = result.await {
                    machine.handle_cut(outcome, Instant::now());
                }
            }
            Output::NeedInput { until } => {
                greeted |= machine.is_greeted();
                ticket.update(machine.phase(), machine.last_byte(), machine.buffered(), Instant::now());
                let Some(until) = until else {
                    return End::Closed { outcome: Outcome::Left(Phase::Delivery), greeted, has_said };
                };
                alarm.set(until);
                let event = poll_fn(|cx| {
                    if let Poll::Ready(signal) = ticket.poll_signal(cx) {
                        return Poll::Ready(Event::Signal(signal));
                    }
                    // What the socket holds comes before the deadline.
                    if let Poll::Ready(event) = poll_input(io, cx, &mut machine) {
                        return Poll::Ready(event);
                    }
                    alarm.poll(cx).map(|()| Event::Timeout)
                });
                match event.await {
                    Event::Input(0) => machine.handle_eof(Instant::now()),
                    Event::Input(_) => {}
                    Event::Reset => machine.handle_reset(Instant::now()),
                    Event::Signal(Signal::Evicted) => machine.handle_eviction(Instant::now()),
                    Event::Signal(Signal::Shutdown) => machine.handle_shutdown(Instant::now()),
                    Event::Timeout => machine.handle_timeout(Instant::now()),
                }
            }
            Output::Routed(handover) => return End::Routed(handover),
            Output::Split(opening) => return End::Split(opening),
            Output::Closed(outcome) => return End::Closed { outcome, greeted, has_said },
        }
    }
}

/// Reads once, into a buffer that lives for this call only, and feeds the machine.
fn poll_input<T: Io>(io: &mut T, cx: &mut Context<'_>, machine: &mut MuxMachine<usize>) -> Poll<Event> {
    let mut buffer = [0; READ_SIZE];
    match ready!(Pin::new(io).poll_read(cx, &mut buffer)) {
        Ok(n) => {
            machine.handle_input(buffer.get(..n).unwrap_or_default(), Instant::now());
            Poll::Ready(Event::Input(n))
        }
        Err(_) => Poll::Ready(Event::Reset),
    }
}

fn poll_write_all<T: AsyncWrite + Unpin>(
    io: &mut T,
    cx: &mut Context<'_>,
    words: &[u8],
    written: &mut usize,
) -> Poll<io::Result<()>> {
    while let Some(rest) = words.get(*written..).filter(|rest| !rest.is_empty()) {
        match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => *written += n,
        }
    }
    Pin::new(io).poll_flush(cx)
}

/// Ends a connection that got no backend. If something was said to it, it gets a moment to read that: closing with unread input
/// would reset the connection and destroy what was written.
async fn close<T: Io>(io: T, journey: Journey, ticket: Ticket, outcome: Outcome, has_said: bool) {
    let shared = journey.shared.clone();
    journey.end(outcome, Instant::now());
    drop(ticket);
    let lingers = has_said && !matches!(outcome, Outcome::Left(_));
    if let Some(place) = lingers.then(|| shared.linger()).flatten() {
        Box::pin(linger(io, shared.limits.linger, shared.limits.linger_bytes, place)).await;
    }
}

pub(super) async fn linger<T: Io>(mut io: T, time: Duration, mut bytes: usize, _place: Lingering) {
    let mut timer = Timer::at(after(Instant::now(), time));
    let mut is_shut = false;
    poll_fn(|cx| {
        is_shut = is_shut || Pin::new(&mut io).poll_close(cx).is_ready();
        if is_shut && poll_discard(&mut io, cx, &mut bytes).is_ready() {
            return Poll::Ready(());
        }
        Pin::new(&mut timer).poll(cx).map(|_| ())
    })
    .await;
}

/// Reads and forgets until the client ends its side, or `left` bytes are used up.
fn poll_discard<T: Io>(io: &mut T, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
    let mut buffer = [0; READ_SIZE];
    while *left > 0 {
        match ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer)) {
            Ok(n) if n > 0 => *left = left.saturating_sub(n),
            _ => break,
        }
    }
    Poll::Ready(())
}

/// A timer that is moved only when the deadline does.
#[derive(Default)]
pub(super) struct Alarm(Option<(Instant, Timer)>);

impl Alarm {
    pub(super) fn set(&mut self, deadline: Instant) {
        match &mut self.0 {
            Some((at, _)) if *at == deadline => {}
            Some((at, timer)) => {
                *at = deadline;
                timer.set_at(deadline);
            }
            None => self.0 = Some((deadline, Timer::at(deadline))),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some((_, timer)) => Pin::new(timer).poll(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection costs while it waits is what this future is large, beside the machine's box.
    #[test]
    fn a_waiting_task_is_small() {
        fn future_size<A, B, C, D, O>(_: fn(A, B, C, D) -> O) -> usize {
            size_of::<O>()
        }
        let size = future_size(drive::<crate::smol::Socket<std::net::TcpStream>>);
        assert!(size <= 1_024, "{size} bytes");
    }
}
