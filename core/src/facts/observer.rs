//! Who looks at the opening, as closely as somebody asks.
//!
//! ```text
//! first byte 22 -> TLS    Protocol: could it be?  - - - - - - - - - - - - - ->  Whole: the ClientHello
//!        others -> HTTP   Protocol: the request line, or the preface  ->  Line: its method and target
//!                                                                     ->  Whole: the fields, or the frames
//! ```
//!
//! A connection is in one protocol, so there is one observer, and none as soon as nothing can be shown any more. It goes on where
//! it stopped, and looks at each byte of the opening once, however the bytes are cut.
//!
//! A verdict on fewer facts is the verdict on all of them: facts do not change back, and a matcher says "need more" of what is
//! unknown. So the mux looks at what costs little, asks the routes, and looks closer only for want of a verdict.

use core::alloc::Layout;

use super::http2::{Http2Observer, Stage, Stop};
use super::{starts_with, Bound, Bounds, Fact, Facts, Found, HttpVersion, Request};
use crate::wire::frame::PREFACE;
use crate::wire::http1::{authority_of, connect_parts, path_of, HeadScanner};
use crate::wire::progress::Progress;
use crate::wire::tls::HelloReader;

/// The type of a TLS record that carries a handshake (RFC 8446 §5.1). No request of HTTP/1 and no preface starts with it.
const TLS_HANDSHAKE: u8 = 22;

/// How closely the opening is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Depth {
    /// Which protocol it is, or can not be.
    Protocol,
    /// HTTP/1: method and target are kept.
    Line,
    /// All that any matcher may ask for, and every bound.
    Whole,
}

enum Eye {
    /// No byte has come.
    Closed,
    /// HTTP/1, or the preface of HTTP/2.
    Http1(HeadScanner),
    Http2(Http2Observer),
    /// The reader, once a hello was begun to be read and was not whole. In a box: it is large, and few need it.
    Tls(Option<Box<HelloReader>>),
    /// Nothing can be shown any more.
    Done,
}

/// Looks at an opening and fills in its [`Facts`].
pub(crate) struct Observer {
    eye: Eye,
    depth: Depth,
    /// How many bytes of the opening may be looked at: none behind the byte that settled an observer for good.
    readable: usize,
}

impl Observer {
    pub(crate) const fn new() -> Self {
        Self { eye: Eye::Closed, depth: Depth::Protocol, readable: usize::MAX }
    }

    /// How closely the opening has been looked at.
    pub(crate) const fn depth(&self) -> Depth {
        self.depth
    }

    pub(crate) const fn readable(&self) -> usize {
        self.readable
    }

    /// Whether there is more to be seen in the bytes that have come, for who looks closer.
    pub(crate) const fn is_deferring(&self, facts: &Facts) -> bool {
        match (&self.eye, self.depth) {
            (_, Depth::Whole) | (Eye::Closed | Eye::Done, _) => false,
            (Eye::Http1(_), _) => facts.http1.is_present(),
            (Eye::Http2(_) | Eye::Tls(_), _) => true,
        }
    }

    /// How closely to look next. `asks_line`: whether a request line may be enough.
    pub(crate) const fn closer(&self, asks_line: bool) -> Depth {
        match (&self.eye, self.depth) {
            (Eye::Http1(_), Depth::Protocol) if asks_line => Depth::Line,
            _ => Depth::Whole,
        }
    }

    /// How many bytes of the opening may be looked at, whatever a closer look will show.
    pub(crate) fn surely_readable(&self, bounds: &Bounds) -> usize {
        let least = match self.eye {
            Eye::Closed | Eye::Done => usize::MAX,
            Eye::Http1(_) => bounds.http1_head,
            Eye::Http2(_) => PREFACE.len(),
            // A hello may be too long by its first byte.
            Eye::Tls(_) => 1,
        };
        least.min(self.readable)
    }

    /// HTTP/2: where the walk over its frames stands.
    pub(crate) fn http2_stage(&self) -> Stage {
        self.http2().map_or(Stage::FirstSettings, Http2Observer::stage)
    }

    pub(crate) const fn http2(&self) -> Option<&Http2Observer> {
        match &self.eye {
            Eye::Http2(http2) => Some(http2),
            _ => None,
        }
    }

    pub(crate) fn http2_mut(&mut self) -> Option<&mut Http2Observer> {
        match &mut self.eye {
            Eye::Http2(http2) => Some(http2),
            _ => None,
        }
    }

    /// The walk over HTTP/2 frames ends at this byte of the opening.
    pub(crate) fn stop_http2(&mut self, stop: Stop, at: usize, facts: &mut Facts) {
        match stop {
            Stop::Exceeded(bound) => facts.exceeded = Some(bound),
            Stop::Malformed(code) => {
                facts.malformed = Some(code);
                facts.is_http2_done = true;
            }
        }
        if let Some(http2) = self.http2_mut() {
            http2.stop(stop);
        }
        self.settle_http2(at);
    }

    /// All that counts of HTTP/2 has been seen at this byte of the opening.
    pub(crate) fn settle_http2(&mut self, at: usize) {
        self.readable = self.readable.min(at);
    }

    /// Bytes of memory that are held to look on.
    pub(crate) fn held(&self) -> usize {
        match &self.eye {
            Eye::Http2(http2) => http2.held(),
            Eye::Tls(Some(reader)) => Layout::new::<HelloReader>().size() + reader.held(),
            _ => 0,
        }
    }

    /// Nothing more will come.
    pub(crate) fn finish(&mut self, facts: &mut Facts) {
        facts.finish();
        self.eye = Eye::Done;
    }

