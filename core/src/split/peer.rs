//! One hop: all that ends at the connection of one peer, whichever role it has. This is what is heard from it, `words` what is
//! said to it. Frames are cut, SETTINGS and PING answered, header blocks put together and decoded in order, windows of the
//! connection kept; what is left are [`Event`]s of streams.

mod words;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Instant;

use bytes::Bytes;

use super::batch::Batch;
use super::bucket::Bucket;
use super::fields::Fields;
use super::message;
use super::reader::{DataHead, FrameReader, Piece};
use super::SplitConfig;
use crate::wire::frame::{encode_frame, flag, ErrorCode, Head, Kind, DEFAULT_MAX_FRAME_SIZE};
use crate::wire::headers;
use crate::wire::hpack::{DecodeError, Decoder, Encoder, Limits, DEFAULT_TABLE_SIZE};
use crate::wire::settings::{self, encode_settings_ack, Setting, SettingId, ENTRY_LEN};

/// What a window is before anyone said otherwise, and the largest that it may become (RFC 9113 §6.9).
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
pub(super) const MAX_WINDOW: i64 = 0x7fff_ffff;

/// What a SETTINGS frame costs of [`SplitConfig::idle_frames`]: it may change the window of every stream.
const SETTINGS_COST: u32 = 20;

/// How much larger than [`SplitConfig::max_header_list`] a list may be and still be decoded, to be answered.
const HARD_LIST_FACTOR: usize = 4;

/// Bytes of DATA that earn as much as a frame costs: some clients answer each 4 KiB with two WINDOW_UPDATEs.
const EARNING: usize = 1_024;

/// The smallest content of DATA that earns anything.
const WORTH_A_FRAME: usize = 64;

/// A fault of the peer that ends its connection (RFC 9113 §5.4.1).
pub(super) type Fault = ErrorCode;

/// What the peer says of streams, and what else concerns more than its own hop.
#[derive(Debug)]
pub(super) enum Event {
    /// A DATA frame has begun. Its length is counted already; stream and windows are to be checked.
    Data(DataHead),
    /// Content of the DATA frame that has begun; `ends` with the last of a frame with END_STREAM.
    Content {
        stream: u32,
        bytes: Bytes,
        ends: bool,
    },
    /// It sends no more requests (a client), or accepts none above `last` (a backend).
    GoAway {
        last: u32,
    },
    /// A header list, decoded into [`Peer::fields`].
    Head {
        stream: u32,
        ends: bool,
    },
    /// Nothing that concerns anyone else.
    Nothing,
    /// An answer to our PING.
    PingAck([u8; 8]),
    PriorityUpdate {
        stream: u32,
        payload: Bytes,
    },
    Reset {
        stream: u32,
        code: ErrorCode,
    },
    /// New settings are in force; the window of each stream changes by this much.
    Settings {
        window_change: i64,
    },
    /// Our settings are in force; what each stream may send us changes by this much.
    SettingsAck {
        window_change: i64,
    },
    /// More window for a stream; 0 is an error of that stream.
    Window {
        stream: u32,
        increment: u32,
    },
}

/// The part of the peer in the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Client,
    Server,
}

/// A header block that is not whole.
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    continuations: u32,
    since: Instant,
}

/// The connection of one peer.
pub(super) struct Peer {
    role: Role,
    reader: FrameReader,
    /// Input that was given and not looked at, since what it causes has no place yet.
    input: VecDeque<Bytes>,
    /// The length of the input buffer that is being looked at.
    pub(super) whole_input: usize,
    data: Option<DataHead>,
    block: Option<Block>,
    decoder: Decoder,
    encoder: Encoder,
    scratch: Vec<u8>,
    /// The last header list.
    pub(super) fields: Fields,
    /// Whether that list was larger than it may be, and is cut off.
    pub(super) is_oversized: bool,

    pub(super) outbox: Batch,
    spare: Batch,
    in_flight: Option<Instant>,
    /// Streams that have something for this peer, each once, in the order of their turns.
    pub(super) ready: VecDeque<u32>,

    /// What the peer may still send on all streams.
    recv_window: i64,
    window: u32,
    uncredited: u32,
    /// What we may still send to it on all streams.
    pub(super) send_window: i64,
    /// What a new stream may send us.
    pub(super) local_window: u32,
    stream_window: u32,
    is_settings_acked: bool,

