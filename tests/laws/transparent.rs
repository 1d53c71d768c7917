//! Law 7: once nothing is owed, nothing is parsed, copied or held; and until then payload passes without a copy.

use std::ops::Range;

use oneport_core::ledger::{BackendLedger, ClientLedger, Piece};
use oneport_core::testing::{Client, GET, GRPC_CALL};
use oneport_core::Output;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::drive::{Cuts, Player};
use crate::support::ms;
use crate::support::scene::Scene;
use crate::support::strategies::{apply, cuts, greeting_of, say, ACK};

/// Whether these bytes lie inside the caller's own memory.
fn lies_in(piece: &[u8], chunk: &[u8]) -> bool {
    let range: Range<*const u8> = chunk.as_ptr_range();
    range.contains(&piece.as_ptr()) && piece.as_ptr_range().end <= range.end
}

/// Feeds a ledger; counts the bytes that went on out of its own memory.
fn copied(
    stream: &[u8],
    cuts: &Cuts,
    mut pull: impl FnMut(&mut &[u8], &mut dyn FnMut(Piece<'_, '_>)) -> bool,
) -> usize {
    let mut copied = 0;
    let mut rest = stream;
    for size in cuts.0.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (whole, behind) = rest.split_at((*size).min(rest.len()));
        rest = behind;
        let mut chunk = whole;
        while pull(&mut chunk, &mut |piece| match piece {
            Piece::Chunk(bytes) => assert!(lies_in(bytes, whole), "said to be the chunk's, and is not"),
            Piece::Held(bytes) => {
                assert!(!lies_in(bytes, whole));
                copied += bytes.len();
            }
        }) {}
    }
    copied
}

fn copied_to_backend(ledger: &mut ClientLedger, stream: &[u8], cuts: &Cuts) -> usize {
    copied(stream, cuts, |chunk, look| match ledger.pull(chunk) {
        Some(piece) => {
            look(piece);
            true
        }
        None => false,
    })
}

fn copied_to_client(ledger: &mut BackendLedger, stream: &[u8], cuts: &Cuts) -> usize {
    copied(stream, cuts, |chunk, look| match ledger.pull(chunk) {
        Some(piece) => {
            look(piece);
            true
        }
        None => false,
    })
}

proptest! {
    /// A ledger copies heads of frames at most, and only those that a cut divides.
    #[test]
    fn payload_is_the_callers_own_memory(says in vec(say(), 0..12), body in 0..8_000_usize, cuts in cuts()) {
        let script = Client::silent().settings(&[(3, 1)]).data(1, false, &vec![7; body]);
        let stream = says.iter().fold(script, apply).bytes();
        let frames = 2 + says.len();
        let bound = 9 * frames;
        prop_assert!(copied_to_backend(&mut ClientLedger::new(9), &stream, &cuts) <= bound);
        let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 9);
        prop_assert!(copied_to_client(&mut ledger, &stream, &cuts) <= bound + 15, "and the first SETTINGS");
    }

    /// Empty ledgers let everything pass in one piece, whatever it is.
    #[test]
    fn an_empty_ledger_looks_at_nothing(bytes in vec(any::<u8>(), 1..64)) {
        let hidden = [&bytes[..], &ACK, &bytes].concat();
        for chunk in [&bytes[..], &ACK, &hidden] {
            let mut rest = chunk;
            let piece = match ClientLedger::new(0).pull(&mut rest) {
                Some(Piece::Chunk(piece)) => (piece.as_ptr(), piece.len()),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!((piece, rest.len()), ((chunk.as_ptr(), chunk.len()), 0));
            let mut rest = chunk;
            let piece = match BackendLedger::transparent().pull(&mut rest) {
                Some(Piece::Chunk(piece)) => (piece.as_ptr(), piece.len()),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!((piece, rest.len()), ((chunk.as_ptr(), chunk.len()), 0));
        }
    }
}

#[test]
fn a_settled_ledger_is_transparent_in_the_same_chunk() {
    let stream = [&ACK[..], &[1, 2, 3], &ACK].concat();
    let mut ledger = ClientLedger::new(1);
    let mut chunk = &stream[..];
    let Some(Piece::Chunk(rest)) = ledger.pull(&mut chunk) else { panic!() };
    assert_eq!(rest, [&[1, 2, 3], &ACK[..]].concat(), "not parsed any more");
    assert!(ledger.is_transparent());

    let stream = [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1][..], &ACK, &[1, 2, 3], &ACK].concat();
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    let mut chunk = &stream[..];
    let first = ledger.pull(&mut chunk).map(|piece| piece.to_vec());
    assert_eq!(first.as_deref(), Some(&stream[..15]));
    let Some(Piece::Chunk(rest)) = ledger.pull(&mut chunk) else { panic!() };
    assert_eq!(rest, [&[1, 2, 3], &ACK[..]].concat());
    assert!(ledger.is_transparent());
}

/// Where the SETTINGS are the last thing owed, the ledger is settled with them, and not with whatever comes next.
#[test]
fn a_ledger_is_settled_with_the_last_thing_that_is_owed() {
    let stream = [&ACK[..], &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]].concat();
    let mut ledger = BackendLedger::new(greeting_of(&[(3, 100)]), 1);
    let mut chunk = &stream[..];
    while ledger.pull(&mut chunk).is_some() {}
    assert!(ledger.is_transparent());
    assert!(ledger.finish().is_empty(), "nothing twice");
}

#[test]
fn an_empty_chunk_is_nothing() {
    assert!(ClientLedger::new(1).pull(&mut &[][..]).is_none());
    assert!(BackendLedger::new(greeting_of(&[]), 1).pull(&mut &[][..]).is_none());
}

/// D-5, D-6: after the verdict no timer runs, nothing is held, and the machine has nothing to say.
#[test]
fn after_the_verdict_the_machine_is_out_of_the_way() {
    for client in [
        Client::http2().settings(&[]).headers(1, GET),
        Client::http2().settings(&[]).pause(ms(20)).headers(1, GRPC_CALL),
        Client::silent().raw("GET / HTTP/1.0\r\n\r\n"),
    ] {
        let mut player = Player::new(&Scene::grpc_or_rest(client.clone()));
        for piece in client.pieces() {
            player.wait(piece.at);
            player.input(&piece.bytes);
        }
        assert!(player.is_over());
        assert!(matches!(player.machine.poll_output(), Output::NeedInput { until: None }));
        assert_eq!((player.machine.deadline(), player.machine.buffered()), (None, 0));
        assert!(player.machine.facts().is_none());
        let is_greeted = !player.words.is_empty();
        let parts = player.into_handover().into_parts();
        assert_eq!(parts.to_backend.is_transparent(), !is_greeted);
        assert_eq!(parts.to_client.is_transparent(), !is_greeted);
    }
}
