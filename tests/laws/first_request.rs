//! Law 4: on HTTP/2 the header block of the first request decides, complete with its CONTINUATIONs, and nothing after it.

use oneport_core::testing::{literals, Client, Script, Shape, GET, GRPC_CALL};
use oneport_core::wire::frame::{flag, Kind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::drive::{play, tell};
use crate::support::ms;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{apply, cuts, say, Say, REQUESTS};
use crate::support::terms::Term;

fn request(kind: usize, stream: u32) -> Say {
    Say::Head { kind, stream, shape: Shape::default(), is_plain: false }
}

proptest! {
    /// R5: with anything behind the first request, in the same segment or later, the verdict is what it is without.
    #[test]
    fn nothing_behind_the_first_request_changes_the_verdict(
        waits in any::<bool>(),
        before in vec(say(), 0..3),
        first in 0..REQUESTS.len(),
        behind in vec(prop_oneof![say(), (0..REQUESTS.len(), 0..9_u32).prop_map(|(k, n)| request(k, n))], 1..8),
        cuts in cuts(),
    ) {
        let mut alone = Client::http2().settings(&[]);
        if waits {
            alone = alone.pause(ms(20));
        }
        for say in &before {
            alone = apply(alone, say);
        }
        alone = apply(alone, &request(first, 1));
        let followed = behind.iter().fold(alone.clone(), apply);
        let routes = [Term::Grpc, Term::Path("/x"), Term::WebSocket, Term::ByteAt(120, 0)];
        let alone = play(&Scene::new(routes.clone(), alone).otherwise(), &cuts).0;
        let followed = play(&Scene::new(routes, followed).otherwise(), &cuts).0;
        prop_assert_eq!(alone.to(), followed.to());
        prop_assert_eq!(alone.outcome(), followed.outcome());
        prop_assert_eq!((alone.at, alone.words), (followed.at, followed.words));
    }
}

#[track_caller]
fn goes_to(client: Script, to: To) {
    assert_eq!(tell(&Scene::grpc_or_rest(client)).to(), Some(to));
}

/// R5, C-2: both orders, pipelined and one after the other, with the greeting in between or without.
#[test]
fn two_requests_of_one_client_go_where_the_first_one_goes() {
    for pause in [ms(0), ms(50)] {
        let start = || Client::http2().settings(&[]).pause(pause);
        goes_to(start().headers(1, GET).headers(3, GRPC_CALL).settings_ack(), To::Otherwise);
        goes_to(start().headers(1, GRPC_CALL).headers(3, GET).settings_ack(), To::Route(0));
        goes_to(start().settings_ack().headers(1, GET).pause(ms(9)).headers(3, GRPC_CALL), To::Otherwise);
    }
}

/// Trailers come in HEADERS, too.
#[test]
fn trailers_do_not_count() {
    let trailers = &[("content-type", "application/grpc")][..];
    let shape = Shape { has_body: true, ..Shape::default() };
    let client = Client::http2().settings(&[]).block(1, &literals(GET), &shape).data(1, false, b"body");
    goes_to(client.headers(1, trailers), To::Otherwise);
}

/// The block ends with its last CONTINUATION, and not before: the field that decides may stand in any of them.
#[test]
fn the_block_is_whole_with_its_last_continuation() {
    let block = literals(GRPC_CALL);
    for cut in 0..=block.len() {
        let shape = Shape { cuts: vec![cut, cut], ..Shape::default() };
        goes_to(Client::http2().settings(&[]).block(1, &block, &shape), To::Route(0));
    }
    let unfinished = Client::http2().settings(&[]).frame(Kind::HEADERS, flag::END_STREAM, 1, &block);
    let seen = tell(&Scene::grpc_or_rest(unfinished));
    assert_eq!(seen.to(), None, "no END_HEADERS");
}

/// Only the first block of the connection counts, whatever its stream (nghttp starts with 13).
#[test]
fn the_number_of_the_stream_does_not_matter() {
    for stream in [1, 3, 13, 0x7fff_ffff] {
        goes_to(Client::http2().settings(&[]).headers(stream, GRPC_CALL).headers(1, GET), To::Route(0));
    }
}
