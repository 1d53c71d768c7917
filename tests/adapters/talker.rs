//! One end of an HTTP/2 connection, driven by hand over a blocking stream: a strict peer, which holds every frame that it hears
//! against the RFCs, and which says only what the test has it say.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::split::strict::{Strict, Word};

pub(super) const GRPC: [(&str, &str); 6] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/pkg.Greeter/Hello"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];
pub(super) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/up"), (":authority", "a")];

/// A window that no test fills.
pub(super) const HUGE: u32 = 1 << 30;

/// How much of a body goes in one frame.
const FRAME: usize = 16_384;

pub(super) struct Talker<S> {
    pub(super) io: S,
    pub(super) peer: Strict,
}

impl<S: Read + Write> Talker<S> {
    /// A client that has said its preface and SETTINGS.
    pub(super) fn client(io: S) -> Self {
        Self::new(io, Strict::client(), 65_535)
    }

    /// A client that grants more than it will ever read.
    pub(super) fn generous_client(io: S) -> Self {
        Self::new(io, Strict::client(), HUGE)
    }

    /// A server that has said its SETTINGS.
    pub(super) fn server(io: S) -> Self {
        Self::new(io, Strict::backend(), 65_535)
    }

    /// A server that grants more than it will ever read.
    pub(super) fn generous_server(io: S) -> Self {
        Self::new(io, Strict::backend(), HUGE)
    }

    fn new(io: S, mut peer: Strict, window: u32) -> Self {
        peer.say_settings(window, 4_096, None, &[]);
        if window == HUGE {
            peer.grant(0, HUGE);
        }
        let mut talker = Self { io, peer };
        talker.flush();
        talker
    }

    /// Writes what the peer has to say.
    #[track_caller]
    pub(super) fn flush(&mut self) {
        let out = std::mem::take(&mut self.peer.out);
        self.io.write_all(&out).and_then(|()| self.io.flush()).expect("the other side reads");
    }

    /// Reads once; how many bytes that were.
    pub(super) fn try_hear(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = self.io.read(&mut buffer)?;
        self.peer.receive(&buffer[..count]);
        Ok(count)
    }

    /// Talks until this holds.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Strict) -> bool) {
        loop {
            self.flush();
            if holds(&self.peer) {
                return;
            }
            match self.try_hear() {
                Ok(0) => panic!("the end before {what}"),
                Ok(_) => {}
                Err(error) => panic!("{error} before {what}"),
            }
        }
    }

    /// Hears everything up to the end, and says no more.
    pub(super) fn hear_the_end(&mut self) -> io::Result<()> {
        while self.try_hear()? > 0 {}
        Ok(())
    }

    /// A request without a body.
    #[track_caller]
    pub(super) fn get(&mut self, id: u32, path: &str) {
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
        self.peer.say_head(id, &fields, true, None);
        self.flush();
    }

    /// A gRPC call with a message.
    #[track_caller]
    pub(super) fn call(&mut self, id: u32) {
        self.peer.say_head(id, &GRPC, false, None);
        self.peer.say_data(id, b"\0\0\0\0\x03abc", true, None);
        self.flush();
    }

    /// The whole of a request has come.
    #[track_caller]
    pub(super) fn until_asked(&mut self, id: u32) {
        self.until("the request", |peer| peer.has_ended(id));
    }

    /// Waits for a request and answers it.
    #[track_caller]
    pub(super) fn answer(&mut self, id: u32, body: &[u8]) {
        self.until_asked(id);
        self.peer.say_head(id, &[(":status", "200")], body.is_empty(), None);
        if !body.is_empty() {
            self.peer.say_data(id, body, true, None);
        }
        self.flush();
    }

    /// Waits for the answer to a request: this one.
    #[track_caller]
    pub(super) fn expect_answer(&mut self, id: u32, body: &[u8]) {
        self.until("the answer", |peer| peer.has_ended(id));
        assert_eq!(self.status(id), "200");
        assert_eq!(self.peer.content(id), body);
    }

    /// Waits for an answer that the mux gives itself.
    #[track_caller]
    pub(super) fn expect_status(&mut self, id: u32, status: &str) {
        self.until("the answer", |peer| peer.has_ended(id));
        assert_eq!(self.status(id), status, "{:?}", self.peer.words(id));
    }

    /// The same for gRPC: a trailers-only response.
    #[track_caller]
    pub(super) fn expect_grpc_status(&mut self, id: u32, status: &str) {
        self.expect_status(id, "200");
        assert_eq!(self.field(id, "grpc-status").as_deref(), Some(status));
        assert_eq!(self.field(id, "content-type").as_deref(), Some("application/grpc"));
    }

    #[track_caller]
    fn status(&self, id: u32) -> String {
        self.field(id, ":status").unwrap_or_else(|| panic!("no response: {:?}", self.peer.words(id)))
    }

    fn field(&self, id: u32, name: &str) -> Option<String> {
        let Some(Word::Head(fields)) = self.peer.words(id).first() else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// What has come of a body so far.
    pub(super) fn content(&self, id: u32) -> &[u8] {
        let content = self.peer.words(id).iter().find_map(|word| match word {
            Word::Data(content) => Some(&content[..]),
            _ => None,
        });
        content.unwrap_or_default()
    }

    /// Sends a body as the windows allow, and counts.
    #[track_caller]
    pub(super) fn pour(&mut self, id: u32, body: &[u8], sent: &AtomicUsize) {
        let mut rest = body;
        while !rest.is_empty() {
            self.flush();
            let count = rest.len().min(FRAME).min(self.peer.sendable(id));
            if count == 0 {
                assert!(self.try_hear().expect("it lives") > 0, "the end with {} bytes to send", rest.len());
                continue;
            }
            let (piece, after) = rest.split_at(count);
            self.peer.say_data(id, piece, after.is_empty(), None);
            rest = after;
            self.flush();
            sent.fetch_add(count, Ordering::Relaxed);
        }
    }
}
