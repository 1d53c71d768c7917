//! Matchers as data, with a naive judge: what the words of the vocabulary mean, said a second time.

use oneport_core::matchers::{self, TlsVersion};
use oneport_core::wire::tls::OwnedHello;
use oneport_core::{Fact, Matcher, Verdict};

/// Names and values of field lines.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A request as the model knows it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) stream: Option<u32>,
    pub(crate) ends_stream: bool,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) fields: Fields,
}

impl Request {
    pub(crate) fn http1(method: &[u8], target: &[u8], fields: Fields) -> Self {
        let absolute = target.strip_prefix(b"http://").map(|rest| {
            let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
            rest[..end].to_vec()
        });
        let hosts: Vec<_> =
            fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, v)| v).collect();
        let host = match &hosts[..] {
            [one] => Some(one.to_vec()),
            _ => None,
        };
        Self {
            stream: None,
            ends_stream: false,
            method: method.to_vec(),
            target: target.to_vec(),
            authority: absolute.filter(|authority| !authority.is_empty()).or(host),
            protocol: None,
            fields,
        }
    }

    pub(crate) fn http2(stream: u32, ends_stream: bool, fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let value = |wanted: &str| {
            fields.iter().find(|(name, _)| name == wanted.as_bytes()).map(|(_, value)| value.clone())
        };
        let fields: Vec<_> = fields.iter().filter(|(name, _)| !name.starts_with(b":")).cloned().collect();
        Self {
            stream: Some(stream),
            ends_stream,
            method: value(":method").unwrap_or_default(),
            target: value(":path").unwrap_or_default(),
            authority: value(":authority").filter(|a| !a.is_empty()).or_else(|| value("host")),
            protocol: value(":protocol"),
            fields,
        }
    }

    fn path(&self) -> Vec<u8> {
        let origin = match self.target.strip_prefix(b"http://") {
            Some(rest) => &rest[rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len())..],
            None => &self.target[..],
        };
        let end = origin.iter().position(|byte| b"?#".contains(byte)).unwrap_or(origin.len());
        origin[..end].to_vec()
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|list| list.split(',').any(|member| member.trim().eq_ignore_ascii_case(token)))
    }

    pub(crate) fn is_grpc(&self) -> bool {
        let grammar = |value: String| {
            let value = value.to_ascii_lowercase();
            let rest = value.strip_prefix("application/grpc").map(str::to_owned);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
        };
        self.stream.is_some()
            && self.method == b"POST"
            && self.values("content-type").next().is_some_and(grammar)
    }
}

/// What the model knows of an opening.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) http2: Fact<()>,
    pub(crate) line: Fact<(Vec<u8>, Vec<u8>)>,
    /// The request of either version.
    pub(crate) request: Fact<Request>,
    pub(crate) tls: Fact<OwnedHello>,
    /// The bytes that raw matchers see, and whether that is all.
    pub(crate) prefix: Vec<u8>,
    pub(crate) is_final: bool,
}

