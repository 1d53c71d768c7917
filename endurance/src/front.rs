//! One `oneport serve` with its books, and the clients' way to it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::books::{Books, Expect};
use crate::checks::Checks;
use crate::process::{Process, Setup, Usage};

/// Longer than anything takes that is not stuck, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The most that takes what waits for nothing, on such a machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);

/// How a front routes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Mode {
    Connection,
    PerRequest,
}

pub(crate) const MODES: [Mode; 2] = [Mode::Connection, Mode::PerRequest];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection",
            Self::PerRequest => "per-request",
        })
    }
}

#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) mode: Mode,
    pub(crate) books: Arc<Books>,
    pub(crate) process: Process,
    /// Before the first client.
    pub(crate) idle: Usage,
    clients: AtomicU32,
}

impl Front {
    /// Starts one with these options.
    pub(crate) async fn start(mode: Mode, options: &[String], setup: &Setup) -> Result<Self, String> {
        let mut options = options.to_vec();
        if mode == Mode::PerRequest {
            options.push("--per-request".to_owned());
        }
        let books = Arc::new(Books::default());
        let process = Process::start(&options, setup, books.clone()).await?;
        let idle = process.usage().ok_or("it has gone at once")?;
        Ok(Self { mode, books, process, idle, clients: AtomicU32::new(0) })
    }

    pub(crate) const fn is_per_request(&self) -> bool {
        matches!(self.mode, Mode::PerRequest)
    }

    /// A connection of a client, which is to end as expected.
    pub(crate) async fn connect(&self, by: &'static str, expect: Expect) -> io::Result<TcpStream> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = number.to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        // None of those that backends have; after eight million clients from the beginning.
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 16 + a % 128, b, c), 0)))?;
        let from = socket.local_addr()?;
        self.books.opening(from, by, expect);
        match socket.connect(self.process.address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            Err(error) => {
                self.books.not_opened(from);
                Err(error)
            }
        }
    }

    /// Waits until every connection has its event and the process has no more files open than when it was idle, but for the pipes that it may keep.
    pub(crate) async fn settle(&self, patience: Duration) -> Result<Duration, String> {
        let started = Instant::now();
        loop {
            let waiting = self.books.waiting();
            let Some(usage) = self.process.usage() else { return Err("the process has gone".to_owned()) };
            if waiting == 0 && usage.is_back_to(&self.idle) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > patience {
                return Err(format!(
                    "{waiting} connections without an outcome {:?}; {} files open, of them {} sockets and {} of pipes, and {} ({}, {}) when idle; the last it said: {}",
                    self.books.who_waits(),
                    usage.files,
                    usage.sockets,
                    usage.pipes,
                    self.idle.files,
                    self.idle.sockets,
                    self.idle.pipes,
                    self.process.tail().last().cloned().unwrap_or_default(),
                ));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it by SIGTERM, which it has to obey at once: it has no connection.
    pub(crate) async fn stop(&mut self, checks: &mut Checks) {
        let started = Instant::now();
        self.process.signal(Signal::TERM);
        let code = self.process.wait(PATIENCE).await;
        let took = started.elapsed();
        checks.check(
            format!("{}: SIGTERM ends it at once, with exit code 0", self.mode),
            code == Some(0) && took <= AT_ONCE,
            format!("{code:?} after {:.1} s, at most {} s", took.as_secs_f64(), AT_ONCE.as_secs()),
        );
    }
}

/// Makes the close that follows a reset.
pub(crate) fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// What a client does, within its patience.
pub(crate) async fn patiently<T>(
    what: &str,
    work: impl std::future::Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(format!("stuck: {what} has not ended within {PATIENCE:?}")))
}