    pub(super) has_settings: bool,
    pub(super) initial_window: u32,
    pub(super) max_frame_size: usize,
    pub(super) max_concurrent_streams: u32,
    pub(super) max_header_list: usize,
    pub(super) connect_protocol: bool,
    idle_frames: Bucket,
}

impl Peer {
    pub(super) fn new(role: Role, config: &SplitConfig, now: Instant) -> Self {
        let mut encoder = Encoder::new();
        if config.max_encoder_table < DEFAULT_TABLE_SIZE {
            // A peer that says nothing of its table has one of the default size, and is told to make it smaller.
            encoder.set_max_table_size(config.max_encoder_table);
        }
        Self {
            role,
            reader: if role == Role::Client { FrameReader::of_client() } else { FrameReader::of_server() },
            input: VecDeque::new(),
            whole_input: 0,
            data: None,
            block: None,
            decoder: Decoder::new(DEFAULT_TABLE_SIZE),
            encoder,
            scratch: Vec::new(),
            fields: Fields::default(),
            is_oversized: false,
            outbox: Batch::default(),
            spare: Batch::default(),
            in_flight: None,
            ready: VecDeque::new(),
            recv_window: i64::from(DEFAULT_WINDOW),
            window: DEFAULT_WINDOW,
            uncredited: 0,
            send_window: i64::from(DEFAULT_WINDOW),
            local_window: DEFAULT_WINDOW,
            stream_window: config.stream_window.min(MAX_WINDOW as u32),
            is_settings_acked: false,
            has_settings: false,
            initial_window: DEFAULT_WINDOW,
            max_frame_size: DEFAULT_MAX_FRAME_SIZE as usize,
            max_concurrent_streams: u32::MAX,
            max_header_list: usize::MAX,
            connect_protocol: false,
            idle_frames: Bucket::new(config.idle_frames, now),
        }
    }

