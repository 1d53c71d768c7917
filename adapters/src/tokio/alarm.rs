//! The clock of a connection whose socket is looked at before any deadline counts.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::bell::{Bell, Ring};

/// A timer that runs out so late says that the process did not run. A busy machine may be as late; then it costs [`LOOK`].
const LATE: Duration = Duration::from_millis(50);
/// Until the second ring: the least that the runtime's timers can tell apart.
const LOOK: Duration = Duration::from_millis(1);

/// A deadline, behind which a socket's last word has been heard.
///
/// That a socket has bytes a task learns from the runtime, which asks the system between two looks at its clock; and who is woken by the
/// [`Bell`] is woken behind such a look, too. If the process was stopped meanwhile (SIGSTOP, a container that was frozen), the system answers
/// with an error (`EINTR`) instead: all timers run out, and nobody has heard of the bytes that have been waiting. So a timer that is late rings
/// twice: before the second ring the runtime has asked again. Where the bell is heard, it alone says that, and the timers only bound the wait for it.
#[derive(Debug)]
pub(super) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    ring: Ring<'a>,
    at: Instant,
    /// Whether the timers were set before: who finds the deadline over in the poll that sets them can not know that the sockets have been looked at since.
    is_set: bool,
    /// Whether it was late, and the runtime has been given the time for another look.
    is_second: bool,
}

impl<'a> Alarm<'a> {
    /// Set to the deadline of `sleep`, which is its from here on.
    pub(super) fn new(sleep: Pin<&'a mut Sleep>, bell: Option<&'a Bell>) -> Self {
        Self { at: sleep.deadline(), sleep, ring: Ring::new(bell), is_set: false, is_second: false }
    }

    pub(super) fn set(&mut self, at: Instant) {
        if self.at != at {
            self.at = at;
            self.is_set = false;
            self.is_second = false;
            self.ring.clear();
        }
    }

