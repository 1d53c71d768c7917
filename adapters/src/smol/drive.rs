//! One connection, from accepting to its outcome: the machine's words out, the client's bytes in, and the clock.

use std::future::{poll_fn, Future};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use oneport_core::{MuxMachine, Outcome, Phase, Reason};

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
use crate::talk::{End, Line, Talk, READ_SIZE};

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
        let end = {
            let mut talk = journey.shared.talk(journey.accepted);
            run(&mut io, &mut talk, &ticket).await
        };
        match end {
            End::Closed { outcome, greeted, has_said } => {
                // The routes may end while the client reads its last words.
                drop(slots);
                journey.greeted |= greeted;
                Box::pin(close(io, journey, ticket, outcome, has_said)).await;
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
    let place = wait_for_place(slot, &parcel.ticket, until).await;
    let place = place.and_then(|permit| match parcel.ticket.park(route) {
        Ok(()) => Ok(permit),
        Err(signal) => {
            // Its place is not held while the client reads.
            drop(permit);
            Err(signal.refusal())
        }
    });
    match place {
        Ok(permit) => permit.send(Arrival::new(parcel, home)),
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
    let mut talk = Talk::new(machine, journey.shared.limits.linger);
    if let End::Closed { outcome, greeted, has_said } = run(&mut io, &mut talk, &ticket).await {
        journey.greeted |= greeted;
        close(io, journey, ticket, outcome, has_said).await;
    }
}

/// The mux's part of the connection, to its end.
async fn run<T: Io>(io: &mut T, talk: &mut Talk, ticket: &Ticket) -> End {
    let mut line = SmolLine { io, alarm: Alarm::default() };
    poll_fn(|cx| talk.poll(&mut line, ticket, cx)).await
}

struct SmolLine<'a, T> {
    io: &'a mut T,
    alarm: Alarm,
}

impl<T: Io> Line for SmolLine<'_, T> {
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut MuxMachine<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = [0; READ_SIZE];
        let n = ready!(Pin::new(&mut *self.io).poll_read(cx, &mut buffer))?;
        machine.handle_input(buffer.get(..n).unwrap_or_default(), Instant::now());
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn set_alarm(&mut self, at: Instant) {
        self.alarm.set(at);
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(cx)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Ends a connection that got no backend. If something was said to it, it gets a moment to read that: closing with unread input
/// would reset the connection and destroy what was written.
async fn close<T: Io>(io: T, journey: Journey, ticket: Ticket, outcome: Outcome, has_said: bool) {
    let shared = journey.shared.clone();
    journey.end(outcome, Instant::now());
    drop(ticket);
    let lingers = has_said && !matches!(outcome, Outcome::Left(_));
    if let Some(place) = lingers.then(|| shared.linger()).flatten() {
        linger(io, shared.limits.linger, shared.limits.linger_bytes, place).await;
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

/// A timer that is moved only when the deadline does. Ready as long as none is set.
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
        if let Some((_, timer)) = &mut self.0 {
            ready!(Pin::new(timer).poll(cx));
            // A timer that has fired never fires again, and says nothing of when it was set for.
            self.0 = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What a connection costs while it waits is what this future is large, beside the machine's box.
    #[test]
    fn a_waiting_task_is_small() {
        fn future_size<A, B, C, D, O>(_: fn(A, B, C, D) -> O) -> usize {
            size_of::<O>()
        }
        let size = future_size(drive::<crate::smol::Socket<std::net::TcpStream>>);
        assert!(size <= 512, "{size} bytes");
    }

    /// A machine may name a deadline again that has come.
    #[test]
    fn an_alarm_can_be_set_again_for_the_same_time() {
        let at = Instant::now();
        let mut alarm = Alarm::default();
        for _ in 0..2 {
            alarm.set(at);
            assert!(alarm.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    }
}
