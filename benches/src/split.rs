//! The machine of per-request routing without sockets. Its client and its backend are scripts, so that next to nothing but the
//! machine is measured: what they say is known before, ids of streams apart, and what the machine says to them is looked at once and
//! then thrown away.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use oneport_core::split::{BackendId, Output, Side, SplitConfig, SplitMachine};
use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::Encoder;
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, Setting, SettingId};
use oneport_core::{matchers, Routes};

use crate::lists::List;

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// `GET`, as h2load sends it, answered with 6 bytes by nghttpd.
    Get,
    /// `GET`, answered with 1 MiB.
    Large,
    /// A gRPC call of grpc-go, answered with a message and trailers.
    Unary,
}

/// All of them, by name.
pub const KINDS: [(&str, Asked); 3] = [("get", Asked::Get), ("unary", Asked::Unary), ("large", Asked::Large)];

/// Streams at a time.
pub const STREAMS: [u32; 2] = [1, 100];

/// What an adapter reads at a time into a buffer that it does not copy from.
const COPIED_UP_TO: usize = 8 * 1024;

/// DATA of a large response, and how many of them a read brings.
const FRAME: usize = 16 * 1024;
const FRAMES: usize = 2;
const LARGE: usize = 1 << 20;

/// Window that a peer gives at once, and its part from which it is given again.
const WINDOW: u32 = 0x7fff_ffff;
const AGAIN: usize = 1 << 29;

/// What both sides have to say in a message of a call: a flag, a length, and a few bytes.
const MESSAGE: &[u8] = b"\0\0\0\0\x07message";

/// What one read brings, for streams that are not known yet.
#[derive(Debug)]
struct Read {
    from_client: bool,
    bytes: Bytes,
    /// Where the id of a stream stands, and which one of the round it is.
    ids: Vec<(usize, u32)>,
}

impl Read {
    fn new(from_client: bool, frames: &[(Kind, u8, &[u8], u32)]) -> Self {
        let (mut bytes, mut ids) = (Vec::new(), Vec::new());
        for &(kind, flags, payload, nth) in frames {
            ids.push((bytes.len() + HEAD_LEN - 4, nth));
            encode_frame(&mut bytes, kind, flags, 0, payload);
        }
        Self { from_client, bytes: bytes.into(), ids }
    }

    /// The bytes for a round whose streams begin with `first`.
    fn prepare(&mut self, first: u32) -> Bytes {
        let own = std::mem::take(&mut self.bytes);
        let mut bytes = own.try_into_mut().expect("the machine keeps nothing of it");
        for &(at, nth) in &self.ids {
            bytes[at..at + 4].copy_from_slice(&(first + 2 * nth).to_be_bytes());
        }
        self.bytes = bytes.freeze();
        if self.bytes.len() <= COPIED_UP_TO {
            // As the adapters do.
            Bytes::copy_from_slice(&self.bytes)
        } else {
            self.bytes.clone()
        }
    }
}

/// One round: requests and their responses, and in which order they come.
#[derive(Debug)]
struct Round {
    reads: Vec<Read>,
    /// Places in `reads`, and what is added to the streams in it.
    order: Vec<(usize, u32)>,
    streams: u32,
    /// Content towards the client and towards the backend.
    down: usize,
    up: usize,
}

/// The compression of both peers.
#[derive(Default)]
struct Encoders {
    client: Encoder,
    backend: Encoder,
}

