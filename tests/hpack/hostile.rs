//! Blocks of peers that are wrong or mean harm: the kind of the error, and the bounds.

use std::ops::ControlFlow;

use oneport_core::wire::hpack::{DecodeError, Decoder, Limits, DEFAULT_TABLE_SIZE};
use proptest::prelude::*;

use super::model::{plan, put_integer, Writer};
use super::{decode, decode_with, Line, WIDE};

const LIMITS: Limits = Limits { max_list_size: 65_536, max_string_len: 16_384 };
/// A frame of the default size, full.
const FRAME: usize = 16_384;

#[track_caller]
fn refused(block: &[u8], error: DecodeError) {
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    assert_eq!(decode_with(&mut decoder, block, &LIMITS).1, Err(error), "{block:x?}");
    assert_eq!(decode(&mut decoder, &[0x82]), Err(DecodeError::Poisoned));
    assert_eq!(decode(&mut decoder, &[]), Err(DecodeError::Poisoned));
}

#[test]
fn indices_that_are_in_no_table() {
    refused(&[0x80], DecodeError::InvalidIndex(0));
    refused(&[0xbe], DecodeError::InvalidIndex(62));
    refused(&[0xff, 0x80, 0x01], DecodeError::InvalidIndex(255));
    refused(&[0xff, 0x80, 0xff, 0xff, 0xff, 0x0f], DecodeError::InvalidIndex(0xffff_ffff));
    // As the name of a literal: incremental, without indexing, never indexed.
    refused(&[0x7f, 0x40, 0x00], DecodeError::InvalidIndex(127));
    refused(&[0x0f, 0x40, 0x00], DecodeError::InvalidIndex(79));
    refused(&[0x1f, 0x40, 0x00], DecodeError::InvalidIndex(79));
    // One entry: 62 is in the table, 63 is not.
    refused(b"\x40\x01a\x01b\xbe\xbf", DecodeError::InvalidIndex(63));
}

#[test]
fn integers_that_do_not_end_or_are_too_large() {
    for first in [0xff, 0x7f, 0x3f, 0x1f, 0x0f] {
        refused(&[first], DecodeError::Truncated);
        refused(&[first, 0x80, 0x80], DecodeError::Truncated);
        refused(&[first, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], DecodeError::IntegerOverflow);
        refused(&[first, 0xff, 0xff, 0xff, 0xff, 0x10], DecodeError::IntegerOverflow);
    }
    // Lengths, plain and Huffman-coded.
    for first in [0x7f, 0xff] {
        refused(&[0x00, first], DecodeError::Truncated);
        refused(&[0x00, first, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], DecodeError::IntegerOverflow);
        refused(&[0x00, first, 0xff, 0xff, 0xff, 0xff, 0x0e, b'a'], DecodeError::Truncated);
    }
}

#[test]
fn size_updates() {
    refused(&[0x82, 0x20], DecodeError::SizeUpdateNotAtStart);
    refused(&[0x20, 0x82, 0x20, 0x84], DecodeError::SizeUpdateNotAtStart);
    refused(&[0x20, 0x20, 0x20], DecodeError::TooManySizeUpdates);
    // 4,097 and the largest.
    refused(&[0x3f, 0xe2, 0x1f], DecodeError::SizeUpdateTooLarge { size: 4097, allowed: 4096 });
    refused(&[0x20, 0x3f, 0xe2, 0x1f], DecodeError::SizeUpdateTooLarge { size: 4097, allowed: 4096 });
    for legal in [&[][..], &[0x20], &[0x20, 0x3f, 0xe1, 0x1f], &[0x3f, 0xe1, 0x1f, 0x20]] {
        let block = [legal, &[0x82]].concat();
        assert_eq!(decode(&mut Decoder::new(4096), &block), Ok(vec![Line::new(":method", "GET")]));
        assert_eq!(decode(&mut Decoder::new(4096), legal), Ok(vec![]));
    }
}

