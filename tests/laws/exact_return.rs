//! Law 6: the client receives exactly the backend's bytes in order, except that, if the mux greeted, the backend's first
//! SETTINGS is reconciled with the mux's own, and as many of its ACKs are dropped as the mux already gave.

use oneport_core::ledger::{BackendLedger, Reconciled};
use oneport_core::testing::{Backend, Client, Script, GRPC_CALL};
use oneport_core::wire::frame::{flag, Kind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::drive::{tell, Cuts, Ending};
use crate::support::http2::frames;
use crate::support::ledgers::return_of;
use crate::support::scene::Scene;
use crate::support::strategies::{cuts, greeting_of, ACK};
use crate::support::{ms, s};

/// One thing that a server sends.
#[derive(Clone, Debug)]
enum Say {
    Settings(Vec<(u16, u32)>),
    Ack,
    /// A SETTINGS that no client would take: on a stream, cut short, or an ACK with a payload.
    Illegal(u8),
    Ping,
    WindowUpdate,
    GoAway,
    Response(Vec<u8>),
    Text(&'static str),
}

fn apply(script: Script, say: &Say) -> Script {
    match say {
        Say::Settings(entries) => script.settings(entries),
        Say::Ack => script.settings_ack(),
        Say::Illegal(0) => script.frame(Kind::SETTINGS, 0, 1, &[]),
        Say::Illegal(1) => script.frame(Kind::SETTINGS, 0, 0, &[0, 3, 0]),
        Say::Illegal(_) => script.frame(Kind::SETTINGS, flag::ACK, 0, &[0, 9, 0, 0, 0, 1]),
        Say::Ping => script.ping([4; 8]),
        Say::WindowUpdate => script.window_update(0, 1 << 20),
        Say::GoAway => script.goaway(1, 0),
        Say::Response(body) => script.headers(1, &[(":status", "200")]).data(1, true, body),
        Say::Text(text) => script.raw(text),
    }
}

fn entries() -> impl Strategy<Value = Vec<(u16, u32)>> {
    let id = prop_oneof![1..10_u16, Just(0xfe03), Just(0x3a3a)];
    vec((id, prop_oneof![Just(0), Just(1), Just(100), any::<u32>()]), 0..6)
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        2 => entries().prop_map(Say::Settings),
        4 => Just(Say::Ack),
        1 => (0..3_u8).prop_map(Say::Illegal),
        1 => Just(Say::Ping),
        1 => Just(Say::WindowUpdate),
        1 => Just(Say::GoAway),
        2 => prop_oneof![Just(ACK.to_vec()), vec(any::<u8>(), 0..20)].prop_map(Say::Response),
    ]
}

/// Servers that greet properly, and others.
fn backend() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => entries().prop_map(Say::Settings),
        1 => Just(Say::Ack),
        1 => say(),
        1 => Just(Say::Text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")),
        1 => Just(Say::Text("220 mail")),
    ];
    (first, vec(say(), 0..8), vec(any::<u8>(), 0..12)).prop_map(|(first, says, tail)| {
        says.iter().fold(apply(Backend::silent(), &first), apply).raw(tail).bytes()
    })
}

const GREETINGS: [&[(u16, u32)]; 4] =
    [&[(3, 100)], &[], &[(1, 0), (3, 1), (4, 0), (5, 16_384), (6, 1_000), (8, 1), (9, 1)], &[(8, 0), (9, 0)]];

fn pass(ledger: &mut BackendLedger, stream: &[u8], cuts: &Cuts) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = stream;
    for size in cuts.0.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut chunk, behind) = rest.split_at((*size).min(rest.len()));
        rest = behind;
        while let Some(piece) = ledger.pull(&mut chunk) {
            assert!(!piece.is_empty());
            out.extend_from_slice(&piece);
        }
    }
    out
}

