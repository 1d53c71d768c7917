//! One question of a route, as the command line writes it: `grpc`, `host:a.example`, `header:x-tenant=blue`, `!tls`.

use std::fmt;
use std::net::Ipv6Addr;

use oneport_core::{matchers, Matcher};

use crate::fault::Fault;
use crate::suggest::nearest;
use crate::text::{bytes_of, span_of, string_of, Escaped, Symbol};

/// What is asked of an opening. Each variant is a word of the grammar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Term {
    Alpn(Vec<u8>),
    Any,
    Grpc,
    GrpcService(String),
    GrpcWeb,
    Header(String, FieldValue),
    Host(String),
    Http,
    Http1,
    Http2,
    Method(String),
    Path(String),
    /// Without a slash at its end.
    PathPrefix(String),
    Postgres,
    Prefix(Vec<u8>),
    Sni(String),
    Socks5,
    Ssh,
    Tls,
    WebSocket,
}

/// What is asked of a field's value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FieldValue {
    Is(String),
    Present,
    StartsWith(String),
}

/// A term or its opposite.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Condition {
    pub(crate) is_negated: bool,
    pub(crate) term: Term,
}

/// The words of the grammar with the form of their value; `None` where they take none.
const WORDS: [(&str, Option<&str>); 18] = [
    ("alpn", Some("alpn:PROTO")),
    ("any", None),
    ("grpc", Some("grpc:pkg.Service")),
    ("grpc-web", None),
    ("header", Some("header:NAME, header:NAME=VALUE or header:NAME=PREFIX*")),
    ("host", Some("host:NAME")),
    ("http", None),
    ("http1", None),
    ("http2", None),
    ("method", Some("method:NAME")),
    ("path", Some("path:/x or path:/x/*")),
    ("postgres", None),
    ("prefix", Some("prefix:TEXT")),
    ("sni", Some("sni:NAME")),
    ("socks5", None),
    ("ssh", None),
    ("tls", None),
    ("websocket", None),
];

/// What people call the same thing elsewhere.
const OTHER_NAMES: [(&str, &str); 18] = [
    ("*", "any"),
    ("all", "any"),
    ("authority", "host:NAME"),
    ("content-type", "header:content-type=VALUE"),
    ("default", "any"),
    ("h1", "http1"),
    ("h2", "http2"),
    ("h2c", "http2"),
    ("hostname", "host:NAME"),
    ("http/1", "http1"),
    ("http/1.1", "http1"),
    ("http/2", "http2"),
    ("https", "tls"),
    ("pg", "postgres"),
    ("postgresql", "postgres"),
    ("server-name", "sni:NAME"),
    ("ssl", "tls"),
    ("ws", "websocket"),
];

impl Condition {
    /// Reads a term with its `!`. `start` is where it stands, should it be empty.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(symbols: &[Symbol], start: usize) -> Result<Self, Fault> {
        match symbols {
            [not, rest @ ..] if not.is(b'!') => {
                if rest.first().is_some_and(|symbol| symbol.is(b'!')) {
                    return Err(Fault::new(span_of(&symbols[..2], start), "one `!` is enough"));
                }
                let term = Term::parse(rest, not.at.end)?;
                if term == Term::Any {
                    return Err(Fault::new(span_of(symbols, start), "`!any` takes nothing, ever"));
                }
                Ok(Self { is_negated: true, term })
            }
            symbols => Ok(Self { is_negated: false, term: Term::parse(symbols, start)? }),
        }
    }

    pub(crate) fn matcher(&self) -> Matcher {
        match self.is_negated {
            true => !self.term.matcher(),
            false => self.term.matcher(),
        }
    }
}

