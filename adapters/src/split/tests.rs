//! What the parts of the driver do, polled by hand: nothing runs that the test does not run.

mod ask;
mod bridge;
mod driver;
mod link;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes};
use oneport_core::split::{Batch, Output, SplitConfig, SplitMachine};
use oneport_core::Routes;

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Somebody who polls.
struct Task {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self { waker: bell.clone().into(), bell }
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Whether it was woken since the last time.
    fn was_woken(&self) -> bool {
        self.bell.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// A batch as the machine makes them, and its bytes: the first words to a client.
pub(crate) fn words() -> (Batch, Vec<u8>) {
    let routes = Arc::new(Routes::new().otherwise(0));
    let mut machine = SplitMachine::new(routes, Arc::new(SplitConfig::default()), Instant::now());
    let Output::Write { batch, .. } = machine.poll_output() else { panic!("it speaks first") };
    let bytes = batch.chunk().to_vec();
    assert_eq!(bytes.len(), batch.len());
    (batch, bytes)
}

/// Bytes that nobody looks at.
fn noise(len: usize) -> Bytes {
    (0..len).map(|i| (i % 251) as u8).collect()
}