/// RFC 7541 §4.2, seen from the side that reduced the size.
#[test]
fn a_reduced_size_must_be_answered() {
    let reduced = |sizes: &[usize]| {
        let mut decoder = Decoder::new(4096);
        decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
        for &size in sizes {
            decoder.set_max_table_size(size);
        }
        decoder
    };
    let update = |size| {
        let mut block = Vec::new();
        put_integer(&mut block, 0x20, 5, size);
        block
    };
    assert_eq!(decode(&mut reduced(&[100]), &[0xbe]), Err(DecodeError::MissingSizeUpdate));
    assert_eq!(decode(&mut reduced(&[100]), &[]), Err(DecodeError::MissingSizeUpdate));
    let too_large = DecodeError::SizeUpdateTooLarge { size: 101, allowed: 100 };
    assert_eq!(decode(&mut reduced(&[100]), &update(101)), Err(too_large));
    let mut decoder = reduced(&[100]);
    assert_eq!(decode(&mut decoder, &[update(100), vec![0xbe]].concat()), Ok(vec![Line::new("a", "b")]));
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(vec![Line::new("a", "b")]), "owed once");

    // Down and up again: the smallest size in between first, then at most the last.
    assert_eq!(decode(&mut reduced(&[100, 4096]), &[0xbe]), Err(DecodeError::MissingSizeUpdate));
    assert_eq!(decode(&mut reduced(&[200, 100, 150, 4096]), &update(101)), Err(too_large));
    assert!(decode(&mut reduced(&[100, 4096]), &[update(100), update(4096)].concat()).is_ok());
    let above = DecodeError::SizeUpdateTooLarge { size: 4097, allowed: 4096 };
    assert_eq!(decode(&mut reduced(&[100, 4096]), &[update(100), update(4097)].concat()), Err(above));

    // Nothing is owed for a size that is not below what the table has.
    assert!(decode(&mut reduced(&[8192]), &[0xbe]).is_ok());
    assert!(decode(&mut reduced(&[8192, 4096]), &[0xbe]).is_ok());
    assert!(decode(&mut reduced(&[8192]), &[update(8192), vec![0xbe]].concat()).is_ok());
    let mut small = Decoder::new(4096);
    decode(&mut small, &update(50)).unwrap();
    small.set_max_table_size(60);
    assert!(decode(&mut small, &[0x82]).is_ok());
    // What is evicted by an update is gone.
    assert_eq!(
        decode(&mut reduced(&[33]), &[update(33), vec![0xbe]].concat()),
        Err(DecodeError::InvalidIndex(62))
    );
}

/// What we advertise above the default is the peer's to take: until it says so, its table has the default size.
#[test]
fn a_larger_table_begins_with_an_update() {
    let entry = [&b"\x40\x01a\x7f\xe9\x06"[..], &[b'x'; 1000]].concat();
    let mut decoder = Decoder::new(8192);
    assert!(decode(&mut decoder, &entry.repeat(8)).is_ok());
    assert_eq!(decoder.table_size(), 3 * 1033);
    assert!(decode(&mut decoder, &[&[0x3f, 0xe1, 0x3f][..], &entry.repeat(8)].concat()).is_ok());
    assert_eq!(decoder.table_size(), 7 * 1033);
}

#[test]
fn huffman_strings() {
    // `a` is 00011; then padding of ones, of something else, of eight bits; then EOS.
    let value = |coded: &[u8]| [&[0x04, 0x80 | coded.len() as u8], coded].concat();
    assert_eq!(decode(&mut Decoder::new(4096), &value(&[0x1f])), Ok(vec![Line::new(":path", "a")]));
    refused(&value(&[0x1e]), DecodeError::HuffmanPadding);
    refused(&value(&[0x1f, 0xff]), DecodeError::HuffmanPadding);
    refused(&value(&[0xff]), DecodeError::HuffmanPadding);
    refused(&value(&[0xff, 0xff, 0xff, 0xff]), DecodeError::HuffmanEos);
    refused(&value(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff]), DecodeError::HuffmanEos);
}

#[test]
fn strings_beyond_the_limit() {
    for huffman in [false, true] {
        for (name, value, expected) in [
            (8, 8, Ok(())),
            (9, 0, Err(DecodeError::StringTooLong)),
            (0, 9, Err(DecodeError::StringTooLong)),
            (0, 4000, Err(DecodeError::StringTooLong)),
        ] {
            for pattern in [0x40, 0x00, 0x10] {
                let mut block = vec![pattern];
                super::model::put_string(&mut block, &vec![b'a'; name], huffman);
                super::model::put_string(&mut block, &vec![b'b'; value], huffman);
                let limits = Limits { max_list_size: usize::MAX, max_string_len: 8 };
                assert_eq!(decode_with(&mut Decoder::new(4096), &block, &limits).1, expected);
            }
        }
    }
}

