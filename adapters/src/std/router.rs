//! Deciding on the thread that has the connection.

use std::sync::Arc;
use std::time::Duration;

use oneport_core::Outcome;

use super::connection::Connection;
use super::drive::decide;
use super::socket::Io;
use crate::address::Addresses;
use crate::context::{Plan, Shared};
use crate::registry::Undecided;
use crate::stats::{Counters, Report};
use crate::{Config, Limits, Matcher};

/// Decides connections one by one, each on the thread that has it: for streams that can not be polled, such as those whose TLS
/// is terminated in this process.
///
/// ```no_run
/// use oneport::matchers::{grpc, http};
/// use oneport::std::Router;
/// use oneport::Addresses;
/// use std::thread;
///
/// # fn main() -> std::io::Result<()> {
/// let router = Router::builder().route("grpc", grpc()).route("rest", http()).build();
/// for stream in std::net::TcpListener::bind("127.0.0.1:8443")?.incoming() {
///     let (stream, router) = (stream?, router.clone());
///     thread::spawn(move || {
///         // here would be the TLS handshake
///         let Ok(connection) = router.decide(stream, Addresses::UNKNOWN) else { return };
///         match connection.route() {
///             Some("grpc") => { /* serve gRPC */ }
///             _ => { /* serve HTTP */ }
///         }
///     });
/// }
/// # Ok(())
/// # }
/// ```
///
/// It has the rules, bounds, refusals and counters of a [`Mux`](super::Mux) and costs a thread per undecided connection, which
/// [`Limits::undecided`] bounds.
#[derive(Clone, Debug)]
pub struct Router(Arc<Shared>);

/// A [`Router`] in the making.
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct RouterBuilder(Plan);

impl Router {
    /// With the default bounds.
    pub fn builder() -> RouterBuilder {
        Self::with_bounds(Config::default(), Limits::default())
    }

    /// With bounds of your own: per connection and over all of them. [`Config::per_request`] counts as `false`.
    pub fn with_bounds(mut config: Config, limits: Limits) -> RouterBuilder {
        config.per_request = false;
        RouterBuilder(Plan::new(config, limits))
    }

    /// Decides where the connection goes; [`Connection::route`] says it. Blocks until then: for as long as the deadlines of
    /// [`Config`] allow. The stream's timeouts are used meanwhile and are off afterwards.
    ///
    /// It should be blocking. One that is not is decided as well, but looked at only every millisecond, and stays as it is.
    ///
    /// # Errors
    /// What became of a connection that goes nowhere. It has been answered in its client's protocol, and closed.
    pub fn decide<T: Io>(&self, io: T, addresses: Addresses) -> Result<Connection<T>, Outcome> {
        decide(io, addresses, &self.0)
    }

    /// Ends all undecided connections, within a tenth of a second, and every one that still comes, in [`Outcome::Shutdown`].
    pub fn shutdown(&self) {
        self.0.registry.shut_down();
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.0.stats.counters()
    }

    /// How many connections are undecided now.
    pub fn undecided(&self) -> Undecided {
        self.0.registry.undecided()
    }
}

impl RouterBuilder {
    /// Adds a route behind those that are there.
    pub fn route(mut self, name: impl Into<String>, matcher: Matcher) -> Self {
        self.0.route(name.into(), matcher);
        self
    }

    /// Where connections go that every route has refused. Without it they are refused in their own protocol.
    /// There is one: a second call takes the place of the first.
    pub fn otherwise(mut self, name: impl Into<String>) -> Self {
        self.0.otherwise(name.into());
        self
    }

    /// Where connections go that have begun, are not HTTP/2, and are undecided at [`Config::opening_deadline`].
    pub fn on_timeout(mut self, name: impl Into<String>) -> Self {
        self.0.on_timeout(name.into());
        self
    }

    /// Where clients go that have said nothing for this long: those that wait for the server to speak first (MySQL, SMTP).
    /// With an `after` of 0 clients have no time to speak; at or above [`Config::silent_deadline`] it is of no use.
    pub fn server_first(mut self, name: impl Into<String>, after: Duration) -> Self {
        self.0.server_first(name.into(), after);
        self
    }

    /// Calls `hook` once for each connection, when its outcome is known, inside of
    /// [`Router::decide`]: it must not block. Its panics are caught and change nothing. The last call counts.
    pub fn on_outcome(mut self, hook: impl Fn(&Report<'_>) + Send + Sync + 'static) -> Self {
        self.0.hooks.outcome = Some(Box::new(hook));
        self
    }

    /// The router.
    pub fn build(self) -> Router {
        Router(self.0.finish())
    }
}
