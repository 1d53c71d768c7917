//! Where a connection comes from and where it was accepted.

use core::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One end of a connection.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket, by its path if it has one.
    Unix(Option<PathBuf>),
    /// Not known: the connection came as a stream without an address.
    Unknown,
}

impl Address {
    /// The IP address and port, if it has them.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Unknown => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Both ends of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// The client's end.
    pub peer: Address,
    /// The end that accepted it.
    pub local: Address,
}

impl Addresses {
    /// The ends of a connection of which nothing is known.
    pub const UNKNOWN: Self = Self { peer: Address::Unknown, local: Address::Unknown };
}
