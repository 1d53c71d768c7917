use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use oneport_core::split::{Batch, ConnectFailure, ConnectionEnd};

use super::super::ask::ask;
use super::super::Hop;
use super::Task;

/// A connection that tells when it is dropped.
struct Told(Arc<AtomicBool>);

impl Hop for Told {
    fn poll_send(&mut self, _: &mut Context<'_>, _: &mut Batch) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        Poll::Pending
    }

    fn close(&mut self, _: ConnectionEnd) {}
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_answer_wakes_who_asked() {
    let (mut question, asked) = ask();
    let task = Task::new();
    assert!(question.poll(&task.cx()).is_pending());
    assert!(!asked.is_withdrawn());
    let is_dropped = Arc::new(AtomicBool::new(false));
    asked.take(Box::new(Told(is_dropped.clone())));
    assert!(task.was_woken());
    drop(asked);
    let Poll::Ready(Ok(hop)) = question.poll(&task.cx()) else { panic!("the first answer counts") };
    drop(question);
    assert!(!is_dropped.load(Ordering::Relaxed));
    drop(hop);
}

#[test]
fn no_answer_is_one() {
    let (mut question, asked) = ask();
    let task = Task::new();
    assert!(question.poll(&task.cx()).is_pending());
    drop(asked);
    assert!(task.was_woken());
    assert!(matches!(question.poll(&task.cx()), Poll::Ready(Err(ConnectFailure::Down))));
}

#[test]
fn a_refusal_says_which() {
    let (mut question, asked) = ask();
    asked.refuse(ConnectFailure::Forbidden);
    drop(asked);
    let task = Task::new();
    assert!(matches!(question.poll(&task.cx()), Poll::Ready(Err(ConnectFailure::Forbidden))));
}

/// Whoever takes a share that nobody waits for any more finds it ended.
#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    let (mut question, asked) = ask();
    let task = Task::new();
    assert!(question.poll(&task.cx()).is_pending());
    drop(question);
    assert!(asked.is_withdrawn());
    let is_dropped = Arc::new(AtomicBool::new(false));
    asked.take(Box::new(Told(is_dropped.clone())));
    assert!(is_dropped.load(Ordering::Relaxed));

    let (question, asked) = ask();
    let is_dropped = Arc::new(AtomicBool::new(false));
    asked.take(Box::new(Told(is_dropped.clone())));
    assert!(!is_dropped.load(Ordering::Relaxed));
    drop(question);
    assert!(is_dropped.load(Ordering::Relaxed), "answered, and not heard any more");
}
