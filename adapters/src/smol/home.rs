//! Where the tasks of undecided connections live: on an executor of the mux's own, which runs inside of `serve`.

use std::future::Future;
use std::sync::{Arc, Weak};

use async_executor::Executor;

/// The way to the executor of a mux. `serve` owns it: with `serve`, all its tasks end.
#[derive(Clone, Debug)]
pub(super) struct Home(Weak<Executor<'static>>);

impl Home {
    pub(super) fn of(executor: &Arc<Executor<'static>>) -> Self {
        Self(Arc::downgrade(executor))
    }

    /// Whether `serve` still runs.
    pub(super) fn is_there(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Runs `task`; drops it if `serve` has ended. A panic in it (in a closure of the user) ends just this task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}