impl Term {
    fn parse(symbols: &[Symbol], start: usize) -> Result<Self, Fault> {
        let whole = span_of(symbols, start);
        if symbols.is_empty() {
            return Err(Fault::new(whole, "a term is missing here; `any` takes everything"));
        }
        let colon = symbols.iter().position(|symbol| symbol.is(b':'));
        let (word, value) = match colon {
            Some(at) => (&symbols[..at], Some(&symbols[at + 1..])),
            None => (symbols, None),
        };
        let value_start = colon.map_or(whole.end, |at| symbols[at].at.end);
        let name = String::from_utf8_lossy(&bytes_of(word)).into_owned();
        let needs = |value: Option<&'static str>| {
            let form = value.unwrap_or_default();
            Fault::new(whole.clone(), format!("`{name}` needs a value: {form}"))
        };
        let Some(form) = form_of(&name) else {
            return Err(Fault::new(span_of(word, start), unknown(&name)));
        };
        let value = match (value, form) {
            (Some(value), None) => {
                let at = whole.start..span_of(value, value_start).end;
                return Err(Fault::new(at, format!("`{name}` takes no value")));
            }
            (Some([]), Some(_)) => return Err(needs(form)),
            (value, _) => value,
        };
        match (name.as_str(), value) {
            ("alpn", Some(value)) => alpn(value),
            ("any", None) => Ok(Self::Any),
            ("grpc", None) => Ok(Self::Grpc),
            ("grpc", Some(value)) => grpc_service(value),
            ("grpc-web", None) => Ok(Self::GrpcWeb),
            ("header", Some(value)) => header(value, value_start),
            ("host", Some(value)) => host(value, "host").map(Self::Host),
            ("http", None) => Ok(Self::Http),
            ("http1", None) => Ok(Self::Http1),
            ("http2", None) => Ok(Self::Http2),
            ("method", Some(value)) => method(value),
            ("path", Some(value)) => path(value),
            ("postgres", None) => Ok(Self::Postgres),
            ("prefix", Some(value)) => Ok(Self::Prefix(bytes_of(value))),
            ("sni", Some(value)) => host(value, "sni").map(Self::Sni),
            ("socks5", None) => Ok(Self::Socks5),
            ("ssh", None) => Ok(Self::Ssh),
            ("tls", None) => Ok(Self::Tls),
            ("websocket", None) => Ok(Self::WebSocket),
            _ => Err(needs(form)),
        }
    }

    pub(crate) fn matcher(&self) -> Matcher {
        match self {
            Self::Alpn(protocol) => matchers::alpn(protocol.clone()),
            Self::Any => matchers::any(),
            Self::Grpc => matchers::grpc(),
            Self::GrpcService(service) => matchers::grpc_service(service),
            Self::GrpcWeb => matchers::grpc_web(),
            Self::Header(name, FieldValue::Is(value)) => matchers::header(name, matchers::is(value)),
            Self::Header(name, FieldValue::Present) => matchers::header(name, matchers::present()),
            Self::Header(name, FieldValue::StartsWith(value)) => {
                matchers::header(name, matchers::starts_with(value))
            }
            Self::Host(name) => matchers::authority(name),
            Self::Http => matchers::http(),
            Self::Http1 => matchers::http1(),
            Self::Http2 => matchers::http2(),
            Self::Method(name) => matchers::method(name),
            Self::Path(path) => matchers::path(path),
            Self::PathPrefix(path) => matchers::path_prefix(path),
            Self::Postgres => matchers::postgres(),
            Self::Prefix(bytes) => matchers::prefix(bytes.clone()),
            Self::Sni(name) => matchers::sni(name),
            Self::Socks5 => matchers::socks5(),
            Self::Ssh => matchers::ssh(),
            Self::Tls => matchers::tls(),
            Self::WebSocket => matchers::websocket(),
        }
    }
}

/// The form of a word's value (`None` if it takes none), if the word is known.
fn form_of(name: &str) -> Option<Option<&'static str>> {
    WORDS.iter().find(|(word, _)| *word == name).map(|(_, form)| *form)
}

