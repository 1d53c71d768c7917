//! Matchers that judge the first request, on either version of HTTP.

use core::fmt;

use super::host::HostPattern;
use super::Verdict;
use crate::facts::{name_bit, Fact, Facts, HttpVersion, Kinds, Request};

/// What [`header`](super::header) asks of a field's value.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeaderCondition {
    /// See [`contains_token`](super::contains_token).
    ContainsToken(String),
    /// See [`is`](super::is).
    Is(String),
    /// See [`present`](super::present).
    Present,
    /// See [`starts_with`](super::starts_with).
    StartsWith(String),
}

impl HeaderCondition {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::ContainsToken(token) => has_token(value, token.as_bytes()),
            Self::Is(wanted) => value == wanted.as_bytes(),
            Self::Present => true,
            Self::StartsWith(wanted) => value.starts_with(wanted.as_bytes()),
        }
    }
}

/// A field and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct HeaderTerm {
    name: String,
    /// Of the name: see [`Request::may_have`].
    bit: u64,
    condition: HeaderCondition,
}

#[derive(Clone, Debug)]
pub(super) enum RequestTerm {
    Authority(HostPattern),
    Grpc,
    GrpcService(String),
    GrpcWeb,
    H2cUpgrade,
    Header(HeaderTerm),
    Method(String),
    Path(String),
    PathPrefix(String),
    WebSocket,
}

impl RequestTerm {
    pub(super) fn header(name: String, condition: HeaderCondition) -> Self {
        let bit = name_bit(name.as_bytes());
        Self::Header(HeaderTerm { name, bit, condition })
    }

    pub(super) fn judge(&self, facts: &Facts) -> Verdict {
        match facts.request() {
            Fact::Present(request) if self.holds(request) => Verdict::Match,
            Fact::Present(_) => Verdict::NoMatch,
            Fact::Absent | Fact::Unknown => self.judge_less(facts),
        }
    }

    /// Of an opening without a whole head.
    #[cold]
    fn judge_less(&self, facts: &Facts) -> Verdict {
        match self {
            Self::Grpc | Self::GrpcService(_) if facts.http2() == Fact::Absent => return Verdict::NoMatch,
            Self::H2cUpgrade if facts.http1() == Fact::Absent => return Verdict::NoMatch,
            _ => {}
        }
        let request = if self.asks_line() { facts.request_line() } else { facts.request() };
        Verdict::when(&request, |request| self.holds(request))
    }

    fn holds(&self, request: &Request) -> bool {
        match self {
            Self::Authority(pattern) => request.authority().is_some_and(|name| pattern.matches(name)),
            Self::Grpc => request.is_grpc(),
            Self::GrpcService(service) => request.is_grpc() && is_method_of(request.target(), service),
            Self::GrpcWeb => request.is_grpc_web(),
            Self::H2cUpgrade => upgrades_to(request, b"h2c"),
            Self::Header(HeaderTerm { name, bit, condition }) => {
                request.may_have(*bit) && request.values(name.as_bytes()).any(|value| condition.holds(value))
            }
            Self::Method(method) => request.method() == method.as_bytes(),
            Self::Path(path) => request.path() == Some(path.as_bytes()),
            Self::PathPrefix(prefix) => {
                request.path().is_some_and(|path| lies_below(path, prefix.as_bytes()))
            }
            Self::WebSocket => match request.version() {
                HttpVersion::Http1 => request.method() == b"GET" && upgrades_to(request, b"websocket"),
                HttpVersion::Http2 => {
                    request.method() == b"CONNECT"
                        && request.protocol().is_some_and(|p| p.eq_ignore_ascii_case(b"websocket"))
                }
            },
        }
    }

    pub(super) const fn kinds(&self) -> Kinds {
        match self {
            Self::Grpc | Self::GrpcService(_) => Kinds::HTTP2,
            Self::H2cUpgrade => Kinds::HTTP1,
            Self::Authority(_)
            | Self::GrpcWeb
            | Self::Header(_)
            | Self::Method(_)
            | Self::Path(_)
            | Self::PathPrefix(_)
            | Self::WebSocket => Kinds::HTTP,
        }
    }

    /// Whether the request line is enough.
    pub(super) const fn asks_line(&self) -> bool {
        matches!(self, Self::Method(_) | Self::Path(_) | Self::PathPrefix(_))
    }

    /// Whether two requests of one connection can differ in it.
    pub(super) const fn differs_by_request(&self) -> bool {
        match self {
            Self::Authority(_)
            | Self::GrpcService(_)
            | Self::Header(_)
            | Self::Method(_)
            | Self::Path(_)
            | Self::PathPrefix(_) => true,
            Self::Grpc | Self::GrpcWeb | Self::H2cUpgrade | Self::WebSocket => false,
        }
    }
}

impl fmt::Display for RequestTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(name) => write!(f, "host:{name}"),
            Self::Grpc => f.write_str("grpc"),
            Self::GrpcService(service) => write!(f, "grpc:{service}"),
            Self::GrpcWeb => f.write_str("grpc-web"),
            Self::H2cUpgrade => f.write_str("h2c-upgrade"),
            Self::Header(HeaderTerm { name, condition, .. }) => match condition {
                HeaderCondition::ContainsToken(token) => write!(f, "header:{name}~{token}"),
                HeaderCondition::Is(value) => write!(f, "header:{name}={value}"),
                HeaderCondition::Present => write!(f, "header:{name}"),
                HeaderCondition::StartsWith(value) => write!(f, "header:{name}={value}*"),
            },
            Self::Method(method) => write!(f, "method:{method}"),
            Self::Path(path) => write!(f, "path:{path}"),
            Self::PathPrefix(path) => write!(f, "path:{path}/*"),
            Self::WebSocket => f.write_str("websocket"),
        }
    }
}

/// Whether the path is `prefix` or goes on behind it with a slash. `prefix` does not end in one.
fn lies_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Whether a gRPC path is `/service/method`.
fn is_method_of(target: &[u8], service: &str) -> bool {
    target
        .strip_prefix(b"/")
        .and_then(|rest| rest.strip_prefix(service.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Whether an HTTP/1 request offers to go on in this protocol (RFC 9110 §7.8: Upgrade, and Connection that names it).
fn upgrades_to(request: &Request, protocol: &[u8]) -> bool {
    request.version() == HttpVersion::Http1
        && request.values(b"connection").any(|value| has_token(value, b"upgrade"))
        && request.values(b"upgrade").any(|value| has_token(value, protocol))
}

/// Whether a comma-separated list has this member; case-insensitive.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|member| trim_blanks(member).eq_ignore_ascii_case(token))
}

/// Without the blanks around it (OWS, RFC 9110 §5.6.3).
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
