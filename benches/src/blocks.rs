//! HPACK: real header blocks through our decoder and through others'.

use std::hint::black_box;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};

/// Blocks of one connection, in order.
#[derive(Clone, Debug)]
pub struct Story {
    /// Who wrote them.
    pub encoder: String,
    /// Each with the table size that the reader has put in force before it, if it has.
    pub blocks: Vec<(Option<usize>, Vec<u8>)>,
}

/// Which blocks of a story.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The first one: all that a verdict needs.
    First,
    /// All of them.
    Whole,
}

/// Whose decoder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    /// fluke-hpack's.
    Fluke,
    /// Ours.
    Ours,
}

impl Story {
    /// Stories from a file of lines `ENCODER STORY TABLE-SIZE WIRE`, the size a number or `-`, the wire in hexadecimal.
    ///
    /// # Errors
    /// If the file can not be read.
    ///
    /// # Panics
    /// If a line is something else.
    pub fn read(file: &Path) -> io::Result<Vec<Self>> {
        let mut stories: Vec<(String, Self)> = Vec::new();
        for line in std::fs::read_to_string(file)?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [encoder, story, size, wire] = words[..] else { panic!("not a block: {line}") };
            let key = format!("{encoder} {story}");
            if stories.last().is_none_or(|(last, _)| *last != key) {
                stories.push((key, Self { encoder: encoder.to_owned(), blocks: Vec::new() }));
            }
            let (_, last) = stories.last_mut().expect("just added");
            last.blocks.push((size.parse().ok(), hex(wire)));
        }
        Ok(stories.into_iter().map(|(_, story)| story).collect())
    }

    fn part(&self, part: Part) -> &[(Option<usize>, Vec<u8>)] {
        match part {
            Part::First => &self.blocks[..1],
            Part::Whole => &self.blocks,
        }
    }

    /// Decodes it with a new decoder; gives the bytes of text.
    ///
    /// # Panics
    /// If a block is malformed.
    pub fn decode(&self, whose: Whose, part: Part) -> usize {
        let mut text = 0;
        match whose {
            Whose::Ours => {
                let limits = Limits { max_list_size: 64 << 10, max_string_len: 64 << 10 };
                let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
                for (size, block) in self.part(part) {
                    if let Some(size) = *size {
                        decoder.set_max_table_size(size);
                    }
                    let decoded = decoder.decode(block, &limits, |field| {
                        text += black_box(field.name).len() + black_box(field.value).len();
                        ControlFlow::Continue(())
                    });
                    decoded.expect("well-formed");
                }
            }
            Whose::Fluke => {
                let mut decoder = fluke_hpack::Decoder::new();
                for (_, block) in self.part(part) {
                    // It takes any size that an update in the block names. This form makes no copies that it does not need.
                    let decoded = decoder.decode_with_cb(block, |name, value| {
                        text += black_box(name).len() + black_box(value).len();
                    });
                    decoded.expect("well-formed");
                }
            }
        }
        text
    }
}

/// The first header block of an HTTP/2 opening, if it is whole in one HEADERS frame.
pub fn first_block(opening: &[u8]) -> Option<Vec<u8>> {
    use oneport_core::wire::frame::{flag, Head, Kind, HEAD_LEN, PREFACE};
    use oneport_core::wire::headers;
    let mut rest = opening.strip_prefix(PREFACE)?;
    loop {
        let head = Head::peek(rest)?;
        let (frame, behind) = rest.split_at_checked(head.frame_len())?;
        if head.kind == Kind::HEADERS && head.has(flag::END_HEADERS) {
            let payload = &frame[HEAD_LEN..];
            return Some(payload[headers::fragment(&head, payload)?].to_vec());
        }
        rest = behind;
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}
