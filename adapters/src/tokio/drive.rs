//! One connection, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::future::{poll_fn, Future};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reason};
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::time::{sleep_until, timeout_at, Instant, Sleep};

use super::incoming::Arrival;
use super::listener::Io;
use super::mux::Slots;
use crate::context::Journey;
use crate::registry::{Signal, Ticket};

/// Bytes read at a time from an undecided connection: the most that may lie behind the verdict in the replay.
const READ_SIZE: usize = 16 * 1024;

/// Decides where an accepted connection goes, and takes it there.
pub(super) async fn drive<T: Io>(mut io: T, mut journey: Journey, slots: Arc<Slots<T>>) {
    let machine = journey.shared.machine(journey.accepted);
    let ticket = journey.shared.registry.enter(journey.accepted);
    let handover = match run(&mut io, machine, &ticket).await {
        End::Routed(handover) => *handover,
        End::Closed { outcome, greeted, has_said } => {
            journey.greeted |= greeted;
            return close(io, journey, ticket, outcome, has_said).await;
        }
    };
    journey.decided(&handover, now());
    let slot = handover.target().and_then(|slot| slots.get(*slot)).cloned();
    drop(slots);
    let Some(slot) = slot else {
        return refuse(io, handover, journey, Some(ticket), Reason::BackendDown).await;
    };

    // While it waits for a place, it counts as undecided, and can be told to go.
    let until = Instant::now() + journey.shared.limits.delivery_deadline;
    let mut reserve = pin!(timeout_at(until, slot.reserve()));
    let permit = poll_fn(|cx| match ticket.poll_signal(cx) {
        Poll::Ready(signal) => Poll::Ready(Err(match signal {
            Signal::Evicted => Reason::Overload,
            Signal::Shutdown => Reason::BackendDown,
        })),
        Poll::Pending => reserve.as_mut().poll(cx).map(|reserved| match reserved {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Reason::BackendDown),
            Err(_) => Err(Reason::DeliveryTimeout),
        }),
    });
    match permit.await {
        Ok(permit) => permit.send(Arrival::new(io, handover, journey)),
        Err(reason) => refuse(io, handover, journey, Some(ticket), reason).await,
    };
}

/// The route does not take the connection: answers it, as soon as it is known how.
pub(super) async fn refuse<T: Io>(
    mut io: T,
    handover: Handover<usize>,
    mut journey: Journey,
    ticket: Option<Ticket>,
    reason: Reason,
) {
    let ticket = ticket.unwrap_or_else(|| journey.shared.registry.enter(now()));
    let machine = handover.refuse(reason, now());
    // A refusing machine does not route.
    if let End::Closed { outcome, greeted, has_said } = run(&mut io, machine, &ticket).await {
        journey.greeted |= greeted;
        close(io, journey, ticket, outcome, has_said).await;
    }
}

/// How the machine's part ends.
enum End {
    Closed { outcome: Outcome, greeted: bool, has_said: bool },
    Routed(Box<Handover<usize>>),
}

/// What an undecided connection waits for.
enum Event {
    Input(usize),
    Reset,
    Signal(Signal),
    Timeout,
}

/// The loop of the machine. No buffer is held while it waits.
async fn run<T: Io>(io: &mut T, mut machine: MuxMachine<usize>, ticket: &Ticket) -> End {
    let mut sleep = pin!(sleep_until(Instant::now()));
    let mut greeted = false;
    let mut has_said = false;
    loop {
        match machine.poll_output() {
            Output::Write(reply) => {
                let mut words = Vec::new();
                reply.encode(&mut words);
                has_said = true;
                let deadline = machine.deadline().map_or_else(Instant::now, Instant::from_std);
                set_deadline(sleep.as_mut(), deadline);
                let mut written = 0;
                let result = poll_fn(|cx| {
                    if ticket.poll_signal(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    poll_write_all(io, cx, &words, &mut written)
                });
                // A client that neither reads nor is there any more: the machine learns of it, and nothing more is said.
                if result.await.is_err() {
                    machine.handle_reset(now());
                }
            }
            Output::NeedInput { until } => {
                greeted |= machine.is_greeted();
                ticket.update(machine.phase(), machine.last_byte(), machine.buffered(), now());
                let Some(until) = until else {
                    return End::Closed { outcome: Outcome::Left(Phase::Delivery), greeted, has_said };
                };
                set_deadline(sleep.as_mut(), Instant::from_std(until));
                let event = poll_fn(|cx| {
                    if let Poll::Ready(signal) = ticket.poll_signal(cx) {
                        return Poll::Ready(Event::Signal(signal));
                    }
                    // What the socket holds comes before the deadline.
                    if let Poll::Ready(event) = poll_input(io, cx, &mut machine) {
                        return Poll::Ready(event);
                    }
                    sleep.as_mut().poll(cx).map(|()| Event::Timeout)
                });
                match event.await {
                    Event::Input(0) => machine.handle_eof(now()),
                    Event::Input(_) => {}
                    Event::Reset => machine.handle_reset(now()),
                    Event::Signal(Signal::Evicted) => machine.handle_eviction(now()),
                    Event::Signal(Signal::Shutdown) => machine.handle_shutdown(now()),
                    Event::Timeout => machine.handle_timeout(now()),
                }
            }
            Output::Routed(handover) => return End::Routed(Box::new(handover)),
            Output::Closed(outcome) => return End::Closed { outcome, greeted, has_said },
        }
    }
}

/// Reads once, into a buffer that lives for this call only, and feeds the machine.
fn poll_input<T: Io>(io: &mut T, cx: &mut Context<'_>, machine: &mut MuxMachine<usize>) -> Poll<Event> {
    let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
    let mut buffer = ReadBuf::uninit(&mut buffer);
    match ready!(Pin::new(io).poll_read(cx, &mut buffer)) {
        Ok(()) => {
            machine.handle_input(buffer.filled(), now());
            Poll::Ready(Event::Input(buffer.filled().len()))
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

/// Refusals that are being lingered on, over all listeners of the process.
static LINGERING: AtomicUsize = AtomicUsize::new(0);

/// A place among the refusals in progress.
struct Lingering;

impl Lingering {
    fn enter(most: usize) -> Option<Self> {
        let place = Self;
        (LINGERING.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        LINGERING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends a connection that got no backend. If something was said to it, it gets a moment to read that: closing with unread input
/// would reset the connection and destroy what was written.
async fn close<T: Io>(mut io: T, journey: Journey, ticket: Ticket, outcome: Outcome, has_said: bool) {
    let shared = journey.shared.clone();
    journey.end(outcome, now());
    drop(ticket);
    let lingers = has_said && !matches!(outcome, Outcome::Left(_));
    let Some(_place) = lingers.then(|| Lingering::enter(shared.limits.refusals)).flatten() else { return };
    let until = Instant::now() + shared.limits.linger;
    let _ = timeout_at(until, poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx))).await;
    let mut left = shared.limits.linger_bytes;
    let _ = timeout_at(until, poll_fn(|cx| poll_discard(&mut io, cx, &mut left))).await;
}

/// Reads and forgets until the client ends its side, or `left` bytes are used up.
fn poll_discard<T: Io>(io: &mut T, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
    while *left > 0 {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        match ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => *left = left.saturating_sub(buffer.filled().len()),
            _ => break,
        }
    }
    Poll::Ready(())
}

fn set_deadline(sleep: Pin<&mut Sleep>, deadline: Instant) {
    if sleep.deadline() != deadline {
        sleep.reset(deadline);
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
