//! The head of the first request, of either HTTP version, in one allocation.

use crate::wire::http1;

/// Which grammar the request was written in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HttpVersion {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
}

/// A piece of [`Request::bytes`].
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// A piece that is not there.
    const NONE: Self = Self { start: u32::MAX, len: 0 };

    const fn is_some(self) -> bool {
        self.start != u32::MAX
    }
}

/// Where the host of a request comes from: the first of these that there is counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HostFrom {
    Nothing,
    /// One Host field.
    Field,
    /// More than one, of which a backend might believe any.
    Fields,
    /// `:authority`, or the target, with a host in it.
    Authority,
}

/// Which kind of gRPC a content type names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    Other,
    Grpc,
    GrpcWeb,
}

/// In front of each field: the lengths of its name and of its value.
const FIELD_PREFIX: usize = 8;

/// The head of a request: what the routes judge, and what the chosen backend may ask for afterwards.
///
/// On HTTP/1 it is filled in two steps: with the request line come [`method`](Self::method) and
/// [`target`](Self::target), with the end of the head all else.
#[derive(Clone)]
pub struct Request {
    /// Method, target and the other pseudo-fields, then all fields, each behind [`FIELD_PREFIX`] bytes of lengths.
    bytes: Vec<u8>,
    method: Span,
    target: Span,
    /// What routes ask for over and over is cut out once.
    path: Span,
    host: Span,
    scheme: Span,
    protocol: Span,
    content_type: Span,
    /// Which names the fields have: see [`name_bit`].
    names: u64,
    /// Where the fields begin; as long as there is none, nowhere.
    fields_start: u32,
    stream: u32,
    version: HttpVersion,
    host_from: HostFrom,
    content: Content,
    ends_stream: bool,
}

