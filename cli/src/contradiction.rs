//! Whether the terms of a route leave anything at all. Only what is certain counts: a route that some opening could take, however
//! odd, is no mistake.

use std::ops::{BitAnd, Not};

use crate::route::Match;
use crate::term::{Condition, Term};

/// Why no opening can be all that is asked for, if that is so.
pub(crate) fn contradiction(asked: &Match) -> Option<String> {
    let conditions = asked.conditions();
    for (i, one) in conditions.iter().enumerate() {
        if let Some(other) = conditions[..i].iter().find(|other| other.excludes(one)) {
            return Some(format!("nothing is both `{other}` and `{one}`{}", advice(other, one)));
        }
    }
    let left = conditions.iter().fold(Kinds::ALL, |left, condition| left & condition.kinds());
    left.is_empty().then(|| "its terms leave nothing".to_owned())
}

/// What was meant, most likely.
fn advice(one: &Condition, other: &Condition) -> String {
    match (&one.term, &other.term) {
        (Term::Tls | Term::Alpn(_), Term::Host(name)) | (Term::Host(name), Term::Tls | Term::Alpn(_))
            if !name.starts_with('[') && !one.is_negated && !other.is_negated =>
        {
            format!("; the name in a ClientHello is `sni:{name}`")
        }
        _ => String::new(),
    }
}

impl Condition {
    /// Whether no opening is both.
    fn excludes(&self, other: &Self) -> bool {
        let is_void = (self.kinds() & other.kinds()).is_empty();
        is_void
            || match (self.is_negated, other.is_negated) {
                (false, false) => self.term.stands_apart(&other.term),
                (false, true) => self.term.implies(&other.term),
                (true, false) => other.term.implies(&self.term),
                (true, true) => false,
            }
    }

    /// What an opening for which this holds may be.
    fn kinds(&self) -> Kinds {
        match (self.is_negated, &self.term) {
            (false, term) => term.kinds(),
            (
                true,
                Term::Http
                | Term::Http1
                | Term::Http2
                | Term::Postgres
                | Term::Socks5
                | Term::Ssh
                | Term::Tls,
            ) => !self.term.kinds(),
            // Others of the same kind are left.
            (true, _) => Kinds::ALL,
        }
    }
}

impl Term {
    /// Whether both ask for the same thing, and no value of it is good for both. Of these, two either lie one in the other or have
    /// nothing in common; a request may well have two fields of one name, and a hello several ALPN protocols.
    fn stands_apart(&self, other: &Self) -> bool {
        let is_same_thing = matches!(
            (self, other),
            (Self::GrpcService(_), Self::GrpcService(_))
                | (Self::Host(_), Self::Host(_))
                | (Self::Method(_), Self::Method(_))
                | (Self::Path(_) | Self::PathPrefix(_), Self::Path(_) | Self::PathPrefix(_))
                | (Self::Prefix(_), Self::Prefix(_))
                | (Self::Sni(_), Self::Sni(_))
        );
        is_same_thing && !self.implies(other) && !other.implies(self)
    }

    const fn kinds(&self) -> Kinds {
        match self {
            Self::Any | Self::Prefix(_) => Kinds::ALL,
            Self::Alpn(_) | Self::Sni(_) | Self::Tls => Kinds::TLS,
            Self::Grpc | Self::GrpcService(_) | Self::Http2 => Kinds::HTTP2,
            Self::GrpcWeb
            | Self::Header(..)
            | Self::Host(_)
            | Self::Http
            | Self::Method(_)
            | Self::Path(_)
            | Self::PathPrefix(_)
            | Self::WebSocket => Kinds::HTTP,
            Self::Http1 => Kinds::HTTP1,
            Self::Postgres => Kinds::POSTGRES,
            Self::Socks5 => Kinds::SOCKS5,
            Self::Ssh => Kinds::SSH,
        }
    }
}

/// A set of what an opening may be. Each opening is exactly one of them: the protocols differ in their first bytes, but for a line
/// that is the banner of SSH and a request of HTTP/1 as well (`SSH-2.0-x / HTTP/1.1`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Kinds(u8);

impl Kinds {
    const ALL: Self = Self(0xff);
    const BANNER_AND_REQUEST: u8 = 1;
    const HTTP1: Self = Self(Self::BANNER_AND_REQUEST | 1 << 1);
    const HTTP2: Self = Self(1 << 2);
    const HTTP: Self = Self(Self::HTTP1.0 | Self::HTTP2.0);
    const POSTGRES: Self = Self(1 << 3);
    const SOCKS5: Self = Self(1 << 4);
    const SSH: Self = Self(Self::BANNER_AND_REQUEST | 1 << 5);
    const TLS: Self = Self(1 << 6);

    const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitAnd for Kinds {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Kinds {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
#[path = "contradiction_tests.rs"]
mod tests;
