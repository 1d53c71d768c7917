//! A client with one long connection.
//!
//! ```text
//! long http1|h2c ADDR      for each line `WHAT COUNT` of input: so many of them, one at a time; then `done`
//! ```
//!
//! `WHAT` is of `unary` (a call, or a small request), `down` and `up` (1 MiB), and on HTTP/2 `wide` (calls, 25 at a time) and `stream`
//! (one call with so many answers). On HTTP/2 it waits for the server's SETTINGS before its first request, as gRPC clients do: whoever
//! decides by requests has to speak first.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use oneport_benches::http2::{fault, Connection};
use oneport_benches::lists::List;
use oneport_benches::service::{ANSWER, DOWN, HELLO, MESSAGE, MIB, STREAM, UNARY, UP, ZEROS};
use oneport_core::wire::frame::{flag, Kind};
use oneport_core::wire::hpack::Encoder;

/// As many calls are open at once with `wide`.
const WIDE: u32 = 25;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [version, address] = &words[..] else { panic!("usage: long http1|h2c ADDR") };
    let address: SocketAddr = address.parse().expect("an address");
    if version == "h2c" {
        let mut client = Calls::open(address)?;
        obey(|what, count| client.ask(what, count))
    } else {
        let mut client = Plain::open(address)?;
        obey(|what, count| client.ask(what, count))
    }
}

/// Line by line.
fn obey(mut ask: impl FnMut(&str, u32) -> io::Result<()>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (what, count) = line.split_once(' ').expect("WHAT COUNT");
        ask(what, count.parse().expect("a number"))?;
        println!("done");
    }
    Ok(())
}

// ---- HTTP/2 --------------------------------------------------------------------------------------------------------------------

struct Calls {
    connection: Connection,
    encoder: Encoder,
    lists: Lists,
    next_id: u32,
}

struct Lists {
    unary: List,
    stream: List,
    down: List,
    up: List,
}

impl Calls {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Connection::open(address)?;
        connection.wait_for_settings()?;
        let list = |method, path| {
            List::new(&[
                (":method", method),
                (":scheme", "http"),
                (":path", path),
                (":authority", "127.0.0.1:8080"),
                ("content-type", "application/grpc"),
                ("user-agent", "long/0"),
                ("te", "trailers"),
            ])
        };
        let lists = Lists {
            unary: list("POST", UNARY),
            stream: list("POST", STREAM),
            down: list("GET", DOWN),
            up: list("POST", UP),
        };
        let mut client = Self { connection, encoder: Encoder::new(), lists, next_id: 1 };
        // Behind whoever spoke first, the server's own SETTINGS come with its first answer.
        client.calls(1, 1)?;
        Ok(client)
    }

    fn ask(&mut self, what: &str, count: u32) -> io::Result<()> {
        match what {
            "unary" => self.calls(count, 1),
            "wide" => self.calls(count, WIDE.min(count)),
            "stream" => {
                let [a, b, c, d] = count.to_be_bytes();
                let stream = self.head(|lists| &lists.stream, 0);
                self.connection.push(Kind::DATA, flag::END_STREAM, stream, &[0, 0, 0, 0, 4, a, b, c, d]);
                expect(self.answer()?, MESSAGE.len() * count as usize)
            }
            "down" => (0..count).try_for_each(|_| {
                self.head(|lists| &lists.down, flag::END_STREAM);
                expect(self.answer()?, MIB)
            }),
            "up" => (0..count).try_for_each(|_| {
                let stream = self.head(|lists| &lists.up, 0);
                self.connection.send_body(stream, &ZEROS)?;
                expect(self.answer()?, HELLO.len())
            }),
            _ => panic!("what is {what}?"),
        }
    }

    /// Unary calls, so many of them open at any time.
    fn calls(&mut self, count: u32, at_once: u32) -> io::Result<()> {
        (0..at_once).for_each(|_| self.call());
        let mut length = 0;
        for done in 1..=count {
            length += self.answer()?;
            if done + at_once <= count {
                self.call();
            }
        }
        expect(length, ANSWER.len() * count as usize)
    }

    fn call(&mut self) {
        let stream = self.head(|lists| &lists.unary, 0);
        self.connection.push(Kind::DATA, flag::END_STREAM, stream, &[0; 5]);
    }

    /// Begins a stream.
    fn head(&mut self, list: fn(&Lists) -> &List, ends: u8) -> u32 {
        let stream = self.next_id;
        self.next_id += 2;
        let block = list(&self.lists).block(&mut self.encoder);
        self.connection.push(Kind::HEADERS, flag::END_HEADERS | ends, stream, &block);
        stream
    }

    /// Reads until a stream has ended: how much content came by then, on all of them.
    fn answer(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let head = self.connection.frame()?;
            match head.kind {
                Kind::RST_STREAM => return Err(fault("RST_STREAM")),
                Kind::DATA => length += self.connection.payload().len(),
                _ => {}
            }
            if head.has(flag::END_STREAM) {
                return Ok(length);
            }
        }
    }
}

fn expect(came: usize, wanted: usize) -> io::Result<()> {
    if came == wanted {
        return Ok(());
    }
    Err(fault(&format!("{came} bytes and not {wanted}")))
}

// ---- HTTP/1 --------------------------------------------------------------------------------------------------------------------

struct Plain {
    io: TcpStream,
    buffer: Box<[u8]>,
}

impl Plain {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let io = TcpStream::connect(address)?;
        io.set_nodelay(true)?;
        Ok(Self { io, buffer: vec![0; 64 << 10].into() })
    }

    fn ask(&mut self, what: &str, count: u32) -> io::Result<()> {
        const REST: &str = "HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: long/0\r\n";
        let (head, body, wanted): (_, &[u8], _) = match what {
            "unary" => (format!("GET /hello {REST}\r\n"), &[], HELLO.len()),
            "down" => (format!("GET {DOWN} {REST}\r\n"), &[], MIB),
            "up" => (format!("POST {UP} {REST}Content-Length: {MIB}\r\n\r\n"), &ZEROS, HELLO.len()),
            _ => panic!("what is {what}?"),
        };
        for _ in 0..count {
            self.io.write_all(head.as_bytes())?;
            self.io.write_all(body)?;
            expect(self.answer(wanted)?, wanted)?;
        }
        Ok(())
    }

    /// Reads a head, and at least so much content: how much came.
    fn answer(&mut self, wanted: usize) -> io::Result<usize> {
        let mut length = 0;
        let head = loop {
            let count = self.io.read(&mut self.buffer[length..])?;
            length += count;
            if let Some(end) = self.buffer[..length].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        if !self.buffer.starts_with(b"HTTP/1.1 200 ") {
            return Err(fault("a status that is not 200"));
        }
        let mut content = length - head;
        while content < wanted {
            match self.io.read(&mut self.buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => content += count,
            }
        }
        Ok(content)
    }
}
