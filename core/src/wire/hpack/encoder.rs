//! From fields to header blocks (RFC 7541 §6).
//!
//! Two ways: [`encode_field`] writes what any decoder understands whatever has gone before, for the few blocks of
//! one who has no history with the peer; [`Encoder`] keeps the compression state of one direction of one
//! connection and writes small blocks.

use std::collections::VecDeque;
use std::fmt;

use super::dynamic_table::DynamicTable;
use super::static_table::{self, Match};
use super::{huffman, integer, Field, DEFAULT_TABLE_SIZE};

/// Patterns of the representations, and the bits of index that follow them.
const INDEXED: (u8, u32) = (0x80, 7);
const INCREMENTAL: (u8, u32) = (0x40, 6);
const SIZE_UPDATE: (u8, u32) = (0x20, 5);
const NEVER_INDEXED: (u8, u32) = (0x10, 4);
const WITHOUT_INDEXING: (u8, u32) = (0x00, 4);

/// Appends a field without any state: an index of the static table where it has the whole field, else a literal
/// without indexing (its name an index where the static table has it), not Huffman-coded.
///
/// Right with every table size that the peer may have set, and never puts a field into the peer's table.
pub fn encode_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match static_table::find(name, value) {
        Some(Match::Full(index)) => put(out, INDEXED, index),
        found => put_plain_literal(out, WITHOUT_INDEXING, found, name, value),
    }
}

/// As [`encode_field`], for a field that no one on the way may index (RFC 7541 §6.2.3): always a literal.
pub fn encode_never_indexed(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_plain_literal(out, NEVER_INDEXED, static_table::find(name, value), name, value);
}

fn put_plain_literal(out: &mut Vec<u8>, pattern: (u8, u32), found: Option<Match>, name: &[u8], value: &[u8]) {
    match found {
        Some(Match::Full(index) | Match::Name(index)) => put(out, pattern, index),
        None => {
            put(out, pattern, 0);
            put_plain(out, name);
        }
    }
    put_plain(out, value);
}

/// Encodes the header blocks of one direction of one connection, in order.
///
/// A field that was sent before becomes an index, and every string is Huffman-coded where that is shorter. What
/// is [never indexed](Field::never_indexed) stays so. Fields whose value is another in each message are not put
/// into the table, nor are those that would fill more than half of it.
///
/// Fields of different origins must not share an encoder where one of them could be a secret and another
/// chosen by an attacker who sees the sizes (RFC 7541 §7.1): one encoder for one client.
///
/// ```
/// use oneport_core::wire::hpack::{Encoder, Field};
///
/// let path = Field { name: b":path", value: b"/pkg.Service/Method", never_indexed: false };
/// let (mut encoder, mut first, mut second) = (Encoder::new(), Vec::new(), Vec::new());
/// encoder.encode([path], &mut first);
/// encoder.encode([path], &mut second);
/// assert_eq!(second, [0xbe]);
/// ```
#[derive(Clone)]
pub struct Encoder {
    table: DynamicTable,
    /// A fingerprint of each entry, oldest first, so that a search reads one word for each entry.
    fingerprints: VecDeque<u64>,
    /// The size that the peer's table has: the last one that a block told it.
    told: usize,
    /// The smallest size set since the last block.
    smallest: Option<usize>,
}

