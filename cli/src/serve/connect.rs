//! Connects to backends: names are resolved each time, and their addresses tried in turn.

use std::future::{poll_fn, Future};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout_at, Instant};

use super::resolve::Resolver;
use super::socket::Socket;
use crate::address::Address;

/// Connects before `until`, over all the addresses that a name has. An address that does not answer gets half of what is left,
/// so that the next one has a chance.
///
/// # Errors
/// The last failure.
pub(super) async fn connect(address: &Address, resolver: &Resolver, until: Instant) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let addresses: Vec<_> = match address {
        Address::Unix(path) => {
            return in_time(until, connect_unix(path)).await.map(Socket::Unix);
        }
        Address::Ip(address) => vec![*address],
        Address::Name { host, port } => in_time(until, resolver.resolve(host, *port)).await?,
    };
    let count = addresses.len();
    for (i, address) in addresses.into_iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = if i + 1 == count { left } else { left / 2 };
        match in_time(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(stream) => {
                let socket = Socket::Tcp(stream);
                socket.tune();
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How soon a Unix socket whose queue is full is tried again; then twice as late each time, but no later than [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait for a queue to have room: what it adds at most to the time in which the backend does not accept.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Connects to a Unix socket. A full queue (`listen`'s backlog) is no failure, but a backend that is busy: with TCP the system waits for
/// it, and here it says so at once (EAGAIN, on Linux; elsewhere it refuses, as if nobody listened). It may wait for ever: give it a
/// time.
///
/// # Errors
/// Nobody listens there.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let mut pause = FIRST_PAUSE;
    loop {
        match UnixStream::connect(path).await {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            connected => return connected,
        }
        pause = LAST_PAUSE.min(pause * 2);
    }
}

/// What the work comes to before `until`. A process that was stopped sees the clock before it sees what has come meanwhile: so once
/// the time is over, the sockets are looked at once more.
async fn in_time<T>(until: Instant, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut work = pin!(work);
    if let Ok(done) = timeout_at(until, work.as_mut()).await {
        return done;
    }
    yield_now().await;
    let timed_out = || Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => Poll::Ready(timed_out()),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn what_has_come_while_the_process_was_stopped_counts() {
        // Not seen at the start, nor when the timer is heard; but by the look behind that.
        let mut looks = 0;
        let late = poll_fn(|_| {
            looks += 1;
            if looks < 3 {
                Poll::Pending
            } else {
                Poll::Ready(Ok("connected"))
            }
        });
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(in_time(until, late).await.expect("it has come"), "connected");
    }

    #[tokio::test]
    async fn what_does_not_come_is_waited_for_until_then() {
        let until = Instant::now() + Duration::from_millis(30);
        let error = in_time(until, pending::<io::Result<()>>()).await.expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= until);
    }
}