    /// Takes input, to be looked at by [`next`](Self::next).
    pub(super) fn feed(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            if self.input.is_empty() {
                self.whole_input = bytes.len();
            }
            self.input.push_back(bytes);
        }
    }

    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether there is room for what its own input causes on itself. Twice the mark: what others say to it fills it up to the
    /// mark, and a peer that writes before it reads, or gives up what it gets too much of, must not be left unread for them.
    pub(super) fn may_be_read(&self, config: &SplitConfig) -> bool {
        self.outbox.len() < config.output_mark.saturating_mul(2)
    }

    /// The next event, or `None` when all input has been looked at.
    pub(super) fn next(&mut self, config: &SplitConfig, now: Instant) -> Result<Option<Event>, Fault> {
        while let Some(input) = self.input.front_mut() {
            if let Some(piece) = self.reader.next(input)? {
                return self.take(piece, config, now).map(Some);
            }
            self.input.pop_front();
            self.whole_input = self.input.front().map_or(0, Bytes::len);
        }
        Ok(None)
    }

    fn take(&mut self, piece: Piece, config: &SplitConfig, now: Instant) -> Result<Event, Fault> {
        match piece {
            Piece::Data(head) => {
                self.check_order(Kind::DATA, head.stream, false)?;
                if head.stream == 0 {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                self.recv_window -= i64::from(head.flow);
                if self.recv_window < 0 {
                    return Err(ErrorCode::FLOW_CONTROL_ERROR);
                }
                if head.content == 0 && !head.ends {
                    self.charge(1, now)?;
                } else if head.content as usize >= WORTH_A_FRAME {
                    self.earn(head.content as usize);
                }
                self.data = Some(head);
                Ok(Event::Data(head))
            }
            Piece::Content { bytes, is_last } => match self.data {
                Some(head) => Ok(Event::Content { stream: head.stream, bytes, ends: is_last && head.ends }),
                None => Ok(Event::Nothing),
            },
            Piece::Frame { head, payload } => self.take_frame(&head, payload, config, now),
        }
    }

    /// RFC 9113 §3.4: SETTINGS come first. §4.3: nothing comes between the frames of a header block.
    fn check_order(&self, kind: Kind, stream: u32, is_ack: bool) -> Result<(), Fault> {
        let is_first_right = self.has_settings || (kind == Kind::SETTINGS && !is_ack);
        let is_in_order = match &self.block {
            Some(block) => kind == Kind::CONTINUATION && stream == block.stream,
            None => kind != Kind::CONTINUATION,
        };
        if is_first_right && is_in_order {
            Ok(())
        } else {
            Err(ErrorCode::PROTOCOL_ERROR)
        }
    }

    fn take_frame(
        &mut self,
        head: &Head,
        payload: Bytes,
        config: &SplitConfig,
        now: Instant,
    ) -> Result<Event, Fault> {
        let is_ack = head.has(flag::ACK);
        self.check_order(head.kind, head.stream, is_ack)?;
        let stream = head.stream;
        let on_stream = |length: Option<usize>| match length {
            _ if stream == 0 => Err(ErrorCode::PROTOCOL_ERROR),
            Some(length) if payload.len() != length => Err(ErrorCode::FRAME_SIZE_ERROR),
            _ => Ok(()),
        };
        let on_connection = |fits: bool| match fits {
            _ if stream != 0 => Err(ErrorCode::PROTOCOL_ERROR),
            false => Err(ErrorCode::FRAME_SIZE_ERROR),
            true => Ok(()),
        };
        match head.kind {
            Kind::HEADERS => {
                on_stream(None)?;
                let range = headers::fragment(head, &payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
                let fragment = &payload[range];
                let ends = head.has(flag::END_STREAM);
                self.earn(0);
                if head.has(flag::END_HEADERS) {
                    return self.decode(stream, ends, fragment, config);
                }
                let bytes = fragment.to_vec();
                self.block = Some(Block { stream, ends, bytes, continuations: 0, since: now });
                Ok(Event::Nothing)
            }
            Kind::CONTINUATION => {
                let mut block = self.block.take().ok_or(ErrorCode::PROTOCOL_ERROR)?;
                block.continuations += 1;
                if block.continuations > config.max_continuations
                    || block.bytes.len() + payload.len() > config.max_header_block
                {
                    return Err(ErrorCode::ENHANCE_YOUR_CALM);
                }
                block.bytes.extend_from_slice(&payload);
                if head.has(flag::END_HEADERS) {
                    return self.decode(stream, block.ends, &block.bytes, config);
                }
                self.block = Some(block);
                Ok(Event::Nothing)
            }
            Kind::RST_STREAM => {
                on_stream(Some(4))?;
                Ok(Event::Reset { stream, code: ErrorCode(number(&payload)) })
            }
            Kind::WINDOW_UPDATE => {
                if payload.len() != 4 {
                    return Err(ErrorCode::FRAME_SIZE_ERROR);
                }
                self.charge(1, now)?;
                let increment = number(&payload) & 0x7fff_ffff;
                if stream != 0 {
                    return Ok(Event::Window { stream, increment });
                }
                self.send_window += i64::from(increment);
                match increment {
                    0 => Err(ErrorCode::PROTOCOL_ERROR),
                    _ if self.send_window > MAX_WINDOW => Err(ErrorCode::FLOW_CONTROL_ERROR),
                    _ => Ok(Event::Nothing),
                }
            }
            Kind::SETTINGS if is_ack => {
                on_connection(payload.is_empty())?;
                if std::mem::replace(&mut self.is_settings_acked, true) {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                let before = std::mem::replace(&mut self.local_window, self.stream_window);
                Ok(Event::SettingsAck { window_change: i64::from(self.local_window) - i64::from(before) })
            }
            Kind::SETTINGS => {
                on_connection(payload.len() % ENTRY_LEN == 0)?;
                self.charge(SETTINGS_COST, now)?;
                self.take_settings(&payload, config)
            }
            Kind::PING => {
                on_connection(payload.len() == 8)?;
                let opaque: [u8; 8] = payload.first_chunk().copied().unwrap_or_default();
                if is_ack {
                    return Ok(Event::PingAck(opaque));
                }
                self.charge(1, now)?;
                encode_frame(self.outbox.frames(), Kind::PING, flag::ACK, 0, &opaque);
                Ok(Event::Nothing)
            }
            Kind::GOAWAY => {
                on_connection(payload.len() >= 8)?;
                self.charge(1, now)?;
                Ok(Event::GoAway { last: number(&payload) & 0x7fff_ffff })
            }
            Kind::PRIORITY => {
                on_stream(Some(5))?;
                self.charge(1, now)?;
                Ok(Event::Nothing)
            }
            Kind::PRIORITY_UPDATE if self.role == Role::Client => {
                on_connection(payload.len() >= 4)?;
                self.charge(1, now)?;
                Ok(Event::PriorityUpdate { stream: number(&payload) & 0x7fff_ffff, payload })
            }
            // Clients can not push, and servers were told not to (RFC 9113 §8.4).
            Kind::PUSH_PROMISE => Err(ErrorCode::PROTOCOL_ERROR),
            _ => {
                self.charge(1, now)?;
                Ok(Event::Nothing)
            }
        }
    }

    fn take_settings(&mut self, payload: &[u8], config: &SplitConfig) -> Result<Event, Fault> {
        let before = self.initial_window;
        for Setting { id, value } in settings::entries(payload) {
            match id {
                SettingId::HEADER_TABLE_SIZE => {
                    self.encoder.set_max_table_size(config.max_encoder_table.min(value as usize));
                }
                SettingId::ENABLE_PUSH if value > 1 || (value == 1 && self.role == Role::Server) => {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                SettingId::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
                SettingId::INITIAL_WINDOW_SIZE if i64::from(value) > MAX_WINDOW => {
                    return Err(ErrorCode::FLOW_CONTROL_ERROR);
                }
                SettingId::INITIAL_WINDOW_SIZE => self.initial_window = value,
                SettingId::MAX_FRAME_SIZE if !(DEFAULT_MAX_FRAME_SIZE..1 << 24).contains(&value) => {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                SettingId::MAX_FRAME_SIZE => self.max_frame_size = value as usize,
                SettingId::MAX_HEADER_LIST_SIZE => self.max_header_list = value as usize,
                SettingId::ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.connect_protocol) => {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                SettingId::ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
                _ => {}
            }
        }
        self.has_settings = true;
        encode_settings_ack(self.outbox.frames());
        Ok(Event::Settings { window_change: i64::from(self.initial_window) - i64::from(before) })
    }

    /// Decodes a whole block into `fields`: every block, whatever becomes of its stream (RFC 9113 §4.3).
    fn decode(
        &mut self,
        stream: u32,
        ends: bool,
        block: &[u8],
        config: &SplitConfig,
    ) -> Result<Event, Fault> {
        self.fields.clear();
        self.is_oversized = false;
        if block.len() > config.max_header_block {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        let hard = config.max_header_list.saturating_mul(HARD_LIST_FACTOR);
        let limits = Limits { max_list_size: hard, max_string_len: hard };
        let (fields, is_oversized, mut size) = (&mut self.fields, &mut self.is_oversized, 0usize);
        let decoded = self.decoder.decode(block, &limits, |field| {
            size += field.list_size();
            if size <= config.max_header_list {
                fields.push(&message::without_blanks(field));
            } else {
                *is_oversized = true;
            }
            ControlFlow::Continue(())
        });
        match decoded {
            Ok(()) => Ok(Event::Head { stream, ends }),
            Err(DecodeError::ListTooLarge | DecodeError::StringTooLong) => Err(ErrorCode::ENHANCE_YOUR_CALM),
            Err(_) => Err(ErrorCode::COMPRESSION_ERROR),
        }
    }

    fn charge(&mut self, cost: u32, now: Instant) -> Result<(), Fault> {
        if self.idle_frames.spend(cost, now) {
            Ok(())
        } else {
            Err(ErrorCode::ENHANCE_YOUR_CALM)
        }
    }

    /// Useful work, with this much DATA, in either direction.
    pub(super) fn earn(&mut self, data: usize) {
        self.idle_frames.earn(2 + (data / EARNING) as u32);
    }

    /// When the header block began that is not whole.
    pub(super) fn block_since(&self) -> Option<Instant> {
        self.block.as_ref().map(|block| block.since)
    }

    /// Gives the header block that is not whole its time again.
    pub(super) fn restart_block(&mut self, now: Instant) {
        if let Some(block) = &mut self.block {
            block.since = now;
        }
    }

    /// Bytes held for the hop itself: input, a frame, a block, and output that was not handed out.
    pub(super) fn held(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.bytes.capacity());
        let input: usize = self.input.iter().map(Bytes::len).sum();
        self.reader.held() + block + input + self.outbox.len()
    }
}

/// The first four bytes; 0 where there are fewer.
fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
