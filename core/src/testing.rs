//! Conversations as data, for tests of this crate and of what is built on it: what a peer sends, and when.
//!
//! ```
//! use std::time::Duration;
//! use oneport_core::testing::{Client, GRPC_CALL};
//!
//! // A gRPC client that waits for the server's SETTINGS before it sends its request.
//! let waiting = Client::http2()
//!     .settings(&[])
//!     .pause(Duration::from_millis(50))
//!     .settings_ack()
//!     .headers(1, GRPC_CALL);
//! assert_eq!(waiting.pieces().len(), 2);
//! ```
//!
//! Nothing here checks that a conversation is legal: the hostile ones are written with the same words.

use std::time::Duration;

use crate::wire::frame::{encode_frame, flag, Kind, PREFACE};
use crate::wire::settings::{encode_settings, Setting, SettingId};

/// The head of a gRPC call, as most clients send it.
pub const GRPC_CALL: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/grpc.health.v1.Health/Check"),
    (":authority", "a.example"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];

/// The head of a plain request over HTTP/2.
pub const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a.example")];

/// How a peer ends its side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// FIN: it sends nothing more, and may read on.
    Fin,
    /// RST: the connection is gone.
    Reset,
}

/// Bytes that come at the same instant. How a reader gets them cut is not said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// When, counted from the start of the connection.
    pub at: Duration,
    /// What.
    pub bytes: Vec<u8>,
}

/// What one peer sends over the life of a connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Script {
    pieces: Vec<Piece>,
    end: Option<(Duration, End)>,
    now: Duration,
}

/// Scripts of clients.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects, and says nothing yet.
    pub fn silent() -> Script {
        Script::default()
    }

    /// The HTTP/2 connection preface (RFC 9113 §3.4). The SETTINGS that must follow are the caller's.
    pub fn http2() -> Script {
        Script::default().raw(PREFACE)
    }

    /// A TLS client.
    pub fn tls(hello: &Hello) -> Script {
        Script::default().raw(hello.encode())
    }
}

/// Scripts of servers.
#[derive(Debug)]
pub struct Backend;

impl Backend {
    /// An HTTP/2 server, or one that is to be written out by hand: nothing yet.
    pub fn silent() -> Script {
        Script::default()
    }
}

/// The shape in which a header block is sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shape {
    /// Padding of HEADERS: the length octet and that many zeros.
    pub padding: Option<u8>,
    /// Whether HEADERS carry the deprecated priority.
    pub priority: bool,
    /// Where the block is cut into CONTINUATIONs; the same place twice makes an empty one.
    pub cuts: Vec<usize>,
    /// Whether a body follows.
    pub has_body: bool,
}

impl Script {
    /// What is sent, in order; each piece later than the one before.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How the sender ends, if it does.
    pub const fn end(&self) -> Option<(Duration, End)> {
        self.end
    }

