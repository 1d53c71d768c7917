//! One waker for both halves of a split connection.
//!
//! The half that reads writes as well, on the way: what the other half has left over. A stream remembers one waker for writing, that
//! of the last poll. With a waker for each half, one half would be forgotten where the other one's just takes its place (tokio), and
//! where the one that goes is woken for that (async-io), two halves that wait would wake each other without end. So the stream gets
//! to know one waker for good, and who waits is remembered here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// A half of a split connection. A connection that is not split is both, on one task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Half {
    Reader,
    Writer,
}

/// Who waits for a stream to take more, by [`Half`].
#[derive(Debug, Default)]
struct Waiting(Mutex<[Option<Waker>; 2]>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, half: Half, waker: Option<Waker>) {
        let gone = core::mem::replace(&mut self.lock()[half as usize], waker);
        // It may be the last that holds its task: not under the lock.
        drop(gone);
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = core::mem::take(&mut *self.lock());
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The waker of both halves: as long as the pair lives, the stream knows no other.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    waiting: Arc<Waiting>,
    /// Made once, since a waker is told from others by more than what it points to.
    waker: Waker,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let waiting = Arc::<Waiting>::default();
        Self { waker: waiting.clone().into(), waiting }
    }

    /// What the stream is to be polled with for the task of this half, which is woken from now on.
    pub(crate) fn waker(&self, half: Half, cx: &Context<'_>) -> &Waker {
        self.waiting.set(half, Some(cx.waker().clone()));
        &self.waker
    }

    /// This half has got on and does not wait any more. What it did may be what the other one waits for, and a stream owes nobody a
    /// wake whose last poll was ready.
    pub(crate) fn got_on(&self, half: Half) {
        self.waiting.set(half, None);
        self.waker.wake_by_ref();
    }
}
