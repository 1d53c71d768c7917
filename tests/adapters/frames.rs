//! HTTP/2 as bytes: frames to send, and frames found in what was received.

use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, Setting, SettingId};

use crate::flights::flight;

/// A frame, read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The code of a GOAWAY and its last stream.
    pub(super) fn goaway(&self) -> Option<(u32, u32)> {
        let (last, rest) = self.payload.split_first_chunk()?;
        let code = rest.first_chunk()?;
        (self.kind == Kind::GOAWAY).then(|| (u32::from_be_bytes(*code), u32::from_be_bytes(*last)))
    }
}

/// The frames of a stream that ends with a whole one.
#[track_caller]
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(head) = Head::peek(bytes) {
        let payload = bytes.get(HEAD_LEN..head.frame_len()).expect("whole frames").to_vec();
        frames.push(Frame { kind: head.kind, flags: head.flags, stream: head.stream, payload });
        bytes = &bytes[head.frame_len()..];
    }
    assert_eq!(bytes, b"", "whole frames");
    frames
}

pub(super) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, kind, flags, stream, payload);
    out
}

pub(super) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entries: Vec<_> =
        entries.iter().map(|(id, value)| Setting { id: SettingId(*id), value: *value }).collect();
    let mut out = Vec::new();
    encode_settings(&mut out, &entries);
    out
}

pub(super) fn settings_ack() -> Vec<u8> {
    let mut out = Vec::new();
    encode_settings_ack(&mut out);
    out
}

/// The preface and empty SETTINGS: a client that has connected and waits.
pub(super) fn waiting() -> Vec<u8> {
    [&PREFACE[..], &settings(&[])].concat()
}

/// A whole POST of this content type on stream 1, without a body.
pub(super) fn request(content_type: &str) -> Vec<u8> {
    // Indexed :method POST, :scheme http, :path /; then a literal content-type (RFC 7541, appendix A).
    let mut block = vec![0x83, 0x86, 0x84, 0x0f, 0x10, content_type.len() as u8];
    block.extend_from_slice(content_type.as_bytes());
    frame(Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block)
}

/// What the default greeting says to a client that has sent one SETTINGS.
pub(super) fn greeting() -> Vec<u8> {
    [settings(&[(3, 100)]), settings_ack()].concat()
}

/// A recorded client that waits: what it sends before it is greeted, and what after that.
pub(super) struct Waiting {
    pub(super) name: &'static str,
    pub(super) before: &'static [u8],
    /// With the acknowledgement of the greeting's SETTINGS.
    pub(super) after: &'static [u8],
}

impl Waiting {
    /// The clients that were recorded.
    pub(super) fn all() -> [Self; 2] {
        [("grpc-go-1.33", "grpc-go-1.33.silent"), ("grpcio-1.85", "grpcio-1.85.silent")].map(
            |(name, silent)| {
                let (whole, before) = (flight(name).bytes, flight(silent).bytes);
                Self { name, before, after: whole.strip_prefix(before).expect("the same client") }
            },
        )
    }

    /// What the backend is to see: all but the acknowledgement.
    pub(super) fn seen(&self) -> Vec<u8> {
        let ack = settings_ack();
        let at = self.after.windows(ack.len()).position(|bytes| bytes == ack).expect("it acknowledges");
        [self.before, &self.after[..at], &self.after[at + ack.len()..]].concat()
    }
}
