//! A route's queue between the mux and the server: bounded, and whoever waits for a place keeps what it wants to put there.
//!
//! Waiting for a place and filling it are two steps, because a connection that gets no place in time is refused with its own
//! reason and is not to be taken apart before that.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A new queue with this many places, at least one.
pub(crate) fn backlog<A>(places: usize) -> (Sender<A>, Receiver<A>) {
    let queue = Arc::new(Queue(Mutex::new(Inner {
        items: VecDeque::new(),
        free: places.max(1),
        senders: 1,
        is_closed: false,
        receiver: None,
        waiting: BTreeMap::new(),
        next: 0,
    })));
    (Sender(queue.clone()), Receiver(queue))
}

struct Queue<A>(Mutex<Inner<A>>);

struct Inner<A> {
    items: VecDeque<A>,
    /// Places that are neither filled nor reserved.
    free: usize,
    senders: usize,
    /// The receiver takes nothing any more.
    is_closed: bool,
    receiver: Option<Waker>,
    /// Who waits for a place, by the order of coming.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl<A> Queue<A> {
    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        // Nothing that runs under the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place has become free.
    fn release(&self) {
        let mut inner = self.lock();
        inner.free += 1;
        let first = inner.waiting.values().next().cloned();
        drop(inner);
        first.into_iter().for_each(Waker::wake);
    }
}

impl<A> fmt::Debug for Queue<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Backlog").field("filled", &inner.items.len()).field("free", &inner.free).finish()
    }
}

/// The mux's end. The receiver ends when the last one is gone, with all permits, and the queue is empty.
#[derive(Debug)]
pub(crate) struct Sender<A>(Arc<Queue<A>>);

impl<A> Sender<A> {
    /// Waits for a place, in the order of coming.
    pub(crate) fn reserve(&self) -> Reserve<A> {
        Reserve { queue: self.0.clone(), id: None }
    }

    /// A place, if there is one that nobody waits for; does not wait.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_reserve(&self) -> Poll<Result<Permit<A>, Closed>> {
        self.reserve().poll(&mut Context::from_waker(Waker::noop()))
    }
}

impl<A> Clone for Sender<A> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<A> Drop for Sender<A> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.senders -= 1;
        let receiver = if inner.senders == 0 { inner.receiver.take() } else { None };
        drop(inner);
        receiver.into_iter().for_each(Waker::wake);
    }
}

/// Somebody who waits for a place. Dropping it gives up.
#[derive(Debug)]
pub(crate) struct Reserve<A> {
    queue: Arc<Queue<A>>,
    id: Option<u64>,
}

/// The receiver takes nothing any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Closed;

impl<A> Reserve<A> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit<A>, Closed>> {
        let mut inner = self.queue.lock();
        if inner.is_closed {
            return Poll::Ready(Err(Closed));
        }
        let is_first = match self.id {
            Some(id) => inner.waiting.keys().next() == Some(&id),
            None => inner.waiting.is_empty(),
        };
        if is_first && inner.free > 0 {
            inner.free -= 1;
            inner.senders += 1;
            let sender = Sender(self.queue.clone());
            let next = leave(&mut self.id, &mut inner);
            drop(inner);
            next.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Permit(Some(sender))));
        }
        let id = *self.id.get_or_insert_with(|| {
            inner.next += 1;
            inner.next
        });
        inner.waiting.insert(id, cx.waker().clone());
        Poll::Pending
    }
}

/// Goes from the line; returns whom to wake, if there is a place for the next one.
fn leave<A>(id: &mut Option<u64>, inner: &mut Inner<A>) -> Option<Waker> {
    inner.waiting.remove(&id.take()?);
    (inner.free > 0).then(|| inner.waiting.values().next().cloned()).flatten()
}

impl<A> Drop for Reserve<A> {
    fn drop(&mut self) {
        if self.id.is_some() {
            let next = leave(&mut self.id, &mut self.queue.lock());
            next.into_iter().for_each(Waker::wake);
        }
    }
}

/// A place in the queue. Dropping it gives it back. It counts as a sender: as long as it may be filled, the end has not come.
#[derive(Debug)]
pub(crate) struct Permit<A>(Option<Sender<A>>);