/// Says how large its table is, and not what is in it: cookies and credentials are not for logs.
impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("table_size", &self.table_size()).finish_non_exhaustive()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder with an empty table of [`DEFAULT_TABLE_SIZE`]. Allocates nothing.
    pub fn new() -> Self {
        Self {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE),
            fingerprints: VecDeque::new(),
            told: DEFAULT_TABLE_SIZE,
            smallest: None,
        }
    }

    /// Sets the size of the dynamic table, in bytes: at most the peer's SETTINGS_HEADER_TABLE_SIZE, to be called
    /// before that SETTINGS is acknowledged, for each of them. A table of this size is held here, too, so that a
    /// caller who does not trust the peer passes the smaller of its value and a bound.
    ///
    /// The next block tells the peer, and the smallest size first if the size was smaller in between (RFC 7541
    /// §4.2).
    pub fn set_max_table_size(&mut self, max_table_size: usize) {
        // An integer beyond this could not be told.
        let max_table_size = max_table_size.min(u32::MAX as usize);
        self.table.set_max_size(max_table_size);
        self.forget_evicted();
        self.smallest = Some(self.smallest.map_or(max_table_size, |smallest| smallest.min(max_table_size)));
    }

    /// The size of the dynamic table in bytes, as RFC 7541 §4.1 counts; never above what was set.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Appends one whole block with `fields`, in order. Every block must reach the peer, in the order of the
    /// calls.
    pub fn encode<'f>(&mut self, fields: impl IntoIterator<Item = Field<'f>>, out: &mut Vec<u8>) {
        self.put_size_updates(out);
        for field in fields {
            self.put_field(&field, out);
        }
        self.table.trim();
    }

    fn put_size_updates(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.smallest.take() else { return };
        let size = self.table.max_size();
        if smallest < size && smallest < self.told {
            put(out, SIZE_UPDATE, smallest);
            self.told = smallest;
        }
        if size != self.told {
            put(out, SIZE_UPDATE, size);
            self.told = size;
        }
    }

    fn put_field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let in_static = static_table::find(field.name, field.value);
        if let (Some(Match::Full(index)), false) = (in_static, field.never_indexed) {
            return put(out, INDEXED, index);
        }
        let fingerprint = fingerprint(field);
        let in_dynamic = self.find(field, fingerprint);
        if let (Some(Match::Full(index)), false) = (in_dynamic, field.never_indexed) {
            return put(out, INDEXED, index);
        }

        let enters_table = !field.never_indexed && self.is_worth_an_entry(field);
        let pattern = match (enters_table, field.never_indexed) {
            (true, _) => INCREMENTAL,
            (false, true) => NEVER_INDEXED,
            (false, false) => WITHOUT_INDEXING,
        };
        match in_static.or(in_dynamic) {
            Some(Match::Full(index) | Match::Name(index)) => put(out, pattern, index),
            None => {
                put(out, pattern, 0);
                put_shorter(out, field.name);
            }
        }
        put_shorter(out, field.value);
        if enters_table {
            self.insert(field, fingerprint);
        }
    }

    /// The newest entry with name and value, else the newest with the name.
    fn find(&self, field: &Field<'_>, wanted: u64) -> Option<Match> {
        let mut by_name = None;
        for (position, found) in self.fingerprints.iter().rev().enumerate() {
            let is_same = *found == wanted;
            if !is_same && (by_name.is_some() || (found ^ wanted) >> 32 != 0) {
                continue;
            }
            let (name, value) = self.table.get(position)?;
            if self.table.text(name) == field.name {
                let index = static_table::LEN + 1 + position;
                if is_same && self.table.text(value) == field.value {
                    return Some(Match::Full(index));
                }
                by_name = by_name.or(Some(Match::Name(index)));
            }
        }
        by_name
    }

    fn is_worth_an_entry(&self, field: &Field<'_>) -> bool {
        field.list_size() <= self.table.max_size() / 2 && !CHANGES_EVERY_TIME.contains(&field.name)
    }

    fn insert(&mut self, field: &Field<'_>, fingerprint: u64) {
        let (name_len, value_len) = (field.name.len(), field.value.len());
        self.table.reserve(name_len + value_len);
        let place = self.table.spare_start();
        self.table.copy_in(field.name, place);
        self.table.copy_in(field.value, place + name_len);
        self.table.insert_spare(name_len, value_len);
        self.fingerprints.push_back(fingerprint);
        self.forget_evicted();
    }

    fn forget_evicted(&mut self) {
        let evicted = self.fingerprints.len().saturating_sub(self.table.len());
        self.fingerprints.drain(..evicted);
    }
}

/// Names whose values are hardly ever the same in two messages of a connection.
const CHANGES_EVERY_TIME: [&[u8]; 11] = [
    b"age",
    b"content-length",
    b"content-range",
    b"etag",
    b"grpc-timeout",
    b"if-modified-since",
    b"if-none-match",
    b"last-modified",
    b"range",
    b"traceparent",
    b"x-request-id",
];

/// The name's fingerprint above the value's. Equal for equal fields; those that it confuses are compared, which
/// costs at most as many bytes as the table has.
fn fingerprint(field: &Field<'_>) -> u64 {
    u64::from(fold(field.name)) << 32 | u64::from(fold(field.value))
}

/// Of the length, the first and the last eight bytes.
fn fold(text: &[u8]) -> u32 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let (first, last) = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (text.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), 0),
    };
    let mixed = (first ^ text.len() as u64).wrapping_mul(MULTIPLIER) ^ last.rotate_left(32);
    (mixed.wrapping_mul(MULTIPLIER) >> 32) as u32
}

fn put(out: &mut Vec<u8>, (pattern, prefix): (u8, u32), value: usize) {
    integer::encode(out, pattern, prefix, value);
}

fn put_plain(out: &mut Vec<u8>, text: &[u8]) {
    integer::encode(out, 0x00, 7, text.len());
    out.extend_from_slice(text);
}

