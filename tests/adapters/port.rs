//! A mux under test: set up in a few words, and shown with what the behaviours ask of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use oneport::matchers::{grpc, http1, http2, ssh, tls};
use oneport::{
    Address, Addresses, Config, Counters, Limits, Matcher, Outcome, Report, SplitConfig, SplitOutcome,
};

use super::client::Client;
use super::kit::{AcceptLog, Control, Faults, Hooks, Kit, Leads, Route, Served, Setup, Source};
use super::{eventually, PATIENCE};
use crate::flights::flight;

/// What the hook was told of one connection.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) peer: Address,
    pub(super) outcome: Outcome,
    pub(super) route: Option<String>,
    pub(super) greeted: bool,
    pub(super) time_to_verdict: Duration,
}

/// What the hook was told, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<(Mutex<Vec<Record>>, Condvar)>);

impl Records {
    fn add(&self, record: Record) {
        self.0 .0.lock().expect("no panic under it").push(record);
        self.0 .1.notify_all();
    }

    pub(super) fn all(&self) -> Vec<Record> {
        self.0 .0.lock().expect("no panic under it").clone()
    }

    /// Waits until so many connections have ended; fails if it is more.
    #[track_caller]
    pub(super) fn wait(&self, count: usize) -> Vec<Record> {
        let records = self.0 .0.lock().expect("no panic under it");
        let few = |records: &mut Vec<Record>| records.len() < count;
        let (records, _) = self.0 .1.wait_timeout_while(records, PATIENCE, few).expect("no panic under it");
        assert_eq!(records.len(), count, "{records:?}");
        records.clone()
    }

    /// Waits until so many connections have ended at least.
    pub(super) fn wait_quietly(&self, count: usize) -> Vec<Record> {
        eventually("the outcomes", || self.all().len() >= count);
        self.all()
    }

    /// Waits for the only connection's outcome.
    #[track_caller]
    pub(super) fn only(&self) -> Outcome {
        self.wait(1)[0].outcome
    }
}

/// How connections ended whose requests were routed one by one, and after how many of them.
pub(super) type SplitEnds = Arc<Mutex<Vec<(Option<SplitOutcome>, u64)>>>;

/// What is to be opened, in the making.
pub(super) struct Plan(Setup, Records, SplitEnds);

/// A mux that listens on TCP.
pub(super) fn tcp() -> Plan {
    Plan::new(Source::Tcp { errors: Vec::new(), calls: Arc::default() })
}

/// A mux that listens on TCP, where accepting fails with these errors first.
pub(super) fn flaky_tcp(errors: Vec<i32>, calls: Arc<AcceptLog>) -> Plan {
    Plan::new(Source::Tcp { errors, calls })
}

/// A mux that listens on a Unix socket.
pub(super) fn unix(path: PathBuf) -> Plan {
    Plan::new(Source::Unix(path))
}

/// A mux that is fed by hand.
pub(super) fn handed() -> Plan {
    Plan::new(Source::Handed)
}

/// A mux that is fed with pairs that may have faults.
pub(super) fn pairs() -> Plan {
    Plan::new(Source::Pairs)
}

impl Plan {
    fn new(source: Source) -> Self {
        let records = Records::default();
        let sink = records.clone();
        let split_ends = SplitEnds::default();
        let split_sink = split_ends.clone();
        let mut config = Config::default();
        // Who is to be greeted is greeted in tests that say so, and nobody by chance on a busy machine.
        config.settings_patience = 2 * PATIENCE;
        let setup = Setup {
            config,
            limits: Limits::default(),
            split: None,
            routes: Vec::new(),
            source,
            hooks: Hooks {
                outcome: Box::new(move |report| {
                    sink.add(Record {
                        peer: report.addresses.peer.clone(),
                        outcome: report.outcome,
                        route: report.route.map(ToOwned::to_owned),
                        greeted: report.greeted,
                        time_to_verdict: report.time_to_verdict,
                    });
                }),
                split_end: Box::new(move |report| {
                    let end = (report.outcome, report.requests);
                    split_sink.lock().expect("no panic under it").push(end);
                }),
            },
        };
        Self(setup, records, split_ends)
    }

