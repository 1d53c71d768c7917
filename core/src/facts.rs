//! Stage 2: what the opening has shown so far.
//!
//! Each fact is unknown, absent or present. It leaves "unknown" once and never changes again, whatever comes, however the
//! bytes are cut: that is what lets a route's verdict stick and what makes the order of routes the only priority. Facts are
//! mute: they neither write nor choose, and malformed bytes make them absent, never an error.
//!
//! One observer per protocol looks at the same bytes, incrementally; matchers of any number of routes share what they found.

mod http1;
pub(crate) mod http2;
mod request;

pub use request::{HttpVersion, Request};

use crate::wire::frame::{ErrorCode, PREFACE};
use crate::wire::progress::Progress;
use crate::wire::tls::{HelloReader, OwnedHello};
use http1::Http1Observer;
use http2::{Http2Observer, Stage, Stop};

/// One thing that an opening may show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fact<T> {
    /// Shown not to be there; for good.
    Absent,
    /// Shown; for good.
    Present(T),
    /// More bytes are needed to tell.
    Unknown,
}

impl<T> Fact<T> {
    /// Whether more bytes are needed to tell.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether it was shown.
    pub const fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// What was shown, if it was.
    pub fn present(self) -> Option<T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }

    /// The same fact about something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Absent => Fact::Absent,
            Self::Present(value) => Fact::Present(f(value)),
            Self::Unknown => Fact::Unknown,
        }
    }

    /// The same fact, borrowed.
    pub const fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Absent => Fact::Absent,
            Self::Present(value) => Fact::Present(value),
            Self::Unknown => Fact::Unknown,
        }
    }
}

/// A bound of [`Config`](crate::Config) that an opening has passed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// [`Config::max_client_hello`](crate::Config::max_client_hello).
    ClientHello,
    /// [`Config::max_continuations`](crate::Config::max_continuations).
    Continuations,
    /// [`Config::max_frame_size`](crate::Config::max_frame_size).
    FrameSize,
    /// [`Config::max_frames`](crate::Config::max_frames).
    Frames,
    /// [`Config::max_header_block`](crate::Config::max_header_block).
    HeaderBlock,
    /// [`Config::max_header_list`](crate::Config::max_header_list).
    HeaderList,
    /// [`Config::max_http1_head`](crate::Config::max_http1_head).
    Http1Head,
    /// [`Config::ping_burst`](crate::Config::ping_burst).
    Pings,
    /// [`Config::max_settings`](crate::Config::max_settings).
    Settings,
    /// [`Config::max_settings_entries`](crate::Config::max_settings_entries).
    SettingsEntries,
}

/// The bounds that observers keep: a copy of the ones in [`Config`](crate::Config).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) client_hello: usize,
    pub(crate) continuations: u32,
    pub(crate) frame_size: u32,
    pub(crate) frames: u32,
    pub(crate) header_block: usize,
    pub(crate) header_list: usize,
    pub(crate) http1_head: usize,
    pub(crate) settings: u32,
    pub(crate) settings_entries: u32,
}

/// What is known of a connection from its opening.
#[derive(Debug)]
pub struct Facts {
    http1: Http1Observer,
    http2: Http2Observer,
    http2_preface: Fact<()>,
    tls: HelloReader,
    tls_hello: Fact<OwnedHello>,
    request: Option<Request>,
    exceeded: Option<Bound>,
    /// How many bytes of the opening may be looked at: none behind the byte that settled an observer for good.
    readable: usize,
}

