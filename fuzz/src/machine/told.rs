//! A connection under a virtual clock, driven as an adapter drives it, and what came of it.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use oneport_core::ledger::ClientLedger;
use oneport_core::wire::frame::{flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::{Config, MuxMachine, Outcome, Output, Reason, Reply, Routes};

use super::scene::most_held;

/// More timeouts than a connection can have phases: a machine that needs more does not come to an end.
const MOST_TIMEOUTS: usize = 8;

/// A connection on its way.
pub(super) struct Told {
    machine: MuxMachine<&'static str>,
    config: Arc<Config>,
    refused: Option<Reason>,
    is_bytewise: bool,
    start: Instant,
    now: Instant,
    /// When the machine wants to be called; `None` once it is spent.
    until: Option<Instant>,
    to_backend: Option<ClientLedger>,
    /// The client has ended its side or is gone.
    is_over: bool,
    came: Came,
}

/// What came of a connection. Two cuts of one conversation have equal ones.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Came {
    /// All that the client sent, read or not.
    input: Vec<u8>,
    /// All that the mux said, as values.
    said: Vec<Reply>,
    /// Bytes that the client had sent when it was greeted.
    greeted_at: Option<usize>,
    outcome: Option<Outcome>,
    /// All that the backend received.
    backend: Option<Vec<u8>>,
    /// Acknowledgements of the backend that are to be dropped.
    owed_to_client: u32,
    /// The deadline after each thing that happened.
    deadlines: Vec<Option<Duration>>,
}

impl Told {
    pub(super) fn new(
        routes: Arc<Routes<&'static str>>,
        config: Arc<Config>,
        refused: Option<Reason>,
        is_bytewise: bool,
    ) -> Self {
        let now = Instant::now();
        let mut told = Self {
            machine: MuxMachine::new(routes, Arc::clone(&config), now),
            config,
            refused,
            is_bytewise,
            start: now,
            now,
            until: None,
            to_backend: None,
            is_over: false,
            came: Came::default(),
        };
        told.drain(0);
        told
    }

    fn is_live(&self) -> bool {
        self.came.outcome.is_none()
    }

    /// The client sends these bytes now.
    pub(super) fn input(&mut self, bytes: &[u8]) {
        if self.is_over || bytes.is_empty() {
            return;
        }
        let size = if self.is_bytewise { 1 } else { bytes.len() };
        for mut piece in bytes.chunks(size) {
            self.came.input.extend_from_slice(piece);
            if let Some(ledger) = &mut self.to_backend {
                let backend = self.came.backend.get_or_insert_with(Vec::new);
                while let Some(goes_on) = ledger.pull(&mut piece) {
                    backend.extend_from_slice(&goes_on);
                }
            } else if self.is_live() {
                self.machine.handle_input(piece, self.now);
                self.drain(piece.len());
            }
        }
        self.note();
    }

    /// Time passes, and the machine is called whenever it wants to be.
    pub(super) fn pass(&mut self, pause: Duration) {
        let target = self.now + pause;
        let mut timeouts = 0;
        while let Some(until) = self.until.filter(|until| *until <= target && self.is_live()) {
            timeouts += 1;
            assert!(timeouts <= MOST_TIMEOUTS, "a machine that does not come to an end");
            self.now = self.now.max(until);
            self.machine.handle_timeout(self.now);
            self.drain(0);
        }
        self.now = target;
        self.note();
    }

    pub(super) fn eof(&mut self) {
        if let (Some(ledger), Some(backend), false) =
            (&mut self.to_backend, &mut self.came.backend, self.is_over)
        {
            backend.extend_from_slice(ledger.finish());
        } else if self.is_live() {
            self.machine.handle_eof(self.now);
            self.drain(0);
            // It may only be on its way to a route that refuses it, and answered.
            assert!(
                !self.is_live() || self.to_backend.is_some(),
                "the client has ended, and nothing follows"
            );
        }
        self.is_over = true;
    }

    pub(super) fn reset(&mut self) {
        if self.is_live() {
            self.machine.handle_reset(self.now);
            self.drain(0);
            assert!(matches!(self.came.outcome, Some(Outcome::Left(_))), "broken, and not left");
        }
        self.is_over = true;
    }

    pub(super) fn shutdown(&mut self) {
        if self.is_live() {
            self.machine.handle_shutdown(self.now);
            self.drain(0);
            assert_eq!(self.came.outcome, Some(Outcome::Shutdown));
        }
    }

    pub(super) fn eviction(&mut self) {
        if self.is_live() {
            self.machine.handle_eviction(self.now);
            self.drain(0);
            assert_eq!(self.came.outcome, Some(Outcome::Refused(Reason::Overload)));
        }
    }

    /// A call before the time has come must have no effect.
    pub(super) fn timeout_early(&mut self) {
        if self.until.is_some_and(|until| until > self.now) {
            let (until, said) = (self.until, self.came.said.len());
            self.machine.handle_timeout(self.now);
            self.drain(0);
            assert_eq!((self.until, self.came.said.len()), (until, said), "an early call has an effect");
        }
    }

    /// Nothing more happens but time.
    pub(super) fn end(mut self) -> Came {
        if self.is_live() {
            // Longer than all deadlines together.
            self.pass(Duration::from_secs(24 * 3_600));
        }
        assert!(!self.is_live(), "no deadline has ended the connection");
        if let (Some(ledger), Some(backend)) = (&mut self.to_backend, &mut self.came.backend) {
            backend.extend_from_slice(ledger.finish());
        }
        self.spent();
        self.came
    }

