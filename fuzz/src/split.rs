//! Per-request routing: whatever a client and its backends say, nothing panics, grows, or goes round for ever, and what is said to
//! them is HTTP/2.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use oneport_core::split::{BackendId, ConnectFailure, Output, Side, SplitConfig, SplitMachine};
use oneport_core::wire::frame::{flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};
use oneport_core::{matchers, Routes};

use crate::script::{choices, pieces};

/// What the bounds come to for a hundred streams and a few backends.
const MEMORY: usize = 32 << 20;

/// Outputs of one event: far more than any needs.
const OUTPUTS: usize = 100_000;

/// Sizes of the segments in which bytes come.
const SEGMENTS: [usize; 4] = [16_384, 1, 9, 100];

const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

const LIMITS: Limits = Limits { max_list_size: usize::MAX, max_string_len: usize::MAX };

/// A peer that reads: whole frames, header blocks that can be decoded and are not interrupted.
#[derive(Debug)]
struct Reader {
    bytes: Vec<u8>,
    awaits_preface: bool,
    decoder: Decoder,
    block: Option<(u32, Vec<u8>)>,
}

impl Reader {
    fn new(awaits_preface: bool) -> Self {
        let decoder = Decoder::new(DEFAULT_TABLE_SIZE);
        Self { bytes: Vec::new(), awaits_preface, decoder, block: None }
    }

    fn read(&mut self, mut batch: impl Buf) {
        while batch.has_remaining() {
            let chunk = batch.chunk();
            self.bytes.extend_from_slice(chunk);
            batch.advance(chunk.len());
        }
        if self.awaits_preface && self.bytes.len() >= PREFACE.len() {
            assert!(self.bytes.starts_with(PREFACE), "no preface");
            self.bytes.drain(..PREFACE.len());
            self.awaits_preface = false;
        }
        while let Some(head) = Head::peek(&self.bytes).filter(|_| !self.awaits_preface) {
            if self.bytes.len() < head.frame_len() {
                break;
            }
            let frame: Vec<u8> = self.bytes.drain(..head.frame_len()).collect();
            self.frame(&head, &frame[HEAD_LEN..]);
        }
    }

    fn frame(&mut self, head: &Head, payload: &[u8]) {
        match (&mut self.block, head.kind) {
            (None, Kind::HEADERS) => self.block = Some((head.stream, payload.to_vec())),
            (Some((stream, block)), Kind::CONTINUATION) if *stream == head.stream => {
                block.extend_from_slice(payload);
            }
            (None, kind) => return assert_ne!(kind, Kind::CONTINUATION, "without a head"),
            (Some(_), kind) => panic!("{kind:?} inside of a header block"),
        }
        assert_ne!(head.stream, 0);
        if head.flags & flag::END_HEADERS != 0 {
            let Some((_, block)) = self.block.take() else { return };
            let decoded = self.decoder.decode(&block, &LIMITS, |_| ControlFlow::Continue(()));
            assert_eq!(decoded, Ok(()), "a header block that nobody can read");
        }
    }

    /// It is not to be written to any more.
    fn end(&self) {
        assert!(self.bytes.is_empty(), "ends inside of a frame");
    }
}

struct World {
    machine: SplitMachine<&'static str>,
    now: Instant,
    client: Reader,
    backends: BTreeMap<BackendId, Option<Reader>>,
    is_done: bool,
    segment: usize,
    input: usize,
    output: usize,
}

impl World {
    fn drain(&mut self) {
        for _ in 0..OUTPUTS {
            match self.machine.poll_output() {
                Output::Close { side: Side::Backend(id), .. } => {
                    let reader = self.backends.get_mut(&id).expect("it was asked for").take();
                    reader.expect("closed twice").end();
                }
                Output::Close { side: Side::Client, .. } => self.client.end(),
                Output::Connect { backend, target } => self.connect(backend, target),
                Output::Done(_) => self.is_done = true,
                Output::NeedInput { until } => {
                    assert_eq!(until.is_none(), self.is_done);
                    assert!(self.machine.buffered() <= MEMORY);
                    return;
                }
                Output::Write { to, mut batch } => {
                    self.output += batch.remaining();
                    let reader = match to {
                        Side::Client => Some(&mut self.client),
                        Side::Backend(id) => self.backends.get_mut(&id).and_then(Option::as_mut),
                    };
                    reader.expect("it is open").read(&mut batch);
                    self.machine.handle_written(to, batch, self.now);
                }
            }
        }
        panic!("it never waits");
    }