#[test]
fn lists_beyond_the_limit() {
    for huffman in [false, true] {
        for pattern in [0x40, 0x00, 0x10] {
            let mut block = vec![0x82, pattern];
            super::model::put_string(&mut block, b"name", huffman);
            super::model::put_string(&mut block, b"value", huffman);
            block.push(0x84);
            // :method GET 42, name value 41, :path / 38.
            for (max_list_size, lines, is_ok) in [
                (41, 0, false),
                (42, 1, false),
                (82, 1, false),
                (83, 2, false),
                (120, 2, false),
                (121, 3, true),
            ] {
                let limits = Limits { max_list_size, max_string_len: 1000 };
                let (read, result) = decode_with(&mut Decoder::new(4096), &block, &limits);
                assert_eq!(read.len(), lines);
                assert_eq!(result, if is_ok { Ok(()) } else { Err(DecodeError::ListTooLarge) });
            }
        }
    }
}

/// A string that is too long for both bounds is too long a string.
#[test]
fn strings_beyond_both_limits() {
    for huffman in [false, true] {
        let mut block = vec![0x00];
        super::model::put_string(&mut block, b"", huffman);
        super::model::put_string(&mut block, b"nine more", huffman);
        let limits = Limits { max_list_size: 32 + 8, max_string_len: 8 };
        let result = decode_with(&mut Decoder::new(4096), &block, &limits).1;
        assert_eq!(result, Err(DecodeError::StringTooLong));
    }
}

/// A field with one string that takes all the room there is.
#[test]
fn lists_that_one_string_fills() {
    for huffman in [false, true] {
        for pattern in [0x40, 0x00, 0x10] {
            for (name, value) in [(&b"name"[..], &b""[..]), (b"", b"value")] {
                let mut block = vec![pattern];
                super::model::put_string(&mut block, name, huffman);
                super::model::put_string(&mut block, value, huffman);
                let size = 32 + name.len() + value.len();
                for (max_list_size, expected) in [(size, Ok(())), (size - 1, Err(DecodeError::ListTooLarge))]
                {
                    let limits = Limits { max_list_size, max_string_len: 1000 };
                    assert_eq!(decode_with(&mut Decoder::new(4096), &block, &limits).1, expected);
                }
            }
        }
    }
}

