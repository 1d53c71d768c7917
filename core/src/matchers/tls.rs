//! Matchers that judge the ClientHello.

use core::fmt;

use super::host::HostPattern;
use super::Verdict;
use crate::facts::Facts;

/// A version of TLS as a client may offer it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.0 (RFC 2246).
    Tls10,
    /// TLS 1.1 (RFC 4346).
    Tls11,
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum TlsTerm {
    Alpn(Vec<u8>),
    Any,
    Sni(HostPattern),
    Version(TlsVersion),
}

impl TlsTerm {
    pub(super) fn judge(&self, facts: &Facts) -> Verdict {
        Verdict::when(&facts.tls(), |hello| match self {
            Self::Alpn(protocol) => hello.alpn().any(|offered| offered == protocol),
            Self::Any => true,
            Self::Sni(pattern) => hello.name_bytes().is_some_and(|name| pattern.matches(name)),
            Self::Version(version) => {
                hello.supported_versions().any(|offered| offered == version.number())
                    || (hello.supported_versions().next().is_none()
                        && hello.max_version() == version.number())
            }
        })
    }
}

impl fmt::Display for TlsTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alpn(protocol) => write!(f, "alpn:{}", protocol.escape_ascii()),
            Self::Any => f.write_str("tls"),
            Self::Sni(name) => write!(f, "sni:{name}"),
            Self::Version(version) => write!(f, "tls-version:{version:?}"),
        }
    }
}
