//! A backend that counts: an ACK of SETTINGS that it never sent is a PROTOCOL_ERROR, as in golang.org/x/net, h2 and nghttp2.

use std::collections::BTreeMap;

use oneport_core::testing::{Backend, Script};
use oneport_core::wire::frame::Kind;

use crate::support::http2::{frames, Frame};
use crate::support::model::PREFACE;

/// How a backend acknowledges SETTINGS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acks {
    /// Each at once.
    AtOnce,
    /// One for all that one read has brought, as x/net does.
    Merged,
    /// Each, but not before its first response.
    WithTheResponse,
}

/// How a backend behaves.
#[derive(Clone, Debug)]
pub(crate) struct BackendPlan {
    /// What it announces at the start, in so many SETTINGS.
    pub(crate) settings: Vec<Vec<(u16, u32)>>,
    pub(crate) acks: Acks,
    /// Whether it sends a PING of its own.
    pub(crate) pings: bool,
}

#[derive(Debug)]
pub(crate) struct StrictBackend {
    plan: BackendPlan,
    pub(crate) outbox: Vec<u8>,
    inbox: Vec<u8>,
    has_preface: bool,
    has_settings: bool,
    unacknowledged: usize,
    acks_owed: usize,
    responses_owed: Vec<u32>,
    last_stream: u32,
    has_pong: bool,
}

impl StrictBackend {
    /// It speaks at once, as x/net, grpc-go and h2 do.
    pub(crate) fn new(plan: BackendPlan) -> Self {
        let mut out = Backend::silent();
        for entries in &plan.settings {
            out = out.settings(entries);
        }
        out = out.window_update(0, 1 << 20);
        if plan.pings {
            out = out.ping([0xbb; 8]);
        }
        Self {
            unacknowledged: plan.settings.len(),
            outbox: out.bytes(),
            plan,
            inbox: Vec::new(),
            has_preface: false,
            has_settings: false,
            acks_owed: 0,
            responses_owed: Vec::new(),
            last_stream: 0,
            has_pong: false,
        }
    }

    fn say(&mut self, what: impl FnOnce(Script) -> Script) {
        self.outbox.extend_from_slice(&what(Backend::silent()).bytes());
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        if !self.has_preface {
            if self.inbox.len() < PREFACE.len() {
                return;
            }
            let rest = self.inbox.strip_prefix(PREFACE).expect("the preface").to_vec();
            self.inbox = rest;
            self.has_preface = true;
        }
        let inbox = core::mem::take(&mut self.inbox);
        let (frames, rest) = frames(&inbox);
        for frame in &frames {
            self.take(frame);
        }
        self.inbox = rest.to_vec();
        if self.plan.acks != Acks::WithTheResponse {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        let owed = core::mem::take(&mut self.acks_owed);
        let acks = if self.plan.acks == Acks::Merged { owed.min(1) } else { owed };
        for _ in 0..acks {
            self.say(Script::settings_ack);
        }
    }

    /// Answers what it has been asked.
    pub(crate) fn act(&mut self) {
        for stream in core::mem::take(&mut self.responses_owed) {
            self.say(|script| script.headers(stream, &[(":status", "200")]).data(stream, true, b"body"));
            self.acknowledge();
        }
        if self.last_stream > 0 {
            self.acknowledge();
        }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        assert!(self.has_settings || frame.is_settings(), "SETTINGS expected, not {frame:?}");
        match frame.kind {
            4 if frame.is_settings() => {
                self.has_settings = true;
                self.acks_owed += 1;
            }
            4 => {
                assert!(self.unacknowledged > 0, "an ACK of SETTINGS that were never sent");
                self.unacknowledged -= 1;
            }
            6 if frame.flags & 1 != 0 => {
                assert!(
                    self.plan.pings && frame.payload == [0xbb; 8] && !self.has_pong,
                    "a PONG for no PING"
                );
                self.has_pong = true;
            }
            6 => {
                let opaque: [u8; 8] = frame.payload.try_into().unwrap();
                self.say(|script| script.frame(Kind::PING, 1, 0, &opaque));
            }
            1 => {
                assert!(frame.stream > self.last_stream);
                self.last_stream = frame.stream;
                self.responses_owed.push(frame.stream);
            }
            8 => {}
            _ => panic!("unexpected {frame:?}"),
        }
    }

    /// What a client that talks to it alone would have in force.
    pub(crate) fn announced(&self) -> BTreeMap<u16, u32> {
        self.plan.settings.iter().flatten().copied().collect()
    }

    pub(crate) fn merges(&self) -> bool {
        self.plan.acks == Acks::Merged
    }

    pub(crate) fn assert_content(&self) {
        assert!(self.inbox.is_empty(), "half a frame");
        assert_eq!(self.unacknowledged, 0, "SETTINGS without an ACK");
        assert_eq!(self.has_pong, self.plan.pings, "a PING without an answer");
    }
}
