//! Blocks that ten other encoders wrote (the public suite http2jp/hpack-test-case).
//!
//! The recordings are not part of this repository. They are looked for in `$ONEPORT_HPACK_STORIES`, else in
//! `../shared/hpack-stories` beside the repository.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use oneport_core::wire::hpack::{Decoder, Encoder, DEFAULT_TABLE_SIZE};
use serde_json::Value;

use super::{decode, encode, hex, Line};

struct Block {
    /// The table size that the reader put in force before this block.
    table_size: Option<usize>,
    wire: Vec<u8>,
    lines: Vec<Line>,
}

/// By encoder and number, the blocks in order; `None` where there are no recordings.
fn stories() -> Option<BTreeMap<(String, u64), Vec<Block>>> {
    let chosen = std::env::var_os("ONEPORT_HPACK_STORIES").map(PathBuf::from);
    let is_chosen = chosen.is_some();
    let directory = chosen
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/hpack-stories")));
    let file = match File::open(directory.join("stories.jsonl.gz")) {
        Ok(file) => file,
        Err(error) if is_chosen => panic!("ONEPORT_HPACK_STORIES: {}: {error}", directory.display()),
        Err(error) => {
            // Not with `eprintln`, which the test harness swallows.
            let note = format!("NOT RUN: HPACK stories: {}: {error}\n", directory.display());
            std::io::stderr().write_all(note.as_bytes()).unwrap();
            return None;
        }
    };
    let mut stories: BTreeMap<_, Vec<Block>> = BTreeMap::new();
    for line in BufReader::new(MultiGzDecoder::new(file)).lines() {
        let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let key = (value["encoder"].as_str().unwrap().to_owned(), value["story"].as_u64().unwrap());
        let story = stories.entry(key).or_default();
        let headers = value["headers"].as_array().unwrap();
        story.push(Block {
            table_size: value["header_table_size"].as_u64().map(|size| size as usize),
            wire: hex(value["wire"].as_str().unwrap()),
            lines: headers
                .iter()
                .map(|pair| Line::new(pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .collect(),
        });
    }
    Some(stories)
}

/// The recordings do not say what was never indexed.
fn without_marks(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        line.never_indexed = false;
    }
    lines
}

#[test]
fn every_block_of_every_encoder() {
    let Some(stories) = stories() else { return };
    let (mut blocks, mut changes) = (0, 0);
    for ((encoder, number), story) in &stories {
        let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
        for (position, block) in story.iter().enumerate() {
            if let Some(size) = block.table_size {
                decoder.set_max_table_size(size);
                changes += 1;
            }
            let read = decode(&mut decoder, &block.wire).map(without_marks);
            assert_eq!(read.as_ref(), Ok(&block.lines), "{encoder}, story {number}, block {position}");
            blocks += 1;
        }
    }
    assert!(blocks > 7000 && changes > 0, "{blocks} blocks, {changes} changes of size");
}

/// The same lists through our own encoder, with the same changes of size.
#[test]
fn every_list_through_our_encoder() {
    let Some(stories) = stories() else { return };
    let (mut theirs, mut ours) = (0, 0);
    for ((name, number), story) in &stories {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(DEFAULT_TABLE_SIZE));
        for block in story {
            if let Some(size) = block.table_size {
                encoder.set_max_table_size(size);
                decoder.set_max_table_size(size);
            }
            let wire = encode(&mut encoder, &block.lines);
            assert_eq!(decode(&mut decoder, &wire).as_ref(), Ok(&block.lines), "{name}, story {number}");
            assert_eq!(decoder.table_size(), encoder.table_size());
            if name == "nghttp2" {
                theirs += block.wire.len();
                ours += wire.len();
            }
        }
    }
    // It should pack about as well as a good encoder does.
    assert!(ours * 10 < theirs * 11, "{ours} bytes, nghttp2 {theirs}");
}