    fn note(&mut self) {
        self.came.deadlines.push(self.until.map(|until| until - self.start));
    }

    /// Polls until the machine waits or has ended. `read` is how much was read last.
    fn drain(&mut self, read: usize) {
        loop {
            match self.machine.poll_output() {
                Output::Write(reply) => {
                    assert!(self.is_live());
                    if matches!(reply, Reply::Greeting { .. }) {
                        self.came.greeted_at = Some(self.came.input.len());
                    }
                    let mut bytes = Vec::new();
                    reply.encode(&mut bytes);
                    assert!(!bytes.is_empty(), "a reply of nothing");
                    self.came.said.push(reply);
                }
                Output::NeedInput { until } => {
                    let until = until.expect("an undecided machine waits until some time");
                    self.until = Some(until);
                    let (held, most) = (self.machine.buffered(), most_held(&self.config, read));
                    assert!(held <= most, "{held} bytes held, at most {most} allowed");
                    return;
                }
                Output::Routed(handover) => {
                    if let Some(reason) = self.refused.take() {
                        self.machine = handover.refuse(reason, self.now);
                        continue;
                    }
                    self.came.outcome = Some(Outcome::Routed(handover.why()));
                    assert!(handover.target().is_some(), "routed to nowhere");
                    assert_eq!(handover.is_greeted(), self.came.greeted_at.is_some());
                    let parts = handover.into_parts();
                    self.came.owed_to_client = parts.to_client.owed();
                    assert_eq!(parts.to_client.is_transparent(), self.came.greeted_at.is_none());
                    self.came.backend = Some(parts.replay.to_vec());
                    self.to_backend = Some(parts.to_backend);
                    self.until = None;
                    return;
                }
                Output::Split(_) => unreachable!("requests are not routed one by one here"),
                Output::Closed(outcome) => {
                    self.came.outcome = Some(outcome);
                    self.until = None;
                    // What a cut brings behind the byte that ended the connection is nobody's.
                    return self.spent();
                }
            }
        }
    }

    /// A machine that is spent stays so, whatever it is told.
    fn spent(&mut self) {
        self.machine.handle_input(b"PRI * HTTP/2.0\r\n\r\n", self.now);
        self.machine.handle_eof(self.now);
        self.machine.handle_timeout(self.now + Duration::from_secs(24 * 3_600));
        self.machine.handle_shutdown(self.now);
        match self.machine.poll_output() {
            Output::Closed(outcome) => assert_eq!(Some(outcome), self.came.outcome, "two outcomes"),
            Output::NeedInput { until: None } => assert!(self.came.backend.is_some()),
            other => panic!("a spent machine says {other:?}"),
        }
        assert_eq!((self.machine.buffered(), self.machine.deadline()), (0, None));
    }
}

impl Came {
    /// What must be so in any cut.
    pub(super) fn check(&self) {
        let speaks_http2 = self.input.starts_with(PREFACE);
        let greetings = self.said.iter().filter(|reply| matches!(reply, Reply::Greeting { .. })).count();
        assert!(greetings <= 1, "greeted twice");
        let (mut pings, mut refusals) = (Vec::new(), 0);
        for (i, reply) in self.said.iter().enumerate() {
            match reply {
                Reply::Greeting { .. } => assert_eq!(i, 0, "something was said before the greeting"),
                Reply::PingAck(opaque) => pings.push(*opaque),
                Reply::Refusal(_) => refusals += 1,
                _ => {}
            }
            let is_refusal = matches!(reply, Reply::Refusal(_));
            assert!(
                is_refusal || (speaks_http2 && greetings == 1),
                "said {reply:?} to one that was not greeted"
            );
            assert!(!is_refusal || i + 1 == self.said.len(), "something was said behind the refusal");
        }
        match &self.backend {
            Some(backend) => {
                assert_eq!(refusals, 0, "refused and routed");
                assert_eq!(*backend, self.owed_to_backend(&pings), "not the client's bytes");
            }
            None => assert!(!matches!(self.outcome, Some(Outcome::Routed(_)))),
        }
    }

    /// The input less the PINGs that were answered, which are the first ones, and less the acknowledgement of the greeting, which is
    /// the first whose last byte came behind it.
    fn owed_to_backend(&self, pings: &[[u8; 8]]) -> Vec<u8> {
        let Some(greeted_at) = self.greeted_at else { return self.input.clone() };
        let (preface, mut rest) = self.input.split_at(PREFACE.len());
        let mut out = preface.to_vec();
        let (mut pings, mut owes_ack) = (pings.iter(), true);
        while let Some(head) = Head::peek(rest) {
            let (frame, tail) = rest.split_at(head.frame_len().min(rest.len()));
            let end = self.input.len() - tail.len();
            rest = tail;
            if owes_ack && head.is_settings_ack() && end > greeted_at {
                owes_ack = false;
                continue;
            }
            if head.kind == Kind::PING && !head.has(flag::ACK) {
                if let Some(answered) = pings.next() {
                    assert_eq!(frame.get(HEAD_LEN..), Some(&answered[..]), "another PING was answered");
                    continue;
                }
            }
            out.extend_from_slice(frame);
        }
        assert!(pings.next().is_none(), "a PING was answered that nobody sent");
        out.extend_from_slice(rest);
        out
    }
}