impl<A> Permit<A> {
    /// Fills the place. If the receiver has gone meanwhile, the item is dropped.
    pub(crate) fn send(mut self, item: A) {
        let Some(sender) = self.0.take() else { return };
        let mut inner = sender.0.lock();
        if inner.is_closed {
            // The item may have something to say when it goes: not under the lock.
            drop(inner);
            return drop(item);
        }
        inner.items.push_back(item);
        let receiver = inner.receiver.take();
        drop(inner);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<A> Drop for Permit<A> {
    fn drop(&mut self) {
        if let Some(Sender(queue)) = &self.0 {
            queue.release();
        }
    }
}

/// The server's end.
#[derive(Debug)]
pub(crate) struct Receiver<A>(Arc<Queue<A>>);

impl<A> Receiver<A> {
    /// The next item; `None` when there will be no more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<A>> {
        let mut inner = self.0.lock();
        if let Some(item) = inner.items.pop_front() {
            drop(inner);
            self.0.release();
            return Poll::Ready(Some(item));
        }
        if inner.senders == 0 {
            return Poll::Ready(None);
        }
        inner.receiver = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<A> Drop for Receiver<A> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.is_closed = true;
        inner.receiver = None;
        let items = core::mem::take(&mut inner.items);
        let waiting = core::mem::take(&mut inner.waiting);
        // As above: not under the lock.
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rang(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn put(sender: &Sender<u8>, item: u8) {
        let waker = Waker::noop();
        match sender.reserve().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(Ok(permit)) => permit.send(item),
            other => panic!("no place: {other:?}"),
        }
    }

    fn take(receiver: &mut Receiver<u8>) -> Poll<Option<u8>> {
        receiver.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn places_go_to_those_who_wait_in_the_order_of_coming() {
        let (sender, mut receiver) = backlog(1);
        put(&sender, 1);
        let bells: [Arc<Bell>; 2] = Default::default();
        let wakers = bells.clone().map(Waker::from);
        let (mut first, mut second) = (sender.reserve(), sender.reserve());
        assert!(first.poll(&mut Context::from_waker(&wakers[0])).is_pending());
        assert!(second.poll(&mut Context::from_waker(&wakers[1])).is_pending());

        assert_eq!(take(&mut receiver), Poll::Ready(Some(1)));
        assert_eq!([bells[0].rang(), bells[1].rang()], [1, 0]);
        // Who comes later does not overtake, nor does the second one.
        assert!(sender.reserve().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(second.poll(&mut Context::from_waker(&wakers[1])).is_pending());
        // The first one gives up: the place is the next one's.
        drop(first);
        assert_eq!(bells[1].rang(), 1);
        assert!(second.poll(&mut Context::from_waker(&wakers[1])).is_ready());
    }

    #[test]
    fn a_place_that_is_not_filled_comes_back() {
        let (sender, mut receiver) = backlog(1);
        let Poll::Ready(Ok(permit)) = sender.reserve().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("no place")
        };
        assert!(sender.reserve().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(permit);
        put(&sender, 2);
        assert_eq!(take(&mut receiver), Poll::Ready(Some(2)));
    }

    #[test]
    fn the_receiver_hears_of_items_and_of_the_end() {
        let (sender, mut receiver) = backlog(2);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let cx = &mut Context::from_waker(&waker);
        assert!(receiver.poll_next(cx).is_pending());
        put(&sender, 3);
        assert_eq!(bell.rang(), 1);
        let other = sender.clone();
        drop(sender);
        assert_eq!(receiver.poll_next(cx), Poll::Ready(Some(3)));
        assert!(receiver.poll_next(cx).is_pending());
        drop(other);
        assert_eq!(bell.rang(), 1);
        assert_eq!(receiver.poll_next(cx), Poll::Ready(None));
    }

    /// Whoever has a place may still fill it when all who could ask for one are gone.
    #[test]
    fn the_end_comes_behind_what_is_still_to_be_sent() {
        let (sender, mut receiver) = backlog(2);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let cx = &mut Context::from_waker(&waker);
        let reserved = [(); 2].map(|()| sender.reserve().poll(cx));
        let [Poll::Ready(Ok(first)), Poll::Ready(Ok(second))] = reserved else { panic!("no places") };
        drop(sender);
        assert!(receiver.poll_next(cx).is_pending());
        first.send(4);
        assert_eq!(bell.rang(), 1);
        assert_eq!(receiver.poll_next(cx), Poll::Ready(Some(4)));
        assert!(receiver.poll_next(cx).is_pending());
        // The last one is not filled: that is the end, and the receiver hears of it.
        drop(second);
        assert_eq!(bell.rang(), 1);
        assert_eq!(receiver.poll_next(cx), Poll::Ready(None));
    }

    #[test]
    fn a_receiver_that_goes_lets_go_of_everything() {
        let (sender, receiver) = backlog(2);
        let item = Arc::new(());
        let waker = Waker::noop();
        let cx = &mut Context::from_waker(waker);
        let (mut first, mut second, mut third) = (sender.reserve(), sender.reserve(), sender.reserve());
        let Poll::Ready(Ok(permit)) = first.poll(cx) else { panic!("no place") };
        permit.send(item.clone());
        let Poll::Ready(Ok(permit)) = second.poll(cx) else { panic!("no place") };
        assert!(third.poll(cx).is_pending());
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(matches!(third.poll(cx), Poll::Ready(Err(Closed))));
        permit.send(item.clone());
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