fn unknown(name: &str) -> String {
    let lower = name.trim().to_ascii_lowercase();
    let words = WORDS.iter().map(|(word, _)| *word);
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, word)| *word);
    let known = words.clone().find(|word| *word == lower);
    match other.or(known).or_else(|| nearest(&lower, words.clone())) {
        Some(meant) => format!("unknown term `{name}`; did you mean `{meant}`?"),
        None => {
            let all: Vec<&str> = words.collect();
            format!("unknown term `{name}`; the terms are {}", all.join(", "))
        }
    }
}

fn alpn(value: &[Symbol]) -> Result<Term, Fault> {
    let protocol = bytes_of(value);
    if protocol.len() > usize::from(u8::MAX) {
        return Err(Fault::new(span_of(value, 0), "the name of an ALPN protocol has at most 255 bytes"));
    }
    Ok(Term::Alpn(protocol))
}

fn grpc_service(value: &[Symbol]) -> Result<Term, Fault> {
    let name = string_of(value)?;
    let is_name = name.split('.').all(|part| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && part.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    });
    if let Some((service, _)) = name.trim_start_matches('/').split_once('/') {
        let message = format!("a service stands without its method: `grpc:{service}`");
        return Err(Fault::new(span_of(value, 0), message));
    }
    if !is_name {
        let message = format!("`{name}` is no name of a gRPC service, as in `grpc:grpc.health.v1.Health`");
        return Err(Fault::new(span_of(value, 0), message));
    }
    Ok(Term::GrpcService(name))
}

fn header(value: &[Symbol], start: usize) -> Result<Term, Fault> {
    let (name, value) = match value.iter().position(|symbol| symbol.is(b'=')) {
        Some(at) => (&value[..at], Some(&value[at + 1..])),
        None => (value, None),
    };
    let at = span_of(name, start);
    let name = string_of(name)?.to_ascii_lowercase();
    let instead = match name.trim_start_matches(':') {
        "authority" | "host" => Some("host:NAME"),
        "method" if name.starts_with(':') => Some("method:NAME"),
        "path" if name.starts_with(':') => Some("path:/x"),
        _ => None,
    };
    if let Some(instead) = instead {
        // HTTP/2 has `:authority` where HTTP/1 has Host; a route should not depend on the version.
        let message = format!("`{name}` differs between HTTP/1 and HTTP/2; `{instead}` works on both");
        return Err(Fault::new(at, message));
    }
    if !is_token(&name) {
        return Err(Fault::new(at, format!("`{name}` is no name of a header field")));
    }
    let Some(value) = value else {
        return Ok(Term::Header(name, FieldValue::Present));
    };
    let (value, is_prefix) = match value {
        [value @ .., star] if star.is(b'*') => (value, true),
        value => (value, false),
    };
    let at = span_of(value, start);
    let value = string_of(value)?;
    let blank = [' ', '\t'];
    if value.starts_with(blank) || (!is_prefix && value.ends_with(blank)) {
        return Err(Fault::new(at, "the value of a header field neither begins nor ends with a blank"));
    }
    if value.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(Fault::new(at, "the value of a header field has no line end and no NUL in it"));
    }
    let value = if is_prefix { FieldValue::StartsWith(value) } else { FieldValue::Is(value) };
    Ok(Term::Header(name, value))
}

/// A name of a host as requests and ClientHellos carry it: no port, `*.` in front for every name below.
fn host(value: &[Symbol], word: &str) -> Result<String, Fault> {
    let at = span_of(value, 0);
    let name = string_of(value)?;
    let name = name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase();
    let (base, is_wildcard) = match name.strip_prefix("*.") {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let literal = base.strip_prefix('[').and_then(|base| base.strip_suffix(']'));
    if let Some(Ok(ip)) = literal.filter(|_| !is_wildcard && word == "host").map(str::parse::<Ipv6Addr>) {
        // In the one form that clients write (RFC 5952 §4): what they say is compared as text.
        return Ok(format!("[{ip}]"));
    }
    let fault = |message: String| Err(Fault::new(at.clone(), message));
    if let Some((host, port)) = base.rsplit_once(':') {
        if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') {
            return fault(format!("a host is compared without its port: `{word}:{host}`"));
        }
    }
    if base.contains('*') {
        return fault(format!("`*` stands only in front, for every name below: `{word}:*.example.org`"));
    }
    if base.contains('/') {
        return fault(format!("`{base}` is no name of a host; `path:/x` asks for the path"));
    }
    let is_name = base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && base.split('.').all(|label| !label.is_empty());
    if !is_name {
        return fault(format!(
            "`{base}` is no name of a host; other scripts are written in Punycode (xn--…)"
        ));
    }
    Ok(name)
}

