//! Wakes tasks on time, to some ten microseconds: a runtime's timers count whole milliseconds, and round up twice.
//!
//! A client that waits for the server's SETTINGS waits for the end of the mux's patience, which is a few milliseconds. On tokio's timers
//! alone it would be one more, for each new connection. So one thread of the process waits on the system's own clock for whoever has
//! little time left. It decides nothing: who is woken looks at the clock, and sets a timer of the runtime as well, which is what counts
//! if this thread could not be started, or where the runtime's clock is not the system's (tests that stop it).

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

/// Whoever waits for longer does not miss a millisecond.
const SHORT: Duration = Duration::from_millis(20);

/// The one of the process.
static BELL: Bell = Bell::new();

#[derive(Debug)]
struct Bell {
    waiting: Mutex<Waiting>,
    /// The first of those who wait is another one.
    changed: Condvar,
    /// Whether there is a thread; known when somebody has waited.
    runs: OnceLock<bool>,
}

/// As many as there are undecided connections, at most.
#[derive(Debug)]
struct Waiting {
    wakers: BTreeMap<Key, Waker>,
    /// How many have come.
    entered: u64,
}

/// When, and a number that tells those of one instant apart.
type Key = (Instant, u64);

/// A place among those who wait; leaving it is dropping it.
#[derive(Debug, Default)]
pub(super) struct Ring(Option<Key>);

