//! The opening of an HTTP/2 connection, read from all bytes at once.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use oneport_core::wire::hpack::{DecodeError, Decoder, Limits, DEFAULT_TABLE_SIZE};
use oneport_core::{Bound, Config};

use super::terms::Request;

pub(crate) const PREFACE_LEN: usize = 24;
const HEAD_LEN: usize = 9;

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const COMPRESSION_ERROR: u32 = 9;

/// A whole frame, cut by hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'a [u8],
    /// All of it, head and payload.
    pub(crate) bytes: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn is_settings_ack(&self) -> bool {
        self.kind == SETTINGS && self.flags & 1 != 0 && self.stream == 0 && self.payload.is_empty()
    }

    pub(crate) fn is_settings(&self) -> bool {
        self.kind == SETTINGS && self.flags & 1 == 0
    }

    /// The entries of SETTINGS.
    pub(crate) fn settings(&self) -> Vec<(u16, u32)> {
        self.payload
            .chunks_exact(6)
            .map(|entry| {
                let value = entry[2..6].iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
                (u16::from(entry[0]) << 8 | u16::from(entry[1]), value)
            })
            .collect()
    }
}

fn length_of(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

fn stream_of(head: &[u8]) -> u32 {
    u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff
}

/// The whole frames at the start, and what is left.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while bytes.len() >= HEAD_LEN {
        let len = HEAD_LEN + length_of(bytes);
        if bytes.len() < len {
            break;
        }
        let (frame, rest) = bytes.split_at(len);
        frames.push(Frame {
            kind: frame[3],
            flags: frame[4],
            stream: stream_of(frame),
            payload: &frame[HEAD_LEN..],
            bytes: frame,
        });
        bytes = rest;
    }
    (frames, bytes)
}

/// How the opening ends.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    Request(Request),
    Malformed(u32),
    Exceeded(Bound),
}

/// What a greeted client is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    SettingsAck,
    Pong([u8; 8]),
}

/// When the mux greeted: at which instant, and how many bytes had come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeted {
    pub(crate) at: Duration,
    pub(crate) bytes: usize,
}

/// All that counts of an opening.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    /// Whole SETTINGS in front of the end.
    pub(crate) settings: usize,
    pub(crate) has_headers_begun: bool,
    /// How it ends, and at which byte that is known.
    pub(crate) settled: Option<(usize, Settled)>,
    /// What is said to a greeted client, at the end of which frame.
    pub(crate) answers: Vec<(usize, Answer)>,
    /// What does not reach the backend.
    pub(crate) removed: Vec<Range<usize>>,
}

/// Reads the frames behind the preface of `bytes`. `arrival` says when the byte in front of an offset came.
pub(crate) fn walk(
    bytes: &[u8],
    greeted: Option<Greeted>,
    config: &Config,
    arrival: &dyn Fn(usize) -> Duration,
) -> Walk {
    let mut out = Walk::default();
    let mut kept = 0;
    let mut has_ack_gone = false;
    let mut bucket = greeted.map(|greeted| Bucket::new(config, greeted.at));
    let mut block: Option<Block> = None;
    let mut at = PREFACE_LEN;
    loop {
        let Some(head) = bytes.get(at..at + HEAD_LEN) else { return out };
        let (length, kind, flags, stream) = (length_of(head), head[3], head[4], stream_of(head));
        if let Some(settled) = admit(&out, block.as_ref(), config, (length, kind, flags, stream)) {
            out.settled = Some((at + HEAD_LEN, settled));
            return out;
        }
        if block.is_none() && kind == HEADERS {
            out.has_headers_begun = true;
        }
        let end = at + HEAD_LEN + length;
        let Some(payload) = bytes.get(at + HEAD_LEN..end) else { return out };
        let settle = |settled| Some((end, settled));
        if let Some(block) = &mut block {
            block.bytes.extend_from_slice(payload);
            block.continuations += 1;
            if flags & 4 != 0 {
                out.settled = settle(decode(block, config));
                return out;
            }
        } else if kind == HEADERS {
            let Some(fragment) = fragment(flags, payload) else {
                out.settled = settle(Settled::Malformed(PROTOCOL_ERROR));
                return out;
            };
            let begun =
                Block { stream, ends_stream: flags & 1 != 0, bytes: fragment.to_vec(), continuations: 0 };
            if begun.bytes.len() > config.max_header_block {
                out.settled = settle(Settled::Exceeded(Bound::HeaderBlock));
                return out;
            }
            if flags & 4 != 0 {
                out.settled = settle(decode(&begun, config));
                return out;
            }
            block = Some(begun);
        } else {
            let is_after_greeting = greeted.is_some_and(|greeted| end > greeted.bytes);
            let mut stays = true;
            let mut is_calm = true;
            let mut answer = None;
            if kind == SETTINGS && flags & 1 == 0 {
                out.settings += 1;
                answer = is_after_greeting.then_some(Answer::SettingsAck);
            } else if kind == SETTINGS {
                if is_after_greeting && !has_ack_gone {
                    has_ack_gone = true;
                    stays = false;
                }
            } else if kind == PING && flags & 1 == 0 {
                if let Some(bucket) = &mut bucket {
                    stays = false;
                    let now = if is_after_greeting { arrival(end) } else { greeted.unwrap().at };
                    is_calm = bucket.take(now);
                    answer = is_calm.then(|| Answer::Pong(payload.try_into().unwrap()));
                }
            }
            if stays {
                kept += 1;
            } else {
                out.removed.push(at..end);
            }
            if kept > config.max_frames {
                out.settled = settle(Settled::Exceeded(Bound::Frames));
                return out;
            }
            if !is_calm {
                out.settled = settle(Settled::Exceeded(Bound::Pings));
                return out;
            }
            out.answers.extend(answer.map(|answer| (end, answer)));
        }
        at = end;
    }
}

