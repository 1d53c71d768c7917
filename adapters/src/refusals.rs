//! How many refusals are in progress.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// The refusals that a listener's clients are given time to read.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Arc<AtomicUsize>);

/// A place among them.
#[derive(Debug)]
pub(crate) struct Refusing(Arc<AtomicUsize>);

impl Refusals {
    /// A place, while fewer than `most` are taken.
    pub(crate) fn enter(&self, most: usize) -> Option<Refusing> {
        let place = Refusing(self.0.clone());
        // Counted in any case: the drop of `place` takes it back.
        (place.0.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let refusals = Refusals::default();
        let first = refusals.enter(1);
        assert!(first.is_some());
        assert!(refusals.enter(1).is_none());
        drop(first);
        assert!(refusals.enter(1).is_some());
    }
}
