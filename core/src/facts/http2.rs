//! What an opening shows of HTTP/2: frame by frame up to the end of the first request's header block, and nothing behind it.
//!
//! The observer judges only what it has to understand: the shape of SETTINGS and PING (the mux may have to answer them) and
//! of HEADERS with their CONTINUATIONs (they carry the request). All else is counted and left for the backend to judge. It
//! never looks at payload that it does not need, and stops for good at a bound, at malformed bytes, and at the request.

use core::ops::ControlFlow;

use super::{Bound, Bounds, Facts, Found, HttpVersion, Request};
use crate::wire::frame::{flag, ErrorCode, Head, Kind};
use crate::wire::headers;
use crate::wire::hpack::{DecodeError, Decoder, Field, Limits};
use crate::wire::http1::path_of;
use crate::wire::settings::ENTRY_LEN;

/// What SETTINGS_HEADER_TABLE_SIZE is for a client that was told nothing else (RFC 9113 §6.5.2).
const DEFAULT_TABLE_SIZE: usize = 4_096;

/// Where the walk stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// The client's first frame must be SETTINGS (RFC 9113 §3.4).
    FirstSettings,
    /// Between frames; no request yet.
    Open,
    /// HEADERS have begun; with the stream once the first of its frames is whole.
    Block { stream: u32 },
    /// The first request is known.
    Request,
    /// What came can not be read; with the code that names it.
    Malformed(ErrorCode),
    /// A bound was passed.
    Exceeded,
}

/// What a whole frame means to the mux.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// Nothing: it is for the backend.
    Other,
    /// A PING that wants an answer.
    Ping([u8; 8]),
    /// SETTINGS that want an acknowledgement.
    Settings,
    /// A well-formed acknowledgement of SETTINGS.
    SettingsAck,
}

/// Why the walk ends at a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    Exceeded(Bound),
    Malformed(ErrorCode),
}

pub(crate) struct Http2Observer {
    stage: Stage,
    /// Frames that stay in the replay.
    frames: u32,
    settings: u32,
    continuations: u32,
    /// Fragments so far of a header block that has more than one.
    block: Vec<u8>,
    ends_stream: bool,
}

impl Http2Observer {
    pub(crate) const fn new() -> Self {
        Self {
            stage: Stage::FirstSettings,
            frames: 0,
            settings: 0,
            continuations: 0,
            block: Vec::new(),
            ends_stream: false,
        }
    }

