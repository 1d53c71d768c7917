//! A machine between strict peers, driven by hand: nothing happens that the test does not cause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use oneport_core::split::{
    BackendId, Batch, ConnectFailure, ConnectionEnd, Output, Side, SplitConfig, SplitMachine, SplitOutcome,
};
use oneport_core::{matchers, Routes};

use super::strict::{Strict, Word};

/// One connection of a backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) target: &'static str,
    pub(super) peer: Strict,
    pub(super) closed: Option<ConnectionEnd>,
    /// Whether the machine was told that it is connected.
    pub(super) is_connected: bool,
}

#[derive(Debug)]
pub(super) struct Rig {
    pub(super) machine: SplitMachine<&'static str>,
    pub(super) now: Instant,
    pub(super) client: Strict,
    pub(super) backends: BTreeMap<BackendId, Backend>,
    pub(super) outcome: Option<SplitOutcome>,
    pub(super) client_closed: Option<ConnectionEnd>,
    pub(super) until: Option<Instant>,
    /// Whether backends are connected when the machine asks.
    pub(super) auto_connect: bool,
    /// What a new backend says first.
    pub(super) greet: fn(&mut Strict),
    /// Sides that take no bytes, and the batch that they do not take.
    pub(super) stuck: BTreeMap<Option<BackendId>, Option<Batch>>,
    /// Segments of what the peers send.
    pub(super) segment: usize,
}

pub(super) const GRPC: [(&str, &str); 6] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/pkg.Greeter/Hello"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];
pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
pub(super) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/up"), (":authority", "a")];
pub(super) const OK: [(&str, &str); 1] = [(":status", "200")];

