//! The clock of a connection whose socket is looked at before any deadline counts.

use std::future::Future;
use std::pin::Pin;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer that runs out so late says that the process did not run. A busy machine may be as late; then it costs [`LOOK`].
const LATE: Duration = Duration::from_millis(50);
/// Until the second ring: the least that the runtime's timers can tell apart.
const LOOK: Duration = Duration::from_millis(1);

/// A deadline, behind which a socket's last word has been heard.
///
/// That a socket has bytes a task learns from the runtime, which asks the system between two looks at its clock. If the process was
/// stopped meanwhile (SIGSTOP, a container that was frozen), the system answers with an error (`EINTR`) instead: all timers run
/// out, and nobody has heard of the bytes that have been waiting. So a timer that is late rings twice: before the second ring the
/// runtime has asked again.
#[derive(Debug)]
pub(super) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    at: Instant,
    has_looked: bool,
}

impl<'a> Alarm<'a> {
    /// Set to the deadline of `sleep`.
    pub(super) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self { at: sleep.deadline(), sleep, has_looked: false }
    }

    pub(super) fn set(&mut self, at: Instant) {
        if self.at != at {
            self.at = at;
            self.has_looked = false;
            self.sleep.as_mut().reset(at);
        }
    }

    /// Ready when the deadline is over. Look at the socket first in each poll.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        let now = Instant::now();
        if self.has_looked || now.saturating_duration_since(self.at) < LATE {
            return Poll::Ready(());
        }
        self.has_looked = true;
        self.sleep.as_mut().reset(now + LOOK);
        self.sleep.as_mut().poll(cx)
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
            assert!(alarm.has_looked);
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
        assert!(!alarm.has_looked || at.elapsed() >= LATE);
    }
}
