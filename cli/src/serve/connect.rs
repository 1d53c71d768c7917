//! Connects to backends: names are resolved each time, and their addresses tried in turn.

use std::io;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{timeout_at, Instant};

use super::resolve::Resolver;
use super::socket::Socket;
use crate::address::Address;

/// Connects before `until`, over all the addresses that a name has. An address that does not answer gets half of what is left,
/// so that the next one has a chance.
///
/// # Errors
/// The last failure.
pub(super) async fn connect(address: &Address, resolver: &Resolver, until: Instant) -> io::Result<Socket> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let addresses: Vec<_> = match address {
        Address::Unix(path) => {
            return timeout_at(until, UnixStream::connect(path))
                .await
                .unwrap_or_else(|_| Err(timed_out()))
                .map(Socket::Unix);
        }
        Address::Ip(address) => vec![*address],
        Address::Name { host, port } => {
            timeout_at(until, resolver.resolve(host, *port)).await.unwrap_or_else(|_| Err(timed_out()))?
        }
    };
    let count = addresses.len();
    for (i, address) in addresses.into_iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = if i + 1 == count { left } else { left / 2 };
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let socket = Socket::Tcp(stream);
                socket.tune();
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = timed_out(),
        }
    }
    Err(last)
}
