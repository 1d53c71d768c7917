//! Stage 3: the vocabulary of routes. A matcher judges what the opening has shown and says match, no match, or need more.
//!
//! A matcher neither reads nor waits nor writes: it is a pure function of the opening, and its answer sticks, since facts
//! never change back. "No match" is said at the first byte that can no longer match; nothing ever waits for a fixed length.

mod host;
mod request;
mod tls;

use core::fmt;
use core::ops::Not;
use std::sync::Arc;

use crate::facts::{self, Fact, Facts, Kinds};
use crate::wire::progress::Progress;
use crate::wire::{postgres, socks5};
use host::HostPattern;
pub use request::HeaderCondition;
use request::RequestTerm;
use tls::TlsTerm;
pub use tls::TlsVersion;

/// What a matcher says of an opening.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Verdict {
    /// It is what the matcher looks for; for good.
    Match,
    /// More bytes are needed to tell.
    NeedMore,
    /// It can never be what the matcher looks for; for good.
    NoMatch,
}

impl Verdict {
    fn of<T>(fact: &Fact<T>) -> Self {
        Self::when(fact, |_| true)
    }

    const fn after(progress: Progress) -> Self {
        match progress {
            Progress::Done => Self::Match,
            Progress::Invalid | Progress::TooLong => Self::NoMatch,
            Progress::NeedMore => Self::NeedMore,
        }
    }

    /// Unknown needs more, absent does not match, present matches when `holds`.
    fn when<T>(fact: &Fact<T>, holds: impl FnOnce(&T) -> bool) -> Self {
        match fact {
            Fact::Absent => Self::NoMatch,
            Fact::Present(value) if holds(value) => Self::Match,
            Fact::Present(_) => Self::NoMatch,
            Fact::Unknown => Self::NeedMore,
        }
    }
}

impl Not for Verdict {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Match => Self::NoMatch,
            Self::NeedMore => Self::NeedMore,
            Self::NoMatch => Self::Match,
        }
    }
}

/// What matchers see of a connection: the facts, and for raw protocols the first bytes.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    facts: &'a Facts,
    /// The first bytes that the client sent, at most [`Config::max_prefix`](crate::Config::max_prefix).
    prefix: &'a [u8],
    /// Whether `prefix` will not grow ([`prefix_fn`] says why it may not). "Need more" of a matcher of raw bytes then means "no match".
    is_final: bool,
}

impl<'a> Opening<'a> {
    pub(crate) const fn new(facts: &'a Facts, prefix: &'a [u8], is_final: bool) -> Self {
        Self { facts, prefix, is_final }
    }

    /// What the parsers have found.
    pub(crate) const fn facts(&self) -> &'a Facts {
        self.facts
    }
}

type PrefixFn = dyn Fn(&[u8]) -> Verdict + Send + Sync;
type FactsFn = dyn Fn(&Facts) -> Verdict + Send + Sync;

#[derive(Clone)]
enum Term {
    All(Vec<Matcher>),
    Any,
    AnyOf(Vec<Matcher>),
    Facts(Arc<FactsFn>),
    Http,
    Http1,
    Http1Method,
    Http2,
    Not(Box<Matcher>),
    Postgres,
    Prefix(Vec<u8>),
    PrefixFn(Arc<PrefixFn>),
    Request(RequestTerm),
    Socks5,
    Ssh,
    Tls(TlsTerm),
}