proptest! {
    #[test]
    fn the_ledger_returns_what_the_model_returns(
        greeting in 0..GREETINGS.len(),
        acks in 1..4_u32,
        stream in backend(),
        cuts in cuts(),
    ) {
        let greeting = greeting_of(GREETINGS[greeting]);
        let mut ledger = BackendLedger::new(greeting.clone(), acks);
        let mut got = pass(&mut ledger, &stream, &cuts);
        let wanted = return_of(&greeting, acks, &stream);
        prop_assert_eq!(ledger.owed(), wanted.owed);
        prop_assert_eq!(ledger.is_transparent(), wanted.owed == 0 && !wanted.awaits_first, "no later than it may");
        let wanted = wanted.bytes;
        got.extend_from_slice(&ledger.finish());
        prop_assert!(got == wanted, "got {}\nwanted {}", got.escape_ascii(), wanted.escape_ascii());
        prop_assert!(ledger.is_transparent(), "at the end nothing is held back");
    }

    /// Whoever was not spoken to receives every byte as it was sent.
    #[test]
    fn without_a_greeting_every_byte_returns(stream in backend(), cuts in cuts()) {
        prop_assert_eq!(pass(&mut BackendLedger::transparent(), &stream, &cuts), stream);
    }
}

/// What the client gets for these first SETTINGS behind this greeting.
#[track_caller]
fn adapted(greeting: &[(u16, u32)], first: &[(u16, u32)]) -> (Vec<(u16, u32)>, Reconciled) {
    let mut ledger = BackendLedger::new(greeting_of(greeting), 1);
    assert_eq!(ledger.reconciled(), Reconciled::NotYet);
    let stream = Backend::silent().settings(first).bytes();
    let got = pass(&mut ledger, &stream, &Cuts::whole());
    assert_eq!(got, pass(&mut BackendLedger::new(greeting_of(greeting), 1), &stream, &Cuts::bytewise()));
    (frames(&got).0[0].settings(), ledger.reconciled())
}

/// C-4, T-set-omit: a value once sent stays in force, so what the backend leaves out is taken back.
#[test]
fn what_the_backend_does_not_say_goes_back_to_its_default() {
    let all = [(1, 0), (3, 7), (4, 9), (5, 16_384), (6, 11)];
    let defaults = [(1, 4_096), (3, 0x7fff_ffff), (4, 65_535), (5, 16_384), (6, u32::MAX)];
    assert_eq!(adapted(&all, &[]), (defaults.to_vec(), Reconciled::Adapted));
    assert_eq!(adapted(&[(3, 100)], &[]).0, [(3, 0x7fff_ffff)]);
    assert_eq!(adapted(&[(3, 100)], &[(4, 1 << 20)]).0, [(4, 1 << 20), (3, 0x7fff_ffff)]);
    for all_said in [vec![(3, 250)], vec![(3, 0)], vec![(4, 1), (3, 100), (3, 5)]] {
        assert_eq!(adapted(&[(3, 100)], &all_said), (all_said, Reconciled::Unchanged), "said by the backend");
    }
    assert_eq!(adapted(&[], &[(4, 1)]), (vec![(4, 1)], Reconciled::Unchanged));
}

/// T-set-9, R9: it must not change after the first SETTINGS (RFC 9218 §2.1), and those were the mux's.
#[test]
fn no_rfc7540_priorities_is_taken_out() {
    for greeting in [&[(3, 100)][..], &[(3, 100), (9, 0)], &[(3, 100), (9, 1)]] {
        // What x/net sends since 0.50.
        let seen = adapted(greeting, &[(5, 1 << 20), (3, 250), (6, 1_048_896), (4, 1 << 20), (9, 1)]);
        let wanted = vec![(5, 1 << 20), (3, 250), (6, 1_048_896), (4, 1 << 20)];
        assert_eq!(seen, (wanted, Reconciled::Adapted));
        assert_eq!(adapted(greeting, &[(9, 0), (3, 1), (9, 1)]).0, [(3, 1)]);
    }
}

/// T-set-ws: it must not go back from 1 to 0 (RFC 8441 §3), and is never promised on a backend's behalf.
#[test]
fn enable_connect_protocol_never_goes_back() {
    assert_eq!(adapted(&[(8, 1)], &[(8, 0), (3, 1)]).0, [(3, 1)]);
    assert_eq!(adapted(&[(8, 1)], &[(3, 1)]), (vec![(3, 1)], Reconciled::Unchanged));
    assert_eq!(adapted(&[(8, 1)], &[(8, 1)]), (vec![(8, 1)], Reconciled::Unchanged));
    assert_eq!(adapted(&[(3, 100)], &[(8, 0), (3, 1)]), (vec![(8, 0), (3, 1)], Reconciled::Unchanged));
    assert_eq!(adapted(&[(8, 0)], &[(8, 1)]), (vec![(8, 1)], Reconciled::Unchanged));
    assert_eq!(adapted(&[(8, 0)], &[(8, 0)]), (vec![(8, 0)], Reconciled::Unchanged));
}

