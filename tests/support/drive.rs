//! Plays a scene on the machine under a virtual clock, as an adapter would, and writes down all that can be seen from outside.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport_core::testing::{End, Piece};
use oneport_core::{Handover, MuxMachine, Outcome, Output, Parts, Why};

use super::model::expect;
use super::scene::{Scene, To};
use super::words::{parse, Word};

/// How one read after the other cuts the bytes that are there: these sizes, over and over.
#[derive(Clone, Debug)]
pub(crate) struct Cuts(pub(crate) Vec<usize>);

impl Cuts {
    pub(crate) fn whole() -> Self {
        Self(vec![usize::MAX])
    }

    pub(crate) fn bytewise() -> Self {
        Self(vec![1])
    }
}

/// More outputs than any one event can call for: beyond it the machine does not come to rest.
const MAX_OUTPUTS: usize = 64;

/// How a connection ended.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Ending {
    Routed {
        to: To,
        /// All that the backend receives, over the whole life of the connection.
        backend: Vec<u8>,
        /// Whether an acknowledgement of the client never came.
        owes_ack: bool,
        /// Acknowledgements of the backend that the mux gave in its place, if it greeted.
        owed_by_backend: Option<u32>,
    },
    Closed(Outcome),
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routed { to, backend, owes_ack, owed_by_backend } => f
                .debug_struct("Routed")
                .field("to", to)
                .field("backend", &format_args!("b\"{}\"", backend.escape_ascii()))
                .field("owes_ack", owes_ack)
                .field("owed_by_backend", owed_by_backend)
                .finish(),
            Self::Closed(outcome) => write!(f, "Closed({outcome:?})"),
        }
    }
}

/// What was seen of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) words: Vec<(Duration, Word)>,
    pub(crate) at: Duration,
    pub(crate) ending: Ending,
}

/// What is not part of what peers see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) peak: usize,
    pub(crate) outputs: usize,
}

/// A machine and the clock that it is told.
pub(crate) struct Player {
    pub(crate) machine: MuxMachine<To>,
    base: Instant,
    pub(crate) now: Duration,
    said: Vec<u8>,
    pub(crate) words: Vec<(Duration, Word)>,
    until: Option<Instant>,
    end: Option<Result<Handover<To>, Outcome>>,
    pub(crate) cost: Cost,
}

impl Player {
    pub(crate) fn new(scene: &Scene) -> Self {
        let base = Instant::now();
        let machine = MuxMachine::new(scene.table(), Arc::new(scene.config.clone()), base);
        let mut player = Self {
            machine,
            base,
            now: Duration::ZERO,
            said: Vec::new(),
            words: Vec::new(),
            until: None,
            end: None,
            cost: Cost::default(),
        };
        player.drain();
        player
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    pub(crate) fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// When the machine wants to be woken.
    pub(crate) fn until(&self) -> Option<Duration> {
        self.until.map(|at| at - self.base)
    }

    /// Does what the machine says until it waits.
    fn drain(&mut self) {
        for outputs in 1.. {
            assert!(outputs <= MAX_OUTPUTS, "no end of outputs");
            self.cost.peak = self.cost.peak.max(self.machine.buffered());
            self.cost.outputs = self.cost.outputs.max(outputs);
            match self.machine.poll_output() {
                Output::Write(reply) => {
                    let mut out = Vec::new();
                    reply.encode(&mut out);
                    assert!(!out.is_empty(), "an empty write: {reply:?}");
                    self.said.extend_from_slice(&out);
                    self.words.extend(parse(&out).into_iter().map(|word| (self.now, word)));
                }
                Output::NeedInput { until } => {
                    self.until = until;
                    break;
                }
                Output::Routed(handover) => {
                    self.end = Some(Ok(handover));
                    break;
                }
                Output::Split(_) => panic!("requests are not routed one by one here"),
                Output::Closed(outcome) => {
                    self.end = Some(Err(outcome));
                    break;
                }
            }
        }
    }

    /// Lets time pass up to `to`; a deadline at that very instant is not due yet, since the socket is read first.
    pub(crate) fn wait(&mut self, to: Duration) {
        while !self.is_over() {
            let until = self.until().expect("an undecided machine always has a deadline");
            if until >= to {
                break;
            }
            self.wake(until);
        }
        if !self.is_over() {
            self.now = self.now.max(to);
        }
    }

    /// The deadline has come and the socket is empty.
    fn wake(&mut self, until: Duration) {
        self.now = self.now.max(until);
        self.machine.handle_timeout(self.instant());
        self.drain();
        if let (false, Some(next)) = (self.is_over(), self.until()) {
            assert!(next > self.now, "a deadline that does not pass: {:?}", self.machine.phase());
        }
    }

    /// Waits for deadlines until the machine is done with the client.
    pub(crate) fn wait_for_end(&mut self) {
        for _ in 0..16 {
            if self.is_over() {
                return;
            }
            self.wake(self.until().expect("an undecided machine always has a deadline"));
        }
        panic!("no end in {:?}", self.machine.phase());
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.machine.handle_input(bytes, self.instant());
        self.drain();
    }

    pub(crate) fn end(&mut self, end: End) {
        match end {
            End::Fin => self.machine.handle_eof(self.instant()),
            End::Reset => self.machine.handle_reset(self.instant()),
        }
        self.drain();
    }

    pub(crate) fn shut_down(&mut self) {
        self.machine.handle_shutdown(self.instant());
        self.drain();
    }

    /// Takes what there is to take after something was told to the machine directly.
    pub(crate) fn wait_for_end_of_outputs(&mut self) {
        self.drain();
    }

    /// Goes on with a handover that its route does not take.
    pub(crate) fn refuse(&mut self, reason: oneport_core::Reason) {
        let Some(Ok(handover)) = self.end.take() else { panic!("not routed") };
        self.machine = handover.refuse(reason, self.instant());
        self.drain();
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| match end {
            Ok(handover) => Outcome::Routed(handover.why()),
            Err(outcome) => *outcome,
        })
    }