impl Term {
    #[inline(never)]
    fn judge(&self, opening: &Opening<'_>) -> Verdict {
        match self {
            Self::All(matchers) => every(matchers, opening),
            Self::Any => Verdict::Match,
            Self::AnyOf(matchers) => one(matchers, opening),
            Self::Facts(judge) => match judge(opening.facts) {
                Verdict::NeedMore if opening.facts.is_settled() => Verdict::NoMatch,
                verdict => verdict,
            },
            Self::Http => match (opening.facts.http1(), opening.facts.http2()) {
                (Fact::Present(()), _) | (_, Fact::Present(())) => Verdict::Match,
                (Fact::Absent, Fact::Absent) => Verdict::NoMatch,
                _ => Verdict::NeedMore,
            },
            Self::Http1 => Verdict::of(&opening.facts.http1()),
            Self::Http1Method => METHODS
                .iter()
                .map(|method| raw(method, opening))
                .reduce(|a, b| match (a, b) {
                    (Verdict::Match, _) | (_, Verdict::Match) => Verdict::Match,
                    (Verdict::NeedMore, _) | (_, Verdict::NeedMore) => Verdict::NeedMore,
                    _ => Verdict::NoMatch,
                })
                .unwrap_or(Verdict::NoMatch),
            Self::Http2 => Verdict::of(&opening.facts.http2()),
            Self::Not(matcher) => !matcher.judge(opening),
            Self::Postgres => settle(Verdict::after(postgres::recognise(opening.prefix)), opening),
            Self::Prefix(bytes) => raw(bytes, opening),
            Self::PrefixFn(judge) => settle(judge(opening.prefix), opening),
            Self::Request(term) => term.judge(opening.facts),
            Self::Socks5 => settle(Verdict::after(socks5::recognise(opening.prefix)), opening),
            Self::Ssh => raw(SSH, opening),
            Self::Tls(term) => term.judge(opening.facts),
        }
    }
}

/// A question about an opening. Made by the functions of this module, combined by [`all`], [`any_of`] and [`not`] (or `!`).
///
/// Its `Display` is for logs and messages. It follows the terms of the command line as far as there are any, without the escapes
/// that these may need. `(a | b)`, as which [`any_of`] shows, is no such term: there it is several routes to the same backend.
#[derive(Clone)]
pub struct Matcher(Term);

/// Methods that [`http1_method`] knows: RFC 9110 §9 and PATCH (RFC 5789).
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

/// What every SSH client and server says first (RFC 4253 §4.2).
const SSH: &[u8] = b"SSH-";

/// Everything, even before the first byte.
pub const fn any() -> Matcher {
    Matcher(Term::Any)
}

/// Openings that start with exactly these bytes. Without bytes it takes everything; more than
/// [`Config::max_prefix`](crate::Config::max_prefix) are never looked at, so it takes nothing.
pub fn prefix(bytes: impl Into<Vec<u8>>) -> Matcher {
    Matcher(Term::Prefix(bytes.into()))
}

/// HTTP/1.0 and HTTP/1.1, by a request line that is valid (RFC 9112 §3).
pub const fn http1() -> Matcher {
    Matcher(Term::Http1)
}

/// HTTP/1 by one of the nine standard methods and a blank: less strict than [`http1`], but settled after eight bytes.
pub const fn http1_method() -> Matcher {
    Matcher(Term::Http1Method)
}

/// HTTP/2 with prior knowledge, by its preface (RFC 9113 §3.4).
pub const fn http2() -> Matcher {
    Matcher(Term::Http2)
}

/// HTTP of either version.
pub const fn http() -> Matcher {
    Matcher(Term::Http)
}

/// A field of that name in the first request (HTTP/1 or HTTP/2) for which the condition holds, on any of its lines. Names are
/// case-insensitive. Pseudo-fields are no fields: see [`authority`], [`path`] and [`method`].
///
/// ```
/// use oneport_core::matchers::{contains_token, header, is, present, starts_with};
///
/// let _ = header("x-canary", present());
/// let _ = header("x-tenant", is("blue"));
/// let _ = header("user-agent", starts_with("kube-probe/"));
/// let _ = header("connection", contains_token("upgrade"));
/// ```
pub fn header(name: impl Into<String>, condition: HeaderCondition) -> Matcher {
    Matcher(Term::Request(RequestTerm::header(name.into(), condition)))
}

/// A field that is there, whatever its value.
pub const fn present() -> HeaderCondition {
    HeaderCondition::Present
}

/// A field with exactly this value. Compared byte by byte, case-sensitive.
pub fn is(value: impl Into<String>) -> HeaderCondition {
    HeaderCondition::Is(value.into())
}

/// A field whose value starts with this. Compared byte by byte, case-sensitive.
pub fn starts_with(value: impl Into<String>) -> HeaderCondition {
    HeaderCondition::StartsWith(value.into())
}

