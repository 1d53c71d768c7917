//! Header blocks towards the far side: what writing and reading them costs, by how they are written.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use oneport_core::wire::hpack::{encode_field, encode_never_indexed, Decoder, Encoder, DEFAULT_TABLE_SIZE};

use crate::blocks::Story;
use crate::lists::{List, LIMITS};

/// How blocks are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// Indexes of the static table, else literals with Huffman coding: what one has to write to who has a table of size 0.
    Huffman,
    /// The same without Huffman coding.
    Plain,
    /// As the machine does: with a dynamic table.
    Table,
}

/// All of them, by name.
pub const WAYS: [(&str, Way); 3] = [("table", Way::Table), ("plain", Way::Plain), ("huffman", Way::Huffman)];

/// Which blocks of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// The first one.
    First,
    /// Those that come when the tables are full.
    Next,
    /// All, from the first one on.
    Whole,
}

/// Clients whose requests come in great numbers, as recorded.
const CLIENTS: [&str; 5] = ["curl-h2c-prior", "envoy-upstream", "grpc-go-1.33", "grpcio-1.85", "h2load"];

/// Lists by name, `CLIENT/first`, `CLIENT/next`, and with a file of stories those of a browser: `story-N/whole`.
///
/// # Panics
/// If the file can not be read.
pub fn sources(stories: Option<&Path>) -> Vec<(String, Lists)> {
    let of_flights = CLIENTS.iter().flat_map(|name| {
        [("first", When::First), ("next", When::Next)]
            .map(|(word, when)| (format!("{name}/{word}"), Lists::of_flight(name, when)))
    });
    let mut all: Vec<_> = of_flights.collect();
    if let Some(file) = stories {
        let stories = Story::read(file).expect("a file of stories");
        // All encoders were given the same lists.
        let of_one = stories.iter().filter(|story| story.encoder == "nghttp2");
        all.extend(of_one.enumerate().map(|(n, story)| (format!("story-{n}/whole"), Lists::of_story(story))));
    }
    all
}

/// Blocks that follow each other until they are the same again.
const CYCLE: usize = 16;

/// The lists of a connection's requests.
#[derive(Clone, Debug)]
pub struct Lists {
    lists: Vec<List>,
    when: When,
}

impl Lists {
    /// Of one recorded client: its only list, again and again, with what is another in each request.
    pub fn of_flight(name: &str, when: When) -> Self {
        let list = List::of_flight(name);
        let count = if when == When::First { 1 } else { CYCLE };
        Self { lists: (0..count).map(|number| list.varied(number)).collect(), when }
    }

    /// Of a recorded connection.
    pub fn of_story(story: &Story) -> Self {
        let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
        let lists = story.blocks.iter().map(|(size, block)| {
            if let Some(size) = *size {
                decoder.set_max_table_size(size);
            }
            List::decode(&mut decoder, block)
        });
        Self { lists: lists.collect(), when: When::Whole }
    }

    /// An encoder that has written what came before.
    fn encoder(&self, way: Way) -> Encoder {
        let mut encoder = Encoder::new();
        if way == Way::Huffman {
            encoder.set_max_table_size(0);
        }
        for list in self.before() {
            list.block(&mut encoder);
        }
        encoder
    }

    fn before(&self) -> &[List] {
        if self.when == When::Next {
            &self.lists
        } else {
            &[]
        }
    }

    /// Writes the blocks, one behind the other, into `out`, which is as long as one of them at the end.
    fn write(&self, way: Way, encoder: &mut Encoder, mut each: impl FnMut(&mut Vec<u8>), out: &mut Vec<u8>) {
        for list in &self.lists {
            out.clear();
            if way == Way::Plain {
                for field in list.fields() {
                    if field.never_indexed {
                        encode_never_indexed(out, field.name, field.value);
                    } else {
                        encode_field(out, field.name, field.value);
                    }
                }
            } else {
                encoder.encode(list.fields(), out);
            }
            each(out);
        }
    }

    /// All blocks of a run.
    pub fn blocks(&self, way: Way) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        self.write(way, &mut self.encoder(way), |block| blocks.push(block.clone()), &mut Vec::new());
        blocks
    }

    /// A run of writing: with the encoder of a long connection, or with a new one if the first block is among them.
    ///
    /// # Panics
    /// If following blocks differ from run to run: then a mean of them means nothing.
    pub fn writer(self, way: Way) -> impl FnMut() {
        let mut encoder = self.encoder(way);
        let mut out = Vec::with_capacity(4_096);
        if self.when == When::Next {
            let expected = self.blocks(way);
            let mut again = Vec::new();
            let mut used = encoder.clone();
            for _ in 0..2 {
                again.clear();
                self.write(way, &mut used, |block| again.push(block.clone()), &mut out);
            }
            assert_eq!(again, expected);
        }
        move || {
            if self.when == When::Next {
                self.write(way, &mut encoder, |block| _ = black_box(block), &mut out);
            } else {
                let mut fresh = self.encoder(way);
                self.write(way, &mut fresh, |block| _ = black_box(block), &mut out);
            }
        }
    }

    /// A run of reading what was written in that way.
    ///
    /// # Panics
    /// If it does not read what was written.
    pub fn reader(self, way: Way) -> impl FnMut() {
        let blocks = self.blocks(way);
        let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
        let mut before = Encoder::new();
        if way == Way::Huffman {
            decoder.set_max_table_size(0);
            before.set_max_table_size(0);
        }
        if way != Way::Plain {
            for list in self.before() {
                let block = list.block(&mut before);
                assert_eq!(&List::decode(&mut decoder, &block), list);
            }
        }
        let read = |decoder: &mut Decoder, blocks: &[Vec<u8>]| {
            for block in blocks {
                let decoded = decoder.decode(block, &LIMITS, |field| {
                    black_box(field);
                    ControlFlow::Continue(())
                });
                decoded.expect("well-formed");
            }
        };
        let mut checked = decoder.clone();
        for (list, block) in self.lists.iter().zip(&blocks) {
            assert_eq!(&List::decode(&mut checked, block), list, "{way:?}");
        }
        move || {
            if self.when == When::Next {
                read(&mut decoder, &blocks);
            } else {
                let mut fresh = Decoder::new(DEFAULT_TABLE_SIZE);
                if way == Way::Huffman {
                    fresh.set_max_table_size(0);
                }
                read(&mut fresh, &blocks);
            }
        }
    }
}
