//! Whether a route leaves anything to one behind it. Only what is certain counts: no answer here can depend on an opening.

use crate::route::Match;
use crate::term::{Condition, FieldValue, Term};

/// Whether every opening that `later` takes is taken by `earlier`.
pub(crate) fn covers(earlier: &Match, later: &Match) -> bool {
    earlier
        .conditions()
        .iter()
        .all(|asked| asked.term == Term::Any || later.conditions().iter().any(|known| known.implies(asked)))
}

impl Condition {
    /// Whether `other` holds wherever this holds.
    fn implies(&self, other: &Self) -> bool {
        match (self.is_negated, other.is_negated) {
            (false, false) => self.term.implies(&other.term),
            (true, true) => other.term.implies(&self.term),
            _ => false,
        }
    }
}

impl Term {
    /// Whether `other` matches wherever this matches.
    pub(crate) fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Any) => true,
            (Self::Grpc | Self::GrpcService(_), Self::Http2) => true,
            (Self::GrpcService(_), Self::Grpc) => true,
            (_, Self::Http) => self.is_http(),
            (Self::Alpn(_) | Self::Sni(_), Self::Tls) => true,
            (Self::Header(name, _), Self::Header(other, FieldValue::Present)) => name == other,
            (
                Self::Header(name, FieldValue::Is(value) | FieldValue::StartsWith(value)),
                Self::Header(other, FieldValue::StartsWith(start)),
            ) => name == other && value.starts_with(start.as_str()),
            (Self::Host(name), Self::Host(pattern)) | (Self::Sni(name), Self::Sni(pattern)) => {
                name == pattern || pattern.strip_prefix('*').is_some_and(|suffix| is_below(name, suffix))
            }
            (Self::Path(path) | Self::PathPrefix(path), Self::PathPrefix(prefix)) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            (Self::Prefix(bytes), Self::Prefix(start)) => bytes.starts_with(start),
            (a, b) => a == b,
        }
    }

    /// Whether only HTTP openings can match.
    const fn is_http(&self) -> bool {
        matches!(
            self,
            Self::Grpc
                | Self::GrpcService(_)
                | Self::GrpcWeb
                | Self::Header(..)
                | Self::Host(_)
                | Self::Http
                | Self::Http1
                | Self::Http2
                | Self::Method(_)
                | Self::Path(_)
                | Self::PathPrefix(_)
                | Self::WebSocket
        )
    }
}

/// Whether a name or a wildcard lies below `.suffix`.
fn is_below(name: &str, suffix: &str) -> bool {
    let name = name.strip_prefix('*').unwrap_or(name);
    name.ends_with(suffix) && (name.len() > suffix.len() || name == suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(earlier: &str, later: &str) -> bool {
        covers(&Match::parse(earlier).unwrap(), &Match::parse(later).unwrap())
    }

    #[test]
    fn what_is_covered() {
        for (earlier, later) in [
            ("any", "ssh"),
            ("any,any", "grpc"),
            ("http2", "grpc"),
            ("http", "grpc:a.B,host:x"),
            ("grpc", "grpc:a.B"),
            ("tls", "sni:a.example,alpn:h2"),
            ("host:*.example", "host:a.b.example"),
            ("host:*.example", "host:*.b.example"),
            ("path:/a/*", "path:/a"),
            ("path:/a/*", "path:/a/b/*"),
            ("path:/*", "path:/"),
            ("header:x", "header:x=1"),
            ("header:x=a*", "header:x=ab"),
            ("!grpc", "!http2"),
            ("!tls", "!tls,http1"),
            ("http1,host:a", "host:a,path:/,http1"),
            ("prefix:AB", "prefix:ABC"),
        ] {
            assert!(judge(earlier, later), "{earlier} covers {later}");
        }
    }

    #[test]
    fn what_is_not() {
        for (earlier, later) in [
            ("ssh", "any"),
            ("grpc", "http2"),
            ("http1", "grpc"),
            ("sni:a.example", "tls"),
            ("host:*.example", "host:example"),
            ("host:*.example", "host:bexample"),
            ("path:/a/*", "path:/ab"),
            ("path:/a", "path:/a/*"),
            ("header:x=a", "header:x"),
            ("header:x=ab*", "header:x=a*"),
            ("!http2", "!grpc"),
            ("!grpc", "http1"),
            ("http1,host:a", "http1"),
        ] {
            assert!(!judge(earlier, later), "{earlier} does not cover {later}");
        }
    }
}
