//! HPACK: against the RFC's examples, an independent implementation, other encoders' recorded blocks, and peers
//! that mean harm.

mod fluke;
mod hostile;
mod model;
mod rfc7541;
mod round_trip;
mod stories;

use std::ops::ControlFlow;

use oneport_core::wire::hpack::{DecodeError, Decoder, Encoder, Field, Limits};
use proptest::prelude::*;

/// Limits that nothing in a well-formed test reaches.
const WIDE: Limits = Limits { max_list_size: 1 << 24, max_string_len: 1 << 24 };

/// A field that owns its text.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    name: Vec<u8>,
    value: Vec<u8>,
    never_indexed: bool,
}

impl Line {
    fn new(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { name: name.as_ref().to_vec(), value: value.as_ref().to_vec(), never_indexed: false }
    }

    fn field(&self) -> Field<'_> {
        Field { name: &self.name, value: &self.value, never_indexed: self.never_indexed }
    }

    /// As RFC 7541 §4.1 counts.
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + 32
    }
}

impl From<Field<'_>> for Line {
    fn from(field: Field<'_>) -> Self {
        Self { name: field.name.to_vec(), value: field.value.to_vec(), never_indexed: field.never_indexed }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.never_indexed { " (never indexed)" } else { "" };
        write!(f, "{}: {}{mark}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

/// What a block yields, also before an error.
fn decode_with(decoder: &mut Decoder, block: &[u8], limits: &Limits) -> (Vec<Line>, Result<(), DecodeError>) {
    let mut lines = Vec::new();
    let result = decoder.decode(block, limits, |field| {
        lines.push(Line::from(field));
        ControlFlow::Continue(())
    });
    (lines, result)
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Line>, DecodeError> {
    let (lines, result) = decode_with(decoder, block, &WIDE);
    result.map(|()| lines)
}

fn encode(encoder: &mut Encoder, lines: &[Line]) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.encode(lines.iter().map(Line::field), &mut block);
    block
}

/// The entries of a decoder's dynamic table, newest first.
fn entries(decoder: &Decoder) -> Vec<Line> {
    (0..)
        .map_while(|position: usize| {
            let index = 62 + position;
            let mut block = vec![0x80 | index.min(127) as u8];
            if index >= 127 {
                model::put_continuation(&mut block, index - 127);
            }
            decode(&mut decoder.clone(), &block).ok()?.pop()
        })
        .collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Names and values as they come: of the static table, of gRPC, short and long, and any bytes.
fn line() -> impl Strategy<Value = Line> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            ":method", ":path", ":scheme", ":status", ":authority", "content-type", "cookie", "te", "user-agent",
            "accept-encoding", "grpc-timeout", "x-request-id", "a", "b", "",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        2 => "[a-z-]{1,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec![
            "GET", "POST", "/", "http", "https", "200", "", "gzip, deflate", "application/grpc", "trailers", "1S",
        ]).prop_map(|value| value.as_bytes().to_vec()),
        2 => "[ -~]{0,60}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), 0usize..5000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    (name, value, prop::bool::weighted(0.15)).prop_map(|(name, value, never_indexed)| Line {
        name,
        value,
        never_indexed,
    })
}