    /// Ready when the deadline is over. Look at the socket first in each poll.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if !self.is_set {
            // Not before it is waited for: setting a timer may wake the runtime's own thread.
            self.is_set = true;
            self.ring.set(self.at.into_std(), cx.waker());
            self.sleep.as_mut().reset(self.at);
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            return self.look_again(LOOK, cx);
        }
        let is_over = self.sleep.as_mut().poll(cx).is_ready();
        // The bell's clock is the system's. Where time is simulated the runtime's counts.
        if self.ring.has_rung() && (is_over || now >= self.at) {
            return Poll::Ready(());
        }
        if !is_over {
            self.ring.set(self.at.into_std(), cx.waker());
            return Poll::Pending;
        }
        let is_in_time = now.saturating_duration_since(self.at) < LATE;
        if self.is_second || (is_in_time && !self.ring.is_waiting()) {
            return Poll::Ready(());
        }
        // A bell that should have rung before says that the runtime was held up between its look and its clock. It may be so again, for longer
        // than a look takes: the bell is waited for, if it is heard at all.
        self.is_second = true;
        self.ring.set(self.at.into_std(), cx.waker());
        let look = if self.ring.is_waiting() { LATE } else { LOOK };
        self.look_again(look, cx)
    }

    /// Sets the runtime's timer, which has not run out in the poll that sets it: between that one and the next the sockets are looked at.
    fn look_again(&mut self, within: Duration, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.sleep.as_mut().reset(Instant::now() + within);
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::time::sleep_until;

    #[tokio::test]
    async fn a_late_alarm_lets_the_runtime_look_once_for_each_deadline() {
        let started = Instant::now();
        let sleep = pin!(sleep_until(started));
        let mut alarm = Alarm::new(sleep, None);
        let old = started.checked_sub(2 * LATE).expect("a machine that runs for longer");
        for late in [old, old, old + LATE] {
            let is_new = alarm.at != late;
            alarm.set(late);
            let set = Instant::now();
            poll_fn(|cx| alarm.poll(cx)).await;
            assert!(alarm.is_second);
            assert!(!is_new || set.elapsed() >= LOOK, "{:?}", set.elapsed());
        }
    }

    #[tokio::test]
    async fn an_alarm_in_time_rings_once() {
        let at = Instant::now() + LOOK;
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep, None);
        poll_fn(|cx| alarm.poll(cx)).await;
        // On a machine that is so busy, it may be late.
        assert!(!alarm.is_second || at.elapsed() >= LATE);
    }

    /// Its task is polled by chance when the time is over, and nobody has looked at the sockets since.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_runtime_looks_before_an_alarm_is_over() {
        let bell = Bell::new().expect("a bell");
        let sleep = pin!(sleep_until(Instant::now() - LOOK));
        let mut alarm = Alarm::new(sleep, Some(&bell));
        for ago in 0..100 {
            alarm.set(Instant::now() - Duration::from_micros(100) * ago);
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await.is_pending());
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await.is_pending());
            // The runtime's timer, or the bell.
            poll_fn(|cx| {
                bell.poll(cx);
                alarm.poll(cx)
            })
            .await;
        }
    }

    /// Between its look at the sockets and its clock.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_runtime_that_was_held_up_looks_again() {
        let bell = Bell::new().expect("a bell");
        let at = Instant::now() + LOOK;
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep, Some(&bell));
        // Nobody hears the bell.
        poll_fn(|cx| alarm.poll(cx)).await;
        assert!(alarm.is_second);
        assert!(at.elapsed() >= LOOK);
    }

    /// However busy the machine is, and whoever of the runtime's threads is waiting for sockets.
    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_sent_before_the_deadline_is_heard_first() {
        let bell = Arc::new(Bell::new().expect("a bell"));
        let ringing = bell.clone();
        tokio::spawn(poll_fn(move |cx| {
            ringing.poll(cx);
            Poll::<()>::Pending
        }));
        let is_done = Arc::new(AtomicBool::new(false));
        let busy = [(); 3].map(|()| {
            let is_done = is_done.clone();
            std::thread::spawn(move || while !is_done.load(Ordering::Relaxed) {})
        });
        let mut ignored = 0;
        for n in 0..300 {
            let (mut client, server) = std::os::unix::net::UnixStream::pair().expect("a pair");
            server.set_nonblocking(true).expect("a socket");
            let at = Instant::now() + Duration::from_millis(5);
            let client = std::thread::spawn(move || {
                let send = at.into_std() - Duration::from_micros(50 + n * 37 % 1_500);
                std::thread::sleep(send.saturating_duration_since(std::time::Instant::now()));
                client.write_all(b"x").expect("a socket");
                (client, Instant::now())
            });
            let bell = bell.clone();
            let served = tokio::spawn(async move {
                let mut server = tokio::net::UnixStream::from_std(server).expect("a socket");
                let sleep = pin!(sleep_until(at));
                let mut alarm = Alarm::new(sleep, Some(&bell));
                let is_heard = poll_fn(|cx| {
                    let mut byte = [0];
                    let is_heard = pin!(server.read(&mut byte)).poll(cx).is_ready();
                    if is_heard {
                        Poll::Ready(true)
                    } else {
                        alarm.poll(cx).map(|()| false)
                    }
                })
                .await;
                // Not closed before the client has sent.
                (is_heard, server)
            });
            let (is_heard, _server) = served.await.expect("no panic");
            let (_client, sent) = client.join().expect("no panic");
            ignored += u32::from(sent < at && !is_heard);
        }
        is_done.store(true, Ordering::Relaxed);
        for busy in busy {
            busy.join().expect("no panic");
        }
        assert_eq!(ignored, 0);
    }

    /// Where time is simulated, the bell's is another one.
    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_stopped_counts() {
        let bell = Bell::new().expect("a bell");
        let at = Instant::now() + Duration::from_millis(5);
        let sleep = pin!(sleep_until(at));
        let mut alarm = Alarm::new(sleep, Some(&bell));
        let mut polls = 0;
        let rung = poll_fn(|cx| {
            bell.poll(cx);
            polls += 1;
            Poll::Ready(alarm.poll(cx))
        });
        assert!(rung.await.is_pending());
        // Real time passes, and the runtime's does not.
        std::thread::sleep(Duration::from_millis(20));
        poll_fn(|cx| {
            bell.poll(cx);
            polls += 1;
            alarm.poll(cx)
        })
        .await;
        assert!(Instant::now() >= at);
        assert!(polls < 10, "{polls}");
    }
}
