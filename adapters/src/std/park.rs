//! Waiting for a future on a thread that has nothing else to do.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
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
    let mut future = pin!(future);
    loop {
        // Without a time there is no other end.
        if let Some(ready) = block_on_for(future.as_mut(), None) {
            return ready;
        }
    }
}

/// As [`block_on`], for at most this long.
pub(super) fn block_on_for<R>(future: impl Future<Output = R>, timeout: Option<Duration>) -> Option<R> {
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let sleeper = Arc::new(Sleeper { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = sleeper.clone().into();
    let cx = &mut Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(ready) = future.as_mut().poll(cx) {
            return Some(ready);
        }
        // Others may unpark this thread for reasons of their own.
        while !sleeper.is_woken.swap(false, Ordering::Acquire) {
            match until {
                None => thread::park(),
                Some(until) => match until.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return None,
                    left => thread::park_timeout(left),
                },
            }
        }
    }
}