#[test]
fn a_callback_that_stops() {
    let mut decoder = Decoder::new(4096);
    let mut seen = 0;
    let result = decoder.decode(&[0x82, 0x84, 0x80], &WIDE, |_| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((seen, result), (2, Err(DecodeError::Stopped)));
    assert_eq!(decode(&mut decoder, &[0x82]), Err(DecodeError::Poisoned));
}

#[test]
fn a_callback_that_panics_poisons() {
    let mut decoder = Decoder::new(4096);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = decoder.decode(b"\x40\x01a\x01b", &WIDE, |_| panic!("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(decode(&mut decoder, &[0x82]), Err(DecodeError::Poisoned));
}

/// The most fields that one frame yields, and how it ends.
fn attack(prefix: &[u8], pattern: &[u8], limits: &Limits) -> (usize, usize, Result<(), DecodeError>) {
    let mut block = prefix.to_vec();
    while block.len() + pattern.len() <= FRAME {
        block.extend_from_slice(pattern);
    }
    let (mut fields, mut size) = (0, 0);
    let result = Decoder::new(4096).decode(&block, limits, |field| {
        fields += 1;
        size += field.list_size();
        ControlFlow::Continue(())
    });
    (fields, size, result)
}

#[test]
fn one_byte_for_a_whole_table_is_bounded_by_the_list() {
    let mut prefix = vec![0x40];
    super::model::put_string(&mut prefix, b"a", false);
    super::model::put_string(&mut prefix, &[b'x'; 4096 - 32 - 1], false);
    let (fields, size, result) = attack(&prefix, &[0xbe], &LIMITS);
    assert_eq!((fields, size, result), (16, 65_536, Err(DecodeError::ListTooLarge)));
    // Without the limit it would be 12,000 times 4,096 bytes.
    let (_, size, result) = attack(&prefix, &[0xbe], &Limits { max_list_size: usize::MAX, ..LIMITS });
    assert_eq!(result, Ok(()));
    assert!(size > 40 << 20, "{size}");
}

#[test]
fn the_cheapest_fields_are_bounded_by_the_list() {
    for pattern in [
        &[0x01, 0x81, 0x07][..],
        &[0x01, 0x80],
        &[0x00, 0x80, 0x80],
        &[0x40, 0x80, 0x80],
        &[0x40, 0, 0],
        &[0x82],
    ] {
        let (fields, size, result) = attack(&[], pattern, &LIMITS);
        assert_eq!(result, Err(DecodeError::ListTooLarge), "{pattern:x?}");
        assert!(fields <= LIMITS.max_list_size / 32);
        assert!(size <= LIMITS.max_list_size);
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(prop::sample::Index, u8),
    Overwrite(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

impl Edit {
    fn apply(&self, block: &mut Vec<u8>) {
        match self {
            Self::Insert(at, byte) => block.insert(at.index(block.len() + 1), *byte),
            Self::Overwrite(at, byte) if !block.is_empty() => {
                let at = at.index(block.len());
                block[at] = *byte;
            }
            Self::Remove(at) if !block.is_empty() => drop(block.remove(at.index(block.len()))),
            Self::Overwrite(..) | Self::Remove(..) => {}
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    // Bytes at which something begins: all ones of each prefix, updates, and any.
    let byte = || {
        prop_oneof![
            2 => prop::sample::select(vec![0x00u8, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xbe, 0xff, 0x1f, 0x0f]),
            1 => any::<u8>(),
        ]
    };
    prop_oneof![
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Edit::Overwrite(at, byte)),
        any::<prop::sample::Index>().prop_map(Edit::Remove),
    ]
}

/// Decodes blocks in a row and holds the decoder to its bounds; a decoder that failed must stay so.
fn stays_in_bounds(blocks: &[Vec<u8>], limits: &Limits, max_table_size: usize) -> Result<(), TestCaseError> {
    let mut decoder = Decoder::new(max_table_size);
    let mut has_failed = false;
    for block in blocks {
        let (lines, result) = decode_with(&mut decoder, block, limits);
        prop_assert!(lines.iter().map(Line::size).sum::<usize>() <= limits.max_list_size);
        prop_assert!(decoder.table_size() <= max_table_size);
        prop_assert!(lines.len() <= block.len());
        if has_failed {
            prop_assert_eq!(result, Err(DecodeError::Poisoned));
            prop_assert!(lines.is_empty());
        }
        has_failed |= result.is_err();
    }
    Ok(())
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        prop_oneof![0usize..300, Just(65_536), Just(usize::MAX)],
        prop_oneof![0usize..100, Just(16_384), Just(usize::MAX)],
    )
        .prop_map(|(max_list_size, max_string_len)| Limits { max_list_size, max_string_len })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..5),
        limits in limits(),
        max_table_size in 0usize..5000,
    ) {
        stays_in_bounds(&blocks, &limits, max_table_size)?;
    }

    #[test]
    fn nearly_well_formed(
        plans in prop::collection::vec((plan(), prop::collection::vec(edit(), 0..3)), 1..6),
        limits in limits(),
        max_table_size in prop_oneof![Just(4096usize), 0usize..5000],
    ) {
        let mut writer = Writer::new(max_table_size.min(4096));
        let blocks: Vec<Vec<u8>> = plans
            .iter()
            .map(|(plan, edits)| {
                let mut block = writer.write(plan).block;
                edits.iter().for_each(|edit| edit.apply(&mut block));
                block
            })
            .collect();
        stays_in_bounds(&blocks, &limits, max_table_size)?;
    }

    /// A limit changes nothing but where decoding ends: the fields before are the same.
    #[test]
    fn limits_only_cut(plans in plan(), limits in limits()) {
        let written = Writer::new(4096).write(&plans);
        let (lines, result) = decode_with(&mut Decoder::new(4096), &written.block, &limits);
        prop_assert_eq!(&lines[..], &written.lines[..lines.len()]);
        let mut left = limits.max_list_size;
        for (position, line) in written.lines.iter().enumerate() {
            let is_room = left.checked_sub(line.size()).map(|rest| left = rest).is_some();
            if position == lines.len() {
                let is_long = line.name.len().max(line.value.len()) > limits.max_string_len;
                let is_explained = match result {
                    Err(DecodeError::ListTooLarge) => !is_room,
                    Err(DecodeError::StringTooLong) => is_long,
                    _ => false,
                };
                prop_assert!(is_explained, "{:?}", result);
                return Ok(());
            }
            prop_assert!(is_room);
        }
        prop_assert_eq!(result, Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Cut at any byte: whole fields are given out, and a cut inside one is an error.
    #[test]
    fn every_cut(plan in plan()) {
        let written = Writer::new(4096).write(&plan);
        let updates = plan.updates.len();
        for cut in 0..written.block.len() {
            let whole = written.ends.partition_point(|end| *end <= cut) - 1;
            let expected = if written.ends.contains(&cut) { Ok(()) } else { Err(DecodeError::Truncated) };
            let (lines, result) = decode_with(&mut Decoder::new(4096), &written.block[..cut], &WIDE);
            prop_assert_eq!(result, expected, "cut at {}", cut);
            prop_assert_eq!(&lines[..], &written.lines[..whole.saturating_sub(updates)]);
        }
    }
}