impl Round {
    fn new(asked: Asked, streams: u32, encoders: &mut Encoders) -> Self {
        const HEAD: u8 = flag::END_HEADERS;
        const END: u8 = flag::END_STREAM;
        let request = List::of_flight(if asked == Asked::Unary { "grpc-go-1.33" } else { "h2load" });
        let length = if asked == Asked::Large { "1048576" } else { "6" };
        let response = match asked {
            Asked::Unary => List::new(&[(":status", "200"), ("content-type", "application/grpc")]),
            Asked::Get | Asked::Large => List::new(&[
                (":status", "200"),
                ("server", "nghttpd nghttp2/1.52.0"),
                ("cache-control", "max-age=3600"),
                ("date", "Thu, 01 Jan 2026 12:00:00 GMT"),
                ("content-length", length),
                ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ]),
        };
        let trailers = List::new(&[("grpc-status", "0"), ("grpc-message", "")]);
        let requests: Vec<_> = (0..streams).map(|_| request.block(&mut encoders.client)).collect();
        let answers: Vec<_> = (0..streams)
            .map(|_| {
                let head = response.block(&mut encoders.backend);
                let is_call = asked == Asked::Unary;
                (head, if is_call { trailers.block(&mut encoders.backend) } else { Vec::new() })
            })
            .collect();
        let (mut asking, mut answering) = (Vec::new(), Vec::new());
        let (mut up, mut down) = (0, 0);
        for (nth, (request, (answer, trailers))) in (0..).zip(requests.iter().zip(&answers)) {
            match asked {
                Asked::Unary => {
                    asking.push((Kind::HEADERS, HEAD, &request[..], nth));
                    asking.push((Kind::DATA, END, MESSAGE, nth));
                    answering.push((Kind::HEADERS, HEAD, &answer[..], nth));
                    answering.push((Kind::DATA, 0, MESSAGE, nth));
                    answering.push((Kind::HEADERS, HEAD | END, &trailers[..], nth));
                    up += MESSAGE.len();
                    down += MESSAGE.len();
                }
                Asked::Get => {
                    asking.push((Kind::HEADERS, HEAD | END, &request[..], nth));
                    answering.push((Kind::HEADERS, HEAD, &answer[..], nth));
                    answering.push((Kind::DATA, END, &b"hello\n"[..], nth));
                    down += 6;
                }
                Asked::Large => {
                    asking.push((Kind::HEADERS, HEAD | END, &request[..], nth));
                    answering.push((Kind::HEADERS, HEAD, &answer[..], nth));
                    down += LARGE;
                }
            }
        }
        let mut reads = vec![Read::new(true, &asking), Read::new(false, &answering)];
        let mut order = vec![(0, 0), (1, 0)];
        if asked == Asked::Large {
            let payload = vec![b'x'; FRAME];
            let data = |last| {
                let flags = |n| if n + 1 == FRAMES { last } else { 0 };
                let frames: Vec<_> = (0..FRAMES).map(|n| (Kind::DATA, flags(n), &payload[..], 0)).collect();
                Read::new(false, &frames)
            };
            reads.extend([data(0), data(END)]);
            let turns = LARGE / FRAME / FRAMES;
            for turn in 1..=turns {
                // A turn of each stream.
                order.extend((0..streams).map(|nth| (if turn == turns { 3 } else { 2 }, nth)));
            }
        }
        Self { reads, order, streams, down, up }
    }
}

/// One connection with its peers.
#[derive(Debug)]
pub struct Script {
    first: Round,
    round: Round,
    next_id: u32,
    /// Content since a window was given, towards the client and towards the backend.
    down: usize,
    up: usize,
}

impl Script {
    /// Peers that speak of this with so many streams at a time.
    pub fn new(asked: Asked, streams: u32) -> Self {
        let mut encoders = Encoders::default();
        // The first request and response fill the tables, with all that follows a connection goes on for ever.
        let first = Round::new(asked, 1, &mut encoders);
        let round = Round::new(asked, streams, &mut encoders);
        Self { first, round, next_id: 1, down: 0, up: 0 }
    }

    /// A round without a machine: what the script itself costs.
    pub fn recite(&mut self) {
        for &(at, nth) in &self.round.order {
            black_box(self.round.reads[at].prepare(self.next_id + 2 * nth));
        }
        self.next_id = (self.next_id + 2 * self.round.streams) & 0x3fff_ffff;
    }

    /// Streams of a round.
    pub const fn streams(&self) -> u32 {
        self.round.streams
    }
}

/// The machine with its time, and what it has said.
#[derive(Debug)]
pub struct Port {
    machine: SplitMachine<&'static str>,
    now: Instant,
    backend: Option<BackendId>,
    /// What went to the client and to the backend, while somebody wants to know.
    said: Option<[Vec<u8>; 2]>,
}

