//! The undecided connections of a listener: how many there are, what they hold, and who has to go when there are too many.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use oneport_core::{Outcome, Phase, Reason};

use crate::limits::{Limits, EVICTION_GRACE};

/// Why an undecided connection has to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    Evicted,
    Shutdown,
}

impl Signal {
    /// The reason that a connection is refused for which was told this on its way to its route; none at a shutdown.
    pub(crate) const fn refusal(self) -> Option<Reason> {
        match self {
            Self::Evicted => Some(Reason::Overload),
            Self::Shutdown => None,
        }
    }
}

impl From<Signal> for Outcome {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Evicted => Self::Refused(Reason::Overload),
            Signal::Shutdown => Self::Shutdown,
        }
    }
}

/// In which order connections have to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Silent,
    Partial,
    Idle,
    /// Its requests are routed one by one, and it has none.
    SplitIdle,
    /// It has some.
    SplitBusy,
}

const CLASSES: usize = 5;

impl From<Phase> for Class {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Silent => Self::Silent,
            Phase::Http2Idle => Self::Idle,
            _ => Self::Partial,
        }
    }
}

#[derive(Debug)]
struct Entry {
    class: Class,
    last_byte: Instant,
    bytes: usize,
    waker: Option<Waker>,
    standing: Standing,
}

/// How a connection stands with the registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Undecided,
    Told(Signal),
    /// Decided and with this route: not the registry's to end.
    Parked(u32),
}

impl Standing {
    const fn signal(self) -> Option<Signal> {
        match self {
            Self::Told(signal) => Some(signal),
            Self::Undecided | Self::Parked(_) => None,
        }
    }
}

#[derive(Debug)]
struct Inner {
    undecided: usize,
    idle: usize,
    split: usize,
    opening_bytes: usize,
    /// Slots of connections; free ones are listed in `free`.
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Per class, who has been without a byte for how long. Those that were told to go are not in it.
    order: [BTreeSet<(Instant, usize)>; CLASSES],
    bytes: usize,
    parked: usize,
    /// By route: what waits for its server holds so many bytes.
    parked_bytes: Vec<usize>,
    is_shut_down: bool,
}

/// All undecided connections of a listener.
///
/// The lock is held for a few look-ups in sorted sets, never while anything is read, written or waited for.
#[derive(Clone, Debug)]
pub(crate) struct Registry(Arc<Mutex<Inner>>);

/// A connection's place in the registry; leaving it is dropping it.
#[derive(Debug)]
pub(crate) struct Ticket {
    registry: Registry,
    id: usize,
}

/// How many connections are undecided now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Undecided {
    /// Connections without a byte.
    pub silent: usize,
    /// Connections in mid-opening, and those that wait for a place in a full backlog.
    pub partial: usize,
    /// Greeted HTTP/2 connections without a request: idle gRPC channels.
    pub idle: usize,
    /// Bytes held for the openings of all of them.
    pub bytes: usize,
    /// HTTP/2 connections whose requests are routed one by one, until they end or are told to.
    pub split: usize,
}

impl Registry {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            undecided: limits.undecided,
            idle: limits.idle,
            split: limits.split,
            opening_bytes: limits.opening_bytes,
            entries: Vec::new(),
            free: Vec::new(),
            order: Default::default(),
            bytes: 0,
            parked: 0,
            parked_bytes: Vec::new(),
            is_shut_down: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has come. If that makes too many, another one is told to go.
    pub(crate) fn enter(&self, now: Instant) -> Ticket {
        let mut inner = self.lock();
        let standing =
            if inner.is_shut_down { Standing::Told(Signal::Shutdown) } else { Standing::Undecided };
        let entry = Entry { class: Class::Silent, last_byte: now, bytes: 0, waker: None, standing };
        let id = inner.free.pop().unwrap_or_else(|| {
            inner.entries.push(None);
            inner.entries.len() - 1
        });
        inner.entries[id] = Some(entry);
        if standing == Standing::Undecided {
            inner.order[Class::Silent as usize].insert((now, id));
        }
        let wakers = inner.make_room(now);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        Ticket { registry: self.clone(), id }
    }

    /// Tells every undecided connection to end, and every one that still comes. Those that are with their routes are not told: one
    /// that is refused later is still answered.
    pub(crate) fn shut_down(&self) {
        let mut inner = self.lock();
        inner.is_shut_down = true;
        inner.order = Default::default();
        let mut wakers = Vec::new();
        for entry in inner.entries.iter_mut().flatten() {
            if !matches!(entry.standing, Standing::Parked(_)) {
                entry.standing = Standing::Told(Signal::Shutdown);
                wakers.extend(entry.waker.take());
            }
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn undecided(&self) -> Undecided {
        let inner = self.lock();
        let count = |class: Class| inner.order[class as usize].len();
        Undecided {
            silent: count(Class::Silent),
            partial: count(Class::Partial),
            idle: count(Class::Idle),
            bytes: inner.bytes,
            split: count(Class::SplitIdle) + count(Class::SplitBusy),
        }
    }

    /// Whether every connection has left or has reached its route.
    #[cfg(any(feature = "tokio", test))]
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.free.len() + inner.parked == inner.entries.len()
    }
}

impl Inner {
    /// Tells connections to go until all bounds are kept; returns whom to wake.
    fn make_room(&mut self, now: Instant) -> Vec<Waker> {
        let mut wakers = Vec::new();
        loop {
            let count = |class: Class| self.order[class as usize].len();
            let candidates: &[Class] = if count(Class::Silent) + count(Class::Partial) > self.undecided {
                &[Class::Silent, Class::Partial]
            } else if count(Class::Idle) > self.idle {
                &[Class::Idle]
            } else if count(Class::SplitIdle) + count(Class::SplitBusy) > self.split {
                // They are only told to send no more requests: those in progress are finished.
                &[Class::SplitIdle, Class::SplitBusy]
            } else if self.bytes > self.opening_bytes {
                // Silent connections hold nothing.
                &[Class::Partial, Class::Idle]
            } else {
                return wakers;
            };
            let Some(id) = self.victim(candidates, now) else { return wakers };
            let Some(entry) = self.entries.get_mut(id).and_then(Option::as_mut) else { return wakers };
            entry.standing = Standing::Told(Signal::Evicted);
            wakers.extend(entry.waker.take());
            self.order[entry.class as usize].remove(&(entry.last_byte, id));
            self.bytes -= core::mem::take(&mut entry.bytes);
        }
    }

