//! HPACK: bounded whatever comes, the same twice, and what was decoded can be said again.

use core::ops::ControlFlow;

use crate::script::{choices, pieces};
use oneport_core::wire::hpack::{
    encode_field, encode_never_indexed, huffman_decode, huffman_encode, huffman_encoded_len, DecodeError,
    Decoder, Encoder, Field, Limits, DEFAULT_TABLE_SIZE,
};

const TABLE_SIZES: [usize; 6] = [DEFAULT_TABLE_SIZE, 0, 64, 300, 16_384, 65_536];

const LIMITS: [Limits; 3] = [
    Limits { max_list_size: 65_536, max_string_len: 16_384 },
    Limits { max_list_size: 300, max_string_len: 100 },
    Limits { max_list_size: 4_096, max_string_len: 65_536 },
];

/// A field that was decoded: name, value, never indexed.
type Line = (Vec<u8>, Vec<u8>, bool);

fn decode(decoder: &mut Decoder, block: &[u8], limits: &Limits) -> (Vec<Line>, Result<(), DecodeError>) {
    let mut lines = Vec::new();
    let mut size = 0;
    let result = decoder.decode(block, limits, |field| {
        size += field.list_size();
        assert!(size <= limits.max_list_size, "more than the list may have");
        lines.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed));
        ControlFlow::Continue(())
    });
    (lines, result)
}

fn fields(lines: &[Line]) -> impl Iterator<Item = Field<'_>> {
    lines.iter().map(|(name, value, never_indexed)| Field { name, value, never_indexed: *never_indexed })
}

/// Blocks of one connection, with a mark where one ends; the byte behind it may change the advertised table size.
pub fn hpack_decoder(data: &[u8]) {
    let ([size, limits], script) = choices(data);
    let mut advertised = TABLE_SIZES[usize::from(size) % TABLE_SIZES.len()];
    let limits = &LIMITS[usize::from(limits) % LIMITS.len()];
    let (mut decoder, mut twin) = (Decoder::new(advertised), Decoder::new(advertised));
    let mut encoder = Encoder::new();
    let mut reader = Decoder::new(DEFAULT_TABLE_SIZE);
    let mut is_lost = false;
    for (block, action) in pieces(script) {
        let (lines, result) = decode(&mut decoder, block, limits);
        assert_eq!(decode(&mut twin, block, limits), (lines.clone(), result), "not the same twice");
        assert_eq!(decoder.table_size(), twin.table_size());
        assert!(
            decoder.table_size() <= advertised.max(DEFAULT_TABLE_SIZE),
            "a table of more than was allowed"
        );
        if is_lost {
            assert_eq!(result, Err(DecodeError::Poisoned), "the state was lost, and a block was read");
        }
        is_lost |= result.is_err();

        // What was read can be said again, with a history and without.
        let everything = &Limits { max_list_size: usize::MAX, max_string_len: usize::MAX };
        let mut again = Vec::new();
        encoder.encode(fields(&lines), &mut again);
        assert_eq!(decode(&mut reader, &again, everything), (lines.clone(), Ok(())));
        let mut plain = Vec::new();
        for field in fields(&lines) {
            let put = if field.never_indexed { encode_never_indexed } else { encode_field };
            put(&mut plain, field.name, field.value);
        }
        assert_eq!(decode(&mut Decoder::new(0), &plain, everything), (lines, Ok(())));

        if let Some(action) = action.filter(|action| action & 0x80 != 0) {
            let next = TABLE_SIZES[usize::from(action) % TABLE_SIZES.len()];
            decoder.set_max_table_size(next);
            twin.set_max_table_size(next);
            // Until the peer says the new size, the table keeps the old one.
            advertised = advertised.max(next);
        }
        huffman(block);
    }
}

/// Any bytes as a Huffman-coded string and as a text: neither loses anything.
fn huffman(bytes: &[u8]) {
    let mut text = vec![0; bytes.len() * 8 / 5 + 1];
    if let Ok(length) = huffman_decode(bytes, &mut text) {
        let mut again = Vec::new();
        huffman_encode(&mut again, &text[..length]);
        assert_eq!(again, bytes, "two codings of one string");
        if let Some(room) = length.checked_sub(1) {
            assert_eq!(huffman_decode(bytes, &mut text[..room]), Err(DecodeError::StringTooLong));
        }
    }
    let mut coded = Vec::new();
    huffman_encode(&mut coded, bytes);
    assert_eq!(coded.len(), huffman_encoded_len(bytes));
    let mut text = vec![0; bytes.len()];
    assert_eq!(huffman_decode(&coded, &mut text), Ok(bytes.len()));
    assert_eq!(text, bytes);
}

/// Fields of one connection, `name=value` with a mark behind each: the byte of the mark ends the block or changes the table size
/// on both sides, as a SETTINGS and its acknowledgement do. What is encoded is decoded.
pub fn hpack_encoder(data: &[u8]) {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(DEFAULT_TABLE_SIZE));
    let everything = &Limits { max_list_size: usize::MAX, max_string_len: usize::MAX };
    let mut lines: Vec<Line> = Vec::new();
    let flush = |encoder: &mut Encoder, decoder: &mut Decoder, lines: &mut Vec<Line>| {
        let mut block = Vec::new();
        encoder.encode(fields(lines), &mut block);
        assert_eq!(decode(decoder, &block, everything), (core::mem::take(lines), Ok(())));
        assert_eq!(encoder.table_size(), decoder.table_size(), "the tables are out of step");
    };
    for (piece, action) in pieces(data) {
        let action = action.unwrap_or_default();
        let split = piece.iter().position(|&byte| byte == b'=').unwrap_or(piece.len());
        let (name, value) = (&piece[..split], piece.get(split + 1..).unwrap_or_default());
        lines.push((name.to_vec(), value.to_vec(), action & 1 != 0));
        if action & 2 != 0 {
            flush(&mut encoder, &mut decoder, &mut lines);
        }
        if action & 4 != 0 {
            let size = TABLE_SIZES[usize::from(action >> 3) % TABLE_SIZES.len()];
            encoder.set_max_table_size(size);
            decoder.set_max_table_size(size);
        }
    }
    flush(&mut encoder, &mut decoder, &mut lines);
}
