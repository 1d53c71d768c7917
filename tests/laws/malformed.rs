//! Law 10: sniffing never fails. Malformed bytes are "no match" for the matcher concerned, never an error, never a panic.

use oneport_core::ledger::{BackendLedger, ClientLedger};
use oneport_core::testing::{Client, End, GRPC_CALL};
use oneport_core::wire::frame::Kind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, Index};

use crate::support::drive::{play, tell};
use crate::support::model::PREFACE;
use crate::support::ms;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{client, cuts, greeting_of, term};
use crate::support::terms::Term;

/// Bytes that are likely to mean something to a parser.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(PREFACE.to_vec()),
        Just(b"\0\0\0\x04\0\0\0\0\0".to_vec()),
        Just(b"\0\0\0\x04\x01\0\0\0\0".to_vec()),
        (0..12_u8, 0..12_u8, any::<u8>(), 0..4_u8).prop_map(|(len, kind, flags, stream)| {
            [&[0, 0, len, kind, flags, 0, 0, 0, stream][..], &[kind; 12][..usize::from(len)]].concat()
        }),
        Just(b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03".to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"a: b\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Any bytes, in any cut, with any end: a verdict or a defined end, with every route of the vocabulary in front.
    #[test]
    fn arbitrary_bytes_end_somewhere(
        bytes in bytes(),
        routes in vec(term(), 0..4),
        pauses in vec(select(vec![0, 1, 6, 2_000]), 0..3),
        end in proptest::option::of(select(vec![End::Fin, End::Reset])),
        cuts in cuts(),
    ) {
        let mut script = Client::silent();
        for (i, chunk) in bytes.chunks(bytes.len() / (pauses.len() + 1) + 1).enumerate() {
            script = script.raw(chunk).pause(ms(pauses.get(i).copied().unwrap_or(0)));
        }
        if let Some(end) = end {
            script = script.ends(end);
        }
        play(&Scene::new(routes, script), &cuts);
    }

    /// A conversation with a byte changed, cut out or put in.
    #[test]
    fn damaged_conversations_end_somewhere(
        client in client(),
        damage in vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..4),
        cuts in cuts(),
    ) {
        let mut bytes = client.bytes();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        play(&Scene::new([Term::Grpc, Term::Sni("a.example"), Term::Path("/x")], Client::silent().raw(bytes)), &cuts);
    }

    #[test]
    fn arbitrary_bytes_pass_the_ledgers(bytes in bytes(), owed in 0..4_u32, sizes in vec(1..20_usize, 1..4)) {
        let mut to_backend = ClientLedger::new(owed);
        let mut to_client = BackendLedger::new(greeting_of(&[(3, 100)]), owed);
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, behind) = rest.split_at((*size).min(rest.len()));
            rest = behind;
            let mut left = chunk;
            while to_backend.pull(&mut left).is_some() {}
            let mut left = chunk;
            while to_client.pull(&mut left).is_some() {}
        }
        prop_assert!(to_backend.finish().len() < 9);
        prop_assert!(to_client.finish().len() <= 16_384 + 9);
    }
}