    pub(super) fn route(mut self, name: &'static str, matcher: Matcher) -> Self {
        self.0.routes.push((name, Leads::Match(matcher)));
        self
    }

    pub(super) fn otherwise(mut self, name: &'static str) -> Self {
        self.0.routes.push((name, Leads::Otherwise));
        self
    }

    pub(super) fn on_timeout(mut self, name: &'static str) -> Self {
        self.0.routes.push((name, Leads::OnTimeout));
        self
    }

    pub(super) fn server_first(mut self, name: &'static str, after: Duration) -> Self {
        self.0.routes.push((name, Leads::ServerFirst(after)));
        self
    }

    /// The hook does this, too, behind its record.
    pub(super) fn on_outcome(mut self, act: impl Fn(&Report<'_>) + Send + Sync + 'static) -> Self {
        let record = self.0.hooks.outcome;
        self.0.hooks.outcome = Box::new(move |report| {
            record(report);
            act(report);
        });
        self
    }

    /// A route for each protocol of the recorded flights, and nothing otherwise.
    pub(super) fn by_protocol(self) -> Self {
        self.route("grpc", grpc())
            .route("http2", http2())
            .route("http1", http1())
            .route("tls", tls())
            .route("ssh", ssh())
    }

    pub(super) fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.0.config);
        self
    }

    pub(super) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.0.limits);
        self
    }

    /// Routes requests one by one.
    pub(super) fn per_request(self) -> Self {
        self.split(|_| ())
    }

    /// Routes requests one by one, with bounds that are changed like this.
    pub(super) fn split(mut self, change: impl FnOnce(&mut SplitConfig)) -> Self {
        change(self.0.split.get_or_insert_with(SplitConfig::default));
        self
    }

    /// Greets waiting clients without delay.
    pub(super) fn impatient(self) -> Self {
        self.config(|config| config.settings_patience = Duration::ZERO)
    }

    pub(super) fn open(self, kit: &dyn Kit) -> Port {
        let Self(setup, records, split_ends) = self;
        let opened = kit.open(setup);
        Port { address: opened.address, routes: opened.routes, control: opened.control, records, split_ends }
    }
}

/// A mux that is being served.
pub(super) struct Port {
    pub(super) address: Address,
    pub(super) routes: BTreeMap<&'static str, Box<dyn Route>>,
    pub(super) control: Box<dyn Control>,
    pub(super) records: Records,
    pub(super) split_ends: SplitEnds,
}

impl Port {
    pub(super) fn socket_address(&self) -> SocketAddr {
        self.address.tcp().expect("a TCP port")
    }

    /// A new client of the listener.
    pub(super) fn client(&self) -> Client {
        match &self.address {
            Address::Unix(Some(path)) => Client::unix(path),
            address => Client::tcp(address.tcp().expect("a listener")),
        }
    }

    /// A new client that has sent this.
    #[track_caller]
    pub(super) fn client_that_says(&self, bytes: &[u8]) -> Client {
        let mut client = self.client();
        client.send(bytes);
        client
    }

    /// A new client over a pair, whose other end misbehaves like this.
    pub(super) fn pair(&self, faults: Faults) -> Client {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut theirs = Some(theirs);
        eventually("serving", || {
            let end = theirs.take().expect("given back");
            theirs = self.control.connect(end, faults.clone(), Addresses::UNKNOWN).err();
            theirs.is_none()
        });
        Client::of_pair(ours)
    }

    /// The next connection of a route.
    #[track_caller]
    pub(super) fn accept(&mut self, route: &str) -> Box<dyn Served> {
        self.route(route).accept().expect("not the end of the route")
    }

