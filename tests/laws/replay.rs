//! Law 5: the backend receives exactly the client's bytes in order, less the ACK of the mux's own SETTINGS, wherever it comes,
//! and each PING that the mux answered itself.

use oneport_core::ledger::ClientLedger;
use oneport_core::testing::{Client, Script, Shape, GET, GRPC_CALL};
use oneport_core::wire::frame::Kind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::drive::{play, tell, Cuts, Ending};
use crate::support::ledgers::without_first_ack;
use crate::support::ms;
use crate::support::scene::Scene;
use crate::support::strategies::{apply, bystander, cuts, say, say_at_once, Say, ACK};
use crate::support::terms::Term;

#[derive(Clone, Debug)]
enum Item {
    /// It reaches the backend.
    Stays(Say),
    /// It was for the mux.
    Removed(Say),
    Request,
}

fn build(items: &[Item], pauses: &[bool], with_removed: bool) -> Script {
    let mut script = Client::http2().settings(&[]).pause(ms(20));
    for (i, item) in items.iter().enumerate() {
        match item {
            Item::Stays(say) => script = apply(script, say),
            Item::Removed(say) if with_removed => script = apply(script, say),
            Item::Removed(_) => {}
            Item::Request => script = script.headers(1, GRPC_CALL),
        }
        if pauses.get(i % pauses.len().max(1)) == Some(&true) {
            script = script.pause(ms(1));
        }
    }
    script
}

proptest! {
    /// T-ack-prop, C-1: the oracle builds the conversation twice, with and without what was for the mux. No parser in it.
    #[test]
    fn the_ack_leaves_wherever_it_comes(
        before in vec(bystander(), 0..5),
        pings in vec((any::<u8>(), any::<Index>()), 0..4),
        behind in vec(prop_oneof![bystander(), any::<u8>().prop_map(Say::Ping), any::<bool>().prop_map(Say::MalformedAck)], 0..6),
        ack in any::<Index>(),
        later_acks in 0..3_usize,
        pauses in vec(any::<bool>(), 0..4),
        cuts in cuts(),
    ) {
        let mut items: Vec<_> = before.into_iter().map(Item::Stays).collect();
        for (opaque, at) in pings {
            items.insert(at.index(items.len() + 1), Item::Removed(Say::Ping(opaque)));
        }
        items.push(Item::Request);
        items.extend(behind.into_iter().map(Item::Stays));
        items.insert(ack.index(items.len() + 1), Item::Removed(Say::Ack));
        items.extend((0..later_acks).map(|_| Item::Stays(Say::Ack)));
        let scene = Scene::grpc_or_rest(build(&items, &pauses, true));
        let seen = play(&scene, &cuts).0;
        prop_assert!(seen.is_greeted());
        let wanted = build(&items, &pauses, false).bytes();
        prop_assert!(seen.backend() == wanted, "got {}\nwanted {}", seen.backend().escape_ascii(), wanted.escape_ascii());
    }

    /// D-7: whoever was not spoken to is replayed byte for byte, ACKs and PINGs and all.
    #[test]
    fn without_a_greeting_every_byte_goes_through(
        says in vec(say_at_once(), 0..8),
        cuts in cuts(),
    ) {
        let client = says.iter().fold(Client::http2().settings(&[]), apply).headers(1, GET);
        let seen = play(&Scene::new([Term::Http2], client.clone()), &cuts).0;
        prop_assert_eq!(seen.backend(), client.bytes());
        let scene = Scene::new([Term::Path("/x")], client.clone()).otherwise().configured(|config| config.max_settings = 99);
        let seen = play(&scene, &cuts).0;
        prop_assert_eq!((seen.backend(), seen.words.len()), (&client.bytes()[..], 0));
    }

    /// The ledger alone, on streams that need not make sense.
    #[test]
    fn the_ledger_takes_out_the_first_ack_and_nothing_else(
        says in vec(say(), 0..10),
        tail in vec(any::<u8>(), 0..12),
        owed in 0..3_u32,
        cuts in cuts(),
    ) {
        let stream = says.iter().fold(Client::silent(), apply).raw(tail).bytes();
        let mut wanted = stream.clone();
        let mut left = owed;
        while left > 0 {
            let (without, had_one) = without_first_ack(&wanted, 0, 0);
            wanted = without;
            if !had_one {
                break;
            }
            left -= 1;
        }
        let mut ledger = ClientLedger::new(owed);
        let mut got = pass(&mut ledger, &stream, &cuts);
        prop_assert_eq!(ledger.owed(), left);
        got.extend_from_slice(ledger.finish());
        prop_assert!(got == wanted, "got {}\nwanted {}", got.escape_ascii(), wanted.escape_ascii());
    }
}