/// A field that is a list with this token in it (RFC 9110 §5.6.1); tokens are case-insensitive.
pub fn contains_token(token: impl Into<String>) -> HeaderCondition {
    HeaderCondition::ContainsToken(token.into())
}

/// A first request for exactly this path, which begins with `/`; the query does not count. Compared byte by byte: percent-encoding
/// and `..` are not resolved.
pub fn path(path: impl Into<String>) -> Matcher {
    Matcher(Term::Request(RequestTerm::Path(path.into())))
}

/// A first request for this path or one below it, by whole segments: `/api` takes `/api` and `/api/x`, not `/apix`.
/// Slashes at its end do not count, so `/` takes every path. Compared byte by byte: percent-encoding and `..` are not resolved.
pub fn path_prefix(path: impl Into<String>) -> Matcher {
    let mut path = path.into();
    while path.ends_with('/') {
        path.pop();
    }
    Matcher(Term::Request(RequestTerm::PathPrefix(path)))
}

/// A first request for this host: `:authority`, else an absolute-form target, else Host; without port, which belongs in no `name`; a
/// trailing dot does not count, case-insensitive (see [`Request::authority`](crate::Request::authority)).
/// `*.example.org` takes every name below `example.org`, at any depth, and not `example.org` itself.
pub fn authority(name: impl Into<String>) -> Matcher {
    Matcher(Term::Request(RequestTerm::Authority(HostPattern::new(name.into()))))
}

/// A first request with this method, such as `GET` (case-sensitive, RFC 9110 §9.1).
pub fn method(method: impl Into<String>) -> Matcher {
    Matcher(Term::Request(RequestTerm::Method(method.into())))
}

/// A gRPC call, by the protocol's grammar: see [`Request::is_grpc`](crate::Request::is_grpc).
pub const fn grpc() -> Matcher {
    Matcher(Term::Request(RequestTerm::Grpc))
}

/// A gRPC call of a method of this service, named with its package: `grpc.health.v1.Health`. Case-sensitive.
pub fn grpc_service(service: impl Into<String>) -> Matcher {
    Matcher(Term::Request(RequestTerm::GrpcService(service.into())))
}

/// A call of gRPC-Web, which is a POST; the preflight of a browser (OPTIONS) is none. See
/// [`Request::is_grpc_web`](crate::Request::is_grpc_web).
pub const fn grpc_web() -> Matcher {
    Matcher(Term::Request(RequestTerm::GrpcWeb))
}

/// A WebSocket handshake: HTTP/1 GET with `Upgrade: websocket` and `Connection: upgrade` (RFC 6455 §4.1), or HTTP/2 CONNECT with
/// `:protocol = websocket` (RFC 8441 §5).
pub const fn websocket() -> Matcher {
    Matcher(Term::Request(RequestTerm::WebSocket))
}

/// HTTP/1 with an offer to go on in HTTP/2, by `Upgrade: h2c` and `Connection: upgrade` (RFC 7540 §3.2, deprecated by RFC 9113 and
/// still sent by `curl --http2`).
pub const fn h2c_upgrade() -> Matcher {
    Matcher(Term::Request(RequestTerm::H2cUpgrade))
}

/// TLS, by a whole ClientHello (RFC 8446 §4.1.2).
pub const fn tls() -> Matcher {
    Matcher(Term::Tls(TlsTerm::Any))
}

/// TLS for this server name (RFC 6066 §3), case-insensitive; `*.example.org` as in [`authority`].
pub fn sni(name: impl Into<String>) -> Matcher {
    Matcher(Term::Tls(TlsTerm::Sni(HostPattern::new(name.into()))))
}

/// TLS that offers this protocol (RFC 7301), for example `h2`.
pub fn alpn(protocol: impl Into<Vec<u8>>) -> Matcher {
    Matcher(Term::Tls(TlsTerm::Alpn(protocol.into())))
}

