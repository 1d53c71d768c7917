//! A writer of arbitrary well-formed blocks that knows what they mean: the naive reference of the decoder.
//!
//! It keeps the dynamic table as a list of lines, and writes any representation that is legal at its place,
//! where a real encoder would always choose the same few.

use std::collections::VecDeque;

use oneport_core::wire::hpack::{encode_field, huffman_encode, Decoder};
use proptest::prelude::*;

use super::{decode, Line};

/// One representation, with choices that are made to fit when it is written.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// An entry of either table.
    Indexed { pick: prop::sample::Index },
    /// A literal; `name_of` takes its name from an entry.
    Literal { line: Line, name_of: Option<prop::sample::Index>, enters_table: bool, huffman: [bool; 2] },
}

/// A block: at most two size updates, as parts of the size that is allowed, and what follows.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) updates: Vec<prop::sample::Index>,
    pub(super) ops: Vec<Op>,
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let indexed = any::<prop::sample::Index>().prop_map(|pick| Op::Indexed { pick });
    let literal = (
        super::line(),
        prop::option::of(any::<prop::sample::Index>()),
        prop::bool::weighted(0.7),
        [prop::bool::weighted(0.4), prop::bool::weighted(0.4)],
    )
        .prop_map(|(line, name_of, enters_table, huffman)| Op::Literal {
            enters_table: enters_table && !line.never_indexed,
            line,
            name_of,
            huffman,
        });
    let op = prop_oneof![2 => indexed, 3 => literal];
    let updates = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec(any::<prop::sample::Index>(), 1..=2),
    ];
    (updates, prop::collection::vec(op, 1..12)).prop_map(|(updates, ops)| Plan { updates, ops })
}

/// A block, what it means, and where its representations end (the start is one end, too).
pub(super) struct Written {
    pub(super) block: Vec<u8>,
    pub(super) lines: Vec<Line>,
    pub(super) ends: Vec<usize>,
}

pub(super) struct Writer {
    static_table: Vec<Line>,
    /// Newest first.
    entries: VecDeque<Line>,
    max_size: usize,
    allowed: usize,
}

impl Writer {
    pub(super) fn new(allowed: usize) -> Self {
        let mut decoder = Decoder::new(0);
        let static_table =
            (1..=61).map(|index| decode(&mut decoder, &[0x80 | index]).unwrap().remove(0)).collect();
        Self { static_table, entries: VecDeque::new(), max_size: allowed, allowed }
    }

    pub(super) fn entries(&self) -> Vec<Line> {
        self.entries.iter().cloned().collect()
    }

    pub(super) fn size(&self) -> usize {
        self.entries.iter().map(Line::size).sum()
    }

    pub(super) fn write(&mut self, plan: &Plan) -> Written {
        let mut written = Written { block: Vec::new(), lines: Vec::new(), ends: vec![0] };
        for update in &plan.updates {
            let size = update.index(self.allowed + 1);
            put_integer(&mut written.block, 0x20, 5, size);
            self.max_size = size;
            self.evict(0);
            written.ends.push(written.block.len());
        }
        for op in &plan.ops {
            let line = self.write_op(op, &mut written.block);
            written.lines.push(line);
            written.ends.push(written.block.len());
        }
        written
    }

    fn write_op(&mut self, op: &Op, block: &mut Vec<u8>) -> Line {
        match op {
            Op::Indexed { pick } => {
                let index = 1 + pick.index(61 + self.entries.len());
                put_integer(block, 0x80, 7, index);
                Line { never_indexed: false, ..self.entry(index) }
            }
            Op::Literal { line, name_of, enters_table, huffman } => {
                let mut line = line.clone();
                let (pattern, prefix) = match (enters_table, line.never_indexed) {
                    (true, _) => (0x40, 6),
                    (false, true) => (0x10, 4),
                    (false, false) => (0x00, 4),
                };
                match name_of {
                    Some(pick) => {
                        let index = 1 + pick.index(61 + self.entries.len());
                        put_integer(block, pattern, prefix, index);
                        line.name = self.entry(index).name;
                    }
                    None => {
                        put_integer(block, pattern, prefix, 0);
                        put_string(block, &line.name, huffman[0]);
                    }
                }
                put_string(block, &line.value, huffman[1]);
                if *enters_table {
                    self.evict(line.size());
                    if line.size() <= self.max_size {
                        self.entries.push_front(line.clone());
                    }
                }
                line
            }
        }
    }

    fn entry(&self, index: usize) -> Line {
        let entry = self.static_table.get(index - 1).or_else(|| self.entries.get(index - 62));
        entry.expect("an index that was picked among all").clone()
    }

    /// RFC 7541 §4.3 and §4.4.
    fn evict(&mut self, incoming: usize) {
        while !self.entries.is_empty() && self.size() + incoming > self.max_size {
            self.entries.pop_back();
        }
    }
}

/// RFC 7541 §5.1, as its pseudo-code.
pub(super) fn put_integer(block: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let max = (1usize << prefix) - 1;
    block.push(pattern | value.min(max) as u8);
    if value >= max {
        put_continuation(block, value - max);
    }
}

pub(super) fn put_continuation(block: &mut Vec<u8>, mut value: usize) {
    while value >= 128 {
        block.push((value % 128 + 128) as u8);
        value /= 128;
    }
    block.push(value as u8);
}

pub(super) fn put_string(block: &mut Vec<u8>, text: &[u8], huffman: bool) {
    let mut coded = Vec::new();
    if huffman {
        huffman_encode(&mut coded, text);
    } else {
        coded.extend_from_slice(text);
    }
    put_integer(block, if huffman { 0x80 } else { 0 }, 7, coded.len());
    block.extend(coded);
}

proptest! {
    /// The decoder agrees with the reference, over blocks that share their state.
    #[test]
    fn any_well_formed_block(plans in prop::collection::vec(plan(), 1..6), allowed in prop_oneof![Just(4096usize), 0..4096usize]) {
        let (mut writer, mut decoder) = (Writer::new(allowed), Decoder::new(allowed));
        for plan in &plans {
            let written = writer.write(plan);
            prop_assert_eq!(decode(&mut decoder, &written.block), Ok(written.lines));
            prop_assert_eq!(decoder.table_size(), writer.size());
            prop_assert_eq!(super::entries(&decoder), writer.entries());
        }
    }

    /// The stateless encoder says the same to a decoder in any state, and leaves that state alone.
    #[test]
    fn stateless_fields(plan in plan(), lines in prop::collection::vec(super::line(), 0..10)) {
        let (mut writer, mut decoder) = (Writer::new(4096), Decoder::new(4096));
        decode(&mut decoder, &writer.write(&plan).block).unwrap();
        let before = super::entries(&decoder);
        let mut block = Vec::new();
        for line in &lines {
            if line.never_indexed {
                oneport_core::wire::hpack::encode_never_indexed(&mut block, &line.name, &line.value);
            } else {
                encode_field(&mut block, &line.name, &line.value);
            }
        }
        prop_assert_eq!(decode(&mut decoder, &block), Ok(lines));
        prop_assert_eq!(super::entries(&decoder), before);
    }
}
