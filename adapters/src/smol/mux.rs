//! The listener's loop: accept, and let each connection find its way on its own.

use std::future::{pending, poll_fn, Future};
use std::io;
use std::pin::{pin, Pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_executor::Executor;
use async_io::Timer;

use super::drive::drive;
use super::home::Home;
use super::incoming::{Arrival, Incoming};
use super::listener::{Io, Listener};
use crate::accept::{AcceptPause, ACCEPT_BURST, MIN_PAUSE};
use crate::address::{Address, Addresses};
use crate::backlog::{backlog, Sender};
use crate::context::{Journey, Plan, Shared};
use crate::given_back::NotServing;
use crate::registry::Undecided;
use crate::stats::{Counters, Report, SplitReport};
use crate::{Config, Limits, Matcher, SplitConfig};

/// Several servers behind one listener.
///
/// Add routes in the order of their priority, then call [`serve`](Self::serve): without it nothing is accepted.
#[must_use = "nothing is accepted until `serve` is called and awaited"]
#[derive(Debug)]
pub struct Mux<L: Listener> {
    listener: L,
    plan: Plan,
    slots: Slots<L::Io>,
    link: Arc<Link<L::Io>>,
}

/// The senders to all routes: as long as one exists, connections may still come.
pub(super) type Slots<T> = Vec<Sender<Arrival<T>>>;

/// What handles and the serving loop have in common.
#[derive(Debug)]
struct Link<T: Io> {
    stop: Stop,
    serving: OnceLock<Serving<T>>,
}

#[derive(Debug)]
struct Serving<T: Io> {
    shared: Arc<Shared>,
    slots: Weak<Slots<T>>,
    home: Home,
}

/// A remote control for a [`Mux`]: stops it, feeds it, and tells what it has done.
#[derive(Debug)]
pub struct Handle<T: Io>(Arc<Link<T>>);

impl<T: Io> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Listener> Mux<L> {
    /// A mux with the default bounds.
    pub fn new(listener: L) -> Self {
        Self::with_bounds(listener, Config::default(), Limits::default())
    }

    /// A mux with bounds of your own: per connection and per listener.
    pub fn with_bounds(listener: L, config: Config, limits: Limits) -> Self {
        let link = Link { stop: Stop::default(), serving: OnceLock::new() };
        Self { listener, plan: Plan::new(config, limits), slots: Vec::new(), link: Arc::new(link) }
    }

    /// Adds a route behind those that are there. A dropped [`Incoming`] refuses its connections, and the others live on.
    /// Names are for logs and counters; two routes of one name are counted together.
    pub fn route(&mut self, name: impl Into<String>, matcher: Matcher) -> Incoming<L::Io> {
        self.plan.route(name.into(), matcher);
        self.slot()
    }

    /// Where connections go that every route has refused. Without it they are refused in their own protocol. There is one: a
    /// second call takes the place of the first, whose [`Incoming`] then gets nothing.
    pub fn otherwise(&mut self, name: impl Into<String>) -> Incoming<L::Io> {
        self.plan.otherwise(name.into());
        self.slot()
    }

    /// Where connections go that have begun, are not HTTP/2, and are undecided at
    /// [`Config::opening_deadline`](crate::Config::opening_deadline). Without it they are refused. There is one, as with
    /// [`otherwise`](Self::otherwise).
    pub fn on_timeout(&mut self, name: impl Into<String>) -> Incoming<L::Io> {
        self.plan.on_timeout(name.into());
        self.slot()
    }

    /// Where clients go that have said nothing for this long: those that wait for the server to speak first (MySQL, SMTP).
    /// There is one, as with [`otherwise`](Self::otherwise). With an `after` of 0 clients have no time to speak; at or above
    /// [`Config::silent_deadline`](crate::Config::silent_deadline) it is of no use.
    pub fn server_first(&mut self, name: impl Into<String>, after: Duration) -> Incoming<L::Io> {
        self.plan.server_first(name.into(), after);
        self.slot()
    }

    /// Routes the requests of HTTP/2 connections one by one, each where its own header block leads by the same routes: right behind
    /// proxies, which put the requests of many clients on one connection (Envoy, Istio, Cloud Run). Other connections are routed
    /// as before.
    ///
    /// A route then gets, for each client and on the first request that it takes, a share in the client's connection: an in-memory
    /// [`Connection`](super::Connection) on which its server sees a plain HTTP/2 client.
    pub fn per_request(&mut self) {
        self.per_request_with(SplitConfig::default());
    }

    /// As [`per_request`](Self::per_request), with bounds of your own.
    pub fn per_request_with(&mut self, config: SplitConfig) {
        self.plan.per_request(config);
    }

    /// Calls `hook` once for each connection, when its outcome is known: for metrics and logs. It runs inside of
    /// [`serve`](Self::serve) or, for one that is taken, inside of that call, such as [`Incoming::accept`]: it must not block. Its
    /// panics are caught and change nothing. The last call counts.
    pub fn on_outcome(&mut self, hook: impl Fn(&Report<'_>) + Send + Sync + 'static) {
        self.plan.hooks.outcome = Some(Box::new(hook));
    }

    /// Calls `hook` once for each connection whose requests are routed one by one, when it has ended: for metrics and logs. (To
    /// [`on_outcome`](Self::on_outcome) it was routed when that began.) It runs inside of [`serve`](Self::serve): it must not block. Its
    /// panics are caught and change nothing. The last call counts.
    pub fn on_split_end(&mut self, hook: impl Fn(&SplitReport<'_>) + Send + Sync + 'static) {
        self.plan.hooks.split_end = Some(Box::new(hook));
    }

    /// A remote control.
    pub fn handle(&self) -> Handle<L::Io> {
        Handle(self.link.clone())
    }

    /// Where the listener listens.
    ///
    /// # Errors
    /// If the socket can not be asked.
    pub fn local_address(&self) -> io::Result<Address> {
        self.listener.local_address()
    }

    fn slot(&mut self) -> Incoming<L::Io> {
        let (sender, receiver) = backlog(self.plan.limits.backlog);
        self.slots.push(sender);
        Incoming::new(receiver, self.local_address().unwrap_or(Address::Unknown))
    }

    /// Accepts and routes until [`Handle::shutdown`] or until the listener ends; then closes the listener, ends undecided
    /// connections at once and waits until they are gone and have read their refusals, which takes them
    /// at most twice [`Limits::linger`](crate::Limits::linger). Routed connections are their servers' business; those whose
    /// requests are routed one by one are the mux's, and drained first ([`SplitConfig::drain_deadline`]).
    ///
    /// One client's error, silence or flood never affects another one; errors of accept are counted, and accepting goes on.
    ///
    /// The future does all the work itself, on whatever executor it is awaited: undecided connections are tasks of an executor
    /// that lives inside of it, and so are those whose requests are routed one by one. Dropping it closes the listener and all of
    /// them.
    pub async fn serve(self) {
        self.serve_until(pending()).await;
    }

    /// As [`serve`](Self::serve), and shuts down when `shutdown` is ready.
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) {
        let Self { mut listener, plan, slots, link } = self;
        let shared = plan.finish();
        let slots = Arc::new(slots);
        let executor = Arc::new(Executor::new());
        let home = Home::of(&executor);
        let serving = Serving { shared: shared.clone(), slots: Arc::downgrade(&slots), home: home.clone() };
        let _ = link.serving.set(serving);
        // However this future ends, nothing can be given to the mux afterwards.
        let _stopped = StopAtEnd(&link.stop);
        executor
            .run(async {
                let mut shutdown = pin!(shutdown);
                let stop = poll_fn(|cx| match (shutdown.as_mut().poll(cx), link.stop.poll(cx)) {
                    (Poll::Pending, Poll::Pending) => Poll::Pending,
                    _ => Poll::Ready(()),
                });
                accept(&mut listener, &shared, pin!(stop), |io, journey| {
                    home.spawn(drive(io, journey, slots.clone(), home.clone()));
                })
                .await;
                drop(listener);
                link.stop.set();
                shared.registry.shut_down();
                drop(slots);
                while !executor.is_empty() {
                    Timer::after(MIN_PAUSE).await;
                }
            })
            .await;
    }
}

/// Accepts until `stop` is ready or the listener ends.
async fn accept<L: Listener>(
    listener: &mut L,
    shared: &Arc<Shared>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    begin: impl Fn(L::Io, Journey),
) {
    let mut pause = AcceptPause::new();
    let mut burst = 0;
    loop {
        let accepted = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if burst == ACCEPT_BURST {
                // The executor runs what it has before it polls this again.
                burst = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            listener.poll_accept(cx)
        });
        match accepted.await {
            None => return,
            Some(Ok((io, addresses))) => {
                pause.accepted();
                burst += 1;
                begin(io, Journey::new(shared.clone(), addresses, Instant::now()));
            }
            Some(Err(error)) => {
                shared.stats.accept_failed();
                burst += 1;
                if let Some(pause) = pause.failed(&error) {
                    let mut paused = Timer::after(pause);
                    let is_stopped = poll_fn(|cx| match stop.as_mut().poll(cx) {
                        Poll::Ready(()) => Poll::Ready(true),
                        Poll::Pending => Pin::new(&mut paused).poll(cx).map(|_| false),
                    });
                    if is_stopped.await {
                        return;
                    }
                }
            }
        }
    }
}

impl<T: Io> Handle<T> {
    /// Shuts the mux down: no new connections, undecided ones end at once, [`Mux::serve`] returns. Routed connections live on;
    /// with [`per_request`](Mux::per_request), `serve` returns only after the drain. Before `serve` is called, it makes it return
    /// at once.
    pub fn shutdown(&self) {
        self.0.stop.set();
    }

    /// Routes a connection that was accepted elsewhere (or whose TLS is terminated) as if the listener had accepted it.
    ///
    /// # Errors
    /// Gives the connection back if the mux is not serving (yet, or any more).
    pub fn connect(&self, io: T, addresses: Addresses) -> Result<(), NotServing<T>> {
        let Some(Serving { shared, slots, home }) = self.0.serving.get() else { return Err(NotServing(io)) };
        let Some(slots) = slots.upgrade().filter(|_| !self.0.stop.is_set()) else {
            return Err(NotServing(io));
        };
        let journey = Journey::new(shared.clone(), addresses, Instant::now());
        home.spawn(drive(io, journey, slots, home.clone()));
        Ok(())
    }

    /// Whether connections can be given to it.
    #[cfg(feature = "std")]
    pub(crate) fn is_serving(&self) -> bool {
        let slots = self.0.serving.get().map(|serving| serving.slots.strong_count());
        slots.is_some_and(|slots| slots > 0) && !self.0.stop.is_set()
    }

    #[cfg(feature = "std")]
    pub(crate) fn accept_failed(&self) {
        if let Some(serving) = self.0.serving.get() {
            serving.shared.stats.accept_failed();
        }
    }

    /// What the mux has done so far; all zero before [`Mux::serve`] is called.
    pub fn counters(&self) -> Counters {
        self.0.serving.get().map(|serving| serving.shared.stats.counters()).unwrap_or_default()
    }

    /// How many connections are undecided now; none before [`Mux::serve`] is called.
    pub fn undecided(&self) -> Undecided {
        self.0.serving.get().map(|serving| serving.shared.registry.undecided()).unwrap_or_default()
    }
}

/// Whether the mux is to stop, and how its loop hears of it.
#[derive(Debug, Default)]
struct Stop(Mutex<(bool, Option<Waker>)>);

impl Stop {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        let mut stop = self.lock();
        stop.0 = true;
        let waker = stop.1.take();
        drop(stop);
        waker.into_iter().for_each(Waker::wake);
    }

    fn is_set(&self) -> bool {
        self.lock().0
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut stop = self.lock();
        if stop.0 {
            return Poll::Ready(());
        }
        match &mut stop.1 {
            Some(waker) => waker.clone_from(cx.waker()),
            None => stop.1 = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}