impl Ring {
    /// Wakes the task once at that time, if it is soon. A task that has been woken, or that has another time now, says so again.
    pub(super) fn set(&mut self, at: Instant, waker: &Waker) {
        if at.saturating_duration_since(Instant::now()) > SHORT || !BELL.runs() {
            return;
        }
        let (key, is_first) = BELL.lock().enter(self.0, at, waker);
        self.0 = Some(key);
        if is_first {
            BELL.changed.notify_one();
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(key) = self.0.take() {
            BELL.lock().wakers.remove(&key);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Bell {
    const fn new() -> Self {
        Self { waiting: Mutex::new(Waiting::new()), changed: Condvar::new(), runs: OnceLock::new() }
    }

    fn runs(&'static self) -> bool {
        *self
            .runs
            .get_or_init(|| thread::Builder::new().name("oneport-bell".into()).spawn(|| self.ring()).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under the lock can panic half way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn ring(&self) -> ! {
        let mut waiting = self.lock();
        loop {
            waiting = match waiting.next(Instant::now()) {
                Next::Wake(waker) => {
                    drop(waiting);
                    waker.wake();
                    self.lock()
                }
                Next::Sleep(Some(time)) => {
                    self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Sleep(None) => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// What there is to do.
#[derive(Debug)]
enum Next {
    Wake(Waker),
    /// So long, or until somebody comes.
    Sleep(Option<Duration>),
}

impl Waiting {
    const fn new() -> Self {
        Self { wakers: BTreeMap::new(), entered: 0 }
    }

    /// Takes a place, for the old one if there is one. Whether it is the first of all.
    fn enter(&mut self, old: Option<Key>, at: Instant, waker: &Waker) -> (Key, bool) {
        if let Some(key) = old {
            match self.wakers.get_mut(&key) {
                Some(same) if key.0 == at => {
                    same.clone_from(waker);
                    return (key, false);
                }
                _ => self.wakers.remove(&key),
            };
        }
        let key = (at, self.entered);
        self.entered += 1;
        self.wakers.insert(key, waker.clone());
        let is_first = self.wakers.first_key_value().is_some_and(|(first, _)| *first == key);
        (key, is_first)
    }

    fn next(&mut self, now: Instant) -> Next {
        match self.wakers.first_entry() {
            None => Next::Sleep(None),
            Some(first) if first.key().0 <= now => Next::Wake(first.remove()),
            Some(first) => Next::Sleep(Some(first.key().0.saturating_duration_since(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    /// Wakes its thread, and counts.
    #[derive(Debug)]
    struct Sleeper {
        thread: thread::Thread,
        wakes: AtomicUsize,
    }

    impl Sleeper {
        fn new() -> Arc<Self> {
            Arc::new(Self { thread: thread::current(), wakes: AtomicUsize::new(0) })
        }

        fn wakes(&self) -> usize {
            self.wakes.load(Ordering::SeqCst)
        }

        fn wait_for(&self, wakes: usize) {
            let start = Instant::now();
            while self.wakes() < wakes {
                assert!(start.elapsed() < Duration::from_secs(10), "nobody rings");
                thread::park_timeout(Duration::from_millis(100));
            }
        }
    }

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::SeqCst);
            self.thread.unpark();
        }
    }

    #[test]
    fn it_rings_once_and_not_before_the_time() {
        let sleeper = Sleeper::new();
        let mut ring = Ring::default();
        for time in [5, 1, 0, 10] {
            let before = sleeper.wakes();
            let at = Instant::now() + Duration::from_millis(time);
            ring.set(at, &sleeper.clone().into());
            sleeper.wait_for(before + 1);
            assert!(Instant::now() >= at);
            assert_eq!(sleeper.wakes(), before + 1);
        }
    }

    /// The last one that comes is the first to be woken: the thread has to hear of it.
    #[test]
    fn each_is_woken_in_its_time() {
        let start = Instant::now();
        let all = [19, 12, 4].map(|time| {
            let (sleeper, mut ring) = (Sleeper::new(), Ring::default());
            ring.set(start + Duration::from_millis(time), &sleeper.clone().into());
            (sleeper, ring)
        });
        for (sleeper, _ring) in all.iter().rev() {
            sleeper.wait_for(1);
        }
    }

    #[test]
    fn who_has_time_is_left_to_the_runtime() {
        let mut ring = Ring::default();
        ring.set(Instant::now() + 10 * SHORT, Waker::noop());
        assert!(ring.0.is_none());
    }

    #[test]
    fn who_has_left_holds_nothing() {
        let mut ring = Ring::default();
        ring.set(Instant::now() + SHORT, Waker::noop());
        let key = ring.0.expect("it is soon");
        drop(ring);
        assert!(!BELL.lock().wakers.contains_key(&key));
    }

    /// Wakes all that are due, and says how long the next has still to wait.
    fn wake(waiting: &mut Waiting, now: Instant) -> Option<Duration> {
        loop {
            match waiting.next(now) {
                Next::Wake(waker) => waker.wake(),
                Next::Sleep(time) => return time,
            }
        }
    }

    #[test]
    fn another_time_takes_the_place_of_the_old_one() {
        let mut waiting = Waiting::new();
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let (sleeper, other) = (Sleeper::new(), Sleeper::new());
        let (old, is_first) = waiting.enter(None, start + ms(5), &sleeper.clone().into());
        assert!(is_first);
        let (other_key, is_first) = waiting.enter(None, start + ms(5), &other.clone().into());
        assert!(!is_first, "at the same time, and it came later");
        let (moved, is_first) = waiting.enter(Some(old), start + ms(7), &sleeper.clone().into());
        assert!(!is_first);
        assert_eq!(wake(&mut waiting, start + ms(4)), Some(ms(1)));
        assert_eq!(wake(&mut waiting, start + ms(5)), Some(ms(2)));
        assert_eq!((sleeper.wakes(), other.wakes()), (0, 1));
        // The number of a place that is free again is nobody's.
        let (_, is_first) = waiting.enter(Some(other_key), start + ms(6), &other.clone().into());
        assert!(is_first);
        waiting.wakers.remove(&moved);
        assert_eq!(wake(&mut waiting, start + ms(9)), None);
        assert_eq!((sleeper.wakes(), other.wakes()), (0, 2));
    }

    #[test]
    fn a_task_that_is_polled_elsewhere_is_woken_there() {
        let mut waiting = Waiting::new();
        let at = Instant::now();
        let (old, new) = (Sleeper::new(), Sleeper::new());
        let (key, _) = waiting.enter(None, at, &old.clone().into());
        assert_eq!(waiting.enter(Some(key), at, &new.clone().into()), (key, false));
        assert_eq!(wake(&mut waiting, at), None);
        assert_eq!((old.wakes(), new.wakes()), (0, 1));
    }
}
