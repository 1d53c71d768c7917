//! A peer that forgives nothing: every frame that the machine sends is held against RFC 9113 and RFC 7541, with windows,
//! states of streams and compression kept on its own. It fails the test on the first thing that a strict stack would refuse.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::{Decoder, Encoder, Field, Limits};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, entries, Setting, SettingId};

/// A piece of a message as the receiver understands it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    Head(Vec<(String, String)>),
    Data(Vec<u8>),
    End,
    Reset(u32),
}

/// What a test peer sends and the machine must pass on as it is.
pub(crate) fn head(fields: &[(&str, &str)]) -> Word {
    Word::Head(fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

pub(crate) fn data(bytes: impl AsRef<[u8]>) -> Word {
    Word::Data(bytes.as_ref().to_vec())
}

#[derive(Debug, Default)]
struct Stream {
    words: Vec<Word>,
    /// The machine has ended or reset its direction.
    is_over: bool,
    we_ended: bool,
    we_reset: bool,
    has_final: bool,
    recv_window: i64,
    send_window: i64,
}

impl Stream {
    fn is_open(&self) -> bool {
        !(self.we_reset
            || self.is_over && (self.we_ended || matches!(self.words.last(), Some(Word::Reset(_)))))
    }
}

#[derive(Debug)]
pub(crate) struct Strict {
    is_client: bool,
    input: Vec<u8>,
    preface_left: usize,
    block: Option<(u32, bool, Vec<u8>)>,
    decoder: Decoder,
    encoder: Encoder,
    /// What goes to the machine.
    pub(crate) out: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    highest: u32,
    has_settings: bool,
    /// Settings of ours that the machine has not acknowledged: window, table size, streams.
    unacknowledged: VecDeque<(u32, usize, u32)>,
    initial_recv: u32,
    initial_send: u32,
    recv_window: i64,
    send_window: i64,
    max_streams: u32,
    /// The machine's MAX_CONCURRENT_STREAMS.
    pub(crate) allowed_streams: u32,
    /// What it takes in one frame; a test that says so in SETTINGS sets it as well.
    pub(crate) max_frame: usize,
    /// Whether windows are given back as they are used.
    pub(crate) auto_credit: bool,
    /// Whether the test sends frames behind the back of this peer, so that answers to them are no surprise.
    pub(crate) is_raw: bool,
    pub(crate) goaways: Vec<(u32, u32)>,
    pub(crate) pings: Vec<[u8; 8]>,
    pub(crate) ping_acks: Vec<[u8; 8]>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) priority_updates: Vec<u32>,
    /// Bytes of everything that the machine has written.
    pub(crate) received: usize,
    pub(crate) frames: usize,
    /// Bytes of the longest payload among them.
    pub(crate) largest_frame: usize,
}

const DEFAULT_WINDOW: u32 = 65_535;

impl Strict {
    pub(crate) fn client() -> Self {
        let mut new = Self::new(true);
        new.out.extend_from_slice(PREFACE);
        new
    }

    pub(crate) fn backend() -> Self {
        Self::new(false)
    }

    fn new(is_client: bool) -> Self {
        Self {
            is_client,
            input: Vec::new(),
            preface_left: if is_client { 0 } else { PREFACE.len() },
            block: None,
            decoder: Decoder::new(4_096),
            encoder: Encoder::new(),
            out: Vec::new(),
            streams: BTreeMap::new(),
            highest: 0,
            has_settings: false,
            unacknowledged: VecDeque::new(),
            initial_recv: DEFAULT_WINDOW,
            initial_send: DEFAULT_WINDOW,
            recv_window: i64::from(DEFAULT_WINDOW),
            send_window: i64::from(DEFAULT_WINDOW),
            max_streams: u32::MAX,
            allowed_streams: u32::MAX,
            max_frame: 16_384,
            auto_credit: true,
            is_raw: false,
            goaways: Vec::new(),
            pings: Vec::new(),
            ping_acks: Vec::new(),
            settings: Vec::new(),
            priority_updates: Vec::new(),
            received: 0,
            frames: 0,
            largest_frame: 0,
        }
    }

    /// Sends SETTINGS; what they say holds from the machine's acknowledgement on.
    pub(crate) fn say_settings(&mut self, window: u32, table: usize, streams: Option<u32>, more: &[Setting]) {
        let mut all = vec![
            Setting { id: SettingId::INITIAL_WINDOW_SIZE, value: window },
            Setting { id: SettingId::HEADER_TABLE_SIZE, value: table as u32 },
        ];
        all.extend(streams.map(|value| Setting { id: SettingId::MAX_CONCURRENT_STREAMS, value }));
        all.extend_from_slice(more);
        encode_settings(&mut self.out, &all);
        self.unacknowledged.push_back((window, table, streams.unwrap_or(u32::MAX)));
    }

    pub(crate) fn say_plain_settings(&mut self) {
        self.say_settings(DEFAULT_WINDOW, 4_096, None, &[]);
    }

    /// Sends a header list, of a new stream if the client has not opened it; in several frames if it is long or `cut`.
    pub(crate) fn say_head(&mut self, id: u32, fields: &[(&str, &str)], ends: bool, cut: Option<usize>) {
        let fields = fields.iter().map(|(name, value)| Field {
            name: name.as_bytes(),
            value: value.as_bytes(),
            never_indexed: name.starts_with("secret"),
        });
        let mut block = Vec::new();
        self.encoder.encode(fields, &mut block);
        if self.is_client && id > self.highest {
            self.highest = id;
            self.open(id);
        }
        let ends_flag = if ends { flag::END_STREAM } else { 0 };
        let most = cut.unwrap_or(16_384).max(1);
        if block.len() <= most {
            encode_frame(&mut self.out, Kind::HEADERS, flag::END_HEADERS | ends_flag, id, &block);
        } else {
            let (first, rest) = block.split_at(most);
            encode_frame(&mut self.out, Kind::HEADERS, ends_flag, id, first);
            let parts = rest.chunks((rest.len() / 2 + 1).min(16_384));
            let last = parts.len() - 1;
            for (number, part) in parts.enumerate() {
                let flags = if number == last { flag::END_HEADERS } else { 0 };
                encode_frame(&mut self.out, Kind::CONTINUATION, flags, id, part);
            }
        }
        if ends {
            self.stream(id).we_ended = true;
        }
    }

    /// How much of this may be sent now.
    pub(crate) fn sendable(&self, id: u32) -> usize {
        let stream = self.streams.get(&id).map_or(0, |stream| stream.send_window);
        usize::try_from(stream.min(self.send_window)).unwrap_or(0)
    }

    /// Sends one DATA frame, which must fit the windows.
    pub(crate) fn say_data(&mut self, id: u32, bytes: &[u8], ends: bool, padding: Option<u8>) {
        let mut payload = Vec::new();
        payload.extend(padding);
        payload.extend_from_slice(bytes);
        payload.extend(std::iter::repeat_n(0, padding.map_or(0, usize::from)));
        let flags =
            if ends { flag::END_STREAM } else { 0 } | if padding.is_some() { flag::PADDED } else { 0 };
        encode_frame(&mut self.out, Kind::DATA, flags, id, &payload);
        self.send_window -= payload.len() as i64;
        let stream = self.stream(id);
        stream.send_window -= payload.len() as i64;
        stream.we_ended |= ends;
        let is_within = self.send_window >= 0 && self.streams[&id].send_window >= 0;
        assert!(is_within || payload.is_empty(), "the test sends more than it may");
    }

    pub(crate) fn say_reset(&mut self, id: u32, code: u32) {
        encode_frame(&mut self.out, Kind::RST_STREAM, 0, id, &code.to_be_bytes());
        self.stream(id).we_reset = true;
    }

    pub(crate) fn say_goaway(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        encode_frame(&mut self.out, Kind::GOAWAY, 0, 0, &payload);
    }

    pub(crate) fn say_ping(&mut self, opaque: [u8; 8]) {
        encode_frame(&mut self.out, Kind::PING, 0, 0, &opaque);
    }

    /// Gives the machine more window, for a stream or (0) the connection.
    pub(crate) fn grant(&mut self, id: u32, increment: u32) {
        encode_frame(&mut self.out, Kind::WINDOW_UPDATE, 0, id, &increment.to_be_bytes());
        match id {
            0 => self.recv_window += i64::from(increment),
            _ => self.stream(id).recv_window += i64::from(increment),
        }
    }

    /// Gives the machine this much more of every window, up to a bound.
    pub(crate) fn grant_all(&mut self, increment: u32) {
        let is_small = |window: i64| window < 1 << 24;
        if is_small(self.recv_window) {
            self.grant(0, increment);
        }
        let open = self.streams.iter().filter(|(_, s)| !s.is_over && !s.we_reset && is_small(s.recv_window));
        let open: Vec<u32> = open.map(|(id, _)| *id).collect();
        for id in open {
            self.grant(id, increment);
        }
    }

    /// What the machine has said on a stream.
    pub(crate) fn words(&self, id: u32) -> &[Word] {
        self.streams.get(&id).map_or(&[], |stream| &stream.words)
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    /// Streams that neither side has done with.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.values().filter(|stream| stream.is_open()).count()
    }

    pub(crate) fn has_ended(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.is_over)
    }

    pub(crate) fn content(&self, id: u32) -> Vec<u8> {
        let words = self.words(id).iter();
        words.flat_map(|word| if let Word::Data(data) = word { data.clone() } else { Vec::new() }).collect()
    }

    fn open(&mut self, id: u32) {
        let stream = Stream {
            recv_window: i64::from(self.initial_recv),
            send_window: i64::from(self.initial_send),
            ..Stream::default()
        };
        assert!(self.streams.insert(id, stream).is_none());
    }

    #[track_caller]
    fn stream(&mut self, id: u32) -> &mut Stream {
        let is_client = self.is_client;
        if self.is_raw && !self.streams.contains_key(&id) {
            self.open(id);
        }
        self.streams.get_mut(&id).unwrap_or_else(|| panic!("stream {id} is idle (client: {is_client})"))
    }

    /// Takes what the machine has written.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.input.extend_from_slice(bytes);
        let preface = self.preface_left.min(self.input.len());
        assert_eq!(self.input[..preface], PREFACE[PREFACE.len() - self.preface_left..][..preface]);
        self.input.drain(..preface);
        self.preface_left -= preface;
        while let Some(head) = Head::peek(&self.input).filter(|head| self.input.len() >= head.frame_len()) {
            let frame: Vec<u8> = self.input.drain(..head.frame_len()).collect();
            self.frames += 1;
            self.largest_frame = self.largest_frame.max(frame.len() - HEAD_LEN);
            self.take(&head, &frame[HEAD_LEN..]);
        }
    }

    fn take(&mut self, head: &Head, payload: &[u8]) {
        assert!(payload.len() <= self.max_frame, "larger than the maximum frame size");
        assert!(
            self.has_settings || head.kind == Kind::SETTINGS && !head.has(flag::ACK),
            "SETTINGS come first"
        );
        match &self.block {
            Some((stream, ..)) => assert!(head.kind == Kind::CONTINUATION && head.stream == *stream),
            None => assert!(head.kind != Kind::CONTINUATION),
        }
        let number = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let ends = head.has(flag::END_STREAM);
        match head.kind {
            Kind::SETTINGS if head.has(flag::ACK) => self.acknowledged(),
            Kind::SETTINGS => self.take_settings(payload),
            Kind::PING if head.has(flag::ACK) => self.ping_acks.push(*payload.first_chunk().unwrap()),
            Kind::PING => {
                self.pings.push(*payload.first_chunk().unwrap());
                encode_frame(&mut self.out, Kind::PING, flag::ACK, 0, payload);
            }
            Kind::GOAWAY => {
                let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                assert!(self.goaways.last().is_none_or(|(last, _)| number <= *last), "the last stream rises");
                self.goaways.push((number, code));
            }
            Kind::WINDOW_UPDATE => {
                assert!(number > 0 && number <= 0x7fff_ffff);
                let window = match head.stream {
                    0 => &mut self.send_window,
                    id => &mut self.stream(id).send_window,
                };
                *window += i64::from(number);
                assert!(*window <= 0x7fff_ffff, "window overflow");
            }
            Kind::RST_STREAM => {
                let stream = self.stream(head.stream);
                assert!(!matches!(stream.words.last(), Some(Word::Reset(_))), "reset twice");
                stream.is_over = true;
                stream.words.push(Word::Reset(number));
            }
            Kind::PRIORITY_UPDATE => {
                assert!(!self.is_client);
                self.priority_updates.push(number);
            }
            Kind::DATA => self.take_data(head.stream, payload, ends),
            Kind::HEADERS => {
                assert!(!head.has(flag::PADDED) && !head.has(flag::PRIORITY));
                self.block = Some((head.stream, ends, Vec::new()));
                self.take_fragment(head, payload);
            }
            Kind::CONTINUATION => self.take_fragment(head, payload),
            kind => panic!("{kind:?}"),
        }
    }

    fn take_settings(&mut self, payload: &[u8]) {
        self.has_settings = true;
        encode_settings_ack(&mut self.out);
        for setting in entries(payload) {
            self.settings.push(setting);
            match setting.id {
                SettingId::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(setting.value) - i64::from(self.initial_send);
                    self.initial_send = setting.value;
                    self.streams.values_mut().for_each(|stream| stream.send_window += change);
                }
                SettingId::HEADER_TABLE_SIZE => self.encoder.set_max_table_size(setting.value as usize),
                SettingId::MAX_CONCURRENT_STREAMS => self.allowed_streams = setting.value,
                SettingId::ENABLE_PUSH => assert!(!self.is_client && setting.value == 0),
                _ => {}
            }
        }
    }

    fn acknowledged(&mut self) {
        let Some((window, table, streams)) = self.unacknowledged.pop_front() else {
            assert!(self.is_raw, "an ACK of SETTINGS never sent");
            return;
        };
        let change = i64::from(window) - i64::from(self.initial_recv);
        self.initial_recv = window;
        self.streams.values_mut().for_each(|stream| stream.recv_window += change);
        self.decoder.set_max_table_size(table);
        self.max_streams = streams;
    }

    fn take_data(&mut self, id: u32, payload: &[u8], ends: bool) {
        let (is_client, auto_credit, length) = (self.is_client, self.auto_credit, payload.len() as u32);
        self.recv_window -= i64::from(length);
        assert!(self.recv_window >= 0, "more than the connection's window");
        let stream = self.stream(id);
        assert!(!stream.is_over, "DATA behind the end");
        assert!(!is_client || stream.has_final, "DATA before the response");
        stream.recv_window -= i64::from(length);
        assert!(length == 0 || stream.recv_window >= 0, "more than the window of stream {id}");
        match stream.words.last_mut() {
            Some(Word::Data(data)) => data.extend_from_slice(payload),
            _ if payload.is_empty() => {}
            _ => stream.words.push(Word::Data(payload.to_vec())),
        }
        if ends {
            stream.is_over = true;
            stream.words.push(Word::End);
        }
        let is_wanted = !ends && !stream.we_reset;
        if auto_credit && length > 0 {
            self.grant(0, length);
            if is_wanted {
                self.grant(id, length);
            }
        }
    }

    fn take_fragment(&mut self, head: &Head, fragment: &[u8]) {
        let (id, ends, mut block) = self.block.take().expect("a block has begun");
        block.extend_from_slice(fragment);
        if !head.has(flag::END_HEADERS) {
            self.block = Some((id, ends, block));
            return;
        }
        let limits = Limits { max_list_size: 1 << 20, max_string_len: 1 << 20 };
        let mut fields = Vec::new();
        let decoded = self.decoder.decode(&block, &limits, |field| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                field.never_indexed,
                field.name.starts_with(b"secret"),
                "never indexed, and only that"
            );
            fields.push((text(field.name), text(field.value)));
            ControlFlow::Continue(())
        });
        decoded.expect("a block that a strict decoder takes");
        if !self.is_client && id > self.highest {
            assert!(id % 2 == 1);
            self.highest = id;
            self.open(id);
            assert!(self.open_streams() <= self.max_streams as usize, "more streams than are allowed");
        }
        let is_client = self.is_client;
        let stream = self.stream(id);
        assert!(!stream.is_over, "HEADERS behind the end of stream {id}");
        let is_interim = fields.iter().any(|(name, value)| name == ":status" && value.starts_with('1'));
        let is_trailers = stream.has_final;
        assert!(!is_trailers || ends, "trailers that do not end");
        assert!(!(is_interim && ends));
        assert_eq!(is_trailers, !fields.iter().any(|(name, _)| name.starts_with(':')));
        stream.has_final = !is_interim || !is_client;
        stream.words.push(Word::Head(fields));
        if ends {
            stream.is_over = true;
            stream.words.push(Word::End);
        }
    }
}
