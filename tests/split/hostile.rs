//! Any frames at all, of a client and of its backends at once: nothing panics, nothing goes round for ever, nothing grows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use oneport_core::split::{BackendId, ConnectFailure, Output, Side, SplitConfig, SplitMachine};
use oneport_core::wire::frame::{encode_frame, Kind, PREFACE};
use proptest::prelude::*;

use super::rig::routes;

/// What a memory bound of the default configuration comes to for a hundred streams and a few backends.
const MEMORY: usize = 32 << 20;

#[derive(Clone, Debug)]
enum Act {
    /// A frame of the client (0) or of a backend.
    Frame {
        side: usize,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    },
    Junk {
        side: usize,
        bytes: Vec<u8>,
    },
    Eof(usize),
    Late(u16),
    Shutdown,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        Just(b"\x82\x86\x84".to_vec()),
        Just(b"\x83\x86\x84\x40\x0ccontent-type\x10application/grpc".to_vec()),
        Just(b"\x82\x86\x44\x02/a\x40\x01x\x01y".to_vec()),
        Just(b"\x88".to_vec()),
        Just(b"\x88\x5c\x015".to_vec()),
        Just(b"\xbe\xbf".to_vec()),
        Just(b"\0\x04\0\0\0\x01\0\x01\0\0\0\0".to_vec()),
        Just(b"\0\x03\0\0\0\x01".to_vec()),
    ];
    let number = any::<u32>().prop_map(|number| number.to_be_bytes().to_vec());
    let small = (0u32..100_000).prop_map(|number| number.to_be_bytes().to_vec());
    let two = (0u32..30, 0u32..14).prop_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()].concat());
    prop_oneof![
        6 => block,
        1 => number,
        2 => small,
        1 => two,
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..17_000).prop_map(|length| vec![7; length]),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![8 => 0u8..2, 4 => 3u8..10, 1 => any::<u8>()];
    let flags = prop_oneof![6 => Just(4u8), 4 => Just(5u8), 2 => Just(0u8), 2 => Just(1u8), 1 => any::<u8>()];
    let stream = prop_oneof![8 => (0u32..8).prop_map(|n| n * 2 + 1), 2 => Just(0u32), 1 => 0u32..40];
    prop_oneof![
        30 => (0usize..4, kind, flags, stream, payload())
            .prop_map(|(side, kind, flags, stream, payload)| Act::Frame { side, kind, flags, stream, payload }),
        1 => (0usize..4, proptest::collection::vec(any::<u8>(), 0..30)).prop_map(|(side, bytes)| Act::Junk { side, bytes }),
        1 => (1usize..4).prop_map(Act::Eof),
        2 => any::<u16>().prop_map(Act::Late),
        1 => Just(Act::Shutdown),
    ]
}

struct World {
    machine: SplitMachine<&'static str>,
    now: Instant,
    backends: BTreeMap<BackendId, bool>,
    is_done: bool,
    segment: usize,
    input: usize,
    output: usize,
}

impl World {
    fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.machine.poll_output() {
                Output::Close { side: Side::Backend(id), .. } => {
                    assert_eq!(self.backends.insert(id, false), Some(true), "closed twice");
                }
                Output::Close { side: Side::Client, .. } => {}
                Output::Connect { backend, target } => {
                    assert!(self.backends.insert(backend, true).is_none());
                    if target == "closed" {
                        self.backends.insert(backend, false);
                        self.machine.handle_connect_failed(backend, ConnectFailure::Forbidden, self.now);
                        continue;
                    }
                    self.machine.handle_connected(backend, self.now);
                    let settings = Bytes::from_static(b"\0\0\0\x04\0\0\0\0\0");
                    self.input += settings.len();
                    self.machine.handle_input(Side::Backend(backend), settings, self.now);
                }
                Output::Done(_) => self.is_done = true,
                Output::NeedInput { until } => {
                    assert_eq!(until.is_none(), self.is_done);
                    assert!(self.machine.buffered() <= MEMORY);
                    return;
                }
                Output::Write { to, mut batch } => {
                    self.output += batch.remaining();
                    batch.advance(batch.remaining());
                    self.machine.handle_written(to, batch, self.now);
                }
            }
        }
        panic!("it never waits");
    }

    fn side(&self, side: usize) -> Option<Side> {
        match side {
            0 => Some(Side::Client),
            _ => {
                let mut open = self.backends.iter().filter(|(_, is_open)| **is_open).map(|(id, _)| *id);
                open.nth(side - 1).map(Side::Backend)
            }
        }
    }

    fn say(&mut self, side: usize, bytes: &[u8]) {
        for part in bytes.chunks(self.segment) {
            let Some(side) = self.side(side) else { return };
            self.input += part.len();
            self.machine.handle_input(side, Bytes::copy_from_slice(part), self.now);
            self.drain();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_grows(acts in proptest::collection::vec(act(), 0..150), segment in 1usize..20_000) {
        let now = Instant::now();
        let mut config = SplitConfig::default();
        config.extended_connect = acts.len() % 2 == 0;
        let machine = SplitMachine::new(Arc::new(routes()), Arc::new(config), now);
        let mut world =
            World { machine, now, backends: BTreeMap::new(), is_done: false, segment, input: 0, output: 0 };
        world.say(0, PREFACE);
        world.say(0, b"\0\0\0\x04\0\0\0\0\0");
        for act in acts {
            match act {
                Act::Frame { side, kind, flags, stream, payload } => {
                    let mut frame = Vec::new();
                    encode_frame(&mut frame, Kind(kind), flags, stream, &payload);
                    world.say(side, &frame);
                }
                Act::Junk { side, bytes } => world.say(side, &bytes),
                Act::Eof(side) => {
                    if let Some(side) = world.side(side) {
                        world.machine.handle_eof(side, world.now);
                    }
                }
                Act::Late(time) => {
                    world.now += Duration::from_millis(u64::from(time));
                    world.machine.handle_timeout(world.now);
                }
                Act::Shutdown => world.machine.handle_shutdown(world.now),
            }
            world.drain();
        }
        // Answers and frames of their own for each connection are all that is said beyond what was heard.
        let own = (world.backends.len() + 2) * 300;
        prop_assert!(world.output <= world.input * 40 + own, "{} of {}", world.output, world.input);
        world.machine.handle_eof(Side::Client, world.now);
        world.drain();
        prop_assert!(world.is_done);
        prop_assert!(world.backends.values().all(|is_open| !is_open));
    }
}