    fn connect(&mut self, backend: BackendId, target: &str) {
        let reader = (target != "closed").then(|| Reader::new(true));
        let is_there = reader.is_some();
        assert!(self.backends.insert(backend, reader).is_none(), "a name twice");
        if !is_there {
            return self.machine.handle_connect_failed(backend, ConnectFailure::Forbidden, self.now);
        }
        self.machine.handle_connected(backend, self.now);
        self.input += SETTINGS.len();
        self.machine.handle_input(Side::Backend(backend), Bytes::from_static(SETTINGS), self.now);
    }

    /// The client is 0, and each backend that is open has a number from 1 on.
    fn side(&self, number: usize) -> Option<Side> {
        let mut open = self.backends.iter().filter(|(_, reader)| reader.is_some()).map(|(id, _)| *id);
        match number.checked_sub(1) {
            None => Some(Side::Client),
            Some(at) => open.nth(at).map(Side::Backend),
        }
    }

    fn say(&mut self, number: usize, bytes: &[u8]) {
        for part in bytes.chunks(self.segment) {
            let Some(side) = self.side(number) else { return };
            self.input += part.len();
            self.machine.handle_input(side, Bytes::copy_from_slice(part), self.now);
            self.drain();
        }
    }
}

/// What a client and up to three backends say. The byte behind a mark says who says what follows (its low two bits, 0 is the
/// client) and what happens before: by its high half, an end or a reset of that side, time, or a shutdown. The client's
/// preface and SETTINGS, and those of each backend, are not in the script.
pub fn split(data: &[u8]) {
    let ([segment, kind], script) = choices(data);
    let mut config = SplitConfig::default();
    config.extended_connect = kind & 1 != 0;
    if kind & 2 != 0 {
        config.stream_window = 100;
        config.max_concurrent_streams = 3;
    }
    let routes = Routes::new()
        .route(matchers::grpc(), "grpc")
        .route(matchers::path_prefix("/a"), "a")
        .route(matchers::path_prefix("/closed"), "closed")
        .route(!matchers::path_prefix("/none"), "rest");
    let now = Instant::now();
    let mut world = World {
        machine: SplitMachine::new(Arc::new(routes), Arc::new(config), now),
        now,
        client: Reader::new(false),
        backends: BTreeMap::new(),
        is_done: false,
        segment: SEGMENTS[usize::from(segment) % SEGMENTS.len()],
        input: 0,
        output: 0,
    };
    world.say(0, PREFACE);
    world.say(0, SETTINGS);
    let mut speaker = 0;
    for (said, action) in pieces(script) {
        world.say(speaker, said);
        let Some(action) = action else { break };
        speaker = usize::from(action & 3);
        match (action >> 4, world.side(speaker)) {
            (0xc, Some(side)) => world.machine.handle_eof(side, world.now),
            (0xd, Some(side)) => world.machine.handle_reset(side, world.now),
            (0xe, _) => {
                world.now += Duration::from_millis(300 << (action & 0xc));
                world.machine.handle_timeout(world.now);
            }
            (0xf, _) => world.machine.handle_shutdown(world.now),
            _ => {}
        }
        world.drain();
    }
    // Answers, and frames of its own for each connection and each deadline, are all that is said beyond what was heard.
    let own = (world.backends.len() + 2) * 300;
    assert!(world.output <= world.input * 40 + own, "{} of {}", world.output, world.input);
    world.machine.handle_eof(Side::Client, world.now);
    world.drain();
    assert!(world.is_done, "it goes on without a client");
    assert!(world.backends.values().all(Option::is_none), "a backend is still open");
}
