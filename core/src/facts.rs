//! Stage 2: what the opening has shown so far.
//!
//! Each fact is unknown, absent or present. It leaves "unknown" once and never changes again, whatever comes, however the
//! bytes are cut: that is what lets a route's verdict stick and what makes the order of routes the only priority. Facts are
//! mute: they neither write nor choose, and malformed bytes make them absent, never an error.
//!
//! One observer fills them in, for any number of routes, and looks no closer than their verdict needs.

pub(crate) mod http2;
mod kinds;
pub(crate) mod observer;
mod request;

pub(crate) use kinds::Kinds;
pub(crate) use request::name_bit;
pub use request::{HttpVersion, Request};

use crate::wire::frame::ErrorCode;
use crate::wire::tls::OwnedHello;

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

/// What was read whole of the one protocol that an opening is in.
#[derive(Debug)]
enum Found {
    Nothing,
    Hello(OwnedHello),
    Request(Request),
}

/// What is known of a connection from its opening.
///
/// An opening is looked at no closer than its verdict needs, so after the verdict only what the routes asked for is sure to be known:
/// a table that tells HTTP/1 from TLS leaves the fields of a request and the ClientHello unread, and they stay unknown. With
/// [`Config::complete_facts`](crate::Config::complete_facts) everything that the bytes so far show is there.
#[derive(Debug)]
pub struct Facts {
    found: Found,
    /// HTTP/2: what is wrong with the opening, if it is malformed.
    malformed: Option<ErrorCode>,
    /// HTTP/1: the request line, and the whole head.
    http1: Fact<()>,
    http1_head: Fact<()>,
    http2: Fact<()>,
    /// HTTP/2: whether the request is there, or can not come any more.
    is_http2_done: bool,
    tls: Fact<()>,
    exceeded: Option<Bound>,
}

impl Facts {
    /// Of a connection that has sent nothing.
    pub(crate) const fn new() -> Self {
        Self {
            found: Found::Nothing,
            malformed: None,
            http1: Fact::Unknown,
            http1_head: Fact::Unknown,
            http2: Fact::Unknown,
            is_http2_done: false,
            tls: Fact::Unknown,
            exceeded: None,
        }
    }

    /// The facts of one request of an HTTP/2 connection, whatever came before it: all else is settled. The request is filled
    /// in by [`take_request`](Self::take_request) and [`put_request`](Self::put_request).
    pub(crate) fn of_request() -> Self {
        Self { found: Found::Request(Request::new(HttpVersion::Http2, 0)), ..Self::per_request() }
    }

    /// What is known of the connection to one backend when each request is routed on its own: it is HTTP/2. The requests come
    /// later, each with a head of its own.
    pub const fn per_request() -> Self {
        Self {
            found: Found::Nothing,
            malformed: None,
            http1: Fact::Absent,
            http1_head: Fact::Absent,
            http2: Fact::Present(()),
            is_http2_done: true,
            tls: Fact::Absent,
            exceeded: None,
        }
    }

    /// Takes the request out, to be filled in anew: its memory is used again.
    pub(crate) fn take_request(&mut self) -> Request {
        match core::mem::replace(&mut self.found, Found::Nothing) {
            Found::Request(request) => request,
            Found::Nothing | Found::Hello(_) => Request::new(HttpVersion::Http2, 0),
        }
    }

    pub(crate) fn put_request(&mut self, request: Request) {
        self.found = Found::Request(request);
    }

    /// HTTP/1: a request line that is valid by the grammar (RFC 9112 §3).
    pub const fn http1(&self) -> Fact<()> {
        self.http1
    }

    /// HTTP/2: the connection preface (RFC 9113 §3.4).
    pub const fn http2(&self) -> Fact<()> {
        self.http2
    }

    /// TLS: a whole ClientHello (RFC 8446 §4.1.2).
    pub const fn tls(&self) -> Fact<&OwnedHello> {
        match (&self.found, self.tls) {
            (Found::Hello(hello), _) => Fact::Present(hello),
            (_, Fact::Absent) => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// The first request as far as its method and target: on HTTP/1 known with the request line, on HTTP/2 with the whole head.
    pub const fn request_line(&self) -> Fact<&Request> {
        match (&self.found, self.http1, self.http2) {
            (Found::Request(request), ..) => Fact::Present(request),
            (_, Fact::Absent, Fact::Absent) => Fact::Absent,
            (_, _, Fact::Present(())) if self.is_http2_done => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// The whole head of the first request. Absent if the opening is no HTTP, if the head of an HTTP/1 request is malformed, and if
    /// HTTP/2 is malformed up to the end of its first header block.
    pub const fn request(&self) -> Fact<&Request> {
        match self.request_line() {
            Fact::Present(request) => match (request.version(), self.http1_head) {
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

    /// Gives back memory that was set aside for a head longer than it became: worth it where facts are kept for as long as their
    /// connection lives.
    pub fn shrink_to_fit(&mut self) {
        if let Found::Request(request) = &mut self.found {
            request.shrink_to_fit();
        }
    }

    /// HTTP/2: the code that names what is wrong with the opening, if it is malformed.
    pub(crate) const fn malformed(&self) -> Option<ErrorCode> {
        self.malformed
    }

    /// The protocols that the opening may still be in, of which some may be shown.
    pub(crate) const fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::RAW;
        if !matches!(self.http1, Fact::Absent) {
            kinds = kinds.or(Kinds::HTTP1);
        }
        if !matches!(self.http2, Fact::Absent) {
            kinds = kinds.or(Kinds::HTTP2);
        }
        if !matches!(self.tls, Fact::Absent) {
            kinds = kinds.or(Kinds::TLS);
        }
        kinds
    }

    /// Bytes of memory that the facts hold beside the opening.
    pub(crate) fn held(&self) -> usize {
        match &self.found {
            Found::Nothing => 0,
            Found::Hello(hello) => hello.held(),
            Found::Request(request) => request.held(),
        }
    }

    /// Nothing more will come: what is unknown is absent.
    fn finish(&mut self) {
        for fact in [&mut self.http1, &mut self.http1_head, &mut self.http2, &mut self.tls] {
            if fact.is_unknown() {
                *fact = Fact::Absent;
            }
        }
    }

    /// Whether no fact can change any more, so that every protocol that has an answer to a refusal is known or ruled out.
    pub(crate) const fn is_settled(&self) -> bool {
        match self.http2 {
            Fact::Unknown => false,
            Fact::Present(()) => self.is_http2_done,
            Fact::Absent => !self.http1_head.is_unknown() && !self.tls.is_unknown(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_was_not_needed_is_given_back() {
        let mut facts = Facts::of_request();
        let mut request = facts.take_request();
        request.reserve(10_000);
        request.push_field(b"name", b"value");
        facts.put_request(request);
        assert!(facts.held() >= 10_000);
        facts.shrink_to_fit();
        assert!((1..100).contains(&facts.held()), "{}", facts.held());
    }
}
