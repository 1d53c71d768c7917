//! The mixed load: the backends, the routes, who comes how often, and what becomes of the backends meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::backends::{Backend, Kind, Mood};
use crate::clients::{self, pick, Stage};
use crate::front::{patiently, Front, Mode};
use crate::random::Random;

/// Clients at the same time that are done soon, for each front.
const SWIFT_AT_ONCE: u64 = 14;
/// Clients at the same time that take their time, for each front.
const SLOW_AT_ONCE: u64 = 24;
/// Between two clients of one worker, at most, in milliseconds. It leaves the machine something to check with.
const PAUSE_MS: usize = 30;

/// The servers behind both fronts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) http1: Backend,
    pub(crate) h2: Backend,
    pub(crate) grpc: Backend,
    pub(crate) echo: Backend,
    pub(crate) ssh: Backend,
    pub(crate) websocket: Backend,
    pub(crate) flaky_http1: Backend,
    pub(crate) flaky_grpc: Backend,
    pub(crate) mute: Backend,
    /// Nobody listens there.
    pub(crate) down: Backend,
}

impl World {
    pub(crate) async fn start() -> Result<Self, String> {
        let world = Self {
            http1: Backend::start("http1", Kind::Http1).await?,
            h2: Backend::start("h2", Kind::H2).await?,
            grpc: Backend::start("grpc", Kind::H2).await?,
            echo: Backend::start("echo", Kind::Echo).await?,
            ssh: Backend::start("ssh", Kind::Ssh).await?,
            websocket: Backend::start("websocket", Kind::WebSocket).await?,
            flaky_http1: Backend::start("flaky-http1", Kind::Http1).await?,
            flaky_grpc: Backend::start("flaky-grpc", Kind::H2).await?,
            mute: Backend::start("mute", Kind::Echo).await?,
            down: Backend::start("down", Kind::Echo).await?,
        };
        world.mute.set(Mood::Mute);
        world.down.set(Mood::Down);
        Ok(world)
    }

    /// The routes, as options of the command.
    pub(crate) fn routes(&self) -> Vec<String> {
        let routes = [
            ("grpc:flaky.Echo", &self.flaky_grpc),
            ("grpc:mute.Echo", &self.mute),
            ("grpc:down.Echo", &self.down),
            ("grpc", &self.grpc),
            ("http2", &self.h2),
            ("websocket", &self.websocket),
            ("http1,host:flaky.test", &self.flaky_http1),
            ("http1,host:mute.test", &self.mute),
            ("http1,host:down.test", &self.down),
        ];
        let more = [
            ("http1", &self.http1),
            ("tls", &self.echo),
            ("ssh", &self.ssh),
            ("postgres", &self.echo),
            ("socks5", &self.echo),
        ];
        let mut options = Vec::new();
        for (term, backend) in routes {
            options.extend(["--route".to_owned(), format!("{term}={}", backend.address)]);
        }
        options.extend(["--route", "http1,host:closed.test=close"].map(str::to_owned));
        for (term, backend) in more {
            options.extend(["--route".to_owned(), format!("{term}={}", backend.address)]);
        }
        options
    }

