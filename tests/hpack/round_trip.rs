//! What our encoder writes, our decoder reads, whatever happens to the sizes in between.

use oneport_core::wire::hpack::{Decoder, Encoder};
use proptest::prelude::*;

use super::{decode, encode, line, Line};

proptest! {
    #[test]
    fn with_sizes_that_change(
        steps in prop::collection::vec(
            (prop::collection::vec(prop_oneof![0usize..200, 0usize..9000], 0..4), prop::collection::vec(line(), 0..12)),
            1..8,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for (sizes, lines) in &steps {
            for &size in sizes {
                // The peer takes the setting, then its acknowledgement arrives here.
                encoder.set_max_table_size(size);
                decoder.set_max_table_size(size);
            }
            let block = encode(&mut encoder, lines);
            // A block of updates only is legal; a repeated one has nothing more to tell.
            prop_assert_eq!(decode(&mut decoder, &block), Ok(lines.clone()));
            prop_assert_eq!(decoder.table_size(), encoder.table_size());
            prop_assert!(encode(&mut encoder.clone(), &[]).is_empty());
        }
    }

    /// The peer may use less than it is allowed to.
    #[test]
    fn with_an_encoder_of_less(size in 0usize..4096, blocks in prop::collection::vec(prop::collection::vec(line(), 0..12), 1..6)) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        encoder.set_max_table_size(size);
        for lines in &blocks {
            prop_assert_eq!(decode(&mut decoder, &encode(&mut encoder, lines)), Ok(lines.clone()));
            prop_assert!(decoder.table_size() <= size);
        }
    }
}

#[test]
fn the_second_request_is_one_byte_a_field() {
    let request: Vec<Line> = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/pkg.Service/Method"),
        (":authority", "localhost:50051"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .map(|(name, value)| Line::new(name, value))
    .to_vec();
    let mut encoder = Encoder::new();
    assert!(encode(&mut encoder, &request).len() > request.len());
    assert_eq!(encode(&mut encoder, &request).len(), request.len());
}