/// The bit of all names that have this length and these first and last letters, so that most names that are not there are known
/// not to be without a look at the fields.
pub(crate) fn name_bit(name: &[u8]) -> u64 {
    let (first, last) = match name {
        [] => (0, 0),
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    // 0x20 makes letters of either case the same.
    let mixed = (name.len() as u32)
        .wrapping_mul(5)
        .wrapping_add(u32::from(first | 0x20))
        .wrapping_add(u32::from(last | 0x20).wrapping_mul(3));
    1 << (mixed & 63)
}

impl Request {
    /// An empty head with room for about `capacity` bytes.
    pub(crate) fn new(version: HttpVersion, capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            method: Span::NONE,
            target: Span::NONE,
            path: Span::NONE,
            host: Span::NONE,
            scheme: Span::NONE,
            protocol: Span::NONE,
            content_type: Span::NONE,
            names: 0,
            fields_start: u32::MAX,
            stream: 0,
            version,
            host_from: HostFrom::Nothing,
            content: Content::Other,
            ends_stream: false,
        }
    }

    /// Forgets the request and keeps its memory for the next one.
    pub(crate) fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        *self = Self { bytes, ..Self::new(self.version, 0) };
    }

    /// Which version of HTTP the request came in.
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// The method as it was sent; methods are case-sensitive (RFC 9110 §9.1). HTTP/2: `:method`.
    pub fn method(&self) -> &[u8] {
        self.slice(self.method)
    }

    /// HTTP/1: the request target in whichever form (RFC 9112 §3.2). HTTP/2: `:path`; empty if there is none, as with CONNECT
    /// (RFC 9113 §8.5).
    pub fn target(&self) -> &[u8] {
        self.slice(self.target)
    }

    /// The path of the target, without scheme, authority, query and fragment, as it was sent: percent-encoding and `..` are not
    /// resolved. `/` if an absolute-form target has none; `None` for `*` and the authority of CONNECT. (What has no place behind that
    /// authority counts as a path, as servers have it.)
    pub fn path(&self) -> Option<&[u8]> {
        self.optional(self.path)
    }

    /// Whom the request is for, without port and without a trailing dot: the host of `:authority`, else of an absolute-form
    /// target or of CONNECT, else of Host. `None` if there is none, or if more than one Host leaves it open (a backend might
    /// believe the other one: RFC 9112 §3.2 makes such a request invalid).
    pub fn authority(&self) -> Option<&[u8]> {
        match self.host_from {
            HostFrom::Authority | HostFrom::Field => Some(self.slice(self.host)),
            HostFrom::Fields | HostFrom::Nothing => None,
        }
    }

    /// HTTP/2: the value of `:scheme`.
    pub fn scheme(&self) -> Option<&[u8]> {
        self.optional(self.scheme)
    }

    /// HTTP/2: the value of `:protocol` of an extended CONNECT (RFC 8441 §4).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.optional(self.protocol)
    }

    /// The first `content-type`.
    pub fn content_type(&self) -> Option<&[u8]> {
        self.optional(self.content_type)
    }

    /// The field lines in the order in which they came, without pseudo-fields; names as they were sent.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.get(self.fields_start as usize..).unwrap_or_default();
        core::iter::from_fn(move || {
            let (lengths, behind) = rest.split_first_chunk::<FIELD_PREFIX>()?;
            let [n0, n1, n2, n3, v0, v1, v2, v3] = *lengths;
            let name_len = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
            let value_len = u32::from_be_bytes([v0, v1, v2, v3]) as usize;
            let name = behind.get(..name_len)?;
            let value = behind.get(name_len..name_len + value_len)?;
            rest = &behind[name_len + value_len..];
            Some((name, value))
        })
    }

    /// The values of every field line of that name; names are case-insensitive (RFC 9110 §5.1).
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a field of that name may be there: cheaper than to look, and right if it says no.
    pub(crate) fn may_have(&self, name_bit: u64) -> bool {
        self.names & name_bit != 0
    }

    /// Whether this is a gRPC call by the protocol's own grammar: HTTP/2, POST, and a content type that is
    /// `application/grpc`, or goes on with `+` or `;` (gRPC over HTTP/2, "Requests"). Case-insensitive.
    pub fn is_grpc(&self) -> bool {
        self.content == Content::Grpc && self.version == HttpVersion::Http2 && self.method() == b"POST"
    }

    /// Whether this is a call of gRPC-Web, binary or text, over either version of HTTP.
    pub fn is_grpc_web(&self) -> bool {
        self.content == Content::GrpcWeb && self.method() == b"POST"
    }

    /// HTTP/2: the stream of the request; 0 on HTTP/1.
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// HTTP/2: whether the head was all of the request (END_STREAM).
    pub const fn ends_stream(&self) -> bool {
        self.ends_stream
    }

    /// Bytes of memory that this head holds.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn on_stream(&mut self, stream: u32, ends_stream: bool) {
        self.stream = stream;
        self.ends_stream = ends_stream;
    }

    pub(crate) fn set_method(&mut self, value: &[u8]) {
        self.method = self.store(value);
    }

    /// The target, and the path in it.
    pub(crate) fn set_target(&mut self, value: &[u8], path: Option<&[u8]>) {
        self.target = self.store(value);
        self.path = match path {
            None => Span::NONE,
            Some(path) if value.starts_with(path) => Span { len: path.len() as u32, ..self.target },
            // Behind the authority of an absolute-form target, which only proxies are sent; or there is none, and it is the root.
            Some(path) => self.store(path),
        };
    }

    /// One without a host (`@`, `:80`) says nothing: servers go by Host then, and so must the routes.
    pub(crate) fn set_authority(&mut self, value: &[u8]) {
        let whole = self.store(value);
        let host = host_in(whole, value);
        if host.len > 0 {
            self.host = host;
            self.host_from = HostFrom::Authority;
        }
    }

    pub(crate) fn set_scheme(&mut self, value: &[u8]) {
        self.scheme = self.store(value);
    }

    pub(crate) fn set_protocol(&mut self, value: &[u8]) {
        self.protocol = self.store(value);
    }

    /// Makes room for the fields, of which about this many bytes are kept.
    pub(crate) fn reserve(&mut self, fields: usize) {
        self.bytes.reserve_exact(fields);
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Adds a field line. Pseudo-fields come before the first field (RFC 9113 §8.3), so their bytes do as well.
    pub(crate) fn push_field(&mut self, name: &[u8], value: &[u8]) {
        self.fields_start = self.fields_start.min(self.bytes.len() as u32);
        let lengths = (name.len() as u64) << 32 | value.len() as u64;
        self.bytes.extend_from_slice(&lengths.to_be_bytes());
        self.bytes.extend_from_slice(name);
        let span = self.store(value);
        self.names |= name_bit(name);
        if name.eq_ignore_ascii_case(b"content-type") {
            if !self.content_type.is_some() {
                self.content_type = span;
                self.content = content_of(value);
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            self.host_from = match self.host_from {
                HostFrom::Nothing => {
                    self.host = host_in(span, value);
                    HostFrom::Field
                }
                HostFrom::Field | HostFrom::Fields => HostFrom::Fields,
                HostFrom::Authority => HostFrom::Authority,
            };
        }
    }

    fn store(&mut self, value: &[u8]) -> Span {
        let span = Span { start: self.bytes.len() as u32, len: value.len() as u32 };
        self.bytes.extend_from_slice(value);
        span
    }

    fn optional(&self, span: Span) -> Option<&[u8]> {
        span.is_some().then(|| self.slice(span))
    }

    fn slice(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.bytes.get(start..start + span.len as usize).unwrap_or_default()
    }
}

/// Names fields without their values: cookies and credentials are not for logs.
impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        f.debug_struct("Request")
            .field("version", &self.version)
            .field("method", &lossy(self.method()))
            .field("path", &self.path().map(lossy))
            .field("authority", &self.authority().map(lossy))
            .field("fields", &self.fields().map(|(name, _)| lossy(name)).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Where the host stands in an authority that stands there.
fn host_in(whole: Span, authority: &[u8]) -> Span {
    let host = http1::host_of(authority);
    let len = host.len() as u32;
    if authority.starts_with(host) {
        return Span { len, ..whole };
    }
    // It begins behind userinfo.
    let at = authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
    Span { start: whole.start + at as u32, len }
}

fn content_of(value: &[u8]) -> Content {
    if is_media_type(value, b"application/grpc") {
        Content::Grpc
    } else if is_media_type(value, b"application/grpc-web")
        || is_media_type(value, b"application/grpc-web-text")
    {
        Content::GrpcWeb
    } else {
        Content::Other
    }
}

/// Whether `value` names this media type, or a structured form or parameters of it.
fn is_media_type(value: &[u8], media_type: &[u8]) -> bool {
    let Some(start) = value.get(..media_type.len()) else { return false };
    let rest = &value[media_type.len()..];
    start.eq_ignore_ascii_case(media_type)
        && match rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
            None => true,
            // Blanks may stand in front of parameters (RFC 9110 §5.6.6), not in front of a suffix.
            Some(b';') => true,
            Some(b'+') => rest.first() == Some(&b'+'),
            Some(_) => false,
        }
}
