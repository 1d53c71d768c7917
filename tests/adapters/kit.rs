//! What a runtime gives to the suite: a mux of its adapter with blocking faces.
//!
//! Every face that waits gives up after [`PATIENCE`](super::PATIENCE) with an error of kind `TimedOut` or a panic, so that a
//! behaviour that is missing fails its test and does not hang it.

pub(super) mod smol;
pub(super) mod std;
pub(super) mod tokio;

use ::std::collections::BTreeMap;
use ::std::io::{self, IoSlice, Read, Write};
use ::std::os::unix::net::UnixStream;
use ::std::path::PathBuf;
use ::std::sync::atomic::{AtomicUsize, Ordering};
use ::std::sync::Arc;
use ::std::time::{Duration, Instant};

use oneport::StillOwed;
use oneport::{
    Address, Addresses, BridgeEnd, Config, Counters, Facts, Limits, Matcher, Reason, Report, SplitConfig,
    SplitReport, Undecided, Why,
};

/// Opens muxes on one runtime.
pub(super) trait Kit {
    /// A mux that is being served.
    fn open(&self, setup: Setup) -> Opened;
}

/// What is to be opened.
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) limits: Limits,
    /// Whether requests are routed one by one, with these bounds.
    pub(super) split: Option<SplitConfig>,
    pub(super) routes: Vec<(&'static str, Leads)>,
    pub(super) source: Source,
    pub(super) hooks: Hooks,
}

/// What is told of each connection.
pub(super) struct Hooks {
    pub(super) outcome: Box<dyn Fn(&Report<'_>) + Send + Sync>,
    pub(super) split_end: Box<dyn Fn(&SplitReport<'_>) + Send + Sync>,
}

/// Which connections a route is for.
pub(super) enum Leads {
    Match(Matcher),
    OnTimeout,
    Otherwise,
    ServerFirst(Duration),
}

/// Where connections come from.
pub(super) enum Source {
    /// A TCP listener on a port of the system's choice, behind errors of accept with these numbers.
    Tcp { errors: Vec<i32>, calls: Arc<AcceptLog> },
    /// A Unix listener at this path.
    Unix(PathBuf),
    /// [`Control::connect`] alone, without faults: the generic entry of the mux itself.
    Handed,
    /// [`Control::connect`] alone, with faults. Where requests are routed one by one, std has none: there, its connections are
    /// those of smol.
    Pairs,
}

/// When a scripted listener was asked.
#[derive(Debug, Default)]
pub(super) struct AcceptLog(::std::sync::Mutex<Vec<Instant>>);

impl AcceptLog {
    pub(super) fn note(&self) {
        self.0.lock().expect("no panic under it").push(Instant::now());
    }

    /// The pauses between one failed accept and the next try.
    pub(super) fn pauses(&self) -> Vec<Duration> {
        self.0.lock().expect("no panic under it").windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// A mux that is being served, and all that belongs to it. Dropping it ends the runtime.
pub(super) struct Opened {
    pub(super) address: Address,
    pub(super) routes: BTreeMap<&'static str, Box<dyn Route>>,
    pub(super) control: Box<dyn Control>,
}

/// The face of a handle.
pub(super) trait Control: Send + Sync {
    fn counters(&self) -> Counters;
    fn undecided(&self) -> Undecided;
    fn shutdown(&self);
    /// Waits until serving has come back; the counters of that moment.
    fn wait_served(&self) -> Counters;
    /// The generic entry: one end of a pair, with faults on it. Not on a mux with a listener.
    fn connect(&self, end: UnixStream, faults: Faults, addresses: Addresses) -> Result<(), UnixStream>;
}

/// The face of an `Incoming`.
pub(super) trait Route: Send {
    /// The next connection; `None` when there will be no more.
    fn accept(&mut self) -> Option<Box<dyn Served>>;
    /// Takes the next connection and refuses it.
    fn refuse(&mut self, reason: Reason);
    /// Takes the next connection and drops it undecided.
    fn forget(&mut self);
    /// Takes the next connection, a share, for a server at the other end of this socket; returns what waits for its end. Not on
    /// std.
    fn bridge(&mut self, server: UnixStream) -> Box<dyn FnOnce() -> BridgeEnd>;
    fn local_address(&mut self) -> Address;
}

/// The face of a routed connection, as its server has it.
pub(super) trait Served: Read + Write + Send {
    /// Ends the writing side.
    fn finish(&mut self) -> io::Result<()>;
    /// Resets the inner socket.
    fn reset(self: Box<Self>);
    fn write_vectored_once(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    /// What the adapter tells of vectored writes; `None` where the runtime's traits do not ask.
    fn writes_vectored(&self) -> Option<bool>;
    /// Reads the whole of `first` in one half while the other half writes `answer`, and puts the halves together again.
    fn on_halves(self: Box<Self>, first: &mut [u8], answer: &[u8]) -> Box<dyn Served>;
    fn about(&self) -> About;
    /// TCP_NODELAY of the inner socket.
    fn nodelay(&self) -> Option<bool>;
    fn owed(&self) -> Option<StillOwed>;
    /// The inner stream, or the connection back with the reason.
    fn into_inner(self: Box<Self>) -> Result<Box<dyn Bare>, (Box<dyn Served>, StillOwed)>;
}

/// The face of an inner stream.
pub(super) trait Bare: Read + Write + Send {}

/// What a routed connection tells about itself.
#[derive(Debug)]
pub(super) struct About {
    pub(super) peer: Address,
    pub(super) local: Address,
    pub(super) route: Option<String>,
    pub(super) why: Why,
    pub(super) was_greeted: bool,
    /// The target of the first request.
    pub(super) target: Option<Vec<u8>>,
    pub(super) sni: Option<String>,
}

impl About {
    pub(super) fn facts(facts: &Facts) -> (Option<Vec<u8>>, Option<String>) {
        let target = facts.request().present().map(|request| request.target().to_vec());
        let sni = facts.tls().present().and_then(|hello| hello.sni().map(ToOwned::to_owned));
        (target, sni)
    }
}

/// How the mux's end of a pair misbehaves, within the contract of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Offsets of the client's stream over which no read reaches.
    pub(super) read_cuts: Vec<usize>,
    /// The most bytes that a read gives.
    pub(super) read_at_most: Option<usize>,
    /// The most bytes that a write takes.
    pub(super) write_at_most: Option<usize>,
    /// Every other write is not ready at first, where the runtime knows such a thing.
    pub(super) stutters: bool,
    /// Whether it takes vectored writes.
    pub(super) is_vectored: bool,
    pub(super) seen: Arc<Seen>,
}

/// What a faulty stream has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) read: AtomicUsize,
    pub(super) writes: AtomicUsize,
    pub(super) vectored_writes: AtomicUsize,
}

impl Faults {
    /// How many bytes the next read may give.
    pub(super) fn readable(&self, wanted: usize) -> usize {
        let at = self.seen.read.load(Ordering::Relaxed);
        let cut = self.read_cuts.iter().filter(|cut| **cut > at).min().map_or(usize::MAX, |cut| cut - at);
        wanted.min(cut).min(self.read_at_most.unwrap_or(usize::MAX))
    }

    pub(super) fn writable(&self, wanted: usize) -> usize {
        wanted.min(self.write_at_most.unwrap_or(usize::MAX))
    }
}
