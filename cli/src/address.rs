//! Where to listen and where to connect: `HOST:PORT`, `[IPv6]:PORT`, `unix:PATH`, and for a backend `close`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// The longest path of a Unix socket in bytes: `sun_path` of Linux without its final NUL.
const MAX_UNIX_PATH: usize = 107;

/// The longest name of a host (RFC 1035 §2.3.4).
const MAX_HOST_NAME: usize = 253;

/// An address to listen on or to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name to resolve, each time that it is used, and a port.
    Name { host: String, port: u16 },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Where a route leads.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Backend {
    /// To nobody: the connection is refused in its own protocol.
    Close,
    /// To the server at this address.
    Server(Address),
}

impl Backend {
    /// Reads a backend.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "close" => Ok(Self::Close),
            "" => Err(Fault::new(0..0, "the backend is missing; it is HOST:PORT, unix:PATH or close")),
            text => {
                let address = Address::parse(text, "backend")?;
                if address.port() == Some(0) {
                    return Err(Fault::new(text.len() - 1..text.len(), "a backend has no port 0"));
                }
                Ok(Self::Server(address))
            }
        }
    }
}

impl Address {
    /// Reads an address to listen on. Port 0 lets the system choose one.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse_listen(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new(0..0, "the address is missing; it is HOST:PORT or unix:PATH"));
        }
        Self::parse(text, "address")
    }

    /// The port, unless it is a Unix socket.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Name { port, .. } => Some(*port),
            Self::Unix(_) => None,
        }
    }

    /// Whether a connection to this address arrives where one listens on `listener`, as far as that can be told without resolving
    /// names and asking for the addresses of this machine.
    pub(crate) fn leads_to(&self, listener: &Self) -> bool {
        if self.port().is_none() || self.port() != listener.port() {
            return self == listener;
        }
        let is_taken = |ip: IpAddr| match listener.ip() {
            // `[::]` takes IPv4 as well.
            Some(all) if all.is_unspecified() => all.is_ipv6() || ip.is_ipv4(),
            Some(one) => one == ip,
            // One of its addresses: which one is known when it is bound.
            None => false,
        };
        let is_same = self == listener || self.ip().is_some_and(|ip| listener.ip() == Some(ip));
        is_same || self.of_this_machine().into_iter().any(is_taken)
    }

    /// Its IP address: an IPv4 one as such, though it be written as one of IPv6 (RFC 4291 §2.5.5.2).
    const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Name { .. } | Self::Unix(_) => None,
        }
    }

    /// The addresses of this machine that a connection to here goes to, as far as they are known: to all of them is to itself.
    fn of_this_machine(&self) -> Vec<IpAddr> {
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        match (self, self.ip()) {
            (_, Some(ip)) if ip.is_loopback() => vec![ip],
            (_, Some(ip)) if ip.is_unspecified() => vec![if ip.is_ipv4() { v4 } else { v6 }],
            (Self::Name { host, .. }, _) if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") => {
                vec![v4, v6]
            }
            _ => Vec::new(),
        }
    }

    fn parse(text: &str, what: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map_err(|fault| fault.shifted("unix:".len()));
        }
        let whole = 0..text.len();
        if let Some((scheme, rest)) = text.split_once("://") {
            let rest = rest.trim_end_matches('/');
            return Err(Fault::new(
                0..scheme.len() + 3,
                format!("the {what} has a scheme; write `{rest}` without `{scheme}://`"),
            ));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let known = ["close", "unix:"].into_iter().filter(|word| what == "backend" || *word != "close");
            let meant = crate::suggest::did_you_mean(text, known);
            let form =
                if what == "backend" { "HOST:PORT, unix:PATH or close" } else { "HOST:PORT or unix:PATH" };
            return Err(Fault::new(whole, format!("`{text}` has no port; it should be {form}{meant}")));
        };
        let port_at = host.len() + 1..text.len();
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = match port.parse() {
            Ok(port) if is_number => port,
            _ if port.is_empty() => {
                return Err(Fault::new(host.len()..text.len(), format!("`{text}` ends before its port")));
            }
            _ => {
                let message = format!("`{port}` is no port; it is a number up to 65535");
                return Err(Fault::new(port_at, message));
            }
        };
        let host_at = 0..host.len();
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self::Ip(SocketAddr::from((ip, port)))),
                Err(_) => Err(Fault::new(1..host.len() - 1, format!("`{inner}` is no IPv6 address"))),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() || host.contains(':') {
            let message = format!("an IPv6 address stands in brackets: `[{host}]:{port}`");
            return Err(Fault::new(whole, message));
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(SocketAddr::from((ip, port))));
        }
        match host_error(host) {
            None => Ok(Self::Name { host: host.to_owned(), port }),
            Some(_) if host.is_empty() => {
                let hint = match what {
                    "backend" => format!("127.0.0.1:{port}"),
                    _ => format!("0.0.0.0:{port} or [::]:{port}"),
                };
                Err(Fault::new(0..text.len(), format!("`{text}` names no host; write for example {hint}")))
            }
            Some(error) => Err(Fault::new(host_at, error)),
        }
    }
}