/// T-set-grease: unknown identifiers, duplicates and their order are the backend's.
#[test]
fn all_else_passes_in_order() {
    let entries = vec![(0x2a2a, 5), (2, 0), (0xfe03, 1), (3, 100), (0x2a2a, 6), (1, 0), (4, u32::MAX)];
    assert_eq!(adapted(&[(3, 100)], &entries), (entries, Reconciled::Unchanged));
}

/// Undefined flags and the reserved bit of the frame are not the mux's to change.
#[test]
fn the_head_of_adapted_settings_keeps_its_odd_bits() {
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    let got = pass(&mut ledger, &[0, 0, 0, 4, 0xf0, 0x80, 0, 0, 0], &Cuts::whole());
    assert_eq!(got, [0, 0, 6, 4, 0xf0, 0x80, 0, 0, 0, 0, 3, 0x7f, 0xff, 0xff, 0xff]);
}

/// The largest SETTINGS that a client takes (RFC 9113 §4.2) is not made larger; a larger one is not held back at all.
#[test]
fn an_adapted_frame_never_outgrows_the_frame_size() {
    let entries: Vec<(u16, u32)> = (0..2_730).map(|i| (0x4000 + i, 0)).collect();
    let (got, _) = adapted(&[(3, 100)], &entries);
    assert!(got.len() * 6 <= 16_384, "{} entries", got.len());
    assert_eq!(got[..2_730], entries);
    let mut with_9 = entries.clone();
    with_9[7] = (9, 1);
    assert_eq!(adapted(&[(3, 100)], &with_9).0.len(), 2_730, "the room of one that was taken out");

    let larger = Backend::silent().frame(Kind::SETTINGS, 0, 0, &[9; 16_386]).settings_ack().bytes();
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    let mut start = &larger[..100];
    let mut passed = 0;
    while let Some(piece) = ledger.pull(&mut start) {
        passed += piece.len();
    }
    assert_eq!(passed, 100, "nothing held back");
    assert_eq!(pass(&mut ledger, &larger[100..], &Cuts(vec![1_000])).len(), 9 + 16_386 - 100, "less the ACK");
}

/// How many ACKs reach the client of a backend that sends this behind its SETTINGS, and how many it still owes.
fn acks_through(given: u32, stream: &Script) -> (usize, u32) {
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), given);
    let got = pass(&mut ledger, &stream.bytes(), &Cuts::bytewise());
    (frames(&got).0.iter().filter(|frame| frame.is_settings_ack()).count(), ledger.owed())
}

#[test]
fn acks_are_dropped_by_number_wherever_they_come() {
    let start = || Backend::silent().settings(&[(3, 100)]);
    assert_eq!(acks_through(1, &start().settings_ack()), (0, 0));
    assert_eq!(
        acks_through(1, &start().settings_ack().settings_ack()),
        (1, 0),
        "of a SETTINGS behind the verdict"
    );
    assert_eq!(acks_through(2, &start().settings_ack().settings_ack()), (0, 0));
    // x/net answers two SETTINGS in one segment with one ACK: the ledger stays open.
    assert_eq!(acks_through(2, &start().settings_ack().headers(1, &[(":status", "200")])), (0, 1));
    // As late as its first response, or later.
    let late =
        start().headers(1, &[(":status", "200")]).data(1, false, &ACK).settings_ack().data(1, true, &ACK);
    assert_eq!(acks_through(1, &late), (0, 0));
    // In front of its own SETTINGS, which are reconciled all the same.
    let early = Backend::silent().settings_ack().settings(&[(9, 1)]);
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    let got = pass(&mut ledger, &early.bytes(), &Cuts::whole());
    assert_eq!(frames(&got).0.iter().map(|f| f.settings()).collect::<Vec<_>>(), [vec![(3, 0x7fff_ffff)]]);
    // Two SETTINGS at once: the second one is none of the mux's business.
    let two = Backend::silent().settings(&[(3, 1)]).settings(&[(3, 2), (4, 9)]).settings_ack().bytes();
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    assert_eq!(pass(&mut ledger, &two, &Cuts::bytewise()), two[..two.len() - 9]);
    assert!(ledger.is_transparent());
}