    #[track_caller]
    pub(super) fn route(&mut self, route: &str) -> &mut dyn Route {
        self.routes.get_mut(route).expect("a route").as_mut()
    }

    /// Waits until every connection that has come is decided: those that are not taken wait in their route. One more is served
    /// for that, by the route "ssh": connections are accepted in order, so when it is, the others have been.
    #[track_caller]
    pub(super) fn wait_decided(&mut self) {
        self.check_life("ssh", flight("ssh").bytes);
        self.wait_undecided(0, 0, 0);
    }

    /// Waits until there are so many silent, partial and idle connections.
    #[track_caller]
    pub(super) fn wait_undecided(&self, silent: usize, partial: usize, idle: usize) {
        eventually("undecided", || self.undecided() == (silent, partial, idle));
    }

    fn undecided(&self) -> (usize, usize, usize) {
        let undecided = self.control.undecided();
        (undecided.silent, undecided.partial, undecided.idle)
    }

    /// Checks that the connections of a route are served, from opening to end, as if there were nobody else.
    #[track_caller]
    pub(super) fn check_life(&mut self, route: &str, opening: &[u8]) {
        let mut client = self.client_that_says(opening);
        let mut served = self.accept(route);
        served.expect(opening);
        served.say(b"served");
        served.finish().expect("a socket");
        client.expect(b"served");
        client.finish();
        served.expect_fin();
        client.expect_silent_end();
    }

    /// The counters say what the hook was told, and nothing is missing.
    #[track_caller]
    pub(super) fn check_books(&self) {
        check_books(&self.control.counters(), &self.records.all());
    }
}

/// Every accepted connection has exactly one outcome, and the counters count just those.
#[track_caller]
pub(super) fn check_books(counters: &Counters, records: &[Record]) {
    assert_eq!(counters.accepted, records.len() as u64, "{counters:?}\n{records:?}");
    let counted: u64 = counters.tallies.values().map(|tally| tally.count).sum();
    assert_eq!(counted, counters.accepted, "{counters:?}");
    for (key, tally) in &counters.tallies {
        let same: Vec<_> = records
            .iter()
            .filter(|record| {
                let detail = match record.outcome {
                    Outcome::Left(phase) | Outcome::TimedOut(phase) => phase.name(),
                    Outcome::Refused(reason) => reason.name(),
                    _ => "",
                };
                key.outcome == record.outcome.name() && key.detail == detail && key.route == record.route
            })
            .collect();
        assert_eq!(tally.count, same.len() as u64, "{key:?}");
        assert_eq!(tally.greeted, same.iter().filter(|record| record.greeted).count() as u64, "{key:?}");
        assert_eq!(tally.time_to_verdict, same.iter().map(|record| record.time_to_verdict).sum(), "{key:?}");
    }
}

/// Waits less than [`PATIENCE`] and says how long `wait` took.
pub(super) fn timed<T>(wait: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = wait();
    (result, start.elapsed())
}

impl dyn Served + '_ {
    /// Reads exactly these bytes.
    #[track_caller]
    pub(super) fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        let mut at = 0;
        while at < received.len() {
            match self.read(&mut received[at..]) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(error) => panic!("{error} after {:?} of {bytes:?}", &received[..at]),
            }
        }
        assert!(received[..at] == *bytes, "the backend got {:?}, not {bytes:?}", &received[..at]);
    }

    /// The client's FIN comes next, and stays.
    #[track_caller]
    pub(super) fn expect_fin(&mut self) {
        for _ in 0..2 {
            let mut byte = [0];
            match self.read(&mut byte) {
                Ok(0) => {}
                other => panic!("{other:?} {byte:?}, not the end"),
            }
        }
    }

    /// Writes and flushes.
    #[track_caller]
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.write_all(bytes).and_then(|()| self.flush()).expect("the client reads");
    }
}