    /// The moment that the script has come to.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// All bytes, without their instants.
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.bytes.iter().copied()).collect()
    }

    /// Lets time pass before what comes next.
    #[must_use]
    pub fn pause(mut self, by: Duration) -> Self {
        self.now += by;
        self
    }

    /// These bytes.
    #[must_use]
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return self;
        }
        match self.pieces.last_mut() {
            Some(last) if last.at == self.now => last.bytes.extend_from_slice(bytes),
            _ => self.pieces.push(Piece { at: self.now, bytes: bytes.to_vec() }),
        }
        self
    }

    /// A frame as it is told, whether or not the RFC allows it.
    #[must_use]
    pub fn frame(self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Self {
        let mut out = Vec::new();
        encode_frame(&mut out, kind, flags, stream, payload);
        self.raw(out)
    }

    /// SETTINGS with these identifiers and values.
    #[must_use]
    pub fn settings(self, entries: &[(u16, u32)]) -> Self {
        let entries: Vec<_> =
            entries.iter().map(|&(id, value)| Setting { id: SettingId(id), value }).collect();
        let mut out = Vec::new();
        encode_settings(&mut out, &entries);
        self.raw(out)
    }

    /// The acknowledgement of one SETTINGS.
    #[must_use]
    pub fn settings_ack(self) -> Self {
        self.frame(Kind::SETTINGS, flag::ACK, 0, &[])
    }

    /// A PING that wants an answer.
    #[must_use]
    pub fn ping(self, opaque: [u8; 8]) -> Self {
        self.frame(Kind::PING, 0, 0, &opaque)
    }

    /// WINDOW_UPDATE.
    #[must_use]
    pub fn window_update(self, stream: u32, increment: u32) -> Self {
        self.frame(Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
    }

    /// The (deprecated) PRIORITY.
    #[must_use]
    pub fn priority(self, stream: u32) -> Self {
        self.frame(Kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 200])
    }

    /// GOAWAY with the last stream and an error code.
    #[must_use]
    pub fn goaway(self, last: u32, code: u32) -> Self {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.frame(Kind::GOAWAY, 0, 0, &payload)
    }

    /// DATA.
    #[must_use]
    pub fn data(self, stream: u32, ends_stream: bool, payload: &[u8]) -> Self {
        let flags = if ends_stream { flag::END_STREAM } else { 0 };
        self.frame(Kind::DATA, flags, stream, payload)
    }

    /// HEADERS of a request without a body, in one frame.
    #[must_use]
    pub fn headers(self, stream: u32, fields: &[(&str, &str)]) -> Self {
        self.block(stream, &literals(fields), &Shape::default())
    }

    /// HEADERS, and CONTINUATIONs where the shape cuts, that carry this block.
    #[must_use]
    pub fn block(mut self, stream: u32, block: &[u8], shape: &Shape) -> Self {
        let mut cuts: Vec<_> = shape.cuts.iter().map(|&at| at.min(block.len())).collect();
        cuts.sort_unstable();
        cuts.push(block.len());
        let mut start = 0;
        for (i, &end) in cuts.iter().enumerate() {
            let mut flags = if i + 1 == cuts.len() { flag::END_HEADERS } else { 0 };
            let fragment = &block[start..end];
            start = end;
            if i > 0 {
                self = self.frame(Kind::CONTINUATION, flags, stream, fragment);
                continue;
            }
            let mut payload = Vec::new();
            if let Some(padding) = shape.padding {
                flags |= flag::PADDED;
                payload.push(padding);
            }
            if shape.priority {
                flags |= flag::PRIORITY;
                payload.extend_from_slice(&[0, 0, 0, 0, 15]);
            }
            if !shape.has_body {
                flags |= flag::END_STREAM;
            }
            payload.extend_from_slice(fragment);
            payload.resize(payload.len() + usize::from(shape.padding.unwrap_or(0)), 0);
            self = self.frame(Kind::HEADERS, flags, stream, &payload);
        }
        self
    }

    /// Ends the sender's side now.
    #[must_use]
    pub fn ends(mut self, end: End) -> Self {
        self.end = Some((self.now, end));
        self
    }

    /// The same without everything behind the first `len` bytes.
    #[must_use]
    pub fn cut_off(mut self, len: usize) -> Self {
        let mut left = len;
        for piece in &mut self.pieces {
            piece.bytes.truncate(left);
            left -= piece.bytes.len();
        }
        self.pieces.retain(|piece| !piece.bytes.is_empty());
        self
    }

    /// The same with a pause in front of the byte at this offset; all that follows comes later.
    #[must_use]
    pub fn delayed_at(&self, offset: usize, by: Duration) -> Self {
        let mut out = Self { now: self.now + by, ..Self::default() };
        let mut start = 0;
        for Piece { at, bytes } in &self.pieces {
            let (before, behind) = bytes.split_at(offset.saturating_sub(start).min(bytes.len()));
            start += bytes.len();
            for (at, part) in [(*at, before), (*at + by, behind)] {
                if !part.is_empty() {
                    out.pieces.push(Piece { at, bytes: part.to_vec() });
                }
            }
        }
        out.end = self.end.map(|(at, end)| (at + by, end));
        out
    }
}