    /// Looks as closely as `depth` at what is new in `opening`, which grows at its end only. HTTP/2 frames are walked by the mux, which
    /// may have to answer them.
    pub(crate) fn observe(&mut self, opening: &[u8], bounds: &Bounds, depth: Depth, facts: &mut Facts) {
        self.depth = self.depth.max(depth);
        if let (Eye::Closed, Some(&first)) = (&self.eye, opening.first()) {
            if first == TLS_HANDSHAKE {
                facts.http1 = Fact::Absent;
                facts.http1_head = Fact::Absent;
                facts.http2 = Fact::Absent;
                self.eye = Eye::Tls(None);
            } else {
                facts.tls = Fact::Absent;
                self.eye = Eye::Http1(HeadScanner::new(bounds.http1_head));
            }
        }
        match self.eye {
            Eye::Http1(_) => self.look_for_http(opening, bounds, facts),
            Eye::Tls(_) if self.depth == Depth::Whole => self.read_hello(opening, bounds, facts),
            Eye::Closed | Eye::Done | Eye::Http2(_) | Eye::Tls(_) => {}
        }
    }

    fn exceed(&mut self, bound: Bound, at: usize, facts: &mut Facts) {
        facts.exceeded.get_or_insert(bound);
        self.readable = self.readable.min(at);
        self.eye = Eye::Done;
    }

    fn look_for_http(&mut self, opening: &[u8], bounds: &Bounds, facts: &mut Facts) {
        // Bytes behind the bound of a head are not looked at, be it within the preface.
        if bounds.http1_head >= PREFACE.len() && self.look_for_preface(opening, facts) {
            return;
        }
        let Eye::Http1(scanner) = &mut self.eye else { return };
        let progress = match self.depth {
            Depth::Whole => scanner.scan(opening),
            Depth::Protocol | Depth::Line => scanner.scan_line(opening),
        };
        if facts.http1.is_unknown() {
            facts.http1 = match scanner.line_progress() {
                Progress::Done => Fact::Present(()),
                Progress::Invalid => Fact::Absent,
                Progress::NeedMore | Progress::TooLong => Fact::Unknown,
            };
        }
        // At the bound this is the last look.
        if facts.http1.is_present() && (self.depth >= Depth::Line || progress == Progress::TooLong) {
            keep_line(scanner, opening, self.depth, facts);
        }
        match progress {
            Progress::Done => {
                if let Found::Request(request) = &mut facts.found {
                    request.reserve(scanner.fields_len());
                    for (name, value) in scanner.fields(opening) {
                        request.push_field(name, value);
                    }
                }
                facts.http1_head = Fact::Present(());
                self.eye = Eye::Done;
            }
            Progress::Invalid => {
                facts.http1_head = Fact::Absent;
                if !self.look_for_preface(opening, facts) && facts.http2 == Fact::Absent {
                    self.eye = Eye::Done;
                }
            }
            Progress::NeedMore => {}
            Progress::TooLong => self.exceed(Bound::Http1Head, bounds.http1_head, facts),
        }
    }

    /// Whether the preface is there: then it is HTTP/2.
    fn look_for_preface(&mut self, opening: &[u8], facts: &mut Facts) -> bool {
        if facts.http2.is_unknown() {
            facts.http2 = starts_with(opening, PREFACE);
            if facts.http2.is_present() {
                // Its version refuses it as HTTP/1: no need to read that far.
                facts.http1 = Fact::Absent;
                facts.http1_head = Fact::Absent;
                self.eye = Eye::Http2(Http2Observer::new());
            }
        }
        facts.http2.is_present()
    }

    fn read_hello(&mut self, opening: &[u8], bounds: &Bounds, facts: &mut Facts) {
        let Eye::Tls(kept) = &mut self.eye else { return };
        // Most hellos are whole when they are first read.
        let mut fresh = HelloReader::new(bounds.client_hello);
        let reader = match kept {
            Some(reader) => reader,
            None => &mut fresh,
        };
        match reader.scan(opening) {
            Progress::Done => {
                match reader.hello(opening) {
                    Some(hello) => {
                        facts.found = Found::Hello(hello.into_owned());
                        facts.tls = Fact::Present(());
                    }
                    None => facts.tls = Fact::Absent,
                }
                self.eye = Eye::Done;
            }
            Progress::Invalid => {
                facts.tls = Fact::Absent;
                self.eye = Eye::Done;
            }
            Progress::NeedMore => {
                if kept.is_none() {
                    *kept = Some(Box::new(fresh));
                }
            }
            Progress::TooLong => {
                let at = reader.consumed();
                self.exceed(Bound::ClientHello, at, facts);
            }
        }
    }
}

/// Keeps the request line, once, with room for the fields where they come next.
fn keep_line(scanner: &HeadScanner, opening: &[u8], depth: Depth, facts: &mut Facts) {
    if let (Found::Nothing, Some(line)) = (&facts.found, scanner.request_line()) {
        let (method, target) = (line.method(opening), line.target(opening));
        let (authority, path) = match method {
            b"CONNECT" => connect_parts(target),
            _ => (authority_of(target), path_of(target)),
        };
        let fields = if depth == Depth::Whole { scanner.fields_len() } else { 0 };
        let room = method.len() + target.len() + authority.map_or(0, <[u8]>::len) + fields;
        let mut request = Request::new(HttpVersion::Http1, room);
        request.set_method(method);
        request.set_target(target, path);
        if let Some(authority) = authority {
            request.set_authority(authority);
        }
        facts.found = Found::Request(request);
    }
}