/// A matcher.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    All(Vec<Self>),
    Alpn(&'static str),
    Any,
    AnyOf(Vec<Self>),
    Authority(&'static str),
    /// A closure over the bytes: the byte at this place is this one.
    ByteAt(usize, u8),
    /// A closure over the facts: the first request is for this path.
    FactsPath(&'static str),
    Grpc,
    H2cUpgrade,
    HeaderIs(&'static str, &'static str),
    Http,
    Http1,
    Http1Method,
    Http2,
    Method(&'static str),
    Not(Box<Self>),
    Path(&'static str),
    PathPrefix(&'static str),
    Postgres,
    Prefix(&'static [u8]),
    Sni(&'static str),
    Socks5,
    Ssh,
    Tls,
    Tls13,
    WebSocket,
}

impl Term {
    pub(crate) fn matcher(&self) -> Matcher {
        match self {
            Self::All(terms) => matchers::all(terms.iter().map(Self::matcher)),
            Self::Alpn(protocol) => matchers::alpn(*protocol),
            Self::Any => matchers::any(),
            Self::AnyOf(terms) => matchers::any_of(terms.iter().map(Self::matcher)),
            Self::Authority(name) => matchers::authority(*name),
            Self::ByteAt(at, wanted) => {
                let (at, wanted) = (*at, *wanted);
                matchers::prefix_fn(move |bytes| match bytes.get(at) {
                    Some(byte) if *byte == wanted => Verdict::Match,
                    Some(_) => Verdict::NoMatch,
                    None => Verdict::NeedMore,
                })
            }
            Self::FactsPath(path) => {
                let path = *path;
                matchers::facts_fn(move |facts| match facts.request() {
                    Fact::Present(request) if request.path() == Some(path.as_bytes()) => Verdict::Match,
                    Fact::Present(_) | Fact::Absent => Verdict::NoMatch,
                    Fact::Unknown => Verdict::NeedMore,
                })
            }
            Self::Grpc => matchers::grpc(),
            Self::H2cUpgrade => matchers::h2c_upgrade(),
            Self::HeaderIs(name, value) => matchers::header(*name, matchers::is(*value)),
            Self::Http => matchers::http(),
            Self::Http1 => matchers::http1(),
            Self::Http1Method => matchers::http1_method(),
            Self::Http2 => matchers::http2(),
            Self::Method(method) => matchers::method(*method),
            Self::Not(term) => !term.matcher(),
            Self::Path(path) => matchers::path(*path),
            Self::PathPrefix(path) => matchers::path_prefix(*path),
            Self::Postgres => matchers::postgres(),
            Self::Prefix(bytes) => matchers::prefix(*bytes),
            Self::Sni(name) => matchers::sni(*name),
            Self::Socks5 => matchers::socks5(),
            Self::Ssh => matchers::ssh(),
            Self::Tls => matchers::tls(),
            Self::Tls13 => matchers::tls_version(TlsVersion::Tls13),
            Self::WebSocket => matchers::websocket(),
        }
    }

    pub(crate) fn judge(&self, known: &Known) -> Verdict {
        let raw = |verdict| match verdict {
            Verdict::NeedMore if known.is_final => Verdict::NoMatch,
            other => other,
        };
        match self {
            Self::All(terms) => {
                let verdicts: Vec<_> = terms.iter().map(|term| term.judge(known)).collect();
                if verdicts.contains(&Verdict::NoMatch) {
                    Verdict::NoMatch
                } else if verdicts.contains(&Verdict::NeedMore) {
                    Verdict::NeedMore
                } else {
                    Verdict::Match
                }
            }
            Self::Any => Verdict::Match,
            Self::AnyOf(terms) => {
                !Self::All(terms.iter().map(|term| Self::Not(Box::new(term.clone()))).collect()).judge(known)
            }
            Self::Not(term) => !term.judge(known),

            Self::ByteAt(at, wanted) => raw(match known.prefix.get(*at) {
                Some(byte) => yes_or_no(byte == wanted),
                None => Verdict::NeedMore,
            }),
            Self::Http1Method => raw(any_start(
                &known.prefix,
                &["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "]
                    .map(str::as_bytes),
            )),
            Self::Prefix(bytes) => raw(any_start(&known.prefix, &[*bytes])),
            Self::Ssh => raw(any_start(&known.prefix, &[b"SSH-"])),
            Self::Postgres => raw(postgres(&known.prefix)),
            Self::Socks5 => raw(socks5(&known.prefix)),

            Self::Http => match (&known.http2, &known.line) {
                (Fact::Present(()), _) | (_, Fact::Present(_)) => Verdict::Match,
                (Fact::Absent, Fact::Absent) => Verdict::NoMatch,
                _ => Verdict::NeedMore,
            },
            Self::Http1 => when(&known.line, |_| true),
            Self::Http2 => when(&known.http2, |()| true),

            Self::Method(method) => line(known, |request| request.method == method.as_bytes()),
            Self::Path(path) => line(known, |request| request.path() == path.as_bytes()),
            Self::PathPrefix(prefix) => line(known, |request| {
                let (path, prefix) = (request.path(), prefix.trim_end_matches('/').as_bytes());
                path.starts_with(prefix) && matches!(path.get(prefix.len()), None | Some(b'/'))
            }),

            Self::Authority(name) => when(&known.request, |request| {
                request.authority.as_deref().is_some_and(|authority| {
                    let host = String::from_utf8_lossy(authority).into_owned();
                    let host = host.split(':').next().unwrap().trim_end_matches('.').to_ascii_lowercase();
                    match name.strip_prefix("*.") {
                        Some(below) => {
                            host.strip_suffix(below).is_some_and(|h| h.len() > 1 && h.ends_with('.'))
                        }
                        None => host == *name,
                    }
                })
            }),
            Self::FactsPath(path) => when(&known.request, |request| request.path() == path.as_bytes()),
            Self::Grpc if known.http2 == Fact::Absent => Verdict::NoMatch,
            Self::Grpc => when(&known.request, Request::is_grpc),
            Self::H2cUpgrade if !matches!(known.line, Fact::Present(_) | Fact::Unknown) => Verdict::NoMatch,
            Self::H2cUpgrade => when(&known.request, |request| {
                request.stream.is_none()
                    && request.has_token("connection", "upgrade")
                    && request.has_token("upgrade", "h2c")
            }),
            Self::HeaderIs(name, value) => {
                when(&known.request, |request| request.values(name).any(|v| v == *value))
            }
            Self::WebSocket => when(&known.request, |request| match request.stream {
                None => {
                    request.method == b"GET"
                        && request.has_token("connection", "upgrade")
                        && request.has_token("upgrade", "websocket")
                }
                Some(_) => request.method == b"CONNECT" && request.protocol.as_deref() == Some(b"websocket"),
            }),

            Self::Alpn(protocol) => {
                when(&known.tls, |hello| hello.alpn().any(|offered| offered == protocol.as_bytes()))
            }
            Self::Sni(name) => {
                when(&known.tls, |hello| hello.sni().is_some_and(|sni| sni.eq_ignore_ascii_case(name)))
            }
            Self::Tls => when(&known.tls, |_| true),
            Self::Tls13 => when(&known.tls, |hello| hello.supported_versions().any(|v| v == 0x0304)),
        }
    }
}

fn yes_or_no(holds: bool) -> Verdict {
    if holds {
        Verdict::Match
    } else {
        Verdict::NoMatch
    }
}

fn when<T>(fact: &Fact<T>, holds: impl FnOnce(&T) -> bool) -> Verdict {
    match fact {
        Fact::Absent => Verdict::NoMatch,
        Fact::Present(value) => yes_or_no(holds(value)),
        Fact::Unknown => Verdict::NeedMore,
    }
}

/// What can be said as soon as method and target are known.
fn line(known: &Known, holds: impl FnOnce(&Request) -> bool) -> Verdict {
    if let Fact::Present((method, target)) = &known.line {
        return yes_or_no(holds(&Request::http1(method, target, Vec::new())));
    }
    match (&known.request, &known.http2) {
        (request @ (Fact::Present(_) | Fact::Unknown), _) => when(request, holds),
        (Fact::Absent, _) => Verdict::NoMatch,
    }
}

/// Whether the bytes start with one of these, may still do so, or can not.
fn any_start(bytes: &[u8], wanted: &[&[u8]]) -> Verdict {
    if wanted.iter().any(|wanted| bytes.starts_with(wanted)) {
        Verdict::Match
    } else if wanted.iter().any(|wanted| wanted.starts_with(bytes)) {
        Verdict::NeedMore
    } else {
        Verdict::NoMatch
    }
}

/// Any first message that these bytes can still become: by trying the few fields that there are.
fn postgres(bytes: &[u8]) -> Verdict {
    let Some(code) = bytes.get(4..8) else {
        let mut length_bytes = [0; 4];
        let known = bytes.len().min(4);
        length_bytes[..known].copy_from_slice(&bytes[..known]);
        let least = u32::from_be_bytes(length_bytes);
        let most = least | u32::MAX.checked_shr(8 * known as u32).unwrap_or(0);
        if most < 8 || least > 10_000 {
            return Verdict::NoMatch;
        }
        let codes: [&[u8]; 2] = [&[0, 3], &[4, 0xd2]];
        return match bytes.get(4..).unwrap_or_default() {
            code if codes.iter().any(|c| c.starts_with(code) || code.starts_with(c)) => Verdict::NeedMore,
            _ => Verdict::NoMatch,
        };
    };
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let code = u32::from_be_bytes(code.try_into().unwrap());
    yes_or_no(match code {
        80_877_103 | 80_877_104 => length == 8,
        80_877_102 => (16..=268).contains(&length),
        _ => code >> 16 == 3 && (9..=10_000).contains(&length),
    })
}

fn socks5(bytes: &[u8]) -> Verdict {
    match bytes {
        [] | [5] => Verdict::NeedMore,
        [5, count, methods @ ..] if *count > 0 => {
            let offered = &methods[..methods.len().min(usize::from(*count))];
            if offered.contains(&0xff) {
                Verdict::NoMatch
            } else if offered.len() == usize::from(*count) {
                Verdict::Match
            } else {
                Verdict::NeedMore
            }
        }
        _ => Verdict::NoMatch,
    }
}