fn method(value: &[Symbol]) -> Result<Term, Fault> {
    const STANDARD: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let name = string_of(value)?;
    let upper = name.to_ascii_uppercase();
    if upper != name && STANDARD.contains(&upper.as_str()) {
        let message = format!("methods are case-sensitive; did you mean `method:{upper}`?");
        return Err(Fault::new(span_of(value, 0), message));
    }
    if !is_token(&name) {
        return Err(Fault::new(span_of(value, 0), format!("`{name}` is no method")));
    }
    Ok(Term::Method(name))
}

fn path(value: &[Symbol]) -> Result<Term, Fault> {
    let at = span_of(value, 0);
    let (value, is_prefix) = match value {
        [value @ .., star] if star.is(b'*') => (value, true),
        value => (value, false),
    };
    let path = string_of(value)?;
    if !path.starts_with('/') {
        return Err(Fault::new(at, "a path begins with `/`"));
    }
    if path.contains(['?', '#']) {
        return Err(Fault::new(at, "a path is compared without its query; leave out what follows `?`"));
    }
    if path.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err(Fault::new(at, "a path on the wire has no blank and no control character in it"));
    }
    match is_prefix {
        false => Ok(Term::Path(path)),
        true if path.ends_with('/') => Ok(Term::PathPrefix(path.trim_end_matches('/').to_owned())),
        true => {
            let message =
                format!("`*` stands for whole segments: `path:{path}/*` (a literal one is `\\x2a`)");
            Err(Fault::new(at, message))
        }
    }
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negated {
            f.write_str("!")?;
        }
        self.term.fmt(f)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alpn(protocol) => write!(f, "alpn:{}", Escaped(protocol, b"")),
            Self::Any => f.write_str("any"),
            Self::Grpc => f.write_str("grpc"),
            Self::GrpcService(service) => write!(f, "grpc:{service}"),
            Self::GrpcWeb => f.write_str("grpc-web"),
            Self::Header(name, FieldValue::Is(value)) => {
                write!(f, "header:{name}={}", Escaped(value.as_bytes(), b"*"))
            }
            Self::Header(name, FieldValue::Present) => write!(f, "header:{name}"),
            Self::Header(name, FieldValue::StartsWith(value)) => {
                write!(f, "header:{name}={}*", Escaped(value.as_bytes(), b"*"))
            }
            Self::Host(name) => write!(f, "host:{name}"),
            Self::Http => f.write_str("http"),
            Self::Http1 => f.write_str("http1"),
            Self::Http2 => f.write_str("http2"),
            Self::Method(name) => write!(f, "method:{name}"),
            Self::Path(path) => write!(f, "path:{}", Escaped(path.as_bytes(), b"*")),
            Self::PathPrefix(path) => write!(f, "path:{}/*", Escaped(path.as_bytes(), b"*")),
            Self::Postgres => f.write_str("postgres"),
            Self::Prefix(bytes) => write!(f, "prefix:{}", Escaped(bytes, b"")),
            Self::Sni(name) => write!(f, "sni:{name}"),
            Self::Socks5 => f.write_str("socks5"),
            Self::Ssh => f.write_str("ssh"),
            Self::Tls => f.write_str("tls"),
            Self::WebSocket => f.write_str("websocket"),
        }
    }
}
