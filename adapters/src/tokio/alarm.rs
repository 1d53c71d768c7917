//! The clock of a connection whose socket is looked at before any deadline counts.

use std::future::Future;
use std::pin::{pin, Pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, Sleep};

use super::bell::Ring;

/// A timer that runs out so late says that the process did not run. A busy machine may be as late; then it costs [`LOOK`].
const LATE: Duration = Duration::from_millis(50);
/// Until the second ring: the least that the runtime's timers can tell apart.
const LOOK: Duration = Duration::from_millis(1);

/// A deadline, behind which a socket's last word has been heard.
///
/// That a socket has bytes a task learns from the runtime, which asks the system between two looks at its clock. Whoever is woken by a timer of
/// the runtime's is woken behind such a look, whoever is woken by the [`Ring`], which is more exact, is not, and lets the runtime
/// look first.
///
/// If the process was stopped meanwhile (SIGSTOP, a container that was frozen), the system answers with an error (`EINTR`) instead: all
/// timers run out, and nobody has heard of the bytes that have been waiting. So a timer that is late rings twice: before the second ring the
/// runtime has asked again.
#[derive(Debug)]
pub(super) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    ring: Ring,
    at: Instant,
    looks: Looks,
}

/// What the runtime was given to look at the sockets, when the deadline was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Looks {
    NotYet,
    /// A turn.
    Once,
    /// Some time.
    Twice,
}

impl<'a> Alarm<'a> {
    /// Set to the deadline of `sleep`, which is its from here on.
    pub(super) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self { at: sleep.deadline(), sleep, ring: Ring::default(), looks: Looks::NotYet }
    }

    pub(super) fn set(&mut self, at: Instant) {
        if self.at != at {
            self.at = at;
            self.looks = Looks::NotYet;
            self.ring.clear();
        }
    }

    /// Ready when the deadline is over. Look at the socket first in each poll.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.looks != Looks::Twice && self.sleep.deadline() != self.at {
            // Not before it is waited for: setting a timer may wake the runtime's own thread.
            self.sleep.as_mut().reset(self.at);
        }
        let is_over = self.sleep.as_mut().poll(cx).is_ready();
        let now = Instant::now();
        if now < self.at && !is_over {
            self.ring.set(self.at.into_std(), cx.waker());
            return Poll::Pending;
        }
        let is_late = now.saturating_duration_since(self.at) >= LATE;
        match self.looks {
            Looks::NotYet if is_late => {
                self.looks = Looks::Twice;
                self.sleep.as_mut().reset(now + LOOK);
                self.sleep.as_mut().poll(cx)
            }
            Looks::NotYet if !is_over => {
                self.looks = Looks::Once;
                // Its first poll lets the runtime look at the sockets, and then wakes this task; its second would do nothing else.
                pin!(yield_now()).poll(cx)
            }
            Looks::Twice if !is_over => Poll::Pending,
            Looks::NotYet | Looks::Once | Looks::Twice => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use tokio::time::sleep_until;

    #[tokio::test]
    async fn a_late_alarm_lets_the_runtime_look_once_for_each_deadline() {
        let started = Instant::now();
        let sleep = pin!(sleep_until(started));
        let mut alarm = Alarm::new(sleep);
        let old = started.checked_sub(2 * LATE).expect("a machine that runs for longer");
        for late in [old, old, old + LATE] {
            let is_new = alarm.at != late;
            alarm.set(late);
            let set = Instant::now();
            poll_fn(|cx| alarm.poll(cx)).await;
            assert_eq!(alarm.looks, Looks::Twice);
            assert!(!is_new || set.elapsed() >= LOOK, "{:?}", set.elapsed());
        }
    }

    #[tokio::test]
    async fn an_alarm_in_time_rings_once() {
        let at = Instant::now() + LOOK;
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep);
        poll_fn(|cx| alarm.poll(cx)).await;
        // On a machine that is so busy, it may be late.
        assert!(alarm.looks != Looks::Twice || at.elapsed() >= LATE);
    }

    /// The bell, or a task that polls by chance, is ahead of the runtime's timer: a look at the sockets is still due.
    #[tokio::test]
    async fn the_runtime_looks_before_an_alarm_that_it_has_not_rung() {
        let at = Instant::now();
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep);
        let first = poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await;
        // It may be late, or the timer may have been faster.
        let is_by_chance = alarm.looks != Looks::Once;
        assert!(first.is_pending() || is_by_chance, "{:?}", alarm.looks);
        poll_fn(|cx| alarm.poll(cx)).await;
    }

    /// Where time is simulated, the bell's is another one.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_stopped_counts() {
        let at = Instant::now() + Duration::from_millis(5);
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep);
        poll_fn(|cx| alarm.poll(cx)).await;
        assert!(Instant::now() >= at);
    }
}
