//! A client that believes nothing it was not owed: as strict as nghttp2, Chromium and .NET in one.

use std::collections::{BTreeMap, VecDeque};

use oneport_core::testing::{Client, Script, GET, GRPC_CALL};

use crate::support::http2::{frames, Frame};

/// What a client waits for before its first request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    Nothing,
    /// As all gRPC stacks do.
    Settings,
    /// The ACK of its own.
    SettingsAck,
    /// An answer to its PING.
    Pong,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) waits: WaitsFor,
    /// SETTINGS at the start: one, or an empty one more.
    pub(crate) settings: usize,
    pub(crate) pings: u8,
    pub(crate) requests: usize,
    pub(crate) is_grpc: bool,
    /// Whether it acknowledges the server's SETTINGS only when it is told to act.
    pub(crate) acks_late: bool,
    /// Whether it changes its SETTINGS once more at the end.
    pub(crate) settings_later: bool,
}

#[derive(Debug)]
pub(crate) struct StrictClient {
    plan: ClientPlan,
    /// All that it has sent, for the backend to be compared with.
    pub(crate) outbox: Vec<u8>,
    inbox: Vec<u8>,
    settings_sent: usize,
    acks_received: usize,
    acks_owed: usize,
    pings: VecDeque<[u8; 8]>,
    pongs: usize,
    has_first_settings: bool,
    /// What the server said last of each setting.
    pub(crate) in_force: BTreeMap<u16, u32>,
    priorities: u32,
    next_stream: u32,
    open: usize,
    pub(crate) responses: usize,
}

impl StrictClient {
    pub(crate) fn new(plan: ClientPlan) -> Self {
        let mut start = Client::http2().settings(&[(2, 0), (4, 1 << 20)]);
        for _ in 1..plan.settings {
            start = start.settings(&[]);
        }
        let pings = plan.pings.max(u8::from(plan.waits == WaitsFor::Pong));
        let mut client = Self {
            settings_sent: plan.settings,
            plan,
            outbox: start.window_update(0, 1 << 16).bytes(),
            inbox: Vec::new(),
            acks_received: 0,
            acks_owed: 0,
            pings: VecDeque::new(),
            pongs: 0,
            has_first_settings: false,
            in_force: BTreeMap::new(),
            priorities: 0,
            next_stream: 1,
            open: 0,
            responses: 0,
        };
        for n in 0..pings {
            client.pings.push_back([n; 8]);
            client.say(|script| script.ping([n; 8]));
        }
        client.go_on();
        client
    }

    fn say(&mut self, what: impl FnOnce(Script) -> Script) {
        self.outbox.extend_from_slice(&what(Client::silent()).bytes());
    }

    fn may_ask(&self) -> bool {
        match self.plan.waits {
            WaitsFor::Nothing => true,
            WaitsFor::Settings => self.has_first_settings,
            WaitsFor::SettingsAck => self.acks_received > 0,
            WaitsFor::Pong => self.pongs > 0,
        }
    }

    /// Sends the requests that it may send, within the server's limit of streams.
    fn go_on(&mut self) {
        let limit = self.in_force.get(&3).copied().unwrap_or(u32::MAX) as usize;
        while self.may_ask() && self.open < limit && (self.next_stream as usize) < 2 * self.plan.requests {
            let fields = if self.plan.is_grpc { GRPC_CALL } else { GET };
            let stream = self.next_stream;
            self.say(|script| script.headers(stream, fields));
            self.next_stream += 2;
            self.open += 1;
        }
    }

    /// Does what it has put off.
    pub(crate) fn act(&mut self) {
        for _ in 0..core::mem::take(&mut self.acks_owed) {
            self.say(Script::settings_ack);
        }
        self.go_on();
        if self.plan.settings_later && self.responses == self.plan.requests {
            self.plan.settings_later = false;
            self.settings_sent += 1;
            self.say(|script| script.settings(&[(4, 2 << 20)]));
        }
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        let inbox = core::mem::take(&mut self.inbox);
        let (frames, rest) = frames(&inbox);
        for frame in &frames {
            self.take(frame);
        }
        self.inbox = rest.to_vec();
        if !self.plan.acks_late {
            self.act();
        }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        assert!(frame.payload.len() <= 16_384, "a frame that is too large");
        assert!(self.has_first_settings || frame.is_settings(), "SETTINGS expected, not {frame:?}");
        match frame.kind {
            4 if frame.is_settings() => self.take_settings(&frame.settings()),
            4 => {
                self.acks_received += 1;
                assert!(self.acks_received <= self.settings_sent, "a surplus ACK");
            }
            6 if frame.flags & 1 != 0 => {
                let expected = self.pings.pop_front();
                assert_eq!(
                    expected.as_ref().map(|opaque| &opaque[..]),
                    Some(frame.payload),
                    "a PONG for no PING"
                );
                self.pongs += 1;
            }
            6 => {
                let opaque: [u8; 8] = frame.payload.try_into().unwrap();
                self.say(|script| script.frame(oneport_core::wire::frame::Kind::PING, 1, 0, &opaque));
            }
            0 if frame.flags & 1 != 0 => {
                self.open -= 1;
                self.responses += 1;
            }
            0 | 1 | 8 => {}
            _ => panic!("unexpected {frame:?}"),
        }
    }

    fn take_settings(&mut self, entries: &[(u16, u32)]) {
        for &(id, value) in entries {
            match id {
                // What is not said in the first SETTINGS is 0, and stays it (RFC 9218 §2.1).
                9 if self.has_first_settings => assert_eq!(value, self.priorities, "0x9 has changed"),
                9 => self.priorities = value,
                8 => assert!(self.in_force.get(&8) != Some(&1) || value == 1, "0x8 went from 1 to 0"),
                _ => {}
            }
            self.in_force.insert(id, value);
        }
        self.has_first_settings = true;
        self.acks_owed += 1;
    }

    /// How many of its SETTINGS have not been acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.settings_sent - self.acks_received
    }

    pub(crate) fn assert_content(&self) {
        assert!(self.inbox.is_empty(), "half a frame");
        assert_eq!(self.responses, self.plan.requests, "responses");
        assert!(self.pings.is_empty(), "PINGs without an answer: {:?}", self.pings);
        assert_eq!(self.acks_owed, 0);
    }
}
