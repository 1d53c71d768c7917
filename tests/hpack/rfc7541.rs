//! RFC 7541 appendix C, all of it but C.1 (integers, beside their code in the core).

use oneport_core::wire::hpack::{encode_field, encode_never_indexed, Decoder, Encoder};

use super::{decode, encode, entries, hex, Line};

/// A block of the appendix, what it decodes to, and the table after it, newest entry first.
struct Example {
    block: &'static str,
    lines: &'static [(&'static str, &'static str)],
    table: &'static [(&'static str, &'static str)],
    table_size: usize,
}

fn lines(pairs: &[(&str, &str)]) -> Vec<Line> {
    pairs.iter().map(|(name, value)| Line::new(name, value)).collect()
}

/// Decodes with one decoder, as the appendix does.
#[track_caller]
fn check(max_table_size: usize, examples: &[Example]) {
    let mut decoder = Decoder::new(max_table_size);
    for example in examples {
        assert_eq!(decode(&mut decoder, &hex(example.block)), Ok(lines(example.lines)));
        assert_eq!(entries(&decoder), lines(example.table));
        assert_eq!(decoder.table_size(), example.table_size);
    }
}

#[test]
fn c_2_representations() {
    check(
        4096,
        &[Example {
            block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            lines: &[("custom-key", "custom-header")],
            table: &[("custom-key", "custom-header")],
            table_size: 55,
        }],
    );
    let without_indexing = hex("040c 2f73 616d 706c 652f 7061 7468");
    let never_indexed = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &without_indexing), Ok(vec![Line::new(":path", "/sample/path")]));
    let secret = Line { never_indexed: true, ..Line::new("password", "secret") };
    assert_eq!(decode(&mut decoder, &never_indexed), Ok(vec![secret]));
    assert_eq!(decode(&mut decoder, &hex("82")), Ok(vec![Line::new(":method", "GET")]));
    assert_eq!(decoder.table_size(), 0);

    let mut out = Vec::new();
    encode_field(&mut out, b":path", b"/sample/path");
    assert_eq!(out, without_indexing);
    out.clear();
    encode_never_indexed(&mut out, b"password", b"secret");
    assert_eq!(out, never_indexed);
    out.clear();
    encode_field(&mut out, b":method", b"GET");
    assert_eq!(out, hex("82"));
}

const REQUEST_1: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const REQUEST_2: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const REQUEST_3: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];
const REQUEST_TABLE: &[(&str, &str)] =
    &[("custom-key", "custom-value"), ("cache-control", "no-cache"), (":authority", "www.example.com")];

fn requests(blocks: [&'static str; 3]) -> [Example; 3] {
    let [one, two, three] = blocks;
    [
        Example { block: one, lines: REQUEST_1, table: &REQUEST_TABLE[2..], table_size: 57 },
        Example { block: two, lines: REQUEST_2, table: &REQUEST_TABLE[1..], table_size: 110 },
        Example { block: three, lines: REQUEST_3, table: REQUEST_TABLE, table_size: 164 },
    ]
}

#[test]
fn c_3_requests_without_huffman() {
    check(
        4096,
        &requests([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]),
    );
}

#[test]
fn c_4_requests_with_huffman() {
    let examples = requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
    check(4096, &examples);
    let mut encoder = Encoder::new();
    for example in &examples {
        assert_eq!(encode(&mut encoder, &lines(example.lines)), hex(example.block));
        assert_eq!(encoder.table_size(), example.table_size);
    }
}

const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const DATE_21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const DATE_22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const PRIVATE: (&str, &str) = ("cache-control", "private");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const COOKIE: (&str, &str) = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");

fn responses(blocks: [&'static str; 3]) -> [Example; 3] {
    let [one, two, three] = blocks;
    [
        Example {
            block: one,
            lines: &[(":status", "302"), PRIVATE, DATE_21, LOCATION],
            table: &[LOCATION, DATE_21, PRIVATE, (":status", "302")],
            table_size: 222,
        },
        Example {
            block: two,
            lines: &[(":status", "307"), PRIVATE, DATE_21, LOCATION],
            table: &[(":status", "307"), LOCATION, DATE_21, PRIVATE],
            table_size: 222,
        },
        Example {
            block: three,
            lines: &[(":status", "200"), PRIVATE, DATE_22, LOCATION, GZIP, COOKIE],
            table: &[COOKIE, GZIP, DATE_22],
            table_size: 215,
        },
    ]
}

#[test]
fn c_5_responses_without_huffman_and_with_eviction() {
    check(
        256,
        &responses([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
             6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
             54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
             5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
             3d31",
        ]),
    );
}

#[test]
fn c_6_responses_with_huffman_and_with_eviction() {
    let examples = responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
    check(256, &examples);
    let mut encoder = Encoder::new();
    encoder.set_max_table_size(256);
    assert_eq!(encode(&mut encoder, &[]), hex("3fe1 01"), "the appendix takes the size as agreed");
    // Where Huffman is no shorter, as for 307, ours writes it plain, and the appendix does not.
    let ours = [examples[0].block, "4803 3330 37c1 c0bf", examples[2].block];
    for (example, ours) in examples.iter().zip(ours) {
        assert_eq!(encode(&mut encoder, &lines(example.lines)), hex(ours));
        assert_eq!(encoder.table_size(), example.table_size);
    }
}