/// TLS whose client offers this version: in supported_versions (RFC 8446 §4.2.1), or, without that extension, as the highest
/// version of its hello (RFC 5246 has no list; lower ones are not looked for).
pub const fn tls_version(version: TlsVersion) -> Matcher {
    Matcher(Term::Tls(TlsTerm::Version(version)))
}

/// SSH (RFC 4253 §4.2).
pub const fn ssh() -> Matcher {
    Matcher(Term::Ssh)
}

/// PostgreSQL: StartupMessage 3.x, SSLRequest, GSSENCRequest or CancelRequest ("Message Formats" in its manual).
pub const fn postgres() -> Matcher {
    Matcher(Term::Postgres)
}

/// SOCKS version 5 (RFC 1928 §3).
pub const fn socks5() -> Matcher {
    Matcher(Term::Socks5)
}

/// The opposite.
pub fn not(matcher: Matcher) -> Matcher {
    Matcher(Term::Not(Box::new(matcher)))
}

/// All of them; of none: everything.
pub fn all(matchers: impl IntoIterator<Item = Matcher>) -> Matcher {
    Matcher(Term::All(matchers.into_iter().collect()))
}

/// At least one of them; of none: nothing.
pub fn any_of(matchers: impl IntoIterator<Item = Matcher>) -> Matcher {
    Matcher(Term::AnyOf(matchers.into_iter().collect()))
}

/// A closure over the facts. It must be a pure function of them and must not take back a match or a no match: an opening is looked at
/// step by step, also one that comes in one piece, so of a fact that is unknown say [`Verdict::NeedMore`]. Once no fact can
/// change any more, [`Verdict::NeedMore`] counts as no match; but where a bound has cut the opening off, facts stay unknown, and it
/// is refused.
pub fn facts_fn(judge: impl Fn(&Facts) -> Verdict + Send + Sync + 'static) -> Matcher {
    Matcher(Term::Facts(Arc::new(judge)))
}

/// A closure over the first bytes (at most [`Config::max_prefix`](crate::Config::max_prefix)). It must be a pure function of
/// them and must not take back a match or a no match when more bytes come. Once none can come, [`Verdict::NeedMore`] counts as no
/// match: the bound is reached, the client has ended its side, it speaks HTTP/2 and has said all that counts, or the mux has
/// greeted it, after which bytes depend on what it was told.
pub fn prefix_fn(judge: impl Fn(&[u8]) -> Verdict + Send + Sync + 'static) -> Matcher {
    Matcher(Term::PrefixFn(Arc::new(judge)))
}

impl Matcher {
    /// What this matcher says of the opening so far.
    pub(crate) fn judge(&self, opening: &Opening<'_>) -> Verdict {
        // Most routes of long tables are about requests, and this is what each of them costs.
        match &self.0 {
            Term::Request(term) => term.judge(opening.facts),
            Term::Tls(term) => term.judge(opening.facts),
            other => other.judge(opening),
        }
    }

    /// Whether it takes everything, so that nothing behind it can be reached.
    pub fn takes_everything(&self) -> bool {
        match &self.0 {
            Term::Any => true,
            Term::All(matchers) => matchers.iter().all(Self::takes_everything),
            Term::AnyOf(matchers) => matchers.iter().any(Self::takes_everything),
            _ => false,
        }
    }

    /// Protocols without which it does not match: it says no to every opening of which none of these may still be in (as
    /// [`Facts::kinds`] has it), so that it need not be asked.
    pub(crate) fn kinds(&self) -> Kinds {
        match &self.0 {
            // One member that says no is enough, and every member must say it. (Not what all have in common: that may be nothing
            // before any of them says no.)
            Term::All(matchers) => matchers.iter().map(Self::kinds).fold(Kinds::ALL, Kinds::smaller),
            Term::AnyOf(matchers) => matchers.iter().map(Self::kinds).fold(Kinds::NONE, Kinds::or),
            Term::Any
            | Term::Facts(_)
            | Term::Http1Method
            | Term::Not(_)
            | Term::Postgres
            | Term::Prefix(_)
            | Term::PrefixFn(_)
            | Term::Socks5
            | Term::Ssh => Kinds::ALL,
            Term::Http => Kinds::HTTP,
            Term::Http1 => Kinds::HTTP1,
            Term::Http2 => Kinds::HTTP2,
            Term::Request(term) => term.kinds(),
            Term::Tls(_) => Kinds::TLS,
        }
    }

