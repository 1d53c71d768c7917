//! The mux between two peers, as an adapter runs it, with pipes that deliver when and how much they are told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::ledger::{BackendLedger, ClientLedger};
use oneport_core::{matchers, Config, Greeting, MuxMachine, Output, Routes};

use super::backend::{BackendPlan, StrictBackend};
use super::client::{ClientPlan, StrictClient};
use crate::support::ms;

pub(crate) const CLIENT_TO_MUX: usize = 0;
const MUX_TO_CLIENT: usize = 1;
const MUX_TO_BACKEND: usize = 2;
const BACKEND_TO_MUX: usize = 3;

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// So many bytes arrive at the end of this pipe.
    Move(usize, usize),
    Wait(Duration),
    /// The client does what it has put off.
    Client,
    /// The backend does.
    Backend,
}

enum Mux {
    Undecided(Box<MuxMachine<&'static str>>),
    Routed { to_backend: ClientLedger, to_client: BackendLedger },
}

pub(crate) struct World {
    client: StrictClient,
    backend: StrictBackend,
    mux: Mux,
    greeting: Greeting,
    is_greeted: bool,
    is_grpc: bool,
    pipes: [Vec<u8>; 4],
    now: Instant,
    until: Option<Instant>,
    /// To show what the ledgers are for.
    pub(crate) lose_ledger_to_backend: bool,
    pub(crate) lose_ledger_to_client: bool,
}

impl World {
    pub(crate) fn new(client: ClientPlan, backend: BackendPlan, greeting: Greeting) -> Self {
        let now = Instant::now();
        let mut config = Config::default();
        config.greeting = greeting.clone();
        let routes = Routes::new().route(matchers::grpc(), "grpc").otherwise("rest");
        let machine = MuxMachine::new(Arc::new(routes), Arc::new(config), now);
        let mut world = Self {
            is_grpc: client.is_grpc,
            client: StrictClient::new(client),
            backend: StrictBackend::new(backend),
            mux: Mux::Undecided(Box::new(machine)),
            greeting,
            is_greeted: false,
            pipes: Default::default(),
            now,
            until: None,
            lose_ledger_to_backend: false,
            lose_ledger_to_client: false,
        };
        world.collect();
        world
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// What the peers want to say goes into their pipes. The backend is not there before the verdict.
    fn collect(&mut self) {
        self.pipes[CLIENT_TO_MUX].append(&mut self.client.outbox);
        if matches!(self.mux, Mux::Routed { .. }) {
            self.pipes[BACKEND_TO_MUX].append(&mut self.backend.outbox);
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Move(pipe, n) => self.carry(*pipe, *n),
            Step::Wait(by) => self.wait(*by),
            Step::Client => self.client.act(),
            Step::Backend => self.backend.act(),
        }
        self.collect();
    }

    fn carry(&mut self, pipe: usize, n: usize) {
        let n = n.min(self.pipes[pipe].len());
        if n == 0 {
            return;
        }
        let bytes: Vec<u8> = self.pipes[pipe].drain(..n).collect();
        match pipe {
            CLIENT_TO_MUX => self.take_from_client(&bytes),
            MUX_TO_CLIENT => self.client.receive(&bytes),
            MUX_TO_BACKEND => self.backend.receive(&bytes),
            _ => self.take_from_backend(&bytes),
        }
    }

    fn take_from_client(&mut self, bytes: &[u8]) {
        match &mut self.mux {
            Mux::Undecided(machine) => {
                machine.handle_input(bytes, self.now);
                self.drain();
            }
            Mux::Routed { to_backend, .. } => {
                let mut chunk = bytes;
                while let Some(piece) = to_backend.pull(&mut chunk) {
                    self.pipes[MUX_TO_BACKEND].extend_from_slice(&piece);
                }
            }
        }
    }

    fn take_from_backend(&mut self, bytes: &[u8]) {
        let Mux::Routed { to_client, .. } = &mut self.mux else { panic!("no backend yet") };
        let mut chunk = bytes;
        while let Some(piece) = to_client.pull(&mut chunk) {
            self.pipes[MUX_TO_CLIENT].extend_from_slice(&piece);
        }
    }

    /// Time passes; whatever the socket holds is read before a deadline counts.
    fn wait(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(until) = self.until.filter(|until| *until < end) {
            self.now = self.now.max(until);
            if !self.pipes[CLIENT_TO_MUX].is_empty() {
                self.carry(CLIENT_TO_MUX, usize::MAX);
                continue;
            }
            if let Mux::Undecided(machine) = &mut self.mux {
                machine.handle_timeout(self.now);
                self.drain();
            }
        }
        self.now = end;
    }

    fn drain(&mut self) {
        let Mux::Undecided(machine) = &mut self.mux else { return };
        loop {
            match machine.poll_output() {
                Output::Write(reply) => reply.encode(&mut self.pipes[MUX_TO_CLIENT]),
                Output::NeedInput { until } => {
                    self.until = until;
                    self.is_greeted = machine.is_greeted();
                    return;
                }
                Output::Closed(outcome) => panic!("the mux has ended a good client: {outcome}"),
                Output::Split(_) => panic!("requests are not routed one by one here"),
                Output::Routed(handover) => {
                    self.until = None;
                    self.is_greeted = handover.is_greeted();
                    let wanted = if self.is_grpc { "grpc" } else { "rest" };
                    assert_eq!(handover.target(), Some(&wanted));
                    let parts = handover.into_parts();
                    let mut replay = parts.replay.to_vec();
                    let mut to_backend = parts.to_backend;
                    let mut to_client = parts.to_client;
                    if self.lose_ledger_to_backend {
                        to_backend = ClientLedger::new(0);
                        // As if the acknowledgement had not been there yet.
                        replay.extend_from_slice(&crate::support::strategies::ACK);
                    }
                    if self.lose_ledger_to_client {
                        to_client = BackendLedger::transparent();
                    }
                    self.mux = Mux::Routed { to_backend, to_client };
                    self.pipes[MUX_TO_BACKEND].append(&mut replay);
                    return;
                }
            }
        }
    }

    /// Delivers everything until nobody has anything to say any more.
    pub(crate) fn run_to_rest(&mut self) {
        for _ in 0..200 {
            for pipe in 0..4 {
                self.step(&Step::Move(pipe, usize::MAX));
            }
            self.step(&Step::Client);
            self.step(&Step::Backend);
            if self.pipes.iter().all(Vec::is_empty) && matches!(self.mux, Mux::Routed { .. }) {
                return;
            }
            self.step(&Step::Wait(ms(2)));
        }
        panic!("they wait for each other: greeted {}, {} responses", self.is_greeted, self.client.responses);
    }

    pub(crate) fn are_ledgers_settled(&self) -> bool {
        match &self.mux {
            Mux::Undecided(_) => false,
            Mux::Routed { to_backend, to_client } => {
                to_backend.is_transparent() && to_client.is_transparent()
            }
        }
    }

    /// Both peers have what they wanted, and what the client believes of the server is what the server has said.
    pub(crate) fn assert_content(&self) {
        self.client.assert_content();
        self.backend.assert_content();
        let Mux::Routed { to_backend, .. } = &self.mux else { panic!("undecided") };
        assert!(to_backend.is_transparent(), "the client has acknowledged everything");
        if !self.backend.merges() {
            assert_eq!(self.client.unacknowledged(), 0, "each SETTINGS has its ACK");
            assert!(self.are_ledgers_settled());
        }
        let (seen, said) = (&self.client.in_force, self.backend.announced());
        for id in [1, 2, 3, 4, 5, 6, 0xfe03] {
            let default = match id {
                1 => Some(4_096),
                3 => Some(0x7fff_ffff),
                4 => Some(65_535),
                5 => Some(16_384),
                6 => Some(u32::MAX),
                _ => None,
            };
            let (seen, said) = (seen.get(&id).copied().or(default), said.get(&id).copied().or(default));
            assert_eq!(seen, said, "setting {id:#x}");
        }
        let own = self.greeting.entries().iter().find(|entry| entry.id.0 == 8).map(|entry| entry.value);
        if !(self.is_greeted && own == Some(1)) {
            assert_eq!(seen.get(&8), said.get(&8), "ENABLE_CONNECT_PROTOCOL");
        }
    }
}
