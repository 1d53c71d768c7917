//! Against fluke-hpack, an independent implementation, on well-formed blocks.

use oneport_core::wire::hpack::{huffman_decode, huffman_encode, huffman_encoded_len, Decoder, Encoder};
use proptest::prelude::*;

use super::model::{plan, Writer};
use super::{decode, encode, line, Line};

fn pairs(lines: &[Line]) -> Vec<(Vec<u8>, Vec<u8>)> {
    lines.iter().map(|line| (line.name.clone(), line.value.clone())).collect()
}

#[test]
fn the_static_table() {
    let block: Vec<u8> = (1..=61).map(|index| 0x80 | index).collect();
    let ours = decode(&mut Decoder::new(4096), &block).unwrap();
    assert_eq!(pairs(&ours), fluke_hpack::Decoder::new().decode(&block).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn both_decoders_read_the_same(plans in prop::collection::vec(plan(), 1..4)) {
        let mut writer = Writer::new(4096);
        let (mut ours, mut theirs) = (Decoder::new(4096), fluke_hpack::Decoder::new());
        for plan in &plans {
            let block = writer.write(plan).block;
            let read = decode(&mut ours, &block).unwrap();
            prop_assert_eq!(pairs(&read), theirs.decode(&block).unwrap());
        }
    }

    #[test]
    fn we_read_what_it_writes(blocks in prop::collection::vec(prop::collection::vec(line(), 0..10), 1..6)) {
        let (mut theirs, mut ours) = (fluke_hpack::Encoder::new(), Decoder::new(4096));
        for lines in &blocks {
            let block = theirs.encode(lines.iter().map(|line| (&line.name[..], &line.value[..])));
            prop_assert_eq!(pairs(&decode(&mut ours, &block).unwrap()), pairs(lines));
        }
    }

    #[test]
    fn it_reads_what_we_write(
        blocks in prop::collection::vec((prop::option::of(0usize..5000), prop::collection::vec(line(), 1..10)), 1..6),
    ) {
        let (mut ours, mut theirs) = (Encoder::new(), fluke_hpack::Decoder::new());
        for (size, lines) in &blocks {
            if let Some(size) = *size {
                ours.set_max_table_size(size);
            }
            prop_assert_eq!(theirs.decode(&encode(&mut ours, lines)).unwrap(), pairs(lines));
        }
    }

    #[test]
    fn huffman(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut coded = Vec::new();
        huffman_encode(&mut coded, &text);
        prop_assert_eq!(coded.len(), huffman_encoded_len(&text));
        prop_assert_eq!(&fluke_hpack::huffman::HuffmanDecoder::new().decode(&coded).unwrap(), &text);
    }

    /// Any bytes: both find a string, the same one, or neither does.
    #[test]
    fn huffman_of_any_bytes(coded in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(0xff)], 0..40)) {
        let mut room = vec![0; coded.len() * 2];
        let ours = huffman_decode(&coded, &mut room).map(|len| room[..len].to_vec());
        prop_assert_eq!(ours.ok(), fluke_hpack::huffman::HuffmanDecoder::new().decode(&coded).ok());
    }
}