/// A header block of literals without indexing and without Huffman coding (RFC 7541 §6.2.2): the plainest there is.
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    fn string(out: &mut Vec<u8>, text: &str) {
        let mut rest = text.len();
        if rest < 127 {
            out.push(rest as u8);
        } else {
            out.push(127);
            rest -= 127;
            while rest >= 128 {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
        out.extend_from_slice(text.as_bytes());
    }
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        string(&mut out, name);
        string(&mut out, value);
    }
    out
}

/// A TLS ClientHello (RFC 8446 §4.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Its server name, if it gives one.
    pub sni: Option<String>,
    /// The protocols that it offers.
    pub alpn: Vec<Vec<u8>>,
    /// The versions that it offers by extension; none for a client before TLS 1.3.
    pub versions: Vec<u16>,
    /// Bytes of an extension that nobody reads: hellos with post-quantum keys do not fit one segment.
    pub filler: usize,
    /// The most bytes of the message in one record.
    pub fragment: usize,
}

impl Default for Hello {
    fn default() -> Self {
        Self { sni: None, alpn: Vec::new(), versions: vec![0x0304, 0x0303], filler: 0, fragment: 1 << 14 }
    }
}

impl Hello {
    /// For this server.
    pub fn to(name: &str) -> Self {
        Self { sni: Some(name.to_owned()), ..Self::default() }
    }

    /// Offering these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Its bytes on the wire, records and all.
    pub fn encode(&self) -> Vec<u8> {
        fn with_len16(bytes: &[u8]) -> Vec<u8> {
            [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
        }
        let mut extensions = Vec::new();
        let mut extension = |kind: u16, content: &[u8]| {
            extensions.extend_from_slice(&kind.to_be_bytes());
            extensions.extend_from_slice(&with_len16(content));
        };
        if let Some(name) = &self.sni {
            extension(0, &with_len16(&[&[0], &with_len16(name.as_bytes())[..]].concat()));
        }
        if !self.alpn.is_empty() {
            let names: Vec<u8> =
                self.alpn.iter().flat_map(|name| [&[name.len() as u8], &name[..]].concat()).collect();
            extension(16, &with_len16(&names));
        }
        if !self.versions.is_empty() {
            let list: Vec<u8> = self.versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            extension(43, &[&[list.len() as u8], &list[..]].concat());
        }
        if self.filler > 0 {
            extension(0xffa5, &vec![0; self.filler]);
        }
        let mut body = vec![3, 3];
        body.extend_from_slice(&[0x5a; 32]);
        body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
        body.extend_from_slice(&with_len16(&extensions));
        let [_, length @ ..] = (body.len() as u32).to_be_bytes();
        let message = [&[1], &length[..], &body].concat();
        message
            .chunks(self.fragment.clamp(1, 1 << 14))
            .flat_map(|chunk| [&[22, 3, 1], &with_len16(chunk)[..]].concat())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_bytes_and_instants() {
        let ms = Duration::from_millis;
        let script = Client::silent().raw("ab").raw("c").pause(ms(3)).raw("de").pause(ms(1)).ends(End::Fin);
        assert_eq!(script.pieces().len(), 2);
        assert_eq!(script.end(), Some((ms(4), End::Fin)));
        let later = script.delayed_at(1, ms(10));
        let at: Vec<_> = later.pieces().iter().map(|p| (p.at, p.bytes.len())).collect();
        assert_eq!(at, [(ms(0), 1), (ms(10), 2), (ms(13), 2)]);
        assert_eq!(later.bytes(), script.bytes());
        assert_eq!(later.end(), Some((ms(14), End::Fin)));
        assert_eq!(script.cut_off(3).bytes(), b"abc");
    }

    #[test]
    fn cuts_make_continuations_and_the_same_place_twice_an_empty_one() {
        let shape = Shape { cuts: vec![1, 1], ..Shape::default() };
        let bytes = Client::silent().block(1, b"xyz", &shape).bytes();
        assert_eq!(bytes, b"\0\0\x01\x01\x01\0\0\0\x01x\0\0\0\x09\0\0\0\0\x01\0\0\x02\x09\x04\0\0\0\x01yz");
    }
}
