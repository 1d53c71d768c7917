//! One connection, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::future::{poll_fn, Future};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use oneport_core::{Handover, MuxMachine, Outcome, Phase, Reason};
use tokio::io::ReadBuf;
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout_at, Instant};

use super::alarm::Alarm;
use super::bell::Bell;
use super::incoming::Arrival;
use super::listener::Io;
use super::mux::Slots;
use super::split::split;
use crate::backlog::{Closed, Permit, Sender};
use crate::context::{Journey, Lingering};
use crate::limits::after;
use crate::registry::{Signal, Ticket};
use crate::split::Passage;
use crate::talk::{End, Line, Talk, READ_SIZE};

/// Decides where an accepted connection goes, and takes it there.
///
/// Thousands of tasks may wait here, each as large as all that can ever be in it: what comes after the verdict is in boxes.
pub(super) fn drive<T: Io>(
    mut io: T,
    mut journey: Journey,
    slots: Arc<Slots<T>>,
    bell: Option<Arc<Bell>>,
) -> impl Future<Output = ()> + Send {
    // At once, and not when the task first runs: whoever waits for all connections to end knows of this one.
    let ticket = journey.shared.registry.enter(journey.accepted);
    async move {
        let end = {
            let mut talk = journey.shared.talk(journey.accepted);
            run(&mut io, &mut talk, &ticket, bell.as_deref()).await
        };
        drop(bell);
        match end {
            End::Closed { outcome, greeted, has_said } => {
                // The routes may end while the client reads its last words.
                drop(slots);
                journey.greeted |= greeted;
                Box::pin(close(io, journey, ticket, outcome, has_said)).await;
            }
            End::Split(opening) => {
                let shared = journey.shared.clone();
                let info = journey.split(now());
                let passage = Passage { shared, info, ticket, opening };
                Box::pin(split(io, slots, passage)).await;
            }
            End::Routed(handover) => {
                journey.decided(&handover, now());
                ticket.update(Phase::Delivery, handover.last_byte(), handover.buffered(), now());
                let route = handover.target().copied().unwrap_or_default();
                let slot = slots.get(route).cloned();
                drop(slots);
                let place = match slot {
                    None => Err(Some(Reason::BackendDown)),
                    Some(slot) => match slot.try_reserve() {
                        Poll::Ready(reserved) => reserved.map_err(|Closed| Some(Reason::BackendDown)),
                        Poll::Pending => {
                            let until = after(now(), journey.shared.limits.delivery_deadline);
                            Box::pin(wait_for_place(slot, &ticket, until)).await
                        }
                    },
                };
                let place = place.and_then(|permit| match ticket.park(route) {
                    Ok(()) => Ok(permit),
                    Err(signal) => {
                        // Its place is not held while the client reads.
                        drop(permit);
                        Err(signal.refusal())
                    }
                });
                match place {
                    Ok(permit) => permit.send(Arrival::new(io, handover, journey, ticket)),
                    Err(Some(reason)) => refuse(io, handover, journey, ticket, reason).await,
                    Err(None) => {
                        Box::pin(dismiss(io, handover.shut_down(), journey, ticket)).await;
                    }
                }
            }
        }
    }
}

/// Waits for a place in a full backlog. Meanwhile the connection counts as undecided, and can be told to go: for a reason, or
/// because all have to.
///
/// It takes the sender with it: while a refused client reads, the route may end, and nobody waits behind it in the line.
async fn wait_for_place<T: Io>(
    slot: Sender<Arrival<T>>,
    ticket: &Ticket,
    until: std::time::Instant,
) -> Result<Permit<Arrival<T>>, Option<Reason>> {
    let mut reserve = slot.reserve();
    let mut sleep = pin!(sleep_until(until.into()));
    poll_fn(|cx| {
        match ticket.poll_signal(cx) {
            Poll::Ready(Signal::Evicted) => return Poll::Ready(Err(Some(Reason::Overload))),
            Poll::Ready(Signal::Shutdown) => return Poll::Ready(Err(None)),
            Poll::Pending => {}
        }
        if let Poll::Ready(reserved) = reserve.poll(cx) {
            return Poll::Ready(reserved.map_err(|Closed| Some(Reason::BackendDown)));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Some(Reason::DeliveryTimeout)))
    })
    .await
}

/// The route does not take the connection: answers it, as soon as it is known how.
pub(super) fn refuse<T: Io>(
    io: T,
    handover: Handover<usize>,
    journey: Journey,
    ticket: Ticket,
    reason: Reason,
) -> Pin<Box<impl Future<Output = ()> + Send>> {
    Box::pin(dismiss(io, handover.refuse(reason, now()), journey, ticket))
}

/// Says what a machine that does not route any more has to say, and ends the connection.
async fn dismiss<T: Io>(mut io: T, machine: MuxMachine<usize>, mut journey: Journey, ticket: Ticket) {
    let mut talk = Talk::new(machine, journey.shared.limits.linger);
    if let End::Closed { outcome, greeted, has_said } = run(&mut io, &mut talk, &ticket, None).await {
        journey.greeted |= greeted;
        close(io, journey, ticket, outcome, has_said).await;
    }
}

/// The mux's part of the connection, to its end.
async fn run<T: Io>(io: &mut T, talk: &mut Talk, ticket: &Ticket, bell: Option<&Bell>) -> End {
    let sleep = pin!(sleep_until(Instant::now()));
    let mut line = TokioLine { io, alarm: Alarm::new(sleep, bell), has_yielded: false };
    poll_fn(|cx| talk.poll(&mut line, ticket, cx)).await
}

struct TokioLine<'a, T> {
    io: &'a mut T,
    alarm: Alarm<'a>,
    /// Whether the runtime was asked for a look at the sockets since this one is here.
    has_yielded: bool,
}

impl<T: Io> Line for TokioLine<'_, T> {
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut MuxMachine<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *self.io).poll_read(cx, &mut buffer))?;
        machine.handle_input(buffer.filled(), now());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn set_alarm(&mut self, at: std::time::Instant) {
        self.alarm.set(at.into());
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_yielded {
            // Most clients speak at once, and what they have said is known behind the runtime's next look: that costs less than a timer,
            // each of which may wake the runtime's own thread. (The first poll of `yield_now` asks for the look, and is pending.)
            self.has_yielded = true;
            return pin!(yield_now()).poll(cx);
        }
        self.alarm.poll(cx)
    }

    fn now(&self) -> std::time::Instant {
        now()
    }
}

/// Ends a connection that got no backend. If something was said to it, it gets a moment to read that: closing with unread input
/// would reset the connection and destroy what was written.
async fn close<T: Io>(io: T, journey: Journey, ticket: Ticket, outcome: Outcome, has_said: bool) {
    let shared = journey.shared.clone();
    journey.end(outcome, now());
    drop(ticket);
    let lingers = has_said && !matches!(outcome, Outcome::Left(_));
    if let Some(place) = lingers.then(|| shared.linger()).flatten() {
        linger(io, shared.limits.linger, shared.limits.linger_bytes, place).await;
    }
}

pub(super) async fn linger<T: Io>(mut io: T, time: Duration, mut bytes: usize, _place: Lingering) {
    let until = after(now(), time).into();
    let _ = timeout_at(until, poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx))).await;
    let _ = timeout_at(until, poll_fn(|cx| poll_discard(&mut io, cx, &mut bytes))).await;
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

pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
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
        let size = future_size(drive::<tokio::net::TcpStream>);
        assert!(size <= 672, "{size} bytes");
    }
}
