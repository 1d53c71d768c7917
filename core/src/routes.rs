//! Stage 4: an ordered table of matchers and where they lead. The order is the priority.

use std::time::Duration;

use crate::facts::Kinds;
use crate::matchers::{Matcher, Opening, Verdict};

/// One line of the table.
#[derive(Clone, Debug)]
struct Route<R> {
    matcher: Matcher,
    target: R,
}

/// Where connections may go, in the order in which they are tried. `R` is whatever the user wants back: an index, a name, a
/// channel.
///
/// ```
/// use oneport_core::{matchers, Routes};
///
/// let routes = Routes::new()
///     .route(matchers::grpc(), "grpc")
///     .route(matchers::http(), "rest")
///     .otherwise("raw");
/// assert_eq!(routes.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Routes<R> {
    routes: Vec<Route<R>>,
    /// What each of them asks for at least: most can be passed over by that alone.
    kinds: Vec<Kinds>,
    otherwise: Option<R>,
    on_timeout: Option<R>,
    server_first: Option<(R, Duration)>,
}

/// Why a connection goes where it goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// The route of this index matched, and every one before it had said no.
    Matched(usize),
    /// The opening was still undecided at its deadline.
    OnTimeout,
    /// Every route had said no.
    Otherwise,
    /// It is HTTP/2, and each of its requests goes where its own header block says ([`Config::per_request`](crate::Config::per_request)).
    PerRequest,
    /// The client waited for the server to speak.
    ServerFirst,
}

/// What the table says of an opening.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    NeedMore,
    NoRoute,
    Take(Why),
}

impl<R> Default for Routes<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Routes<R> {
    /// An empty table: it refuses everything.
    pub const fn new() -> Self {
        Self { routes: Vec::new(), kinds: Vec::new(), otherwise: None, on_timeout: None, server_first: None }
    }

    /// Adds a route behind those that are there.
    pub fn route(mut self, matcher: Matcher, target: R) -> Self {
        self.kinds.push(matcher.kinds());
        self.routes.push(Route { matcher, target });
        self
    }

    /// Where an opening goes that every route has refused. Without it, it is refused in its own protocol. The last call counts.
    pub fn otherwise(mut self, target: R) -> Self {
        self.otherwise = Some(target);
        self
    }

    /// Where an opening goes that has begun, is not HTTP/2, and is still undecided at its deadline
    /// ([`Config::opening_deadline`](crate::Config::opening_deadline)). Without it, it is refused: a slow client of one
    /// protocol is not a client of another. The last call counts.
    pub fn on_timeout(mut self, target: R) -> Self {
        self.on_timeout = Some(target);
        self
    }

    /// Where a client goes that has sent nothing for this long: one that waits for the server to speak first. The last call
    /// counts.
    pub fn server_first(mut self, target: R, after: Duration) -> Self {
        self.server_first = Some((target, after));
        self
    }

    /// The number of routes, not counting `otherwise`, `on_timeout` and `server_first`.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are no routes, not counting `otherwise`, `on_timeout` and `server_first`.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The routes in order.
    ///
    /// ```
    /// use oneport_core::{matchers, Routes};
    ///
    /// let routes = Routes::new().route(matchers::grpc(), 50051).route(matchers::http(), 8080);
    /// let lines: Vec<_> = routes.iter().map(|(matcher, port)| format!("{matcher}={port}")).collect();
    /// assert_eq!(lines, ["grpc=50051", "http=8080"]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&Matcher, &R)> {
        self.routes.iter().map(|route| (&route.matcher, &route.target))
    }

    /// Where a choice leads; nowhere in particular for [`Why::PerRequest`].
    pub fn target(&self, why: Why) -> Option<&R> {
        match why {
            Why::Matched(index) => self.routes.get(index).map(|route| &route.target),
            Why::OnTimeout => self.on_timeout.as_ref(),
            Why::Otherwise => self.otherwise.as_ref(),
            Why::PerRequest => None,
            Why::ServerFirst => self.server_first.as_ref().map(|(target, _)| target),
        }
    }

    /// How long a client may be silent before it counts as one that waits for the server.
    pub(crate) fn server_first_after(&self) -> Option<Duration> {
        self.server_first.as_ref().map(|(_, after)| *after)
    }

    pub(crate) const fn has_on_timeout(&self) -> bool {
        self.on_timeout.is_some()
    }

    /// Whether this route may be content with a request line.
    pub(crate) fn asks_line(&self, index: usize) -> bool {
        self.routes.get(index).is_some_and(|route| route.matcher.asks_line())
    }

    /// Judges an opening. `first_open` is the first route that has not said no yet; those before it are not asked again.
    pub(crate) fn choose(&self, opening: &Opening<'_>, first_open: &mut usize) -> Choice {
        let possible = opening.facts().kinds();
        let mut index = *first_open;
        while let Some(kinds) = self.kinds.get(index) {
            if kinds.meets(possible) {
                let Some(route) = self.routes.get(index) else { break };
                let choice = match route.matcher.judge(opening) {
                    Verdict::Match => Choice::Take(Why::Matched(index)),
                    Verdict::NeedMore => Choice::NeedMore,
                    Verdict::NoMatch => {
                        index += 1;
                        continue;
                    }
                };
                *first_open = index;
                return choice;
            }
            index += 1;
        }
        *first_open = index;
        match self.otherwise {
            Some(_) => Choice::Take(Why::Otherwise),
            None => Choice::NoRoute,
        }
    }
}