impl Port {
    /// A connection that has said its opening words.
    ///
    /// # Panics
    /// If the machine closes a connection, here and in all that follows.
    pub fn open() -> Self {
        let routes = Arc::new(Routes::new().route(matchers::grpc(), "grpc").otherwise("rest"));
        let now = Instant::now();
        let machine = SplitMachine::new(routes, Arc::new(SplitConfig::default()), now);
        let mut port = Self { machine, now, backend: None, said: None };
        let mut opening = PREFACE.to_vec();
        let window = Setting { id: SettingId::INITIAL_WINDOW_SIZE, value: WINDOW };
        encode_settings(&mut opening, &[window]);
        encode_settings_ack(&mut opening);
        encode_frame(&mut opening, Kind::WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        port.tell(Side::Client, opening.into());
        port
    }

    fn tell(&mut self, from: Side, bytes: Bytes) {
        self.machine.handle_input(from, bytes, self.now);
        loop {
            match self.machine.poll_output() {
                Output::Write { to, mut batch } => {
                    if let Some(said) = &mut self.said {
                        let whole = batch.copy_to_bytes(batch.remaining());
                        said[usize::from(to != Side::Client)].extend_from_slice(&whole);
                    }
                    batch.advance(batch.remaining());
                    self.machine.handle_written(to, batch, self.now);
                }
                Output::Connect { backend, .. } => {
                    self.machine.handle_connected(backend, self.now);
                    self.backend = Some(backend);
                    let mut words = Vec::new();
                    let streams = Setting { id: SettingId::MAX_CONCURRENT_STREAMS, value: 100 };
                    let window = Setting { id: SettingId::INITIAL_WINDOW_SIZE, value: 1 << 20 };
                    encode_settings(&mut words, &[streams, window]);
                    encode_settings_ack(&mut words);
                    encode_frame(&mut words, Kind::WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
                    self.machine.handle_input(Side::Backend(backend), words.into(), self.now);
                }
                Output::NeedInput { .. } => return,
                ended => panic!("{ended:?}"),
            }
        }
    }

    fn play(&mut self, round: &mut Round, first: u32, reads: Range<usize>) {
        for &(at, nth) in &round.order[reads] {
            let read = &mut round.reads[at];
            let from = match self.backend {
                Some(id) if !read.from_client => Side::Backend(id),
                _ => Side::Client,
            };
            let bytes = read.prepare(first + 2 * nth);
            self.tell(from, bytes);
        }
    }

    /// The first request with its response.
    pub fn warm(&mut self, script: &mut Script) {
        let all = script.first.order.len();
        self.play(&mut script.first, script.next_id, 0..all);
        script.next_id += 2;
    }

    /// A round of requests with their responses.
    pub fn run(&mut self, script: &mut Script) {
        self.ask(script);
        self.answer(script);
    }

    /// The requests of a round, which stay open.
    pub fn ask(&mut self, script: &mut Script) {
        self.play(&mut script.round, script.next_id, 0..1);
        assert_eq!(self.machine.streams(), script.round.streams as usize, "all are open");
    }

    /// Their responses.
    pub fn answer(&mut self, script: &mut Script) {
        let all = script.round.order.len();
        self.play(&mut script.round, script.next_id, 1..all);
        assert_eq!(self.machine.streams(), 0, "all have ended");
        script.next_id += 2 * script.round.streams;
        script.down += script.round.down;
        script.up += script.round.up;
        if script.down >= AGAIN {
            self.give_window(Some(Side::Client), &mut script.down);
        }
        if script.up >= AGAIN {
            self.give_window(self.backend.map(Side::Backend), &mut script.up);
        }
    }

    /// A while without requests.
    pub fn rest(&mut self) {
        self.now += Duration::from_secs(10);
        self.machine.handle_timeout(self.now);
        assert!(matches!(self.machine.poll_output(), Output::NeedInput { .. }), "nothing to say");
    }

    fn give_window(&mut self, from: Option<Side>, used: &mut usize) {
        let mut update = Vec::new();
        encode_frame(&mut update, Kind::WINDOW_UPDATE, 0, 0, &(*used as u32).to_be_bytes());
        *used = 0;
        self.tell(from.expect("there is a backend"), update.into());
    }

    /// Two rounds of which every frame is looked at.
    ///
    /// # Panics
    /// If not every request and response arrives.
    pub fn check(&mut self, script: &mut Script) {
        for _ in 0..2 {
            self.said = Some(Default::default());
            self.run(script);
            let said = self.said.take().unwrap_or_default();
            for (said, content) in said.iter().zip([script.round.down, script.round.up]) {
                let (ended, found) = ends(said);
                assert_eq!((ended, found), (script.round.streams, content), "streams, content");
            }
        }
    }
}

/// How many streams end in these frames, and how much content they have.
fn ends(mut frames: &[u8]) -> (u32, usize) {
    let (mut ended, mut content) = (0, 0);
    while let Some(head) = Head::peek(frames) {
        let is_data = head.kind == Kind::DATA;
        ended += u32::from((is_data || head.kind == Kind::HEADERS) && head.has(flag::END_STREAM));
        content += if is_data { head.length as usize } else { 0 };
        frames = &frames[head.frame_len()..];
    }
    assert!(frames.is_empty(), "whole frames");
    (ended, content)
}