    /// Whether a request line may be enough for it, where there is no more of a request.
    pub(crate) fn asks_line(&self) -> bool {
        match &self.0 {
            Term::All(matchers) | Term::AnyOf(matchers) => matchers.iter().any(Self::asks_line),
            Term::Facts(_) => true,
            Term::Not(matcher) => matcher.asks_line(),
            Term::Request(term) => term.asks_line(),
            _ => false,
        }
    }

    /// Whether it looks at what differs from request to request of one connection (path, host, method, header, gRPC service):
    /// routed by connection, later requests go where the first one went.
    ///
    /// [`grpc`], [`grpc_web`], [`websocket`] and [`h2c_upgrade`] do not count: they are kinds of requests, which ordinary clients
    /// do not mix on one connection; proxies do. Neither do closures, whose inside is not known.
    pub fn looks_at_requests(&self) -> bool {
        match &self.0 {
            Term::All(matchers) | Term::AnyOf(matchers) => matchers.iter().any(Self::looks_at_requests),
            Term::Not(matcher) => matcher.looks_at_requests(),
            Term::Request(term) => term.differs_by_request(),
            _ => false,
        }
    }
}

impl Not for Matcher {
    type Output = Self;

    fn not(self) -> Self {
        not(self)
    }
}

fn every(matchers: &[Matcher], opening: &Opening<'_>) -> Verdict {
    let mut verdict = Verdict::Match;
    for matcher in matchers {
        match matcher.judge(opening) {
            Verdict::Match => {}
            Verdict::NeedMore => verdict = Verdict::NeedMore,
            Verdict::NoMatch => return Verdict::NoMatch,
        }
    }
    verdict
}

fn one(matchers: &[Matcher], opening: &Opening<'_>) -> Verdict {
    let mut verdict = Verdict::NoMatch;
    for matcher in matchers {
        match matcher.judge(opening) {
            Verdict::Match => return Verdict::Match,
            Verdict::NeedMore => verdict = Verdict::NeedMore,
            Verdict::NoMatch => {}
        }
    }
    verdict
}

/// Literal bytes at the start.
fn raw(bytes: &[u8], opening: &Opening<'_>) -> Verdict {
    settle(Verdict::of(&facts::starts_with(opening.prefix, bytes)), opening)
}

/// A judge of raw bytes that wants more than there will be has its answer.
fn settle(verdict: Verdict, opening: &Opening<'_>) -> Verdict {
    match verdict {
        Verdict::NeedMore if opening.is_final => Verdict::NoMatch,
        other => other,
    }
}

/// A list of terms as the command line writes it.
fn list(f: &mut fmt::Formatter<'_>, matchers: &[Matcher], separator: &str) -> fmt::Result {
    for (i, matcher) in matchers.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{matcher}")?;
    }
    Ok(())
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Term::All(matchers) => list(f, matchers, ","),
            Term::Any => f.write_str("any"),
            Term::AnyOf(matchers) => {
                f.write_str("(")?;
                list(f, matchers, " | ")?;
                f.write_str(")")
            }
            Term::Facts(_) => f.write_str("<closure over the facts>"),
            Term::Http => f.write_str("http"),
            Term::Http1 => f.write_str("http1"),
            Term::Http1Method => f.write_str("http1-method"),
            Term::Http2 => f.write_str("http2"),
            Term::Not(matcher) => write!(f, "!{matcher}"),
            Term::Postgres => f.write_str("postgres"),
            Term::Prefix(bytes) => write!(f, "prefix:{}", bytes.escape_ascii()),
            Term::PrefixFn(_) => f.write_str("<closure over the prefix>"),
            Term::Request(term) => term.fmt(f),
            Term::Socks5 => f.write_str("socks5"),
            Term::Ssh => f.write_str("ssh"),
            Term::Tls(term) => term.fmt(f),
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({self})")
    }
}