    fn victim(&self, candidates: &[Class], now: Instant) -> Option<usize> {
        let longest = |class: &Class| self.order[*class as usize].first();
        candidates
            .iter()
            .filter_map(longest)
            .find(|(last_byte, _)| now.saturating_duration_since(*last_byte) >= EVICTION_GRACE)
            .or_else(|| candidates.iter().filter_map(longest).min())
            .map(|(_, id)| *id)
    }
}

impl Ticket {
    /// The connection has got on: it is in this phase and holds that many bytes.
    pub(crate) fn update(&self, phase: Phase, last_byte: Option<Instant>, bytes: usize, now: Instant) {
        self.set(phase.into(), last_byte, bytes, now);
    }

    /// The connection's requests are routed one by one; it has some, or is idle since `now`.
    pub(crate) fn split(&self, is_idle: bool, now: Instant) {
        self.set(if is_idle { Class::SplitIdle } else { Class::SplitBusy }, Some(now), 0, now);
    }

    fn set(&self, class: Class, last_byte: Option<Instant>, bytes: usize, now: Instant) {
        let mut guard = self.registry.lock();
        let inner = &mut *guard;
        let Some(entry) = inner.entries.get_mut(self.id).and_then(Option::as_mut) else { return };
        let last_byte = last_byte.unwrap_or(entry.last_byte);
        match entry.standing {
            Standing::Told(_) => return,
            Standing::Parked(route) => {
                inner.parked -= 1;
                inner.parked_bytes[route as usize] -= core::mem::take(&mut entry.bytes);
                entry.standing = Standing::Undecided;
            }
            Standing::Undecided
                if (entry.class, entry.last_byte, entry.bytes) == (class, last_byte, bytes) =>
            {
                return;
            }
            Standing::Undecided => {}
        }
        inner.order[entry.class as usize].remove(&(entry.last_byte, self.id));
        inner.bytes = inner.bytes - entry.bytes + bytes;
        entry.class = class;
        entry.last_byte = last_byte;
        entry.bytes = bytes;
        inner.order[entry.class as usize].insert((entry.last_byte, self.id));
        let wakers = inner.make_room(now);
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The connection has reached its route: it is not undecided any more. What it holds counts among what waits for the server of
    /// this route, which has a bound of the same size as all that is undecided: a server that is stuck takes no room from others.
    ///
    /// # Errors
    /// What it was told if it was told to go meanwhile, or that it has to go since there is no room; then nothing has changed.
    pub(crate) fn park(&self, route: usize) -> Result<(), Signal> {
        let mut inner = self.registry.lock();
        let inner = &mut *inner;
        let Some(entry) = inner.entries.get_mut(self.id).and_then(Option::as_mut) else {
            return Err(Signal::Evicted);
        };
        let Ok(place) = u32::try_from(route) else { return Err(Signal::Evicted) };
        if inner.parked_bytes.len() <= route {
            inner.parked_bytes.resize(route + 1, 0);
        }
        let has_room = inner.parked_bytes[route] + entry.bytes <= inner.opening_bytes;
        if entry.standing != Standing::Undecided || !has_room {
            return Err(entry.standing.signal().unwrap_or(Signal::Evicted));
        }
        entry.standing = Standing::Parked(place);
        inner.order[entry.class as usize].remove(&(entry.last_byte, self.id));
        inner.bytes -= entry.bytes;
        inner.parked_bytes[route] += entry.bytes;
        inner.parked += 1;
        Ok(())
    }

    /// Ready when the connection has to end.
    pub(crate) fn poll_signal(&self, cx: &mut Context<'_>) -> Poll<Signal> {
        let mut inner = self.registry.lock();
        let Some(entry) = inner.entries.get_mut(self.id).and_then(Option::as_mut) else {
            return Poll::Pending;
        };
        if let Some(signal) = entry.standing.signal() {
            return Poll::Ready(signal);
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Why the connection has to end, if it has to.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn signal(&self) -> Option<Signal> {
        let inner = self.registry.lock();
        inner.entries.get(self.id).and_then(Option::as_ref).and_then(|entry| entry.standing.signal())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut guard = self.registry.lock();
        let inner = &mut *guard;
        let Some(entry) = inner.entries.get_mut(self.id).and_then(Option::take) else { return };
        inner.order[entry.class as usize].remove(&(entry.last_byte, self.id));
        if let Standing::Parked(route) = entry.standing {
            inner.parked -= 1;
            inner.parked_bytes[route as usize] -= entry.bytes;
        } else {
            inner.bytes -= entry.bytes;
        }
        inner.free.push(self.id);
        // Its waker goes behind the lock.
        drop(guard);
    }
}

#[cfg(test)]
mod tests;