fn pass(ledger: &mut ClientLedger, stream: &[u8], cuts: &Cuts) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = stream;
    for size in cuts.0.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut chunk, behind) = rest.split_at((*size).min(rest.len()));
        rest = behind;
        while let Some(piece) = ledger.pull(&mut chunk) {
            out.extend_from_slice(&piece);
        }
    }
    out
}

fn greeted() -> Script {
    Client::http2().settings(&[(4, 1 << 20)]).pause(ms(20))
}

#[track_caller]
fn replays(client: Script, wanted: &Script) {
    let seen = tell(&Scene::grpc_or_rest(client));
    assert_eq!(seen.backend().escape_ascii().to_string(), wanted.bytes().escape_ascii().to_string());
}

#[test]
fn an_ack_that_came_before_the_greeting_is_not_the_one() {
    let client =
        Client::http2().settings(&[]).settings_ack().pause(ms(20)).settings_ack().headers(1, GRPC_CALL);
    let wanted = Client::http2().settings(&[]).settings_ack().headers(1, GRPC_CALL);
    replays(client, &wanted);
}

#[test]
fn a_look_alike_inside_data_stays() {
    let body = Shape { has_body: true, ..Shape::default() };
    let block = oneport_core::testing::literals(GRPC_CALL);
    let client = |with_ack: bool| {
        let client = greeted().block(1, &block, &body).data(1, false, &ACK);
        let client = if with_ack { client.settings_ack() } else { client };
        client.data(1, true, &[ACK, ACK].concat()).settings_ack()
    };
    replays(client(true), &client(false));
}

/// With a payload or on a stream it is none: the backend judges it, and the real one is still waited for. Undefined flags and
/// the reserved bit mean nothing.
#[test]
fn a_malformed_ack_goes_through() {
    for malformed in [&[0, 0, 6, 4, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1][..], &[0, 0, 0, 4, 1, 0, 0, 0, 3]] {
        let client = greeted().headers(1, GRPC_CALL).raw(malformed).settings_ack().window_update(0, 9);
        replays(client, &greeted().headers(1, GRPC_CALL).raw(malformed).window_update(0, 9));
        // Ahead of the request as well, though no request can be read behind it.
        let client = greeted().raw(malformed).settings_ack().headers(1, GRPC_CALL);
        replays(client, &greeted().raw(malformed).headers(1, GRPC_CALL));
    }
    let odd = [0, 0, 0, 4, 0xff, 0x80, 0, 0, 0];
    replays(greeted().headers(1, GRPC_CALL).raw(odd), &greeted().headers(1, GRPC_CALL));
    replays(greeted().raw(odd).headers(1, GRPC_CALL), &greeted().headers(1, GRPC_CALL));
}

/// P-1: the client has its answer, and a second one from the backend would be one too many.
#[test]
fn only_an_answered_ping_leaves() {
    let client = greeted().ping([1; 8]).settings_ack().headers(1, GRPC_CALL).ping([2; 8]);
    replays(client, &greeted().headers(1, GRPC_CALL).ping([2; 8]));
    let early = Client::http2().settings(&[]).ping([1; 8]).priority(3).pause(ms(20)).settings_ack();
    let wanted = Client::http2().settings(&[]).priority(3).headers(1, GRPC_CALL);
    replays(early.headers(1, GRPC_CALL), &wanted);
    let pong = |script: Script| script.frame(Kind::PING, 1, 0, &[3; 8]).headers(1, GRPC_CALL);
    replays(pong(greeted()), &pong(greeted()));
}

/// The ledger stays open for an ACK that comes late, and does not invent one that never comes.
#[test]
fn an_ack_that_never_comes_is_owed_for_ever() {
    let client = greeted().headers(1, GRPC_CALL).data(1, true, b"x").raw([0, 0, 0, 4]);
    let seen = tell(&Scene::grpc_or_rest(client.clone()));
    let Ending::Routed { backend, owes_ack, .. } = seen.ending else { panic!("not routed") };
    assert!(owes_ack);
    assert_eq!(backend, client.bytes(), "half a head at the end goes through");
}

/// An ACK that is half read when the verdict falls, at each of its bytes.
#[test]
fn an_ack_may_straddle_the_verdict() {
    let head = greeted().headers(1, GRPC_CALL);
    for cut in 0..=ACK.len() {
        let client = head.clone().raw(&ACK[..cut]).pause(ms(3)).raw(&ACK[cut..]).window_update(0, 1);
        replays(client, &head.clone().window_update(0, 1));
    }
}
