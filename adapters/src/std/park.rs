//! Waiting on a thread that has nothing else to do.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Sleeper {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Sleeps until the future is ready. Unlike async-io's, this thread never polls sockets meanwhile: `serve` has one for that.
pub(super) fn block_on<R>(future: impl Future<Output = R>) -> R {
    let sleeper = Arc::new(Sleeper { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = sleeper.clone().into();
    let cx = &mut Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(ready) = future.as_mut().poll(cx) {
            return ready;
        }
        // Others may unpark this thread for reasons of their own.
        while !sleeper.is_woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Wakes all threads that wait for one thing, however many they are: what remembers a single waker serves them all.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls until that is ready, whenever the bell has rung; for at most this long.
    pub(super) fn wait_for<R>(
        self: &Arc<Self>,
        mut poll: impl FnMut(&Context<'_>) -> Poll<R>,
        timeout: Option<Duration>,
    ) -> Option<R> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let waker = Waker::from(self.clone());
        let cx = Context::from_waker(&waker);
        loop {
            let before = *self.lock();
            if let Poll::Ready(ready) = poll(&cx) {
                return Some(ready);
            }
            let mut rings = self.lock();
            while *rings == before {
                rings = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                    None => self.rung.wait(rings).unwrap_or_else(PoisonError::into_inner),
                    Some(Duration::ZERO) => return None,
                    Some(left) => {
                        self.rung.wait_timeout(rings, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            }
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut rings = self.lock();
        *rings = rings.wrapping_add(1);
        drop(rings);
        self.rung.notify_all();
    }
}
