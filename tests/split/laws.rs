//! Each stream's messages arrive at the right place, in order, complete and once: arbitrary conversations of one client and
//! four backends, in arbitrary interleavings, segments, windows and tables, with resets, backends that go, and sides that take
//! no bytes for a while. The peers are strict, so that every frame is held against the RFCs on the way.

use std::collections::{BTreeMap, BTreeSet};

use oneport_core::split::{BackendId, ConnectionEnd, SplitConfig};
use proptest::prelude::*;

use super::rig::Rig;
use super::strict::{Strict, Word};

/// Where a request goes, and its head.
const PLACES: [(&str, &[(&str, &str)]); 4] = [
    (
        "grpc",
        &[(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), ("content-type", "application/grpc")],
    ),
    (
        "a",
        &[(":method", "POST"), (":scheme", "http"), (":path", "/a/1"), ("secret-one", "x"), ("cookie", "a")],
    ),
    (
        "b",
        &[(":method", "PUT"), (":scheme", "https"), (":path", "/b?q"), (":authority", "b"), ("cookie", "b")],
    ),
    (
        "rest",
        &[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            ("x-long", "0123456789012345678901234567"),
        ],
    ),
];

/// What one side says on one stream.
#[derive(Clone, Debug)]
struct Speech {
    interim: usize,
    fields: usize,
    chunks: Vec<usize>,
    padding: Option<u8>,
    trailers: bool,
    /// It is cut off by a reset after this many steps.
    reset_after: Option<usize>,
}

#[derive(Clone, Debug)]
struct Talk {
    place: usize,
    request: Speech,
    response: Speech,
    /// The response does not wait for the end of the request.
    is_early: bool,
}

#[derive(Clone, Debug)]
struct Case {
    talks: Vec<Talk>,
    steps: Vec<(u8, u8)>,
    segment: usize,
    quantum: usize,
    batch: usize,
    window: u32,
    client: (u32, usize, bool),
    backend: (u32, usize, Option<u32>, bool),
}

fn speech(interim: usize) -> impl Strategy<Value = Speech> {
    let chunk = prop_oneof![4 => Just(0usize), 6 => 1usize..200, 4 => 200usize..3_000, 1 => Just(16_384usize), 1 => 3_000usize..40_000];
    let reset = proptest::option::weighted(0.12, 0usize..5);
    (
        0..=interim,
        0usize..4,
        proptest::collection::vec(chunk, 0..4),
        proptest::option::weighted(0.2, 0u8..60),
        any::<bool>(),
        reset,
    )
        .prop_map(|(interim, fields, chunks, padding, trailers, reset_after)| Speech {
            interim,
            fields,
            chunks,
            padding,
            trailers,
            reset_after,
        })
}

