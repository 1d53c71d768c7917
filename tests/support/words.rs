//! What the mux said to the client, read back from the bytes, as strictly as a client would.

use std::ops::ControlFlow;

use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};

use super::http2::{frames, Frame};

/// One thing that the mux said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    Settings(Vec<(u16, u32)>),
    SettingsAck,
    Pong([u8; 8]),
    GoAway {
        last: u32,
        code: u32,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    /// Trailers-only: `:status` and, for gRPC, `grpc-status`.
    Response {
        stream: u32,
        status: String,
        grpc: Option<String>,
    },
    Http1 {
        status: u16,
        has_body: bool,
    },
    Alert(u8),
}

/// Everything in these bytes. What no client could read is a failure of the test.
#[track_caller]
pub(crate) fn parse(bytes: &[u8]) -> Vec<Word> {
    if bytes.is_empty() {
        return Vec::new();
    }
    if bytes.starts_with(b"HTTP/1.1 ") {
        return vec![http1(bytes)];
    }
    if let [21, 3, _, 0, 2, 2, alert] = bytes {
        return vec![Word::Alert(*alert)];
    }
    let (frames, rest) = frames(bytes);
    assert!(rest.is_empty(), "the mux wrote half a frame");
    frames.iter().map(word).collect()
}

fn word(frame: &Frame<'_>) -> Word {
    let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
    match (frame.kind, frame.flags) {
        (4, 0) => Word::Settings(frame.settings()),
        (4, 1) => {
            assert!(frame.payload.is_empty() && frame.stream == 0);
            Word::SettingsAck
        }
        (6, 1) => Word::Pong(frame.payload.try_into().unwrap()),
        (7, 0) => {
            assert_eq!((frame.stream, frame.payload.len()), (0, 8));
            Word::GoAway { last: number(0), code: number(4) }
        }
        (3, 0) => Word::Reset { stream: frame.stream, code: number(0) },
        (1, 5) => {
            let (mut status, mut grpc) = (None, None);
            let limits = Limits { max_list_size: 4_096, max_string_len: 4_096 };
            Decoder::new(DEFAULT_TABLE_SIZE)
                .decode(frame.payload, &limits, |field| {
                    let value = String::from_utf8(field.value.to_vec()).unwrap();
                    match field.name {
                        b":status" => status = Some(value),
                        b"grpc-status" => grpc = Some(value),
                        b"content-type" => assert_eq!(value, "application/grpc"),
                        b"grpc-message" => assert!(!value.is_empty()),
                        name => panic!("unexpected field {name:?}"),
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            Word::Response { stream: frame.stream, status: status.unwrap(), grpc }
        }
        other => panic!("the mux has no business to say {other:?}"),
    }
}

fn http1(bytes: &[u8]) -> Word {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let field = |wanted: &str| {
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    };
    assert_eq!(field("connection"), Some("close"));
    let length: usize = field("content-length").expect("the length of the body").parse().unwrap();
    assert!(body.is_empty() || body.len() == length, "a response cut short");
    Word::Http1 { status, has_body: !body.is_empty() }
}
