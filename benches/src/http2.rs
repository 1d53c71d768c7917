//! The client's end of an HTTP/2 connection: frames out and in, SETTINGS and PINGs answered. It costs little, so that a server is
//! what is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, entries, Setting, SettingId};

/// Window for all that a connection is sent before it is given again.
const WINDOW: u32 = 0x7fff_ffff - 65_535;

/// Window for a response.
const STREAM_WINDOW: u32 = 1 << 24;

/// HTTP/2's default, which lasts until a server says more.
const DEFAULT_WINDOW: i64 = 65_535;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    io: TcpStream,
    buffer: Box<[u8]>,
    /// What has come: up to `at` it has been taken.
    input: Vec<u8>,
    at: usize,
    payload: Range<usize>,
    /// What goes out before the next read that waits.
    out: Vec<u8>,
    /// How much came in DATA since the window was given.
    taken: u32,
    may_send: i64,
    stream_window: i64,
    is_greeted: bool,
}

impl Connection {
    /// Connects; the preface goes out with whatever comes behind it.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let io = TcpStream::connect(address)?;
        io.set_nodelay(true)?;
        io.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut out = PREFACE.to_vec();
        encode_settings(&mut out, &[Setting { id: SettingId::INITIAL_WINDOW_SIZE, value: STREAM_WINDOW }]);
        encode_frame(&mut out, Kind::WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Ok(Self {
            io,
            buffer: vec![0; 1 << 16].into(),
            input: Vec::with_capacity(1 << 18),
            at: 0,
            payload: 0..0,
            out,
            taken: 0,
            may_send: DEFAULT_WINDOW,
            stream_window: DEFAULT_WINDOW,
            is_greeted: false,
        })
    }

    /// Waits for the server's SETTINGS, as most gRPC clients do before they ask for anything.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn wait_for_settings(&mut self) -> io::Result<()> {
        while !self.is_greeted {
            self.step()?;
        }
        Ok(())
    }

    /// A frame, to be sent with the next ones. Small DATA is taken to have room in the server's window.
    pub fn push(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
        if kind == Kind::DATA {
            self.may_send -= payload.len() as i64;
        }
        encode_frame(&mut self.out, kind, flags, stream, payload);
    }

    /// The body of a new stream, as the server's windows have it; the end of the stream with it. Nothing else may be under way.
    ///
    /// # Errors
    /// As [`frame`](Self::frame), and if it is longer than the window of a stream.
    pub fn send_body(&mut self, stream: u32, body: &[u8]) -> io::Result<()> {
        if body.len() as i64 > self.stream_window {
            return Err(fault("a window too small for the body"));
        }
        let mut rest = body;
        while !rest.is_empty() {
            while self.may_send <= 0 {
                self.step()?;
            }
            let (now, next) = rest.split_at(rest.len().min(16_384).min(self.may_send as usize));
            self.push(Kind::DATA, if next.is_empty() { flag::END_STREAM } else { 0 }, stream, now);
            rest = next;
        }
        Ok(())
    }

    /// The next frame of a stream; its payload is [`payload`](Self::payload).
    ///
    /// # Errors
    /// If the connection ends, by GOAWAY too.
    pub fn frame(&mut self) -> io::Result<Head> {
        loop {
            let head = self.step()?;
            if matches!(head.kind, Kind::DATA | Kind::HEADERS | Kind::RST_STREAM) {
                return Ok(head);
            }
        }
    }

    /// Of the last frame.
    pub fn payload(&self) -> &[u8] {
        &self.input[self.payload.clone()]
    }

    /// Takes a frame, and does what it asks of the connection.
    fn step(&mut self) -> io::Result<Head> {
        let head = self.next()?;
        let payload = &self.input[self.payload.clone()];
        match head.kind {
            Kind::SETTINGS if !head.has(flag::ACK) => {
                for setting in entries(payload).filter(|setting| setting.id == SettingId::INITIAL_WINDOW_SIZE)
                {
                    self.stream_window = setting.value.into();
                }
                self.is_greeted = true;
                encode_settings_ack(&mut self.out);
            }
            Kind::PING if !head.has(flag::ACK) => {
                encode_frame(&mut self.out, Kind::PING, flag::ACK, 0, payload);
            }
            Kind::WINDOW_UPDATE if head.stream == 0 => {
                let by: [u8; 4] = payload.try_into().map_err(|_| fault("a malformed WINDOW_UPDATE"))?;
                self.may_send += i64::from(u32::from_be_bytes(by));
            }
            Kind::GOAWAY => return Err(fault(&format!("GOAWAY {payload:x?}"))),
            Kind::DATA => {
                self.taken += payload.len() as u32;
                if self.taken > WINDOW / 2 {
                    encode_frame(&mut self.out, Kind::WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
                    self.taken = 0;
                }
            }
            _ => {}
        }
        Ok(head)
    }

    /// Takes a frame; before it waits for one it writes what is to be said.
    fn next(&mut self) -> io::Result<Head> {
        loop {
            let rest = &self.input[self.at..];
            if let Some(head) = Head::peek(rest).filter(|head| head.frame_len() <= rest.len()) {
                self.payload = self.at + HEAD_LEN..self.at + head.frame_len();
                self.at = self.payload.end;
                return Ok(head);
            }
            if !self.out.is_empty() {
                self.io.write_all(&self.out)?;
                self.out.clear();
            }
            self.input.drain(..self.at);
            self.at = 0;
            let count = self.io.read(&mut self.buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&self.buffer[..count]);
        }
    }
}

/// What a server must not say.
pub fn fault(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
