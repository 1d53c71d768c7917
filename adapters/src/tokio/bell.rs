//! Wakes tasks on time: a runtime's timers count whole milliseconds, and round up twice.
//!
//! A client that waits for the server's SETTINGS waits for the end of the mux's patience, which is a few milliseconds. By tokio's timers
//! alone it would be one more, for each new connection. So a mux has a timer of the system's, which the runtime waits for
//! as it does for sockets: what a socket had before it rang is known before. It decides nothing: who is woken looks at its socket and at the
//! clock, and has a timer of the runtime's as well, which counts where this one can not be had.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use tokio::net::unix::pipe::Receiver;

/// To whoever waits for longer a millisecond is little.
const SHORT: Duration = Duration::from_millis(100);

/// The one of a mux.
#[derive(Debug)]
pub(super) struct Bell {
    /// A file that becomes readable and is read: of a pipe no more is asked here than a timer can do, too.
    timer: Receiver,
    waiting: Mutex<Waiting>,
}

/// As many as there are undecided connections, at most.
#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<Key, Waker>,
    /// How many have come.
    entered: u64,
    /// The timer was set anew at this time, for at once: when it rings, the sockets have been looked at since. Before, nobody can know: who was
    /// to hear of a ring may hear of it late.
    mark: Option<Instant>,
}

/// When, and a number that tells those of one instant apart.
type Key = (Instant, u64);

impl Bell {
    /// A bell on the current runtime.
    ///
    /// # Errors
    /// If the process has no more files.
    ///
    /// # Panics
    /// On a runtime that has no sockets.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer: Receiver::from_owned_fd_unchecked(timer)?, waiting: Mutex::default() })
    }

    /// Wakes those whose time has come, as soon as the sockets have been looked at since. Whoever polls it hears of the next, too.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        while let Poll::Ready(Ok(())) = self.timer.poll_read_ready(cx) {
            // How often it rang is no news. Until there is nothing more to read, it is ready.
            let end = loop {
                if let Err(end) = self.timer.try_read(&mut [0; 8]) {
                    break end;
                }
            };
            if end.kind() != io::ErrorKind::WouldBlock {
                // A timer knows no other error. With one, it would be ready for ever: the runtime's own timers remain.
                return;
            }
            while let Some(waker) = self.next_due() {
                waker.wake();
            }
            let mut waiting = self.lock();
            if let Some(time) = waiting.next(Instant::now()) {
                self.set(time);
            }
        }
    }

    fn next_due(&self) -> Option<Waker> {
        self.lock().next_due()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under the lock can panic half way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that the last setting is that for the first of all.
    fn set(&self, time: Duration) {
        // A time of zero would stop it. All times are short enough.
        let Ok(time) = Timespec::try_from(time.max(Duration::from_nanos(1))) else { return };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: time };
        // It can not fail with a timer and a time such as these. If it did, the runtime's own timers would remain.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

impl Waiting {
    /// Takes a place. Whether the timer is to be set for it.
    fn enter(&mut self, at: Instant, waker: Waker) -> (Key, bool) {
        let key = (at, self.entered);
        self.entered += 1;
        self.wakers.insert(key, waker);
        let is_first = self.wakers.first_key_value().is_some_and(|(first, _)| *first == key);
        (key, is_first && self.mark.is_none())
    }

    fn next_due(&mut self) -> Option<Waker> {
        let mark = self.mark?;
        self.wakers.first_entry().filter(|first| first.key().0 <= mark).map(|first| first.remove())
    }

    /// When the timer is to ring next.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        self.mark = None;
        let (at, _) = *self.wakers.first_key_value()?.0;
        if at <= now {
            self.mark = Some(now);
        }
        Some(at.saturating_duration_since(now))
    }
}

/// A place among those who wait; leaving it is dropping it. It rings once.
#[derive(Debug)]
pub(super) struct Ring<'a> {
    bell: Option<&'a Bell>,
    key: Option<Key>,
}

impl<'a> Ring<'a> {
    /// Without a bell, it never rings.
    pub(super) const fn new(bell: Option<&'a Bell>) -> Self {
        Self { bell, key: None }
    }

    /// Wakes the task at that time, if it is soon.
    pub(super) fn set(&mut self, at: Instant, waker: &Waker) {
        let Some(bell) = self.bell else { return };
        if let Some(key) = self.key {
            // Wakers are the runtime's, and what happens when they come and go is nothing for under the lock.
            let mut waker = waker.clone();
            let mut waiting = bell.lock();
            if let Some(place) = waiting.wakers.get_mut(&key) {
                core::mem::swap(place, &mut waker);
            }
            drop(waiting);
            return;
        }
        let time = || at.saturating_duration_since(Instant::now());
        if time() > SHORT {
            return;
        }
        let waker = waker.clone();
        let mut waiting = bell.lock();
        let (key, is_first) = waiting.enter(at, waker);
        if is_first {
            // Not the time of before the lock: it sets the clock for all.
            bell.set(time());
        }
        drop(waiting);
        self.key = Some(key);
    }

