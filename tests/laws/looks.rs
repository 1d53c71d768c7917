//! Beside the laws: what a listener learns of a connection without touching it, before the verdict and on the way to the route. By the
//! last byte and the bytes held it chooses who has to go when there are too many.

use std::time::Instant;

use oneport_core::testing::{Client, Script, GET, GRPC_CALL};
use oneport_core::{matchers, Config, Fact, MuxMachine, Outcome, Output, Phase, Reason, Reply, Routes};

use crate::support::drive::Player;
use crate::support::ms;
use crate::support::scene::Scene;
use crate::support::terms::Term;

fn waiting() -> Script {
    Client::http2().settings(&[])
}

/// A machine that has said its greeting to a client that waits, and when.
fn greeted() -> (MuxMachine<&'static str>, Instant) {
    let now = Instant::now();
    let routes = Routes::new().route(matchers::grpc(), "grpc");
    let mut machine = MuxMachine::new(routes.into(), Config::default().into(), now);
    machine.handle_input(&waiting().bytes(), now);
    let now = now + Config::default().settings_patience;
    machine.handle_timeout(now);
    assert!(matches!(machine.poll_output(), Output::Write(Reply::Greeting { .. })));
    (machine, now)
}

/// Neither what the mux says nor a timeout is a sign of life, and a refusal does not forget the last one.
#[test]
fn the_last_byte_is_the_clients() {
    let scene = Scene::grpc_or_rest(waiting());
    let mut player = Player::new(&scene);
    assert_eq!(player.machine.last_byte(), None);
    player.wait(ms(7));
    assert_eq!(player.machine.last_byte(), None);
    player.input(&waiting().bytes());
    let first = player.instant();
    assert_eq!(player.machine.last_byte(), Some(first));
    player.wait(ms(500));
    assert!(player.machine.is_greeted());
    player.input(&[]);
    assert_eq!(player.machine.last_byte(), Some(first));
    player.input(&Client::silent().headers(1, GRPC_CALL).bytes());
    let last = player.instant();
    assert_eq!(player.machine.last_byte(), None, "now the handover knows it");
    let handover = player.into_handover();
    assert_eq!(handover.last_byte(), Some(last));
    assert_eq!(handover.refuse(Reason::BackendDown, last + ms(9)).last_byte(), Some(last));

    let silent = Player::new(&Scene::new([Term::Any], Client::silent())).into_handover();
    assert_eq!(silent.last_byte(), None, "it goes to a route without a byte");
}

#[test]
fn facts_are_there_from_the_start_and_grow_with_the_opening() {
    let http2 = |player: &Player| player.machine.facts().map(|facts| facts.http2());
    let mut player = Player::new(&Scene::grpc_or_rest(waiting()));
    assert_eq!(http2(&player), Some(Fact::Unknown));
    player.input(b"PRI * HTTP/2.0\r\n");
    assert_eq!(http2(&player), Some(Fact::Unknown));
    player.input(b"\r\nSM\r\n\r\n");
    assert_eq!(http2(&player), Some(Fact::Present(())));
    assert!(player.machine.facts().is_some_and(|facts| facts.request().is_unknown()));
}

/// A connection on its way to its route holds its opening still, and what was found in it.
#[test]
fn what_waits_for_its_route_counts() {
    let mut player = Player::new(&Scene::grpc_or_rest(Client::silent()));
    let part = waiting().frame(oneport_core::wire::frame::Kind(0xee), 0, 0, &[0; 3_000]).bytes();
    player.input(&part);
    assert!(player.machine.buffered() >= part.len());
    let request = Client::silent().headers(1, GRPC_CALL).bytes();
    player.input(&request);
    assert_eq!(player.machine.buffered(), 0, "now the handover holds it");
    let handover = player.into_handover();
    let list: usize = GRPC_CALL.iter().map(|(_, value)| value.len()).sum();
    let least = part.len() + request.len() + list;
    assert!(handover.buffered() >= least, "{} bytes of at least {least}", handover.buffered());
    assert!(handover.buffered() < 3 * least, "{} bytes of about {least}", handover.buffered());
}

/// Answers count until they are said: a client that sends PINGs and does not read makes them.
#[test]
fn answers_that_wait_count() {
    let (mut machine, now) = greeted();
    let before = machine.buffered();
    for n in 1..=8 {
        machine.handle_input(&Client::silent().ping([n; 8]).bytes(), now);
        let held = machine.buffered();
        assert!(held >= before + usize::from(n) * 8, "{held} bytes with {n} answers, {before} before");
    }
}

/// One that was refused before it said a word is still a probe when it leaves, and an opening when it does not.
#[test]
fn a_refusal_is_no_word_of_the_client() {
    let refused = || {
        let mut player = Player::new(&Scene::new([Term::Any], Client::silent()));
        player.refuse(Reason::BackendDown);
        assert_eq!(player.machine.phase(), Phase::Silent);
        player
    };
    let mut gone = refused();
    gone.end(oneport_core::testing::End::Reset);
    assert_eq!(gone.outcome(), Some(Outcome::Left(Phase::Silent)));
    let mut late = refused();
    late.input(b"GET /");
    assert_eq!(late.machine.phase(), Phase::Opening);
    late.end(oneport_core::testing::End::Reset);
    assert_eq!(late.outcome(), Some(Outcome::Left(Phase::Opening)));
}

/// What comes in the same turn as the verdict: the end of the client's side takes neither its route from it nor its answer.
#[test]
fn an_end_behind_the_request_undoes_nothing() {
    let told = |routes: Routes<&'static str>, client: &[u8]| {
        let now = Instant::now();
        let mut machine = MuxMachine::new(routes.into(), Config::default().into(), now);
        machine.handle_input(client, now);
        machine.handle_eof(now);
        let mut words = 0;
        loop {
            match machine.poll_output() {
                Output::Write(_) => words += 1,
                Output::Routed(handover) => break (words, Outcome::Routed(handover.why())),
                Output::Closed(outcome) => break (words, outcome),
                other => panic!("{other:?}"),
            }
        }
    };
    let call = waiting().headers(1, GRPC_CALL).bytes();
    let get = waiting().headers(1, GET).bytes();
    let grpc = || Routes::new().route(matchers::grpc(), "grpc");
    assert_eq!(told(grpc(), &call), (0, Outcome::Routed(oneport_core::Why::Matched(0))));
    assert_eq!(told(grpc(), &get), (1, Outcome::Refused(Reason::NoRoute)), "and it is told so");
    assert_eq!(told(grpc(), b"GET / HTTP/1.0\r\n\r\n"), (1, Outcome::Refused(Reason::NoRoute)));
}

#[test]
fn a_table_counts_its_routes() {
    let one = || Routes::new().route(matchers::tls(), "tls").otherwise("rest").on_timeout("slow");
    assert_eq!((Routes::<&str>::new().otherwise("rest").len(), one().len()), (0, 1));
    assert_eq!(one().route(matchers::grpc(), "grpc").route(matchers::any(), "any").len(), 3);
    assert!(Routes::<()>::new().otherwise(()).is_empty());
    assert!(!one().is_empty());
}
