//! The ledgers: what goes on does not depend on the cut, and is what a model says that sees the whole stream at once.

use crate::script::{choices, cuts};
use oneport_core::ledger::{BackendLedger, ClientLedger, Piece, Reconciled};
use oneport_core::wire::frame::{Head, Kind, DEFAULT_MAX_FRAME_SIZE, HEAD_LEN};
use oneport_core::wire::settings::{entries, Setting, SettingId, ENTRY_LEN};
use oneport_core::Greeting;

/// Client to backend. The first byte says how many acknowledgements are owed, the second seeds a cut.
pub fn client_ledger(data: &[u8]) {
    let ([owed, seed], stream) = choices(data);
    let owed = u32::from(owed % 4);
    let expected = without_acks(stream, owed);
    for cut in cuts(stream, seed) {
        let mut ledger = ClientLedger::new(owed);
        let mut out = Vec::new();
        for mut chunk in cut {
            let was_transparent = ledger.is_transparent();
            while let Some(piece) = ledger.pull(&mut chunk) {
                check(&piece, was_transparent);
                out.extend_from_slice(&piece);
            }
            assert!(!was_transparent || ledger.is_transparent(), "transparent for good");
            assert!(ledger.owed() <= owed);
        }
        let held = ledger.finish();
        assert!(held.len() < HEAD_LEN, "more than an unfinished head is held back");
        out.extend_from_slice(held);
        assert!(ledger.is_transparent(), "held back at the end");
        assert_eq!(out, expected);
    }
}

/// Backend to client. The first byte chooses what the mux has said, the second how many acknowledgements it gave, the third seeds
/// a cut.
pub fn backend_ledger(data: &[u8]) {
    let ([greeting, acks, seed], stream) = choices(data);
    let acks = u32::from(acks % 4);
    let greetings = greetings();
    let greeting = greetings.get(usize::from(greeting) % (greetings.len() + 1));
    let expected =
        greeting.map_or((stream.to_vec(), Reconciled::Unchanged), |said| reconciled(stream, said, acks));
    for cut in cuts(stream, seed) {
        let mut ledger =
            greeting.map_or(BackendLedger::transparent(), |said| BackendLedger::new(said.clone(), acks));
        let mut out = Vec::new();
        for mut chunk in cut {
            let was_transparent = ledger.is_transparent();
            while let Some(piece) = ledger.pull(&mut chunk) {
                check(&piece, was_transparent);
                out.extend_from_slice(&piece);
            }
            assert!(!was_transparent || ledger.is_transparent(), "transparent for good");
        }
        let become_of_first = ledger.reconciled();
        let held = ledger.finish();
        assert!(
            held.len() <= HEAD_LEN + DEFAULT_MAX_FRAME_SIZE as usize,
            "more than the first SETTINGS is held back"
        );
        out.extend_from_slice(&held);
        assert!(ledger.is_transparent() && ledger.finish().is_empty(), "owes something at the end");
        assert_eq!((out, become_of_first), expected);
    }
}

/// What the mux may have said: the default, nothing, and all that a greeting can have.
fn greetings() -> [Greeting; 3] {
    let all = [
        (SettingId::HEADER_TABLE_SIZE, 0),
        (SettingId::INITIAL_WINDOW_SIZE, 1_000),
        (SettingId::MAX_FRAME_SIZE, 16_384),
        (SettingId::MAX_HEADER_LIST_SIZE, 9),
        (SettingId::ENABLE_CONNECT_PROTOCOL, 1),
        (SettingId::NO_RFC7540_PRIORITIES, 1),
    ];
    let all = Greeting::new(all.map(|(id, value)| Setting { id, value })).expect("a greeting");
    [Greeting::default(), Greeting::new([]).expect("an empty greeting"), all]
}

fn check(piece: &Piece<'_, '_>, was_transparent: bool) {
    assert!(!piece.is_empty(), "an empty piece");
    assert!(!was_transparent || matches!(piece, Piece::Chunk(_)), "copied, though nothing is owed");
}

/// The model: the stream less its first `owed` acknowledgements.
pub(crate) fn without_acks(stream: &[u8], mut owed: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = stream;
    while let (1.., Some(head)) = (owed, Head::peek(rest)) {
        let (frame, tail) = rest.split_at(head.frame_len().min(rest.len()));
        if head.is_settings_ack() {
            owed -= 1;
        } else {
            out.extend_from_slice(frame);
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out
}

/// The model of the other direction: acknowledgements go, the first frame that is none is adapted.
fn reconciled(stream: &[u8], said: &Greeting, mut owed: u32) -> (Vec<u8>, Reconciled) {
    let mut out = Vec::new();
    let mut rest = stream;
    let (first, payload) = loop {
        let Some(head) = Head::peek(rest) else {
            out.extend_from_slice(rest);
            return (out, Reconciled::NotYet);
        };
        let (frame, tail) = rest.split_at(head.frame_len().min(rest.len()));
        if !(head.is_settings_ack() && owed > 0) {
            rest = tail;
            break (head, frame);
        }
        owed -= 1;
        rest = tail;
    };
    let is_legal = first.flags & 1 == 0
        && first.stream == 0
        && first.length as usize % ENTRY_LEN == 0
        && first.length <= DEFAULT_MAX_FRAME_SIZE;
    if first.kind != Kind::SETTINGS {
        out.extend_from_slice(payload);
        out.extend_from_slice(rest);
        return (out, Reconciled::NotHttp2);
    }
    if !is_legal {
        out.extend_from_slice(payload);
        out.extend_from_slice(&without_acks(rest, owed));
        return (out, Reconciled::Unchanged);
    }
    if payload.len() < first.frame_len() {
        out.extend_from_slice(payload);
        return (out, Reconciled::NotYet);
    }
    let before: Vec<Setting> = entries(&payload[HEAD_LEN..]).collect();
    let mut after = before.clone();
    after.retain(|setting| setting.id != SettingId::NO_RFC7540_PRIORITIES);
    if said.value_of(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1) {
        after.retain(|setting| (setting.id, setting.value) != (SettingId::ENABLE_CONNECT_PROTOCOL, 0));
    }
    for setting in said.entries() {
        let default = match setting.id.0 {
            1 => 4_096,
            3 => 0x7fff_ffff,
            4 => 65_535,
            5 => 16_384,
            6 => u32::MAX,
            _ => continue,
        };
        let fits = (after.len() + 1) * ENTRY_LEN <= DEFAULT_MAX_FRAME_SIZE as usize;
        if fits && before.iter().all(|entry| entry.id != setting.id) {
            after.push(Setting { id: setting.id, value: default });
        }
    }
    let length = (after.len() * ENTRY_LEN) as u32;
    out.extend_from_slice(&Head { length, ..first }.encode());
    after.iter().for_each(|setting| out.extend_from_slice(&setting.encode()));
    out.extend_from_slice(&without_acks(rest, owed));
    (out, if before == after { Reconciled::Unchanged } else { Reconciled::Adapted })
}
