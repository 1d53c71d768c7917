//! Several servers behind one listener: the mux of the adapter for smol, run on one thread.

use std::io;
use std::thread;
use std::time::Duration;

use super::incoming::Incoming;
use super::listener::{Listener, Polled};
use super::socket::{blocking, Socket};
use crate::address::{Address, Addresses};
use crate::given_back::NotServing;
use crate::registry::Undecided;
use crate::smol;
use crate::stats::{Counters, Report, SplitReport};
use crate::{Config, Limits, Matcher, SplitConfig};

/// Several servers behind one listener.
///
/// Add routes in the order of their priority, then call [`serve`](Self::serve): without it nothing is accepted.
#[must_use = "nothing is accepted until `serve` is called"]
#[derive(Debug)]
pub struct Mux<L: Listener>(smol::Mux<Polled<L>>);

/// A remote control for a [`Mux`]: stops it, feeds it, and tells what it has done.
#[derive(Debug)]
pub struct Handle<T: Socket>(smol::Handle<smol::Socket<T>>);

impl<T: Socket> Clone for Handle<T> {
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
        Self(smol::Mux::with_bounds(Polled::NotYet(listener), config, limits))
    }

    /// Adds a route behind those that are there. A dropped [`Incoming`] refuses its connections, and the others live on.
    /// Names are for logs and counters; two routes of one name are counted together.
    pub fn route(&mut self, name: impl Into<String>, matcher: Matcher) -> Incoming<L::Io> {
        Incoming::new(self.0.route(name, matcher))
    }

    /// Where connections go that every route has refused. Without it they are refused in their own protocol. There is one: a
    /// second call takes the place of the first, whose [`Incoming`] then gets nothing.
    pub fn otherwise(&mut self, name: impl Into<String>) -> Incoming<L::Io> {
        Incoming::new(self.0.otherwise(name))
    }

    /// Where connections go that have begun, are not HTTP/2, and are undecided at
    /// [`Config::opening_deadline`](crate::Config::opening_deadline). Without it they are refused. There is one, as with
    /// [`otherwise`](Self::otherwise).
    pub fn on_timeout(&mut self, name: impl Into<String>) -> Incoming<L::Io> {
        Incoming::new(self.0.on_timeout(name))
    }

    /// Where clients go that have said nothing for this long: those that wait for the server to speak first (MySQL, SMTP).
    /// There is one, as with [`otherwise`](Self::otherwise). With an `after` of 0 clients have no time to speak; at or above
    /// [`Config::silent_deadline`](crate::Config::silent_deadline) it is of no use.
    pub fn server_first(&mut self, name: impl Into<String>, after: Duration) -> Incoming<L::Io> {
        Incoming::new(self.0.server_first(name, after))
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
        self.0.per_request_with(config);
    }

    /// Calls `hook` once for each connection, when its outcome is known: for metrics and logs. It runs on the thread of
    /// [`serve`](Self::serve) or, for one that is taken, on the thread that takes it, inside of that call: it must not block. Its
    /// panics are caught and change nothing. The last call counts.
    pub fn on_outcome(&mut self, hook: impl Fn(&Report<'_>) + Send + Sync + 'static) {
        self.0.on_outcome(hook);
    }

    /// Calls `hook` once for each connection whose requests are routed one by one, when it has ended: for metrics and logs. (To
    /// [`on_outcome`](Self::on_outcome) it was routed when that began.) It runs on the thread of
    /// [`serve`](Self::serve): it must not block. Its
    /// panics are caught and change nothing. The last call counts.
    pub fn on_split_end(&mut self, hook: impl Fn(&SplitReport<'_>) + Send + Sync + 'static) {
        self.0.on_split_end(hook);
    }

    /// A remote control.
    pub fn handle(&self) -> Handle<L::Io> {
        Handle(self.0.handle())
    }

    /// Where the listener listens.
    ///
    /// # Errors
    /// If the socket can not be asked.
    pub fn local_address(&self) -> io::Result<Address> {
        self.0.local_address()
    }

    /// Accepts and routes until [`Handle::shutdown`]; then closes the listener, ends undecided connections at once and waits until
    /// they are gone and have read their refusals, which takes them at most twice [`Limits::linger`](crate::Limits::linger).
    /// Routed connections are their servers' business; those whose requests are routed one by one are the mux's, and drained first
    /// ([`SplitConfig::drain_deadline`]).
    ///
    /// One client's error, silence or flood never affects another one; errors of accept are counted, and accepting goes on. If
    /// the system does not let the listener be polled at all, that is counted as an error of accept, and this returns.
    pub fn serve(self) {
        async_io::block_on(self.0.serve());
    }

    /// As [`serve`](Self::serve), and shuts down when `shutdown` returns. That runs on a thread of its own, such as one that waits
    /// for a message: `move || { let _ = receiver.recv(); }`. It is not waited for if the mux ends before.
    ///
    /// # Errors
    /// If the thread can not be started; nothing is served then.
    pub fn serve_until(self, shutdown: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = self.handle();
        thread::Builder::new().name("oneport-shutdown".into()).spawn(move || {
            shutdown();
            handle.shutdown();
        })?;
        self.serve();
        Ok(())
    }
}

impl<T: Socket> Handle<T> {
    /// Shuts the mux down: no new connections, undecided ones end at once, [`Mux::serve`] returns. Routed connections live on;
    /// with [`per_request`](Mux::per_request), `serve` returns only after the drain. Before `serve` is called, it makes it return
    /// at once.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }

    /// Routes a connection that was accepted elsewhere as if the listener had accepted it; does not wait for that. A socket that
    /// the system does not let be polled is closed and counted as an error of accept.
    ///
    /// # Errors
    /// Gives the connection back if the mux is not serving (yet, or any more).
    pub fn connect(&self, io: T, addresses: Addresses) -> Result<(), NotServing<T>> {
        if !self.0.is_serving() {
            return Err(NotServing(io));
        }
        let Ok(socket) = smol::Socket::new(io) else {
            self.0.accept_failed();
            return Ok(());
        };
        match self.0.connect(socket, addresses) {
            Ok(()) => Ok(()),
            // It has just ended.
            Err(NotServing(socket)) => blocking(socket).map_or(Ok(()), |io| Err(NotServing(io))),
        }
    }

    /// What the mux has done so far; all zero before [`Mux::serve`] is called.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// How many connections are undecided now; none before [`Mux::serve`] is called.
    pub fn undecided(&self) -> Undecided {
        self.0.undecided()
    }
}
