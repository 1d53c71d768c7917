//! The listener's loop: accept, and let each connection find its way on its own.

use std::future::{pending, poll_fn, Future};
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, Instant};

use super::bell::Bell;
use super::drive::drive;
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
    slots: Vec<Sender<Arrival<L::Io>>>,
    link: Arc<Link<L::Io>>,
}

/// The senders to all routes: as long as one exists, connections may still come.
pub(super) type Slots<T> = Vec<Sender<Arrival<T>>>;

/// What handles and the serving loop have in common.
#[derive(Debug)]
struct Link<T: Io> {
    stop: watch::Sender<bool>,
    serving: OnceLock<(Arc<Shared>, Weak<Slots<T>>)>,
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
        let link = Link { stop: watch::Sender::new(false), serving: OnceLock::new() };
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

    /// Calls `hook` once for each connection, when its outcome is known: for metrics and logs. It runs on the connection's task
    /// or, for one that is taken by its server, inside of that call, such as [`Incoming::accept`]; for [`Arrival::refuse`] on the
    /// task that this spawns. It must not block. Its panics are caught and change nothing. The last call counts.
    pub fn on_outcome(&mut self, hook: impl Fn(&Report<'_>) + Send + Sync + 'static) {
        self.plan.hooks.outcome = Some(Box::new(hook));
    }

    /// Calls `hook` once for each connection whose requests are routed one by one, when it has ended: for metrics and logs. (To
    /// [`on_outcome`](Self::on_outcome) it was routed when that began.) It runs on the connection's task: it must not block. Its
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
    /// connections at once and waits until they are gone. Routed connections are their servers' business; those whose requests
    /// are routed one by one are the mux's, and drained first ([`SplitConfig::drain_deadline`]).
    ///
    /// One client's error, silence or flood never affects another one; errors of accept are counted, and accepting goes on.
    ///
    /// Each undecided connection is a task of the runtime. Dropping the future closes the listener and ends them as a shutdown does,
    /// without waiting until they are gone.
    ///
    /// # Panics
    /// At once, on a runtime without timers (`enable_time`).
    pub async fn serve(self) {
        self.serve_until(pending()).await;
    }

    /// As [`serve`](Self::serve), and shuts down when `shutdown` is ready.
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) {
        // Without timers each connection's task would panic, and its client be reset, while serving goes on: it is said here.
        drop(sleep(Duration::ZERO));
        let Self { mut listener, plan, slots, link } = self;
        let shared = plan.finish();
        let slots = Arc::new(slots);
        let _ = link.serving.set((shared.clone(), Arc::downgrade(&slots)));
        let end = EndOfServing { stop: &link.stop, shared: &shared };
        let mut stopped = link.stop.subscribe();

        let mut stop = pin!(async {
            let mut shutdown = pin!(shutdown);
            let mut stopped = pin!(stopped.wait_for(|stop| *stop));
            poll_fn(|cx| match (shutdown.as_mut().poll(cx), stopped.as_mut().poll(cx)) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
        });
        // Without it, the runtime's timers end the patience.
        let bell = listener.has_runtime_sockets().then(Bell::new).and_then(Result::ok).map(Arc::new);
        let mut pause = AcceptPause::new();
        let mut burst = 0;
        loop {
            if burst == ACCEPT_BURST {
                // tokio's own listeners take turns by themselves; a stream of connections may not.
                burst = 0;
                yield_now().await;
            }
            burst += 1;
            let accepted = poll_fn(|cx| {
                bell.as_ref().inspect(|bell| bell.poll(cx));
                match stop.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => listener.poll_accept(cx),
                }
            });
            match accepted.await {
                None => break,
                Some(Ok((io, addresses))) => {
                    pause.accepted();
                    let journey = Journey::new(shared.clone(), addresses, Instant::now().into_std());
                    tokio::spawn(drive(io, journey, slots.clone(), bell.clone()));
                }
                Some(Err(error)) => {
                    shared.stats.accept_failed();
                    if let Some(pause) = pause.failed(&error) {
                        let mut paused = pin!(sleep(pause));
                        let is_stopped = poll_fn(|cx| {
                            bell.as_ref().inspect(|bell| bell.poll(cx));
                            match stop.as_mut().poll(cx) {
                                Poll::Ready(()) => Poll::Ready(true),
                                Poll::Pending => paused.as_mut().poll(cx).map(|()| false),
                            }
                        });
                        if is_stopped.await {
                            break;
                        }
                    }
                }
            }
        }
        drop(listener);
        drop(end);
        drop(slots);
        while !shared.registry.is_empty() {
            sleep(MIN_PAUSE).await;
        }
    }
}