    pub(crate) const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether nothing that comes can change what is known.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Request | Stage::Malformed(_) | Stage::Exceeded)
    }

    /// SETTINGS of the client so far.
    pub(crate) const fn settings(&self) -> u32 {
        self.settings
    }

    pub(crate) fn held(&self) -> usize {
        self.block.capacity()
    }

    /// A frame that was counted has left the replay.
    pub(crate) fn forget_frame(&mut self) {
        self.frames = self.frames.saturating_sub(1);
    }

    pub(crate) fn stop(&mut self, stop: Stop) {
        self.stage = match stop {
            Stop::Exceeded(_) => Stage::Exceeded,
            Stop::Malformed(code) => Stage::Malformed(code),
        };
        self.block = Vec::new();
    }

    /// Judges the head of the next frame before its payload is there: a bound is a bound on what must be waited for.
    pub(crate) fn admit(&mut self, head: &Head, bounds: &Bounds) -> Result<(), Stop> {
        if head.length > bounds.frame_size {
            return Err(Stop::Exceeded(Bound::FrameSize));
        }
        match self.stage {
            Stage::FirstSettings => {
                if head.kind != Kind::SETTINGS || head.has(flag::ACK) {
                    return Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR));
                }
                self.admit_settings(head, bounds)
            }
            Stage::Open => match head.kind {
                Kind::SETTINGS if !head.has(flag::ACK) => self.admit_settings(head, bounds),
                Kind::SETTINGS if !head.is_settings_ack() => Err(Stop::Malformed(if head.stream == 0 {
                    ErrorCode::FRAME_SIZE_ERROR
                } else {
                    ErrorCode::PROTOCOL_ERROR
                })),
                Kind::PING if head.stream != 0 => Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR)),
                Kind::PING if head.length != 8 => Err(Stop::Malformed(ErrorCode::FRAME_SIZE_ERROR)),
                Kind::HEADERS if head.stream % 2 == 0 => Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR)),
                Kind::HEADERS => {
                    self.stage = Stage::Block { stream: 0 };
                    Ok(())
                }
                _ => Ok(()),
            },
            Stage::Block { stream: 0 } => Ok(()),
            Stage::Block { stream } => {
                if head.kind != Kind::CONTINUATION || head.stream != stream {
                    Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR))
                } else if self.continuations == bounds.continuations {
                    Err(Stop::Exceeded(Bound::Continuations))
                } else if self.block.len() + head.length as usize > bounds.header_block {
                    Err(Stop::Exceeded(Bound::HeaderBlock))
                } else {
                    Ok(())
                }
            }
            Stage::Request | Stage::Malformed(_) | Stage::Exceeded => Ok(()),
        }
    }

    fn admit_settings(&self, head: &Head, bounds: &Bounds) -> Result<(), Stop> {
        if head.stream != 0 {
            Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR))
        } else if head.length as usize % ENTRY_LEN != 0 {
            Err(Stop::Malformed(ErrorCode::FRAME_SIZE_ERROR))
        } else if head.length as usize / ENTRY_LEN > bounds.settings_entries as usize {
            Err(Stop::Exceeded(Bound::SettingsEntries))
        } else if self.settings == bounds.settings {
            Err(Stop::Exceeded(Bound::Settings))
        } else {
            Ok(())
        }
    }

    /// Takes a whole frame that was admitted.
    pub(crate) fn take(
        &mut self,
        head: &Head,
        payload: &[u8],
        bounds: &Bounds,
        facts: &mut Facts,
    ) -> Result<Event, Stop> {
        match self.stage {
            Stage::FirstSettings => {
                self.settings = 1;
                self.stage = Stage::Open;
                self.count(bounds, Event::Settings)
            }
            Stage::Open => match head.kind {
                Kind::SETTINGS if head.has(flag::ACK) => self.count(bounds, Event::SettingsAck),
                Kind::SETTINGS => {
                    self.settings += 1;
                    self.count(bounds, Event::Settings)
                }
                Kind::PING if !head.has(flag::ACK) => {
                    let opaque = payload.first_chunk().copied().unwrap_or_default();
                    self.count(bounds, Event::Ping(opaque))
                }
                _ => self.count(bounds, Event::Other),
            },
            Stage::Block { stream: 0 } => {
                let fragment = headers::fragment(head, payload).and_then(|range| payload.get(range));
                let Some(fragment) = fragment else {
                    return Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR));
                };
                self.ends_stream = head.has(flag::END_STREAM);
                self.stage = Stage::Block { stream: head.stream };
                if fragment.len() > bounds.header_block {
                    return Err(Stop::Exceeded(Bound::HeaderBlock));
                }
                if head.has(flag::END_HEADERS) {
                    return self.decode(head.stream, fragment, bounds, facts);
                }
                self.block.extend_from_slice(fragment);
                Ok(Event::Other)
            }
            Stage::Block { stream } => {
                self.continuations += 1;
                self.block.extend_from_slice(payload);
                if head.has(flag::END_HEADERS) {
                    let block = core::mem::take(&mut self.block);
                    return self.decode(stream, &block, bounds, facts);
                }
                Ok(Event::Other)
            }
            Stage::Request | Stage::Malformed(_) | Stage::Exceeded => Ok(Event::Other),
        }
    }

    /// Counts a frame in front of HEADERS. What the mux answers or takes out, it gives back by `forget_frame`, so the bound
    /// is on what the replay keeps; an acknowledgement may pass one above it.
    fn count(&mut self, bounds: &Bounds, event: Event) -> Result<Event, Stop> {
        self.frames += 1;
        let removable = matches!(event, Event::Ping(_) | Event::SettingsAck);
        if self.frames > bounds.frames && !removable {
            return Err(Stop::Exceeded(Bound::Frames));
        }
        Ok(event)
    }

    /// Whether more frames stay in the replay than may.
    pub(crate) const fn has_too_many_frames(&self, bounds: &Bounds) -> bool {
        self.frames > bounds.frames
    }

    fn decode(
        &mut self,
        stream: u32,
        block: &[u8],
        bounds: &Bounds,
        facts: &mut Facts,
    ) -> Result<Event, Stop> {
        // Huffman coding shrinks a string to 5/8 at the best.
        let mut request = Request::new(HttpVersion::Http2, block.len() * 2 + 128);
        request.on_stream(stream, self.ends_stream);
        let limits = Limits { max_list_size: bounds.header_list, max_string_len: bounds.header_list };
        let mut is_well_formed = true;
        let mut seen = Seen::default();
        let decoded = Decoder::new(DEFAULT_TABLE_SIZE).decode(block, &limits, |field| {
            is_well_formed = seen.take(&field, &mut request);
            if is_well_formed {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match decoded {
            // RFC 9113 §8.3.1: a request has a method, and a path unless it is CONNECT.
            Ok(()) if !request.method().is_empty() && (seen.path || request.method() == b"CONNECT") => {
                facts.found = Found::Request(request);
                facts.is_http2_done = true;
                self.stage = Stage::Request;
                Ok(Event::Other)
            }
            Ok(()) | Err(DecodeError::Stopped) => Err(Stop::Malformed(ErrorCode::PROTOCOL_ERROR)),
            Err(DecodeError::ListTooLarge | DecodeError::StringTooLong) => {
                Err(Stop::Exceeded(Bound::HeaderList))
            }
            Err(_) => Err(Stop::Malformed(ErrorCode::COMPRESSION_ERROR)),
        }
    }
}

/// Which pseudo-fields a header block has shown: each may come once and before the first field (RFC 9113 §8.3).
#[derive(Default)]
struct Seen {
    authority: bool,
    fields: bool,
    method: bool,
    path: bool,
    protocol: bool,
    scheme: bool,
}

impl Seen {
    /// Adds a field to the request; says whether the block is still well-formed. Repeated or late pseudo-fields and upper-case
    /// names make a request malformed (RFC 9113 §8.2.1, §8.3): a router that believed the first of two while the backend
    /// believed the last would be a way around its routes.
    fn take(&mut self, field: &Field<'_>, request: &mut Request) -> bool {
        let seen = match field.name {
            b":authority" => {
                request.set_authority(field.value);
                &mut self.authority
            }
            b":method" => {
                request.set_method(field.value);
                &mut self.method
            }
            b":path" => {
                request.set_target(field.value, path_of(field.value));
                &mut self.path
            }
            b":protocol" => {
                request.set_protocol(field.value);
                &mut self.protocol
            }
            b":scheme" => {
                request.set_scheme(field.value);
                &mut self.scheme
            }
            name => {
                self.fields = true;
                request.push_field(name, field.value);
                return !name.is_empty() && name[0] != b':' && !name.iter().any(u8::is_ascii_uppercase);
            }
        };
        let is_first = !core::mem::replace(seen, true);
        is_first && !self.fields
    }
}