/// gRPC to "grpc", paths below /a and /b to "a" and "b", /closed to "closed", /none nowhere, the rest to "rest".
pub(super) fn routes() -> Routes<&'static str> {
    Routes::new()
        .route(matchers::grpc(), "grpc")
        .route(matchers::path_prefix("/a"), "a")
        .route(matchers::path_prefix("/b"), "b")
        .route(matchers::path("/closed"), "closed")
        .route(matchers::not(matchers::path_prefix("/none")), "rest")
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(SplitConfig::default())
    }

    /// The client has said its SETTINGS, and the machine its.
    pub(super) fn with(config: SplitConfig) -> Self {
        let mut rig = Self::silent(config);
        rig.client.say_plain_settings();
        rig.run();
        rig
    }

    /// The client has said nothing but the preface.
    pub(super) fn silent(config: SplitConfig) -> Self {
        let now = Instant::now();
        Self {
            machine: SplitMachine::new(Arc::new(routes()), Arc::new(config), now),
            now,
            client: Strict::client(),
            backends: BTreeMap::new(),
            outcome: None,
            client_closed: None,
            until: None,
            auto_connect: true,
            greet: Strict::say_plain_settings,
            stuck: BTreeMap::new(),
            segment: usize::MAX,
        }
    }

    /// Carries bytes until nobody has anything to say.
    pub(super) fn run(&mut self) {
        for _ in 0..300_000 {
            let is_quiet = !self.drain_machine() & !self.say();
            if is_quiet {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Carries one segment of one side to the machine, if there is one and it is wanted; then does what the machine wants.
    pub(super) fn step(&mut self, side: usize) {
        let ids: Vec<BackendId> = self.backends.keys().copied().collect();
        let id = side.checked_sub(1).and_then(|at| ids.get(at % ids.len().max(1))).copied();
        self.say_of(id);
        self.drain_machine();
    }

    fn say_of(&mut self, id: Option<BackendId>) -> bool {
        let is_alive = match id {
            None => self.client_closed.is_none(),
            Some(id) => self.backends[&id].closed.is_none() && self.backends[&id].is_connected,
        };
        let (side, segment) = (id.map_or(Side::Client, Side::Backend), self.segment);
        let wants = self.machine.wants_input(side);
        let out = &mut self.peer(id).out;
        if out.is_empty() || !is_alive || !wants {
            return false;
        }
        let count = out.len().min(segment);
        let bytes: Vec<u8> = out.drain(..count).collect();
        self.machine.handle_input(side, Bytes::from(bytes), self.now);
        true
    }

    /// Does what the machine wants; says whether that was anything.
    fn drain_machine(&mut self) -> bool {
        for count in 0..1_000_000 {
            match self.machine.poll_output() {
                Output::Close { side: Side::Client, how } => {
                    assert!(self.client_closed.replace(how).is_none(), "closed twice");
                }
                Output::Close { side: Side::Backend(id), how } => {
                    let backend = self.backends.get_mut(&id).expect("a backend that was asked for");
                    assert!(backend.closed.replace(how).is_none(), "closed twice");
                }
                Output::Connect { backend, target } => {
                    let mut peer = Strict::backend();
                    (self.greet)(&mut peer);
                    let new = Backend { target, peer, closed: None, is_connected: false };
                    assert!(self.backends.insert(backend, new).is_none(), "a name used again");
                    if self.auto_connect {
                        self.connect(backend);
                    }
                }
                Output::Done(outcome) => {
                    assert!(self.client_closed.is_some());
                    assert!(self.backends.values().all(|b| b.closed.is_some() || !b.is_connected));
                    assert!(self.outcome.replace(outcome).is_none());
                }
                Output::NeedInput { until } => {
                    assert_eq!(until.is_none(), self.outcome.is_some());
                    self.until = until;
                    return count > 0;
                }
                Output::Write { to, mut batch } => {
                    assert!(!batch.is_empty());
                    let side = if let Side::Backend(id) = to { Some(id) } else { None };
                    if let Some(held) = self.stuck.get_mut(&side) {
                        assert!(held.replace(batch).is_none(), "a second batch before the first was written");
                        continue;
                    }
                    let bytes = batch.copy_to_bytes(batch.remaining());
                    self.peer(side).receive(&bytes);
                    self.machine.handle_written(to, batch, self.now);
                }
            }
        }
        panic!("the machine never waits");
    }

    pub(super) fn peer(&mut self, side: Option<BackendId>) -> &mut Strict {
        match side {
            None => &mut self.client,
            Some(id) => &mut self.backends.get_mut(&id).expect("a backend").peer,
        }
    }

    /// Carries a segment of each peer to the machine, where it wants it.
    fn say(&mut self) -> bool {
        let backends: Vec<BackendId> = self.backends.keys().copied().collect();
        let mut said = self.say_of(None);
        for id in backends {
            said |= self.say_of(Some(id));
        }
        said
    }

    pub(super) fn connect(&mut self, id: BackendId) {
        self.backends.get_mut(&id).expect("a backend").is_connected = true;
        self.machine.handle_connected(id, self.now);
    }

    pub(super) fn fail_connect(&mut self, id: BackendId, why: ConnectFailure) {
        self.backends.get_mut(&id).expect("a backend").closed = Some(ConnectionEnd::Cut);
        self.machine.handle_connect_failed(id, why, self.now);
        self.run();
    }

    /// A side takes bytes no more, or again.
    pub(super) fn stick(&mut self, side: Option<BackendId>) {
        self.stuck.insert(side, None);
    }

    pub(super) fn unstick(&mut self, side: Option<BackendId>) {
        if let Some(Some(mut batch)) = self.stuck.remove(&side) {
            let bytes = batch.copy_to_bytes(batch.remaining());
            self.peer(side).receive(&bytes);
            self.machine.handle_written(side.map_or(Side::Client, Side::Backend), batch, self.now);
        }
        self.run();
    }

    /// One batch goes out, and the side is stuck again.
    pub(super) fn unstick_once(&mut self, side: Option<BackendId>) {
        let Some(Some(mut batch)) = self.stuck.insert(side, None) else { return };
        let bytes = batch.copy_to_bytes(batch.remaining());
        self.peer(side).receive(&bytes);
        self.machine.handle_written(side.map_or(Side::Client, Side::Backend), batch, self.now);
        self.run();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
        self.run();
    }

    /// The client sends a whole request without a body.
    pub(super) fn get(&mut self, id: u32, path: &str) {
        self.client.say_head(id, &[(":method", "GET"), (":scheme", "http"), (":path", path)], true, None);
        self.run();
    }

    /// The newest connection that leads there.
    #[track_caller]
    pub(super) fn to(&self, target: &str) -> BackendId {
        let mut ids = self.backends.iter().filter(|(_, backend)| backend.target == target);
        *ids.next_back().unwrap_or_else(|| panic!("no connection to {target}")).0
    }

    #[track_caller]
    pub(super) fn at(&mut self, target: &str) -> &mut Strict {
        let id = self.to(target);
        &mut self.backends.get_mut(&id).expect("a backend").peer
    }

    #[track_caller]
    pub(super) fn expect_client(&self, id: u32, words: &[Word]) {
        assert_eq!(self.client.words(id), words, "what the client hears on stream {id}");
    }

    #[track_caller]
    pub(super) fn expect_at(&mut self, target: &str, id: u32, words: &[Word]) {
        assert_eq!(self.at(target).words(id), words, "what {target} hears on stream {id}");
    }

    pub(super) fn lose(&mut self, id: BackendId) {
        self.machine.handle_eof(Side::Backend(id), self.now);
        self.run();
    }
}
