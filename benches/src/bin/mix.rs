//! A client that asks for gRPC calls and REST requests on the same connections, in turn.
//!
//! ```text
//! mix ADDR MILLISECONDS CONNECTIONS STREAMS grpc|rest|both      `DONE FAILED SECONDS P50 P99`, the last two in microseconds
//! ```
//!
//! It keeps that many requests open on each connection and costs little, so that the server is what limits: a thread for each
//! connection, frames made once. But each response is decoded and has to be what was asked for.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use std::{env, thread};

use oneport_benches::lists::{List, LIMITS};
use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::{Decoder, Encoder, DEFAULT_TABLE_SIZE};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack};

/// Window for all that a connection is sent here.
const WINDOW: u32 = 0x7fff_ffff - 65_535;

/// `HealthCheckRequest` of the server itself: no fields.
const CALL: &[u8] = b"\0\0\0\0\0";

/// `HealthCheckResponse`, SERVING.
const ANSWER: &[u8] = b"\0\0\0\0\x02\x08\x01";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Call,
    Rest,
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    done: u64,
    failed: u64,
    micros: Vec<u32>,
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [address, time, connections, streams, what] = words[..] else {
        panic!("usage: mix ADDR MILLISECONDS CONNECTIONS STREAMS grpc|rest|both");
    };
    let address: SocketAddr = address.parse().expect("an address");
    let number = |word: &str| word.parse::<u32>().expect("a number");
    let (time, streams) = (Duration::from_millis(number(time).into()), number(streams));
    let turns: &'static [What] = match what {
        "grpc" => &[What::Call],
        "rest" => &[What::Rest],
        "both" => &[What::Call, What::Rest],
        _ => panic!("what is {what}?"),
    };
    let started = Instant::now();
    let clients: Vec<_> = (0..number(connections))
        .map(|_| thread::spawn(move || Client::connect(address, turns)?.ask(streams, started, time)))
        .collect();
    let mut all = Seen::default();
    for client in clients {
        match client.join().expect("no panic") {
            Ok(seen) => {
                all.done += seen.done;
                all.failed += seen.failed;
                all.micros.extend(seen.micros);
            }
            Err(error) => {
                eprintln!("mix: {error}");
                all.failed += 1;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    all.micros.sort_unstable();
    let part = |part: usize| all.micros.get(all.micros.len() * part / 100).copied().unwrap_or_default();
    println!("{} {} {seconds:.4} {} {}", all.done, all.failed, part(50), part(99));
}

/// A request on its way.
#[derive(Debug)]
struct Open {
    stream: u32,
    what: What,
    since: Instant,
    is_good: bool,
    content: usize,
}

struct Client {
    io: TcpStream,
    turns: &'static [What],
    encoder: Encoder,
    decoder: Decoder,
    call: List,
    rest: List,
    next_id: u32,
    open: VecDeque<Open>,
    out: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, turns: &'static [What]) -> io::Result<Self> {
        let io = TcpStream::connect(address)?;
        io.set_nodelay(true)?;
        io.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut out = PREFACE.to_vec();
        encode_settings(&mut out, &[]);
        encode_frame(&mut out, Kind::WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        let rest = List::new(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "127.0.0.1:8080"),
            (":path", "/hello"),
            ("user-agent", "mix/0"),
            ("accept", "*/*"),
        ]);
        Ok(Self {
            io,
            turns,
            encoder: Encoder::new(),
            decoder: Decoder::new(DEFAULT_TABLE_SIZE),
            call: List::of_flight("grpc-go-1.33"),
            rest,
            next_id: 1,
            open: VecDeque::new(),
            out,
        })
    }

    /// Asks until the time is over, and waits for what is open then.
    fn ask(mut self, streams: u32, started: Instant, time: Duration) -> io::Result<Seen> {
        let mut seen = Seen::default();
        (0..streams).for_each(|_| self.request());
        let mut input = Vec::with_capacity(1 << 17);
        let mut buffer = vec![0; 1 << 16];
        loop {
            if !self.out.is_empty() {
                self.io.write_all(&self.out)?;
                self.out.clear();
            }
            if self.open.is_empty() {
                return Ok(seen);
            }
            let count = self.io.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            input.extend_from_slice(&buffer[..count]);
            let mut at = 0;
            let may_ask = started.elapsed() < time;
            while let Some(head) = Head::peek(&input[at..]) {
                let Some(payload) = input.get(at + HEAD_LEN..at + head.frame_len()) else { break };
                let ended = self.take(&head, payload, &mut seen)?;
                if ended && may_ask {
                    self.request();
                }
                at += head.frame_len();
            }
            input.drain(..at);
        }
    }

    fn request(&mut self) {
        let stream = self.next_id;
        let what = self.turns[(stream as usize / 2) % self.turns.len()];
        self.next_id += 2;
        let list = if what == What::Call { &self.call } else { &self.rest };
        let block = list.block(&mut self.encoder);
        let ends = if what == What::Call { 0 } else { flag::END_STREAM };
        encode_frame(&mut self.out, Kind::HEADERS, flag::END_HEADERS | ends, stream, &block);
        if what == What::Call {
            encode_frame(&mut self.out, Kind::DATA, flag::END_STREAM, stream, CALL);
        }
        self.open.push_back(Open { stream, what, since: Instant::now(), is_good: false, content: 0 });
    }

    /// Whether a request has ended by this frame.
    fn take(&mut self, head: &Head, payload: &[u8], seen: &mut Seen) -> io::Result<bool> {
        let fault = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        match head.kind {
            Kind::SETTINGS if !head.has(flag::ACK) => {
                encode_settings_ack(&mut self.out);
                return Ok(false);
            }
            Kind::PING if !head.has(flag::ACK) => {
                encode_frame(&mut self.out, Kind::PING, flag::ACK, 0, payload);
                return Ok(false);
            }
            Kind::GOAWAY => return Err(fault("GOAWAY")),
            Kind::DATA | Kind::HEADERS | Kind::RST_STREAM => {}
            _ => return Ok(false),
        }
        let place = self.open.iter().position(|open| open.stream == head.stream);
        let Some(place) = place else { return Err(fault("a frame of no request")) };
        let open = &mut self.open[place];
        let is_end = head.kind == Kind::RST_STREAM || head.has(flag::END_STREAM);
        match head.kind {
            Kind::HEADERS => {
                if !head.has(flag::END_HEADERS) || head.has(flag::PADDED) || head.has(flag::PRIORITY) {
                    return Err(fault("an unusual HEADERS frame"));
                }
                let wanted: (&[u8], &[u8]) = match open.what {
                    What::Call => (b"grpc-status", b"0"),
                    What::Rest => (b":status", b"200"),
                };
                let decoded = self.decoder.decode(payload, &LIMITS, |field| {
                    open.is_good |= (field.name, field.value) == wanted;
                    ControlFlow::Continue(())
                });
                decoded.map_err(|error| fault(&error.to_string()))?;
            }
            Kind::DATA => open.content += payload.len(),
            _ => open.is_good = false,
        }
        if !is_end {
            return Ok(false);
        }
        let length = if open.what == What::Call { ANSWER.len() } else { b"hello\n".len() };
        if open.is_good && open.content == length {
            seen.done += 1;
            seen.micros.push(open.since.elapsed().as_micros() as u32);
        } else {
            seen.failed += 1;
        }
        self.open.remove(place);
        Ok(true)
    }
}