/// What is wrong with the name of a host.
fn host_error(host: &str) -> Option<String> {
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && host.trim_end_matches('.').split('.').all(|label| (1..=63).contains(&label.len()));
    if is_numeric {
        Some(format!("`{host}` is no IPv4 address"))
    } else if !is_name || host.len() > MAX_HOST_NAME {
        Some(format!("`{host}` is no name of a host"))
    } else {
        None
    }
}

fn unix(path: &str) -> Result<Address, Fault> {
    let whole = 0..path.len();
    if path.is_empty() {
        return Err(Fault::new(whole, "`unix:` needs the path of a socket, as in unix:/run/app.sock"));
    }
    if path.contains('\0') {
        return Err(Fault::new(whole, "a path has no NUL in it"));
    }
    if path.len() > MAX_UNIX_PATH {
        let message =
            format!("the path of a Unix socket has at most {MAX_UNIX_PATH} bytes, this one {}", path.len());
        return Err(Fault::new(whole, message));
    }
    Ok(Address::Unix(Path::new(path).to_path_buf()))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => match address.ip() {
                // Not through SocketAddrV6, which would add a scope that was never written.
                IpAddr::V6(ip) => write!(f, "[{ip}]:{}", address.port()),
                IpAddr::V4(ip) => write!(f, "{ip}:{}", address.port()),
            },
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("close"),
            Self::Server(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn backends() {
        for text in [
            "127.0.0.1:50051",
            "[::1]:80",
            "grpc-server:50051",
            "a_b.example.:1",
            "unix:/run/app.sock",
            "unix:app.sock",
            "close",
        ] {
            assert_eq!(Backend::parse(text).map(|b| b.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Address::parse_listen("0.0.0.0:0").unwrap().port(), Some(0));
        assert_eq!(Backend::parse("[0:0::1]:7").unwrap().to_string(), "[::1]:7");
    }

    #[test]
    fn what_leads_to_where_we_listen() {
        for (backend, listener, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("127.0.0.2:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("[::1]:1", "[::]:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "[::]:1", true),
            ("[::]:1", "127.0.0.1:1", false),
            ("[::ffff:127.0.0.1]:1", "0.0.0.0:1", true),
            ("[::ffff:0.0.0.0]:1", "127.0.0.1:1", true),
            ("10.0.0.7:1", "[::ffff:10.0.0.7]:1", true),
            ("localhost:1", "0.0.0.0:1", true),
            ("LocalHost.:1", "[::1]:1", true),
            ("localhost:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "localhost:1", false),
            ("localhost:1", "localhost:1", true),
            ("10.0.0.7:1", "0.0.0.0:1", false),
            ("a.example:1", "0.0.0.0:1", false),
            ("a.example:1", "a.example:1", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "0.0.0.0:1", false),
        ] {
            let Ok(Backend::Server(backend)) = Backend::parse(backend) else { panic!("{backend}") };
            let listener = Address::parse_listen(listener).expect("an address");
            assert_eq!(backend.leads_to(&listener), expected, "{backend} {listener}");
        }
    }

    #[test]
    fn each_mistake_is_named_at_its_place() {
        for (text, at, part) in [
            ("", 0..0, "the backend is missing"),
            ("localhost", 0..9, "has no port"),
            ("clsoe", 0..5, "did you mean `close`?"),
            ("localhost:", 9..10, "ends before its port"),
            ("localhost:http", 10..14, "`http` is no port"),
            ("localhost:65536", 10..15, "`65536` is no port"),
            ("localhost:+80", 10..13, "`+80` is no port"),
            ("localhost:0", 10..11, "no port 0"),
            ("::1:80", 0..6, "in brackets: `[::1]:80`"),
            ("[::g]:80", 1..4, "`::g` is no IPv6 address"),
            ("256.0.0.1:80", 0..9, "is no IPv4 address"),
            ("a b:80", 0..3, "is no name of a host"),
            ("a..b:80", 0..4, "is no name of a host"),
            (":80", 0..3, "write for example 127.0.0.1:80"),
            ("http://a:80/", 0..7, "the backend has a scheme; write `a:80`"),
            ("unix:", 5..5, "needs the path"),
        ] {
            let fault = Backend::parse(text).unwrap_err();
            assert!(fault.message.contains(part), "{text}: {}", fault.message);
            assert_eq!(fault.at, at, "{text}: {}", fault.message);
        }
        let fault = Address::parse_listen("close").unwrap_err();
        assert!(!fault.message.contains("did you mean"), "{}", fault.message);
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(Backend::parse(&long).unwrap_err().message.contains("at most 107 bytes, this one 108"));
        assert!(Backend::parse(&long[..long.len() - 1]).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written(text in "\\PC*|[a:.0-9\\[\\]]*") {
            if let Ok(backend) = Backend::parse(&text) {
                prop_assert_eq!(Backend::parse(&backend.to_string()), Ok(backend));
            }
            let _ = Address::parse_listen(&text);
        }
    }
}