fn put_shorter(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::huffman_encoded_len(text);
    if coded < text.len() {
        integer::encode(out, 0x80, 7, coded);
        huffman::huffman_encode(out, text);
    } else {
        put_plain(out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::dynamic_table::ENTRY_OVERHEAD;
    use super::*;

    fn field<'f>(name: &'f str, value: &'f str) -> Field<'f> {
        Field { name: name.as_bytes(), value: value.as_bytes(), never_indexed: false }
    }

    fn block(encoder: &mut Encoder, fields: &[Field<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.encode(fields.iter().copied(), &mut out);
        out
    }

    #[test]
    fn without_state() {
        for (name, value, bytes) in [
            (":method", "POST", &b"\x83"[..]),
            (":authority", "", b"\x81"),
            (":method", "PUT", b"\x02\x03PUT"),
            (":status", "418", b"\x08\x03418"),
            ("user-agent", "x", b"\x0f\x2b\x01x"),
            ("te", "trailers", b"\x00\x02te\x08trailers"),
            ("", "", b"\x00\x00\x00"),
        ] {
            let mut out = Vec::new();
            encode_field(&mut out, name.as_bytes(), value.as_bytes());
            assert_eq!(out, bytes, "{name}");
        }
    }

    #[test]
    fn without_state_and_never_indexed() {
        let mut out = Vec::new();
        encode_never_indexed(&mut out, b":method", b"GET");
        encode_never_indexed(&mut out, b"authorization", b"a");
        encode_never_indexed(&mut out, b"x", b"a");
        assert_eq!(out, b"\x12\x03GET\x1f\x08\x01a\x10\x01x\x01a");
    }

    #[test]
    fn never_indexed_is_a_literal_even_where_the_tables_have_the_field() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("x-key", "?")]);
        let size = encoder.table_size();
        let secret = Field { never_indexed: true, ..field("x-key", "?") };
        assert_eq!(block(&mut encoder, &[secret]), b"\x1f\x2f\x01?");
        let secret = Field { never_indexed: true, ..field(":method", "GET") };
        assert_eq!(block(&mut encoder, &[secret])[0], 0x12);
        assert_eq!(encoder.table_size(), size);
    }

    #[test]
    fn what_changes_or_is_large_is_kept_out_of_the_table() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("content-length", "17"), field("x", &"y".repeat(3000))]);
        assert_eq!(encoder.table_size(), 0);
        block(&mut encoder, &[field("x", &"y".repeat(2048 - ENTRY_OVERHEAD - 1))]);
        assert_eq!(encoder.table_size(), 2048);
    }

    #[test]
    fn sizes_are_told_at_the_next_block() {
        let mut encoder = Encoder::new();
        encoder.set_max_table_size(100);
        assert_eq!(block(&mut encoder, &[field(":method", "GET")]), b"\x3f\x45\x82");
        assert_eq!(block(&mut encoder, &[field(":method", "GET")]), b"\x82");
    }

    #[test]
    fn the_smallest_size_in_between_is_told_first() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("a", "b")]);
        for size in [50, 10, 70] {
            encoder.set_max_table_size(size);
        }
        assert_eq!(encoder.table_size(), 0);
        assert_eq!(block(&mut encoder, &[]), b"\x2a\x3f\x27");
        // Down and up again to where it was: the eviction in between has to be told.
        encoder.set_max_table_size(0);
        encoder.set_max_table_size(70);
        assert_eq!(block(&mut encoder, &[]), b"\x20\x3f\x27");
        // Up and down again to where it was: nothing has changed for the peer.
        encoder.set_max_table_size(90);
        encoder.set_max_table_size(70);
        assert_eq!(block(&mut encoder, &[]), b"");
    }

    /// A size in between is of no interest if nothing was evicted by it.
    #[test]
    fn a_size_that_grew_is_told_once() {
        let mut encoder = Encoder::new();
        encoder.set_max_table_size(10);
        assert_eq!(block(&mut encoder, &[]), b"\x2a");
        for sizes in [[10, 20], [21, 22]] {
            for size in sizes {
                encoder.set_max_table_size(size);
            }
            assert_eq!(block(&mut encoder, &[]), [0x20 | sizes[1] as u8]);
        }
    }

    #[test]
    fn a_name_that_an_entry_has_is_an_index() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("x-a", "1"), field("x-b", "1")]);
        assert_eq!(block(&mut encoder, &[field("x-a", "2")])[0], 0x40 | 63);
        // The newest of two that have it.
        assert_eq!(block(&mut encoder, &[field("x-a", "3")])[0], 0x40 | 62);
    }

    #[test]
    fn what_the_fingerprint_confuses_is_compared() {
        let [one, other] = ["12345678-a-12345678", "12345678-b-12345678"];
        assert_eq!(fold(one.as_bytes()), fold(other.as_bytes()));
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("x", one), field(one, "x")]);
        assert_eq!(block(&mut encoder, &[field("x", other)])[0], 0x40 | 63);
        assert_eq!(block(&mut encoder, &[field(other, "x")])[0], 0x40);
        assert_eq!(block(&mut encoder, &[field("x", one), field(one, "x")]), [0xc1, 0xc0]);
    }

    #[test]
    fn a_fingerprint_for_each_entry() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[field("a", "b"), field("c", "d"), field("e", "f")]);
        encoder.set_max_table_size(70);
        assert_eq!((encoder.table.len(), encoder.fingerprints.len()), (2, 2));
        block(&mut encoder, &[field("g", "h")]);
        assert_eq!((encoder.table.len(), encoder.fingerprints.len()), (2, 2));
    }
}
