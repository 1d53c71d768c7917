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

    /// How often it is polled until it is ready, and when that is, if it was first looked at so long after its deadline.
    async fn rings(late: Duration) -> (u32, Duration) {
        let started = Instant::now();
        let mut sleep = pin!(sleep_until(started));
        let mut alarm = Alarm::new(sleep.as_mut());
        alarm.set(started.checked_sub(late).expect("a machine that runs for longer"));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            alarm.poll(cx)
        })
        .await;
        (polls, started.elapsed())
    }

    #[tokio::test]
    async fn a_late_alarm_lets_the_runtime_look_once_more() {
        assert_eq!(rings(Duration::ZERO).await.0, 1);
        let (polls, took) = rings(LATE).await;
        assert!(polls == 2 && took >= LOOK, "{polls} polls, {took:?}");
    }

    #[tokio::test]
    async fn it_does_so_once_for_each_deadline() {
        let started = Instant::now();
        let mut sleep = pin!(sleep_until(started));
        let mut alarm = Alarm::new(sleep.as_mut());
        let old = started.checked_sub(2 * LATE).expect("a machine that runs for longer");
        for (at, polls) in [(old, 2), (old, 1), (old + LATE, 2), (Instant::now(), 1)] {
            alarm.set(at);
            let mut seen = 0;
            poll_fn(|cx| {
                seen += 1;
                alarm.poll(cx)
            })
            .await;
            assert_eq!(seen, polls);
        }
    }
}
