//! A client that asks for gRPC calls and REST requests: on the same connections, in turn, or on connections of their own.
//!
//! ```text
//! mix ADDR[,ADDR] MILLISECONDS CONNECTIONS STREAMS grpc|rest|both|apart
//! ```
//!
//! It prints `DONE FAILED SECONDS P50 P99`, the last two in microseconds. With `apart` half of the connections are for calls only, to the
//! first address, and half for REST only, to the last.
//!
//! It keeps that many requests open on each connection and costs little, so that the server is what limits: a thread for each
//! connection, frames made once. But each response is decoded and has to be what was asked for.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use std::{env, thread};

use oneport_benches::http2::{fault, Connection};
use oneport_benches::lists::{List, LIMITS};
use oneport_core::wire::frame::{flag, Head, Kind};
use oneport_core::wire::hpack::{Decoder, Encoder, DEFAULT_TABLE_SIZE};

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
    let [addresses, time, connections, streams, what] = words[..] else {
        panic!("usage: mix ADDR[,ADDR] MILLISECONDS CONNECTIONS STREAMS grpc|rest|both|apart");
    };
    let addresses: Vec<SocketAddr> =
        addresses.split(',').map(|address| address.parse().expect("an address")).collect();
    let number = |word: &str| word.parse::<u32>().expect("a number");
    let (time, streams) = (Duration::from_millis(number(time).into()), number(streams));
    // What a connection is for, and which address it goes to: in turn.
    let (first, last) = (addresses[0], addresses[addresses.len() - 1]);
    let kinds: &[(&'static [What], SocketAddr)] = match what {
        "grpc" => &[(&[What::Call], first)],
        "rest" => &[(&[What::Rest], last)],
        "both" => &[(&[What::Call, What::Rest], first)],
        "apart" => &[(&[What::Call], first), (&[What::Rest], last)],
        _ => panic!("what is {what}?"),
    };
    let started = Instant::now();
    let clients: Vec<_> = (0..number(connections))
        .map(|number| {
            let (turns, address) = kinds[number as usize % kinds.len()];
            thread::spawn(move || Client::connect(address, turns)?.ask(streams, started, time))
        })
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
    connection: Connection,
    turns: &'static [What],
    encoder: Encoder,
    decoder: Decoder,
    call: List,
    rest: List,
    next_id: u32,
    open: VecDeque<Open>,
}

impl Client {
    fn connect(address: SocketAddr, turns: &'static [What]) -> io::Result<Self> {
        let rest = List::new(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "127.0.0.1:8080"),
            (":path", "/hello"),
            ("user-agent", "mix/0"),
            ("accept", "*/*"),
        ]);
        Ok(Self {
            connection: Connection::open(address)?,
            turns,
            encoder: Encoder::new(),
            decoder: Decoder::new(DEFAULT_TABLE_SIZE),
            call: List::of_flight("grpc-go-1.33"),
            rest,
            next_id: 1,
            open: VecDeque::new(),
        })
    }

    /// Asks until the time is over, and waits for what is open then.
    fn ask(mut self, streams: u32, started: Instant, time: Duration) -> io::Result<Seen> {
        let mut seen = Seen::default();
        (0..streams).for_each(|_| self.request());
        while !self.open.is_empty() {
            let head = self.connection.frame()?;
            if self.take(&head, &mut seen)? && started.elapsed() < time {
                self.request();
            }
        }
        Ok(seen)
    }

    fn request(&mut self) {
        let stream = self.next_id;
        let what = self.turns[(stream as usize / 2) % self.turns.len()];
        self.next_id += 2;
        let list = if what == What::Call { &self.call } else { &self.rest };
        let block = list.block(&mut self.encoder);
        let ends = if what == What::Call { 0 } else { flag::END_STREAM };
        self.connection.push(Kind::HEADERS, flag::END_HEADERS | ends, stream, &block);
        if what == What::Call {
            self.connection.push(Kind::DATA, flag::END_STREAM, stream, CALL);
        }
        self.open.push_back(Open { stream, what, since: Instant::now(), is_good: false, content: 0 });
    }

    /// Whether a request has ended by this frame.
    fn take(&mut self, head: &Head, seen: &mut Seen) -> io::Result<bool> {
        let payload = self.connection.payload();
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