    pub(crate) fn into_handover(self) -> Handover<To> {
        match self.end {
            Some(Ok(handover)) => handover,
            other => panic!("not routed: {other:?}"),
        }
    }
}

/// Plays the scene with the client's bytes cut like this, in front of the verdict and behind it.
pub(crate) fn play(scene: &Scene, cuts: &Cuts) -> (Seen, Cost) {
    let mut player = Player::new(scene);
    let mut late: Vec<&[u8]> = Vec::new();
    let mut sizes = cuts.0.iter().copied().cycle();
    let end = scene.client.end();
    for Piece { at, bytes } in scene.client.pieces() {
        player.wait(*at);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
            rest = behind;
            if player.is_over() {
                late.push(chunk);
            } else {
                player.now = *at;
                player.input(chunk);
            }
        }
    }
    if let (false, Some((at, end))) = (player.is_over(), end) {
        player.wait(at);
        if !player.is_over() {
            player.now = at;
            player.end(end);
        }
    }
    player.wait_for_end();
    // What is told to a machine that has ended has no effect.
    player.machine.handle_input(b"late", player.instant());
    player.machine.handle_eof(player.instant());
    player.machine.handle_timeout(player.instant());
    player.machine.handle_shutdown(player.instant());
    match (player.machine.poll_output(), &player.end) {
        (Output::Closed(again), Some(Err(outcome))) => assert_eq!(again, *outcome),
        (Output::NeedInput { until: None }, Some(Ok(_))) => {}
        (other, _) => panic!("a spent machine says {other:?}"),
    }
    let (words, at, cost) = (player.words.clone(), player.now, player.cost);
    let ending = match player.outcome() {
        Some(Outcome::Routed(why)) => deliver(player.into_handover(), why, &late),
        Some(outcome) => Ending::Closed(outcome),
        None => unreachable!("the machine has ended"),
    };
    (Seen { words, at, ending }, cost)
}

/// Hands over, and passes what the client sends behind the verdict through the ledger.
fn deliver(handover: Handover<To>, why: Why, late: &[&[u8]]) -> Ending {
    let to = *handover.target().expect("a target");
    assert_eq!(
        to,
        match why {
            Why::Matched(i) => To::Route(i),
            Why::OnTimeout => To::OnTimeout,
            Why::Otherwise => To::Otherwise,
            Why::ServerFirst => To::ServerFirst,
            other => panic!("unknown reason {other:?}"),
        }
    );
    let is_greeted = handover.is_greeted();
    let Parts { replay, mut to_backend, to_client, .. } = handover.into_parts();
    assert_eq!(is_greeted, !to_client.is_transparent());
    let mut backend = replay.to_vec();
    for chunk in late {
        let mut rest = *chunk;
        while let Some(piece) = to_backend.pull(&mut rest) {
            assert!(!piece.is_empty());
            backend.extend_from_slice(&piece);
        }
    }
    let owes_ack = to_backend.owed() > 0;
    backend.extend_from_slice(to_backend.finish());
    assert!(to_backend.is_transparent());
    Ending::Routed { to, backend, owes_ack, owed_by_backend: is_greeted.then(|| to_client.owed()) }
}

/// Plays the scene whole and byte by byte, and holds both against the model: what a story of one connection is told with.
#[track_caller]
pub(crate) fn tell(scene: &Scene) -> Seen {
    let (whole, _) = play(scene, &Cuts::whole());
    assert_eq!(play(scene, &Cuts::bytewise()).0, whole, "byte by byte, of {scene:?}");
    assert_eq!(whole, expect(scene), "the model of {scene:?}");
    whole
}

impl Seen {
    /// Where it went, if it was routed.
    pub(crate) fn to(&self) -> Option<To> {
        match &self.ending {
            Ending::Routed { to, .. } => Some(*to),
            Ending::Closed(_) => None,
        }
    }

    /// How it ended, if it was not routed.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match &self.ending {
            Ending::Routed { .. } => None,
            Ending::Closed(outcome) => Some(*outcome),
        }
    }

    /// What the backend received.
    #[track_caller]
    pub(crate) fn backend(&self) -> &[u8] {
        match &self.ending {
            Ending::Routed { backend, .. } => backend,
            Ending::Closed(outcome) => panic!("no backend: {outcome:?}"),
        }
    }

    /// What was said, without the instants.
    pub(crate) fn said(&self) -> Vec<Word> {
        self.words.iter().map(|(_, word)| word.clone()).collect()
    }

    pub(crate) fn is_greeted(&self) -> bool {
        matches!(self.words.first(), Some((at, Word::Settings(_))) if *at < self.at || self.to().is_some())
    }
}