/// What is wrong with a frame, as far as its head tells.
fn admit(
    walk: &Walk,
    block: Option<&Block>,
    config: &Config,
    (length, kind, flags, stream): (usize, u8, u8, u32),
) -> Option<Settled> {
    let wrong = |code| Some(Settled::Malformed(code));
    let beyond = |bound| Some(Settled::Exceeded(bound));
    if length > config.max_frame_size as usize {
        return beyond(Bound::FrameSize);
    }
    if let Some(block) = block {
        return if kind != CONTINUATION || stream != block.stream {
            wrong(PROTOCOL_ERROR)
        } else if block.continuations == config.max_continuations {
            beyond(Bound::Continuations)
        } else if block.bytes.len() + length > config.max_header_block {
            beyond(Bound::HeaderBlock)
        } else {
            None
        };
    }
    let is_ack = flags & 1 != 0;
    match kind {
        SETTINGS if !is_ack => {
            if stream != 0 {
                wrong(PROTOCOL_ERROR)
            } else if length % 6 != 0 {
                wrong(FRAME_SIZE_ERROR)
            } else if length / 6 > config.max_settings_entries as usize {
                beyond(Bound::SettingsEntries)
            } else if walk.settings == config.max_settings as usize {
                beyond(Bound::Settings)
            } else {
                None
            }
        }
        _ if walk.settings == 0 => wrong(PROTOCOL_ERROR),
        SETTINGS if stream != 0 => wrong(PROTOCOL_ERROR),
        SETTINGS if length != 0 => wrong(FRAME_SIZE_ERROR),
        PING if stream != 0 => wrong(PROTOCOL_ERROR),
        PING if length != 8 => wrong(FRAME_SIZE_ERROR),
        HEADERS if stream % 2 == 0 => wrong(PROTOCOL_ERROR),
        _ => None,
    }
}

/// A header block that has begun.
struct Block {
    stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

/// The payload of HEADERS without padding and priority.
fn fragment(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (mut payload, mut padding) = (payload, 0);
    if flags & 8 != 0 {
        let (&length, rest) = payload.split_first()?;
        (payload, padding) = (rest, usize::from(length));
    }
    if flags & 0x20 != 0 {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

/// The request of a whole block. HPACK is not modelled again: the decoder has an oracle of its own.
fn decode(block: &Block, config: &Config) -> Settled {
    let limits = Limits { max_list_size: config.max_header_list, max_string_len: config.max_header_list };
    let mut fields = Vec::new();
    let decoded = Decoder::new(DEFAULT_TABLE_SIZE).decode(&block.bytes, &limits, |field| {
        fields.push((field.name.to_vec(), field.value.to_vec()));
        // A block that is malformed is malformed at its first wrong field: what is behind it is not judged.
        if is_well_formed(&fields) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    match decoded {
        Ok(()) if fields.iter().any(|(name, _)| name == b":method") => {
            Settled::Request(Request::http2(block.stream, block.ends_stream, &fields))
        }
        Ok(()) | Err(DecodeError::Stopped) => Settled::Malformed(PROTOCOL_ERROR),
        Err(DecodeError::ListTooLarge | DecodeError::StringTooLong) => Settled::Exceeded(Bound::HeaderList),
        Err(_) => Settled::Malformed(COMPRESSION_ERROR),
    }
}

/// RFC 9113 §8.2.1, §8.3: pseudo-fields known, once, and first; names not empty and in lower case.
fn is_well_formed(fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let pseudo = fields.iter().take_while(|(name, _)| name.starts_with(b":")).count();
    let (first, last) = fields.split_at(pseudo);
    let known: [&[u8]; 5] = [b":authority", b":method", b":path", b":protocol", b":scheme"];
    first.iter().enumerate().all(|(i, (name, _))| {
        known.contains(&&name[..]) && first[..i].iter().all(|(earlier, _)| earlier != name)
    }) && last.iter().all(|(name, _)| {
        !name.is_empty() && !name.starts_with(b":") && !name.iter().any(u8::is_ascii_uppercase)
    })
}

/// A token bucket of real numbers: `burst` tokens, one more each `interval`.
struct Bucket {
    level: Duration,
    full: Duration,
    interval: Duration,
    at: Duration,
}

impl Bucket {
    fn new(config: &Config, at: Duration) -> Self {
        let full = config.ping_interval * config.ping_burst;
        Self { level: full, full, interval: config.ping_interval, at }
    }

    fn take(&mut self, now: Duration) -> bool {
        self.level = (self.level + (now - self.at)).min(self.full);
        self.at = now;
        let has_one = self.level >= self.interval;
        if has_one {
            self.level -= self.interval;
        }
        has_one
    }
}
