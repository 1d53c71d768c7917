use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

fn registry(undecided: usize, idle: usize, opening_bytes: usize) -> Registry {
    Registry::new(&Limits { undecided, idle, opening_bytes, ..Limits::default() })
}

#[test]
fn the_silent_go_before_the_partial_and_the_longest_first() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let registry = registry(3, 10, 1_000);
    let partial = registry.enter(at(0));
    partial.update(Phase::Opening, Some(at(0)), 10, at(0));
    let first = registry.enter(at(1));
    let second = registry.enter(at(2));
    let third = registry.enter(at(3));
    assert_eq!(first.signal(), Some(Signal::Evicted));
    assert_eq!((partial.signal(), second.signal(), third.signal()), (None, None, None));
    assert_eq!(registry.undecided(), Undecided { silent: 2, partial: 1, idle: 0, bytes: 10, split: 0 });
}

#[test]
fn a_flood_of_partial_openings_does_not_displace_newcomers() {
    let start = Instant::now();
    let registry = registry(2, 10, 1_000);
    let flood: Vec<_> = (0..2)
        .map(|_| {
            let ticket = registry.enter(start);
            ticket.update(Phase::Opening, Some(start), 1, start);
            ticket
        })
        .collect();
    let newcomer = registry.enter(start + Duration::from_secs(5));
    assert_eq!(newcomer.signal(), None);
    assert_eq!(flood[0].signal(), Some(Signal::Evicted));
}

/// A waker may do anything, such as run the task that it wakes.
#[test]
fn nobody_is_woken_under_the_lock() {
    struct Look {
        registry: Registry,
        was_free: AtomicUsize,
    }
    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            self.was_free.fetch_add(self.registry.0.try_lock().is_ok().into(), Ordering::Relaxed);
        }
    }
    let start = Instant::now();
    let registry = registry(2, 10, 100);
    let look = Arc::new(Look { registry: registry.clone(), was_free: AtomicUsize::new(0) });
    let waker = look.clone().into();
    let enter = || {
        let ticket = registry.enter(start);
        assert!(ticket.poll_signal(&mut Context::from_waker(&waker)).is_pending());
        ticket
    };
    let (_first, second, third) = (enter(), enter(), enter());
    assert_eq!(look.was_free.load(Ordering::Relaxed), 1, "by `enter`");
    third.update(Phase::Opening, Some(start), 60, start);
    second.update(Phase::Opening, Some(start), 60, start);
    assert_eq!(look.was_free.load(Ordering::Relaxed), 2, "by `update`");
    registry.shut_down();
    assert_eq!(look.was_free.load(Ordering::Relaxed), 3, "by `shut_down`");
}

#[test]
fn bytes_are_a_bound_of_their_own() {
    let start = Instant::now();
    let registry = registry(10, 10, 100);
    let silent = registry.enter(start);
    let idle = registry.enter(start);
    idle.update(Phase::Http2Idle, Some(start), 60, start);
    let partial = registry.enter(start);
    partial.update(Phase::Opening, Some(start), 40, start);
    assert_eq!(partial.signal(), None);
    let later = start + Duration::from_secs(9);
    idle.update(Phase::Http2Idle, Some(later), 61, later);
    assert_eq!((silent.signal(), partial.signal(), idle.signal()), (None, Some(Signal::Evicted), None));
    assert_eq!(registry.undecided().bytes, 61);
    drop((silent, idle, partial));
    assert!(registry.is_empty());
    assert_eq!(registry.undecided(), Undecided::default());
}

#[test]
fn idle_channels_have_a_count_of_their_own() {
    let start = Instant::now();
    let registry = registry(1, 1, 1_000);
    let first = registry.enter(start);
    first.update(Phase::Http2Idle, Some(start), 1, start);
    let silent = registry.enter(start);
    assert_eq!(silent.signal(), None);
    silent.update(Phase::Http2Idle, Some(start + Duration::from_secs(2)), 1, start + Duration::from_secs(2));
    assert_eq!((first.signal(), silent.signal()), (Some(Signal::Evicted), None));
}

#[test]
fn what_waits_for_its_server_has_a_bound_of_its_own() {
    let start = Instant::now();
    let registry = registry(9, 9, 100);
    let waiting = |bytes| {
        let ticket = registry.enter(start);
        ticket.update(Phase::Delivery, Some(start), bytes, start);
        ticket
    };
    let parked = waiting(60);
    assert_eq!(parked.park(0), Ok(()));
    assert!(registry.is_empty());
    assert_eq!(registry.undecided(), Undecided::default());
    let other = waiting(41);
    assert_eq!(other.park(0), Err(Signal::Evicted));
    let elsewhere = waiting(41);
    assert_eq!(elsewhere.park(1), Ok(()), "another route has room of its own");
    drop(elsewhere);
    assert_eq!((parked.signal(), other.signal()), (None, None));
    assert_eq!(registry.undecided().bytes, 41);
    parked.update(Phase::Delivery, Some(start), 50, start);
    assert_eq!(registry.undecided().bytes, 91);
    assert_eq!(other.park(0), Ok(()));
    drop((parked, other));
    assert!(registry.is_empty());
    assert_eq!(registry.undecided().bytes, 0);
    assert_eq!(waiting(100).park(0), Ok(()));
}

/// Between its last look at the signal and its place at the route.
#[test]
fn who_is_told_to_go_does_not_park_and_learns_why() {
    let start = Instant::now();
    let registry = registry(1, 9, 100);
    let evicted = registry.enter(start);
    let last = registry.enter(start);
    assert_eq!(evicted.park(0), Err(Signal::Evicted));
    registry.shut_down();
    assert_eq!(last.park(0), Err(Signal::Shutdown));
    assert_eq!(registry.enter(start).park(0), Err(Signal::Shutdown));
    assert_eq!([Signal::Evicted, Signal::Shutdown].map(Signal::refusal), [Some(Reason::Overload), None]);
}

/// Its class and its last byte are what they were.
#[test]
fn more_of_the_same_counts() {
    let start = Instant::now();
    let registry = registry(9, 9, 100);
    let ticket = registry.enter(start);
    for bytes in [40, 60] {
        ticket.update(Phase::Opening, Some(start), bytes, start);
        assert_eq!(registry.undecided().bytes, bytes);
    }
}

/// Of each connection there is one, in a list that doubles.
#[test]
fn a_place_is_small() {
    assert!(size_of::<Option<Entry>>() <= 56);
}

#[test]
fn shutdown_reaches_those_who_are_there_and_those_who_come() {
    let registry = registry(9, 9, 9);
    let ticket = registry.enter(Instant::now());
    registry.shut_down();
    assert_eq!(ticket.signal(), Some(Signal::Shutdown));
    assert_eq!(registry.enter(Instant::now()).signal(), Some(Signal::Shutdown));
}
