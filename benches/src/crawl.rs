//! Openings of any size that come byte by byte: what a byte costs must not depend on how many came before.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::testing::Hello;
use oneport_core::wire::frame::{encode_frame, flag, Kind, PREFACE};
use oneport_core::wire::hpack::encode_field;
use oneport_core::{matchers, Config, MuxMachine, Output, Routes};

/// The sizes in bytes.
pub const SIZES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];

/// Makes an opening of exactly that many bytes.
type Maker = fn(usize) -> Vec<u8>;

/// What grows, by name.
pub const KINDS: [(&str, Maker); 4] = [
    ("http1-fields", http1_fields),
    ("http1-line", http1_line),
    ("http2-block", http2_block),
    ("tls-hello", tls_hello),
];

/// Many field lines of 64 bytes.
fn http1_fields(size: usize) -> Vec<u8> {
    const LINE: usize = 64;
    let mut head = b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec();
    while head.len() + 2 * LINE < size {
        head.extend_from_slice(format!("X-Field-{:05}: {:0>47}\r\n", head.len() / LINE, 7).as_bytes());
    }
    let rest = size - head.len() - b"X: \r\n\r\n".len();
    head.extend_from_slice(format!("X: {}\r\n\r\n", "x".repeat(rest)).as_bytes());
    head
}

/// One long request line.
fn http1_line(size: usize) -> Vec<u8> {
    const AROUND: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    AROUND.replacen("/ ", &format!("/{} ", "x".repeat(size - AROUND.len())), 1).into_bytes()
}

/// A header block in HEADERS and CONTINUATIONs as large as frames may be, of literals that are not Huffman-coded.
fn http2_block(size: usize) -> Vec<u8> {
    const FRAME: usize = 16_384;
    const HEAD: usize = 9;
    let mut opening = PREFACE.to_vec();
    encode_frame(&mut opening, Kind::SETTINGS, 0, 0, &[]);
    let room = size - opening.len();
    let length = room - room.div_ceil(FRAME + HEAD) * HEAD;
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")]
    {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    // Type, length of the name, name, and three octets for the length of a value of 255 to 16,510.
    const AROUND: usize = 6;
    const VALUE: usize = 1_024;
    while block.len() < length {
        let left = length - block.len() - AROUND;
        let value = if left > 2 * VALUE { VALUE } else { left };
        encode_field(&mut block, b"x", &vec![b'x'; value]);
    }
    let mut kind = Kind::HEADERS;
    let mut fragments = block.chunks(FRAME).peekable();
    while let Some(fragment) = fragments.next() {
        let is_last = fragments.peek().is_none();
        let ends = if is_last { flag::END_HEADERS } else { 0 };
        encode_frame(&mut opening, kind, ends, 1, fragment);
        kind = Kind::CONTINUATION;
    }
    opening
}

/// A ClientHello, in records as large as they may be.
fn tls_hello(size: usize) -> Vec<u8> {
    let mut hello = Hello { filler: 1, ..Hello::to("a.example") };
    // Heads of records come with the filler, so its length is found step by step.
    while let Some(missing) = size.checked_sub(hello.encode().len()).filter(|&missing| missing > 0) {
        hello.filler += missing.saturating_sub(20).max(1);
    }
    hello.encode()
}

/// A table whose only route needs the whole opening, and the bounds for it.
#[derive(Clone, Debug)]
pub struct Crawl {
    routes: Arc<Routes<usize>>,
    config: Arc<Config>,
    now: Instant,
    opening: Vec<u8>,
}

impl Crawl {
    /// # Panics
    /// If the opening can not be made that long.
    pub fn new(make: Maker, size: usize) -> Self {
        let opening = make(size);
        assert_eq!(opening.len(), size, "an opening of the size that was asked for");
        let routes = Routes::new()
            .route(matchers::header("x-tenant", matchers::present()), 0)
            .route(matchers::sni("no.example"), 0)
            .otherwise(1);
        // Each field counts 32 bytes more than its text, and the text is to fill all that the other bounds allow.
        let mut config = Config::default();
        config.max_header_list = 128 << 10;
        Self { routes: Arc::new(routes), config: Arc::new(config), now: Instant::now(), opening }
    }

    /// Feeds it byte by byte up to the handover; gives the length of the replay.
    ///
    /// # Panics
    /// If it is decided before the last byte, or not at all.
    pub fn play(&self) -> usize {
        let mut machine = MuxMachine::new(self.routes.clone(), self.config.clone(), self.now);
        let mut bytes = self.opening.chunks(1);
        loop {
            match machine.poll_output() {
                Output::NeedInput { .. } => {
                    machine.handle_input(bytes.next().expect("decided by the last byte"), self.now);
                }
                Output::Routed(handover) => {
                    assert_eq!(bytes.len(), 0, "decided by the last byte");
                    return handover.into_parts().replay.len();
                }
                Output::Split(_) => unreachable!("connections are not split here"),
                Output::Write(reply) => panic!("nothing to say, but {reply:?}"),
                Output::Closed(outcome) => panic!("ends in {outcome:?}"),
            }
        }
    }
}