#[test]
fn a_malformed_ack_of_the_backend_passes() {
    for malformed in [&[0, 0, 6, 4, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1][..], &[0, 0, 0, 4, 1, 0, 0, 0, 3]] {
        let stream = Backend::silent().settings(&[(3, 1)]).raw(malformed).bytes();
        let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
        assert_eq!(pass(&mut ledger, &stream, &Cuts::bytewise()), stream);
        assert_eq!(ledger.owed(), 1);
    }
}

/// A backend that does not speak HTTP/2: everything passes, and the ledger is closed for good.
#[test]
fn a_backend_without_http2_passes_untouched() {
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n", "SSH-2.0-x\r\n"] {
        let stream = [text.as_bytes(), &ACK].concat();
        for cuts in [Cuts::whole(), Cuts::bytewise()] {
            let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
            assert_eq!(pass(&mut ledger, &stream, &cuts), stream);
            assert_eq!((ledger.reconciled(), ledger.is_transparent()), (Reconciled::NotHttp2, true));
        }
    }
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    assert_eq!(pass(&mut ledger, b"220 m", &Cuts::whole()), b"");
    assert_eq!(ledger.finish(), b"220 m", "too short to tell");
}

/// The first SETTINGS are held until they are whole, and no longer; at the end of the stream they go on as they are.
#[test]
fn the_first_settings_are_held_until_whole() {
    let stream = Backend::silent().settings(&[(3, 1), (4, 2)]).bytes();
    for cut in 0..stream.len() {
        let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
        assert_eq!(pass(&mut ledger, &stream[..cut], &Cuts::whole()), b"");
        let mut ended = ledger.clone();
        assert_eq!(ended.finish(), &stream[..cut]);
        assert!(ended.is_transparent() && ended.finish().is_empty(), "nothing is owed at the end");
        assert_eq!(pass(&mut ledger, &stream[cut..], &Cuts::whole()), stream);
    }
}

/// Of a head that is not whole, all that has come is held back, and the ledger says how much: a writer must know whether it stands within
/// one. Nothing of a payload is.
#[test]
fn the_start_of_a_head_is_held_back() {
    let settings = Backend::silent().settings(&[(3, 1)]).bytes();
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    assert_eq!(pass(&mut ledger, &settings, &Cuts::whole()), settings);
    let ping = Backend::silent().ping([7; 8]).bytes();
    for frame in [&ping[..], &ACK] {
        for (i, byte) in frame.iter().enumerate() {
            pass(&mut ledger, &[*byte], &Cuts::whole());
            assert_eq!(ledger.held_head(), if i < 8 { i + 1 } else { 0 }, "behind byte {i}");
        }
    }
    assert!(ledger.is_transparent());
}

/// How many ACKs the mux gave is what the return ledger of the handover starts with: those of the greeting and those behind it.
#[test]
fn the_ledger_starts_with_the_acks_that_were_given() {
    let given = |client: Script| match tell(&Scene::grpc_or_rest(client.headers(1, GRPC_CALL))).ending {
        Ending::Routed { owed_by_backend, .. } => owed_by_backend,
        Ending::Closed(outcome) => panic!("{outcome:?}"),
    };
    let start = || Client::http2().settings(&[]);
    assert_eq!(given(start().settings(&[])), None);
    assert_eq!(given(start().pause(s(1))), Some(1));
    assert_eq!(given(start().settings(&[]).pause(s(1))), Some(2));
    assert_eq!(given(start().pause(s(1)).settings(&[])), Some(2));
    let behind = start().pause(ms(9)).headers(1, GRPC_CALL).settings(&[]);
    assert_eq!(given(behind), Some(1), "SETTINGS behind the verdict are the backend's to acknowledge");
}
