//! The question whether a route takes a share of a client's connection, and its answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use oneport_core::split::ConnectFailure;

use super::Hop;

/// A new question: the driver waits at one end, the server of the route holds the other.
pub(crate) fn ask() -> (Ask, Asked) {
    let state = Arc::new(State(Mutex::new(Inner::Open(None))));
    (Ask(state.clone()), Asked(state))
}

enum Inner {
    /// Not answered; who waits for it.
    Open(Option<Waker>),
    Answered(Result<Box<dyn Hop>, ConnectFailure>),
    /// The driver has its answer or needs none any more.
    Over,
}

struct State(Mutex<Inner>);

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Result<Box<dyn Hop>, ConnectFailure>) {
        let mut inner = self.lock();
        let Inner::Open(waker) = &mut *inner else { return };
        let waker = waker.take();
        *inner = Inner::Answered(answer);
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.lock() {
            Inner::Open(_) => "Open",
            Inner::Answered(_) => "Answered",
            Inner::Over => "Over",
        })
    }
}

/// The driver's end. Dropping it withdraws the question.
#[derive(Debug)]
pub(crate) struct Ask(Arc<State>);

impl Ask {
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Box<dyn Hop>, ConnectFailure>> {
        let mut inner = self.0.lock();
        match std::mem::replace(&mut *inner, Inner::Over) {
            Inner::Open(_) => {
                *inner = Inner::Open(Some(cx.waker().clone()));
                Poll::Pending
            }
            Inner::Answered(answer) => Poll::Ready(answer),
            Inner::Over => Poll::Ready(Err(ConnectFailure::Down)),
        }
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        let over = std::mem::replace(&mut *self.0.lock(), Inner::Over);
        // A hop that came too late tells its server so when it is dropped: not under the lock.
        drop(over);
    }
}

/// The server's end. Dropping it says that the server is down.
#[derive(Debug)]
pub(crate) struct Asked(Arc<State>);

impl Asked {
    /// The server speaks on this.
    pub(crate) fn take(&self, hop: Box<dyn Hop>) {
        self.0.answer(Ok(hop));
    }

    pub(crate) fn refuse(&self, why: ConnectFailure) {
        self.0.answer(Err(why));
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        matches!(*self.0.lock(), Inner::Over)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.refuse(ConnectFailure::Down);
    }
}