fn talk() -> impl Strategy<Value = Talk> {
    (0usize..4, speech(0), speech(2), any::<bool>()).prop_map(|(place, request, response, is_early)| Talk {
        place,
        request,
        response,
        is_early,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let window = || prop_oneof![Just(65_535u32), 50u32..500, 1_000u32..20_000, 65_536u32..300_000];
    let table = || prop_oneof![Just(4_096usize), Just(0usize), 1usize..300, 4_097usize..9_000];
    let sizes = (
        prop_oneof![Just(usize::MAX), 20usize..200, Just(16_384usize)],
        prop_oneof![50usize..20_000, Just(16_384usize)],
        1usize..70_000,
        window(),
    );
    (
        proptest::collection::vec(talk(), 1..8),
        proptest::collection::vec(any::<(u8, u8)>(), 0..120),
        sizes,
        (window(), table(), any::<bool>()),
        (window(), table(), proptest::option::of(1u32..4), any::<bool>()),
    )
        .prop_map(|(talks, steps, (segment, quantum, batch, window), client, backend)| Case {
            talks,
            steps,
            segment,
            quantum,
            batch,
            window: window.max(1_000),
            client,
            backend,
        })
}

/// One step of a speech.
#[derive(Clone, Debug)]
enum Step {
    Head(Vec<(String, String)>),
    Data(usize),
    Trailers,
    End,
    Reset,
}

const TRAILERS: [(&str, &str); 2] = [("grpc-status", "0"), ("secret-trailer", "t")];

fn steps(speech: &Speech, head: &[(&str, &str)], id: u32) -> Vec<Step> {
    let own = |fields: &[(&str, &str)]| {
        fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for number in 0..speech.interim {
        all.push(Step::Head(own(&[(":status", "103"), ("link", &number.to_string())])));
    }
    let mut fields = own(head);
    for number in 0..speech.fields {
        fields.push((format!("x-field-{number}"), format!("{}", id as usize % (number + 2))));
    }
    all.push(Step::Head(fields));
    all.extend(speech.chunks.iter().map(|count| Step::Data(*count)));
    all.push(if speech.trailers { Step::Trailers } else { Step::End });
    if let Some(after) = speech.reset_after {
        // A client can not reset what it has not begun.
        let after = after.max(1);
        if after < all.len() {
            all.truncate(after);
            all.push(Step::Reset);
        }
    }
    all
}

/// What the other side hears of it, if nothing cuts it off.
fn words(steps: &[Step], byte: u8) -> Vec<Word> {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Head(fields) => all.push(Word::Head(fields.clone())),
            Step::Data(0) => {}
            Step::Data(count) => match all.last_mut() {
                Some(Word::Data(data)) => data.extend(std::iter::repeat_n(byte, *count)),
                _ => all.push(Word::Data(vec![byte; *count])),
            },
            Step::Trailers => {
                all.push(Word::Head(TRAILERS.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()));
                all.push(Word::End);
            }
            Step::End => all.push(Word::End),
            Step::Reset => all.push(Word::Reset(8)),
        }
    }
    all
}

/// Whether what was heard is a beginning of what was said, and then nothing or a reset.
fn is_beginning(heard: &[Word], said: &[Word]) -> bool {
    let heard = match heard.split_last() {
        Some((Word::Reset(_), rest)) => rest,
        _ => heard,
    };
    heard.iter().enumerate().all(|(at, word)| match (word, said.get(at)) {
        (Word::Data(heard_data), Some(Word::Data(data))) if at + 1 == heard.len() => {
            data.starts_with(heard_data)
        }
        (word, said) => Some(word) == said,
    })
}

/// One side of a stream, and how far it has come.
#[derive(Debug)]
struct Speaker {
    steps: Vec<Step>,
    at: usize,
    /// How much of the DATA at `at` was sent.
    sent: usize,
    byte: u8,
    padding: Option<u8>,
}

impl Speaker {
    fn is_done(&self) -> bool {
        self.at >= self.steps.len()
    }

    /// Says the next thing, as far as windows allow; says whether that was anything.
    fn say(&mut self, peer: &mut Strict, id: u32) -> bool {
        let Some(step) = self.steps.get(self.at).cloned() else { return false };
        match step {
            Step::Head(fields) => {
                let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
                // The end may come with the head.
                let ends = self.at + 2 == self.steps.len()
                    && matches!(self.steps[self.at + 1], Step::End)
                    && id % 4 == 1;
                peer.say_head(id, &fields, ends, (id % 3 == 0).then_some(7));
                self.at += usize::from(ends);
            }
            Step::Data(count) => {
                let left = count - self.sent;
                let padding = self.padding.filter(|padding| peer.sendable(id) > usize::from(*padding) + 1);
                let overhead = padding.map_or(0, |padding| usize::from(padding) + 1);
                let now = left.min(peer.sendable(id) - overhead).min(16_384 - overhead);
                if now == 0 && left > 0 {
                    return false;
                }
                let is_whole = now == left;
                let ends = is_whole
                    && self.at + 2 == self.steps.len()
                    && matches!(self.steps[self.at + 1], Step::End)
                    && id % 4 == 3;
                peer.say_data(id, &vec![self.byte; now], ends, padding);
                self.sent += now;
                if !is_whole {
                    return true;
                }
                self.sent = 0;
                self.at += usize::from(ends);
            }
            Step::Trailers => peer.say_head(id, &TRAILERS, true, None),
            Step::End => peer.say_data(id, b"", true, None),
            Step::Reset => peer.say_reset(id, 8),
        }
        self.at += 1;
        true
    }
}

struct World {
    rig: Rig,
    talks: Vec<Talk>,
    clients: Vec<Speaker>,
    servers: Vec<Speaker>,
    /// Where each request is, once it has arrived.
    places: Vec<Option<BackendId>>,
    /// Connections that go, and the last stream that they process.
    going: BTreeMap<BackendId, u32>,
    /// Requests whose first connection went without them.
    sent_again: BTreeSet<usize>,
    opened: usize,
}

const fn id_of(talk: usize) -> u32 {
    talk as u32 * 2 + 1
}

impl World {
    fn new(case: &Case) -> Self {
        let mut config = SplitConfig::default();
        config.quantum = case.quantum;
        config.write_batch = case.batch;
        config.stream_window = case.window;
        config.max_concurrent_streams = 5;
        let mut rig = Rig::silent(config);
        let (window, table, auto_credit) = case.client;
        rig.client.say_settings(window, table, None, &[]);
        rig.client.auto_credit = auto_credit;
        rig.segment = case.segment;
        let speaker = |speech: &Speech, head: &[(&str, &str)], id: u32, byte| Speaker {
            steps: steps(speech, head, id),
            at: 0,
            sent: 0,
            byte,
            padding: speech.padding,
        };
        let numbered = || case.talks.iter().enumerate();
        Self {
            rig,
            clients: numbered()
                .map(|(n, t)| speaker(&t.request, PLACES[t.place].1, id_of(n), n as u8))
                .collect(),
            servers: numbered()
                .map(|(n, t)| speaker(&t.response, &[(":status", "200")], id_of(n), 100 + n as u8))
                .collect(),
            places: vec![None; case.talks.len()],
            talks: case.talks.clone(),
            going: BTreeMap::new(),
            sent_again: BTreeSet::new(),
            opened: 0,
        }
    }

    /// The client goes on with a stream, or opens the next one.
    fn client_speaks(&mut self, choice: usize) -> bool {
        let may_open = self.opened < self.talks.len()
            && self.rig.client.open_streams() < self.rig.client.allowed_streams.min(5) as usize;
        let talk = choice % (self.opened + usize::from(may_open)).max(1);
        if talk >= self.opened && !may_open {
            return false;
        }
        self.opened = self.opened.max(talk + 1);
        let id = id_of(talk);
        if self.rig.client.words(id).iter().any(|word| matches!(word, Word::Reset(_))) {
            return false;
        }
        self.clients[talk].say(&mut self.rig.client, id)
    }

    /// A backend goes on with a response, once the request is there.
    fn backend_speaks(&mut self, talk: usize) -> bool {
        let (id, target) = (id_of(talk), PLACES[self.talks[talk].place].0);
        let is_here = |(place, backend): &(&BackendId, &super::rig::Backend)| {
            let is_processed = self.going.get(place).is_none_or(|last| id <= *last);
            backend.target == target && !backend.peer.words(id).is_empty() && is_processed
        };
        let Some((place, _)) = self.rig.backends.iter().find(is_here) else { return false };
        let place = *place;
        assert!(self.places[talk].is_none_or(|before| before == place), "a request in two places");
        let peer = &mut self.rig.backends.get_mut(&place).unwrap().peer;
        let heard = peer.words(id);
        let is_reset = heard.iter().any(|word| matches!(word, Word::Reset(_)));
        if is_reset || !(self.talks[talk].is_early || heard.last() == Some(&Word::End)) {
            return false;
        }
        self.places[talk] = Some(place);
        self.servers[talk].say(peer, id)
    }

    /// A backend's newest connection says GOAWAY, for all that it has seen or only for what it has begun to answer.
    fn backend_goes(&mut self, choice: usize, is_lossless: bool) {
        let fresh: Vec<BackendId> = self
            .rig
            .backends
            .iter()
            .filter(|(id, b)| b.closed.is_none() && !self.going.contains_key(id))
            .map(|(id, _)| *id)
            .collect();
        let Some(place) = fresh.get(choice % fresh.len().max(1)).copied() else { return };
        if self.going.len() > 2 {
            return;
        }
        let peer = &mut self.rig.backends.get_mut(&place).unwrap().peer;
        let begun = (0..self.talks.len()).filter(|talk| self.places[*talk] == Some(place)).map(id_of).max();
        let last = if is_lossless { peer.ids().last().copied() } else { begun }.unwrap_or(0);
        // What this connection will hear before the machine has heard of it, it does not process.
        peer.say_goaway(last, 0);
        self.going.insert(place, last);
        for talk in 0..self.talks.len() {
            if id_of(talk) > last && self.places[talk].is_none() {
                self.sent_again.insert(talk);
            }
        }
    }

    fn act(&mut self, (kind, choice): (u8, u8), case: &Case) {
        let choice = usize::from(choice);
        match kind % 16 {
            0..=4 => drop(self.client_speaks(choice)),
            5..=8 => drop(self.backend_speaks(choice % self.talks.len())),
            9..=11 => self.rig.step(choice % 5),
            12 => self.toggle(choice),
            13 => self.rig.run(),
            14 => {
                self.rig.client.grant_all(choice as u32 * 10 + 1);
                self.rig
                    .backends
                    .values_mut()
                    .for_each(|backend| backend.peer.grant_all(choice as u32 * 7 + 1));
            }
            _ if choice % 3 == 0 => self.backend_goes(choice, choice % 2 == 0),
            _ => {
                // New settings in the middle; windows may fall below what is in use.
                let (window, table, ..) = case.client;
                self.rig.client.say_settings(window / (1 + choice as u32 % 3), table / 2, None, &[]);
                let (window, table, streams, _) = case.backend;
                for backend in self.rig.backends.values_mut() {
                    backend.peer.say_settings(window / (1 + choice as u32 % 5), table / 2, streams, &[]);
                }
            }
        }
        self.expect_no_faults();
        // A side's own bound, its batch and one frame; windows of streams in both directions; heads.
        let bound = self.talks.len() * 2 * (case.window as usize + 65_535) + 5 * (3 * 65_536) + (1 << 20);
        assert!(self.rig.machine.buffered() <= bound);
    }

    /// Legal conversations: no connection ends by a fault.
    fn expect_no_faults(&self) {
        for (place, backend) in &self.rig.backends {
            assert!(
                matches!(backend.closed, None | Some(ConnectionEnd::Clean)),
                "{place:?}: {:?}",
                backend.closed
            );
        }
    }

    fn toggle(&mut self, choice: usize) {
        let backends: Vec<BackendId> = self.rig.backends.keys().copied().collect();
        let side = (choice % 5).checked_sub(1).and_then(|at| backends.get(at).copied());
        if self.rig.stuck.contains_key(&side) {
            self.rig.unstick(side);
        } else {
            self.rig.stick(side);
        }
    }

    /// Everybody says all that is left.
    fn finish(&mut self) {
        let stuck: Vec<_> = self.rig.stuck.keys().copied().collect();
        for side in stuck {
            self.rig.unstick(side);
        }
        for _ in 0..3_000 {
            let mut has_spoken = false;
            for talk in 0..self.talks.len() {
                has_spoken |= self.client_speaks(talk);
                has_spoken |= self.backend_speaks(talk);
            }
            let before = self.rig.client.received;
            self.rig.run();
            if !has_spoken && before == self.rig.client.received {
                if self.rig.machine.streams() == 0 && self.opened == self.talks.len() {
                    return;
                }
                self.rig.client.grant_all(100_000);
                self.rig.backends.values_mut().for_each(|backend| backend.peer.grant_all(100_000));
                self.rig.run();
            }
        }
        panic!("{} streams never end", self.rig.machine.streams());
    }

    fn check(&self) {
        self.expect_no_faults();
        assert_eq!((self.rig.outcome, self.rig.machine.streams()), (None, 0));
        for (number, talk) in self.talks.iter().enumerate() {
            let id = id_of(number);
            let (client, server) = (&self.clients[number], &self.servers[number]);
            let (asked, answered) = (words(&client.steps, client.byte), words(&server.steps, server.byte));
            let heard = self.rig.client.words(id);
            for (place, backend) in &self.rig.backends {
                let arrived = backend.peer.words(id);
                assert!(backend.target == PLACES[talk.place].0 || arrived.is_empty(), "{id} went astray");
                assert!(is_beginning(arrived, &asked), "{id}: {arrived:?} of {asked:?}");
                let is_processed = self.going.get(place).is_none_or(|last| id <= *last);
                assert!(
                    arrived.is_empty() || !is_processed || self.places[number].is_none_or(|at| at == *place)
                );
            }
            let is_cut = |steps: &[Step]| matches!(steps.last(), Some(Step::Reset));
            let is_refused = heard == [Word::Reset(7)];
            if self.sent_again.contains(&number) && is_refused {
                continue;
            }
            assert!(is_beginning(heard, &answered), "{id}: {heard:?} of {answered:?}");
            if is_cut(&client.steps) || is_cut(&server.steps) {
                // The one who did not reset hears of it, unless all was said.
                if is_cut(&server.steps) && server.is_done() && !is_cut(&client.steps) {
                    assert_eq!(heard.last(), Some(&Word::Reset(8)), "{id}");
                }
                continue;
            }
            let place = self.places[number].unwrap_or_else(|| panic!("{id} never arrived: {heard:?}"));
            assert_eq!(self.rig.backends[&place].peer.words(id), asked, "{id} at its backend");
            assert_eq!(heard, answered, "{id} at the client");
            assert!(client.is_done() && server.is_done());
        }
        assert_eq!(self.rig.machine.buffered(), 0);
    }
}

fn converse(case: &Case) {
    let mut world = World::new(case);
    GREETING.with(|greeting| greeting.set(case.backend));
    world.rig.greet = |peer| {
        let (window, table, streams, auto_credit) = GREETING.with(std::cell::Cell::get);
        peer.say_settings(window, table, streams, &[]);
        peer.auto_credit = auto_credit;
    };
    for step in &case.steps {
        world.act(*step, case);
    }
    world.finish();
    world.check();
}

thread_local! {
    /// What new backends say first.
    static GREETING: std::cell::Cell<(u32, usize, Option<u32>, bool)> = const { std::cell::Cell::new((0, 0, None, false)) };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, max_shrink_time: 15_000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_where_it_belongs_whole_in_order_and_once(case in case()) {
        converse(&case);
    }
}