    /// Whether it was set and has rung, not before its time.
    pub(super) fn has_rung(&self) -> bool {
        self.key.is_some() && !self.is_waiting()
    }

    /// Whether it was set and has not rung.
    pub(super) fn is_waiting(&self) -> bool {
        match (self.bell, self.key) {
            (Some(bell), Some(key)) => bell.lock().wakers.contains_key(&key),
            _ => false,
        }
    }

    /// For another time.
    pub(super) fn clear(&mut self) {
        if let (Some(bell), Some(key)) = (self.bell, self.key.take()) {
            let old = bell.lock().wakers.remove(&key);
            drop(old);
        }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// As the loop of a mux does while it waits for connections.
    async fn wait_for(bell: &Bell, count: &Count, rings: usize) {
        let done = poll_fn(|cx| {
            bell.poll(cx);
            if count.get() < rings {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        tokio::time::timeout(Duration::from_secs(10), done).await.expect("it rings");
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn it_rings_once_and_not_before_the_time() {
        let bell = Bell::new().expect("a bell");
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut ring = Ring::new(Some(&bell));
        for (rings, time) in [(1, 5), (2, 1), (3, 0), (4, 10)] {
            let at = Instant::now() + ms(time);
            assert!(!ring.has_rung());
            ring.set(at, &waker);
            ring.set(at, &waker);
            wait_for(&bell, &count, rings).await;
            assert!(Instant::now() >= at);
            assert!(ring.has_rung());
            // It was there already.
            ring.set(at, &waker);
            assert!(ring.has_rung());
            assert_eq!(count.get(), rings);
            ring.clear();
        }
    }

    /// The last one that comes may be the first to be woken; who is not the first must not be forgotten behind it.
    #[tokio::test]
    async fn each_is_woken_in_its_time() {
        let bell = Bell::new().expect("a bell");
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let start = Instant::now();
        let mut rings = [(); 3].map(|()| Ring::new(Some(&bell)));
        for (ring, time) in rings.iter_mut().zip([60, 90, 4]) {
            ring.set(start + ms(time), &waker);
        }
        for (rings, time) in [(1, 4), (2, 60), (3, 90)] {
            wait_for(&bell, &count, rings).await;
            assert!(Instant::now() >= start + ms(time));
        }
    }

    #[tokio::test]
    async fn who_has_time_is_left_to_the_runtime() {
        let bell = Bell::new().expect("a bell");
        let mut ring = Ring::new(Some(&bell));
        ring.set(Instant::now() + Duration::from_secs(3_600), Waker::noop());
        assert!(ring.key.is_none());
        assert!(!ring.has_rung());
    }

    #[tokio::test]
    async fn who_has_left_or_has_another_time_holds_nothing() {
        let bell = Bell::new().expect("a bell");
        let held = || bell.lock().wakers.len();
        let mut ring = Ring::new(Some(&bell));
        ring.set(Instant::now() + SHORT, Waker::noop());
        assert_eq!(held(), 1);
        ring.clear();
        assert_eq!(held(), 0);
        ring.set(Instant::now() + SHORT, Waker::noop());
        assert_eq!(held(), 1);
        drop(ring);
        assert_eq!(held(), 0);
    }

    #[tokio::test]
    async fn a_task_that_is_polled_elsewhere_is_woken_there() {
        let bell = Bell::new().expect("a bell");
        let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut ring = Ring::new(Some(&bell));
        let at = Instant::now() + ms(5);
        ring.set(at, &old.clone().into());
        ring.set(at, &new.clone().into());
        wait_for(&bell, &new, 1).await;
        assert_eq!(old.get(), 0);
    }

    #[test]
    fn whose_time_has_come_is_woken_by_the_ring_behind_that() {
        let mut waiting = Waiting::default();
        // The clock is past all of it.
        let start =
            Instant::now().checked_sub(Duration::from_secs(1)).expect("a machine that runs for longer");
        let enter = |waiting: &mut Waiting, at| waiting.enter(start + at, Waker::noop().clone()).1;
        assert!(enter(&mut waiting, ms(5)));
        assert!(!enter(&mut waiting, ms(5)), "it came later");
        assert!(enter(&mut waiting, ms(4)));
        assert!(waiting.next_due().is_none());
        assert_eq!(waiting.next(start + ms(3)), Some(ms(1)));
        assert!(waiting.next_due().is_none());
        assert_eq!(waiting.next(start + ms(4)), Some(ms(0)));
        assert!(!enter(&mut waiting, ms(2)), "it is set for at once");
        assert!(waiting.next_due().is_some());
        assert!(waiting.next_due().is_some());
        assert!(waiting.next_due().is_none());
        assert_eq!(waiting.next(start + ms(6)), Some(ms(0)));
        assert!(waiting.next_due().is_some());
        assert!(waiting.next_due().is_some());
        assert_eq!(waiting.next(start + ms(6)), None);
        assert!(enter(&mut waiting, ms(9)));
    }
}