/// What is wrong with an HTTP/2 opening is "no match" for whoever asks for the request, and no more: it is still HTTP/2.
#[test]
fn a_malformed_opening_is_no_match_for_the_request_and_still_http2() {
    let start = || Client::http2().settings(&[]);
    let block = oneport_core::testing::literals(GRPC_CALL);
    let fields = |fields: &[(&str, &str)]| start().headers(1, fields);
    let padded = [&[200][..], &block].concat();
    for (what, client) in [
        ("no SETTINGS first", Client::http2().ping([0; 8])),
        ("an ACK first", Client::http2().settings_ack()),
        ("HEADERS first", Client::http2().headers(1, GRPC_CALL)),
        // Nothing but its type is wrong with it, and a request follows.
        (
            "another frame first",
            Client::http2().frame(Kind(0xfe), 0, 0, &[]).settings(&[]).headers(1, GRPC_CALL),
        ),
        ("SETTINGS on a stream", Client::http2().frame(Kind::SETTINGS, 0, 1, &[])),
        ("SETTINGS of five bytes", Client::http2().frame(Kind::SETTINGS, 0, 0, &[0; 5])),
        ("an ACK with a payload", start().frame(Kind::SETTINGS, 1, 0, &[0; 6])),
        ("PING of seven bytes", start().frame(Kind::PING, 0, 0, &[0; 7])),
        ("PING on a stream", start().frame(Kind::PING, 0, 1, &[0; 8])),
        ("HEADERS on stream 0", start().headers(0, GRPC_CALL)),
        ("HEADERS on an even stream", start().headers(2, GRPC_CALL)),
        ("more padding than payload", start().frame(Kind::HEADERS, 0x0c, 1, &padded)),
        ("priority that does not fit", start().frame(Kind::HEADERS, 0x24, 1, &[0; 4])),
        ("a PING inside the block", start().frame(Kind::HEADERS, 0, 1, &block).ping([0; 8])),
        ("CONTINUATION of another stream", {
            start().frame(Kind::HEADERS, 0, 1, &block).frame(Kind::CONTINUATION, 4, 3, &[])
        }),
        ("HPACK that points nowhere", start().frame(Kind::HEADERS, 4, 1, &[0xff, 0x7f])),
        ("HPACK that ends too early", start().frame(Kind::HEADERS, 4, 1, &block[..block.len() - 1])),
        // One byte that has brought down other decoders.
        ("a size update without end", start().frame(Kind::HEADERS, 4, 1, &[0x3f])),
        ("an empty block", start().frame(Kind::HEADERS, 4, 1, &[])),
        ("no method", fields(&GRPC_CALL[1..])),
        ("an empty method", fields(&[&[(":method", "")], &GRPC_CALL[1..]].concat())),
        ("no path", fields(&[&GRPC_CALL[..2], &GRPC_CALL[3..]].concat())),
        ("two paths", fields(&[GRPC_CALL, &[(":path", "/x")]].concat())),
        ("two methods", fields(&[&[(":method", "GET")][..], GRPC_CALL].concat())),
        ("a late pseudo-field", fields(&[&GRPC_CALL[..3], &[("a", "b")], &GRPC_CALL[3..]].concat())),
        ("an unknown pseudo-field", fields(&[&[(":x", "y")][..], GRPC_CALL].concat())),
        ("an upper-case name", fields(&[GRPC_CALL, &[("X-Y", "z")]].concat())),
        ("an empty name", fields(&[GRPC_CALL, &[("", "z")]].concat())),
    ] {
        let seen = tell(&Scene::grpc_or_rest(client.clone()));
        assert_eq!(seen.to(), Some(To::Otherwise), "{what}");
        assert_eq!(seen.backend(), client.bytes(), "{what}: the backend judges it");
        let seen = tell(&Scene::new([Term::Grpc, Term::Http2], client));
        assert_eq!(seen.to(), Some(To::Route(1)), "{what}");
    }
}

/// What looks strange and is allowed does not hide the request.
#[test]
fn what_a_backend_has_to_judge_does_not_hide_the_request() {
    let start = || Client::http2().settings(&[(2, 77), (0xffff, 1), (4, u32::MAX)]);
    for (what, client) in [
        ("DATA on an idle stream", start().data(1, false, b"x")),
        ("RST_STREAM", start().frame(Kind::RST_STREAM, 0, 1, &[0; 4])),
        ("a stray CONTINUATION", start().frame(Kind::CONTINUATION, 4, 1, b"x")),
        ("PUSH_PROMISE of a client", start().frame(Kind::PUSH_PROMISE, 4, 1, b"xxxx")),
        ("WINDOW_UPDATE of 0", start().window_update(0, 0)),
        ("GOAWAY", start().goaway(0, 2)),
        ("an unknown frame with all flags", start().frame(Kind(0xfe), 0xff, 0x7fff_ffff, b"x")),
        ("a PONG", start().frame(Kind::PING, 1, 0, &[0; 8])),
    ] {
        let client = client.headers(1, GRPC_CALL);
        let seen = tell(&Scene::grpc_or_rest(client.clone()));
        assert_eq!((seen.to(), seen.backend()), (Some(To::Route(0)), &client.bytes()[..]), "{what}");
    }
}