/// However `serve` ends (it may be dropped by a `select!`, or with its task): nothing can be given to the mux afterwards, and no
/// connection waits for a verdict.
struct EndOfServing<'a> {
    stop: &'a watch::Sender<bool>,
    shared: &'a Shared,
}

impl Drop for EndOfServing<'_> {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.shared.registry.shut_down();
    }
}

impl<T: Io> Handle<T> {
    /// Shuts the mux down: no new connections, undecided ones end at once, [`Mux::serve`] returns. Routed connections live on;
    /// with [`per_request`](Mux::per_request), `serve` returns only after the drain. Before `serve` is called, it makes it return
    /// at once.
    pub fn shutdown(&self) {
        // Nobody may be listening yet: the value stays.
        self.0.stop.send_replace(true);
    }

    /// Routes a connection that was accepted elsewhere (or whose TLS is terminated) as if the listener had accepted it, on a task
    /// of the current runtime.
    ///
    /// # Errors
    /// Gives the connection back if the mux is not serving (yet, or any more), and outside of a runtime.
    pub fn connect(&self, io: T, addresses: Addresses) -> Result<(), NotServing<T>> {
        let Some((shared, slots)) = self.0.serving.get() else { return Err(NotServing(io)) };
        let Some(slots) = slots.upgrade().filter(|_| !*self.0.stop.borrow()) else {
            return Err(NotServing(io));
        };
        let Ok(runtime) = Runtime::try_current() else { return Err(NotServing(io)) };
        let journey = Journey::new(shared.clone(), addresses, Instant::now().into_std());
        // It may be another runtime, whose sockets the bell knows nothing of.
        runtime.spawn(drive(io, journey, slots, None));
        Ok(())
    }

    /// What the mux has done so far; all zero before [`Mux::serve`] is called.
    pub fn counters(&self) -> Counters {
        self.0.serving.get().map(|(shared, _)| shared.stats.counters()).unwrap_or_default()
    }

    /// How many connections are undecided now; none before [`Mux::serve`] is called.
    pub fn undecided(&self) -> Undecided {
        self.0.serving.get().map(|(shared, _)| shared.registry.undecided()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::Receiver;
    use oneport_core::Output;
    use tokio::io::{duplex, AsyncReadExt, DuplexStream};

    /// An arrival as a connection would hand it over that has just reserved its place.
    fn arrival(shared: &Arc<Shared>, io: DuplexStream) -> Arrival<DuplexStream> {
        let now = Instant::now().into_std();
        let journey = Journey::new(shared.clone(), Addresses::UNKNOWN, now);
        let mut machine = shared.machine(now);
        machine.handle_input(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", now);
        let Output::Routed(handover) = machine.poll_output() else { panic!("everything matches") };
        Arrival::new(io, handover, journey, shared.registry.enter(now))
    }

    /// Its server goes after a connection has reserved its place and before it fills it.
    #[tokio::test]
    async fn a_place_that_is_filled_after_its_server_has_gone_refuses() {
        let mut plan = Plan::new(Config::default(), Limits::default());
        plan.route("old".into(), crate::matchers::http1());
        let shared = plan.finish();
        let (sender, receiver): (_, Receiver<Arrival<DuplexStream>>) = backlog(1);
        let incoming = Incoming::new(receiver, Address::Unknown);
        let Poll::Ready(Ok(permit)) = sender.try_reserve() else { panic!("there is a place") };
        drop(incoming);
        let (mut client, io) = duplex(1_024);
        permit.send(arrival(&shared, io));
        let mut heard = [0; 12];
        let answer = tokio::time::timeout(Duration::from_secs(10), client.read_exact(&mut heard)).await;
        answer.expect("it is answered").expect("it is not just closed");
        assert_eq!(heard, *b"HTTP/1.1 502");
        assert_eq!(shared.stats.counters().count("refused"), 1);
    }
}