    /// Waits until no backend has a connection: it hears of an end a moment after oneport has closed its side.
    pub(crate) async fn emptied(&self, patience: Duration) -> Result<String, String> {
        let started = Instant::now();
        loop {
            let open = |backend: &&Backend| backend.open.load(Ordering::Relaxed) > 0;
            let left: Vec<_> = self.all().into_iter().filter(open).map(|backend| backend.address).collect();
            if left.is_empty() {
                return Ok(format!("after {:.1} s", started.elapsed().as_secs_f64()));
            }
            if started.elapsed() > patience {
                return Err(format!("{left:?} still have one after {:.1} s", patience.as_secs_f64()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn all(&self) -> [&Backend; 10] {
        let Self { http1, h2, grpc, echo, ssh, websocket, flaky_http1, flaky_grpc, mute, down } = self;
        [http1, h2, grpc, echo, ssh, websocket, flaky_http1, flaky_grpc, mute, down]
    }
}

/// The options of a front in the soak: deadlines that are passed many times in a run, and that a busy machine keeps.
pub(crate) fn options(world: &World, mode: Mode) -> Vec<String> {
    let mut options = world.routes();
    if mode == Mode::Connection {
        options.extend(["--server-first".to_owned(), world.ssh.address.to_string()]);
        options.extend(["--server-first-after", "700ms"].map(str::to_owned));
    }
    let deadlines = [
        ("silent", "6s"),
        ("opening", "8s"),
        ("http2-settings", "6s"),
        ("http2-idle", "10s"),
        ("http2-headers", "7s"),
        ("delivery", "4s"),
    ];
    for (name, value) in deadlines {
        options.extend([format!("--{name}-deadline"), value.to_owned()]);
    }
    options
}

/// What the clients counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: AtomicU64,
    cut: AtomicU64,
    /// Requests of HTTP/2 to the front of requests, without those that are made by hand.
    asked: AtomicU64,
    /// Those of them that had a whole answer.
    heard: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clients: BTreeMap<(Mode, &'static str), (u64, u64)>,
    broken: u64,
    failures: Vec<String>,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request, or a conversation, had its exact answer.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// One was cut, as it must be when its backend is killed.
    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// A request of HTTP/2 is sent.
    pub(crate) fn asked(&self, mode: Mode) {
        if mode == Mode::PerRequest {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One of them had a whole answer, right or wrong.
    pub(crate) fn heard(&self, mode: Mode) {
        if mode == Mode::PerRequest {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn all_heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    pub(crate) fn all_answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn all_cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(crate) fn all_asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn ended(&self, name: &'static str, mode: Mode, result: Result<(), String>) {
        const MOST: usize = 40;
        let mut inner = self.lock();
        let (done, failed) = inner.clients.entry((mode, name)).or_default();
        *done += 1;
        if let Err(error) = result {
            *failed += 1;
            if inner.failures.len() < MOST {
                eprintln!("  FAILED {name} ({mode}): {error}");
                inner.failures.push(format!("{name} ({mode}): {error}"));
            }
        }
    }

    /// A client panicked, and took with it those that were to follow.
    fn broke(&self, what: &str) {
        eprintln!("  FAILED a client broke: {what}");
        let mut inner = self.lock();
        inner.broken += 1;
        inner.failures.push(format!("a client broke: {what}"));
    }

    /// Clients that panicked.
    pub(crate) fn all_broken(&self) -> u64 {
        self.lock().broken
    }

    /// By front and client: how many, and how many of them failed.
    pub(crate) fn clients(&self) -> BTreeMap<(Mode, &'static str), (u64, u64)> {
        self.lock().clients.clone()
    }

    /// What went wrong, some of it.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }
}

/// Drives the load until it is told to stop; then each client ends what it has begun.
pub(crate) async fn drive(fronts: Vec<Arc<Front>>, counts: Arc<Counts>, seed: u64, stop: Arc<AtomicBool>) {
    let mut workers = JoinSet::new();
    let mut seeds = Random::new(seed);
    for front in fronts {
        for number in 0..SWIFT_AT_ONCE + SLOW_AT_ONCE {
            let table = if number < SWIFT_AT_ONCE { clients::SWIFT } else { clients::SLOW };
            let (front, counts, stop) = (front.clone(), counts.clone(), stop.clone());
            let mut random = Random::new(seeds.next());
            workers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let kind = pick(table, &mut random);
                    let stage = Stage { front: &front, counts: &counts };
                    let result = patiently(kind.name, (kind.run)(stage, &mut random)).await;
                    counts.ended(kind.name, front.mode, result);
                    sleep(random.millis(PAUSE_MS)).await;
                }
            });
        }
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            counts.broke(&error.to_string());
        }
    }
}

/// Kills and restarts the backends that may be, until it is told to stop.
pub(crate) async fn upset(world: &World, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random::new(seed ^ 0xbac);
    let mut restarts = 0;
    while !stop.load(Ordering::Relaxed) {
        let backend = if random.one_in(2) { &world.flaky_http1 } else { &world.flaky_grpc };
        let mood = match random.below(5) {
            0 => Mood::Mute,
            1 => Mood::CutAfter(random.size(100_000)),
            _ => Mood::Down,
        };
        backend.set(mood);
        sleep(Duration::from_millis(100) + random.millis(900)).await;
        backend.set(Mood::Live);
        restarts += 1;
        sleep(Duration::from_millis(300) + random.millis(2_000)).await;
    }
    restarts
}