impl Facts {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            http1: Http1Observer::new(bounds.http1_head),
            http2: Http2Observer::new(),
            http2_preface: Fact::Unknown,
            tls: HelloReader::new(bounds.client_hello),
            tls_hello: Fact::Unknown,
            request: None,
            exceeded: None,
            readable: usize::MAX,
        }
    }

    /// The facts of one request of an HTTP/2 connection, whatever came before it: all else is settled. The request is filled
    /// in by [`request_mut`](Self::request_mut).
    pub(crate) fn of_request() -> Self {
        let mut http1 = Http1Observer::new(0);
        http1.finish();
        Self {
            http1,
            http2: Http2Observer::settled(),
            http2_preface: Fact::Present(()),
            tls: HelloReader::new(0),
            tls_hello: Fact::Absent,
            request: Some(Request::new(HttpVersion::Http2, 0)),
            exceeded: None,
            readable: 0,
        }
    }

    /// What is known of the connection to one backend when each request is routed on its own: it is HTTP/2. The requests come
    /// later, each with a head of its own.
    pub fn per_request() -> Self {
        Self { request: None, ..Self::of_request() }
    }

    /// The request, to be filled in anew; its memory is used again.
    pub(crate) fn request_mut(&mut self) -> &mut Request {
        self.request.get_or_insert_with(|| Request::new(HttpVersion::Http2, 0))
    }

    /// HTTP/1: a request line that is valid by the grammar (RFC 9112 §3).
    pub const fn http1(&self) -> Fact<()> {
        self.http1.line()
    }

    /// HTTP/2: the connection preface (RFC 9113 §3.4).
    pub const fn http2(&self) -> Fact<()> {
        self.http2_preface
    }

    /// TLS: a whole ClientHello (RFC 8446 §4.1.2).
    pub const fn tls(&self) -> Fact<&OwnedHello> {
        self.tls_hello.as_ref()
    }

    /// The first request as far as its method and target: on HTTP/1 known with the request line, on HTTP/2 with the whole head.
    pub const fn request_line(&self) -> Fact<&Request> {
        match (&self.request, self.http1.line(), self.http2_preface) {
            (Some(request), ..) => Fact::Present(request),
            (None, Fact::Absent, Fact::Absent) => Fact::Absent,
            (None, _, Fact::Present(())) if self.http2.is_done() => Fact::Absent,
            (None, ..) => Fact::Unknown,
        }
    }

    /// The whole head of the first request. Absent if the opening is no HTTP, if the head of an HTTP/1 request is malformed, and if
    /// HTTP/2 is malformed up to the end of its first header block.
    pub const fn request(&self) -> Fact<&Request> {
        match self.request_line() {
            Fact::Present(request) => match (request.version(), self.http1.head()) {
                (HttpVersion::Http2, _) | (HttpVersion::Http1, Fact::Present(())) => Fact::Present(request),
                (HttpVersion::Http1, Fact::Absent) => Fact::Absent,
                (HttpVersion::Http1, Fact::Unknown) => Fact::Unknown,
            },
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        }
    }

    /// The bound that the opening has passed, if it has. What it has cut off stays unknown: a padded opening is no way around a
    /// route.
    pub const fn exceeded(&self) -> Option<Bound> {
        self.exceeded
    }

    /// HTTP/2: the code that names what is wrong with the opening, if it is malformed.
    pub(crate) const fn malformed(&self) -> Option<ErrorCode> {
        match self.http2.stage() {
            Stage::Malformed(code) => Some(code),
            _ => None,
        }
    }

    pub(crate) const fn readable(&self) -> usize {
        self.readable
    }

    /// Bytes of memory that the facts hold beside the opening.
    pub(crate) fn held(&self) -> usize {
        let hello = self.tls_hello.as_ref().present().map_or(0, OwnedHello::held);
        self.request.as_ref().map_or(0, Request::held) + self.http2.held() + self.tls.held() + hello
    }

    pub(crate) const fn http2_opening(&self) -> &Http2Observer {
        &self.http2
    }

    pub(crate) fn http2_opening_mut(&mut self) -> (&mut Http2Observer, &mut Option<Request>) {
        (&mut self.http2, &mut self.request)
    }

    /// The walk over HTTP/2 frames ends at this byte of the opening.
    pub(crate) fn stop_http2(&mut self, stop: Stop, at: usize) {
        if let Stop::Exceeded(bound) = stop {
            self.exceeded = Some(bound);
        }
        self.http2.stop(stop);
        self.settle_http2(at);
    }

    /// All that counts of HTTP/2 has been seen at this byte of the opening.
    pub(crate) fn settle_http2(&mut self, at: usize) {
        self.readable = self.readable.min(at);
    }

    fn exceed(&mut self, bound: Bound, at: usize) {
        self.exceeded.get_or_insert(bound);
        self.readable = self.readable.min(at);
    }

    /// Looks at what is new in `opening`, which grows at its end only. HTTP/2 frames are walked by the mux, which may have to
    /// answer them.
    pub(crate) fn observe(&mut self, opening: &[u8], bounds: &Bounds) {
        if self.http2_preface.is_unknown() {
            self.http2_preface = starts_with(opening, PREFACE);
            if self.http2_preface.is_present() && bounds.http1_head >= PREFACE.len() {
                // Its version refuses it as HTTP/1: no need to read that far. (A bound within the preface would come first.)
                self.http1.finish();
            }
        }
        if self.http1.observe(opening, &mut self.request) == Progress::TooLong {
            self.exceed(Bound::Http1Head, bounds.http1_head);
        }
        if self.tls_hello.is_unknown() {
            self.tls_hello = match self.tls.scan(opening) {
                Progress::Done => {
                    self.tls.hello(opening).map_or(Fact::Absent, |h| Fact::Present(h.into_owned()))
                }
                Progress::Invalid => Fact::Absent,
                Progress::NeedMore => Fact::Unknown,
                Progress::TooLong => {
                    self.exceed(Bound::ClientHello, self.tls.consumed());
                    Fact::Unknown
                }
            };
        }
    }

    /// Nothing more will come: what is unknown is absent.
    pub(crate) fn finish(&mut self) {
        self.http1.finish();
        if self.http2_preface.is_unknown() {
            self.http2_preface = Fact::Absent;
        }
        if self.tls_hello.is_unknown() {
            self.tls_hello = Fact::Absent;
        }
    }

    /// Whether no fact can change any more, so that every protocol that has an answer to a refusal is known or ruled out.
    pub(crate) const fn is_settled(&self) -> bool {
        match self.http2_preface {
            Fact::Unknown => false,
            Fact::Present(()) => self.http2.is_done(),
            Fact::Absent => !self.http1.head().is_unknown() && !self.tls_hello.is_unknown(),
        }
    }
}

/// Whether bytes that grow at their end start with `prefix`; decided at the first byte that differs.
pub(crate) fn starts_with(bytes: &[u8], prefix: &[u8]) -> Fact<()> {
    if bytes.starts_with(prefix) {
        Fact::Present(())
    } else if prefix.starts_with(bytes) {
        Fact::Unknown
    } else {
        Fact::Absent
    }
}
