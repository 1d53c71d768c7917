//! Law 3: order is priority. A route wins when it matches and every earlier one has said no match; "need more" of an earlier
//! one is waited for. All matchers see the same facts, and a route that has said no is not asked again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use oneport_core::testing::{Client, End, Hello, Script, GET, GRPC_CALL};
use oneport_core::{matchers, Config, Matcher, MuxMachine, Output, Routes, Verdict};
use proptest::prelude::*;

use crate::support::drive::{play, tell};
use crate::support::ms;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{client, cuts};
use crate::support::terms::Term;

/// Protocols that no two of can be the same.
fn disjoint() -> Vec<Term> {
    vec![
        Term::Ssh,
        Term::Socks5,
        Term::Postgres,
        Term::Tls,
        Term::Http1,
        Term::Grpc,
        Term::All(vec![Term::Http2, Term::Not(Box::new(Term::Grpc))]),
    ]
}

proptest! {
    /// C-10: where no two routes want the same, their order makes no difference.
    #[test]
    fn the_order_of_disjoint_routes_does_not_matter(
        order in Just((0..disjoint().len()).collect::<Vec<_>>()).prop_shuffle(),
        client in client(),
        cuts in cuts(),
    ) {
        let in_order = Scene::new(disjoint(), client.clone()).otherwise();
        let shuffled = Scene::new(order.iter().map(|&i| disjoint()[i].clone()), client).otherwise();
        let wanted = play(&in_order, &cuts).0.to();
        let got = play(&shuffled, &cuts).0.to().map(|to| match to {
            To::Route(i) => To::Route(order[i]),
            other => other,
        });
        // `SSH-` may still become the method of an HTTP/1 request: what was cut off there waits behind that route only.
        let is_undecided = got.is_none() || wanted.is_none();
        prop_assert!(is_undecided || got == wanted, "{:?} and {:?}", got, wanted);
    }

    /// A route that is put in front and never matches changes neither verdict nor return, wherever it needs how long.
    #[test]
    fn a_route_that_refuses_hides_nothing(client in client(), cuts in cuts()) {
        let plain = Scene::new([Term::Any], client.clone());
        let nothing = Term::All(vec![Term::Http1, Term::Http2]);
        let behind = Scene::new([nothing, Term::Any], client.clone());
        let backend = client.bytes();
        let seen = play(&behind, &cuts).0;
        if let Some(to) = seen.to() {
            prop_assert_eq!(to, To::Route(1));
            prop_assert_eq!(seen.backend(), &backend[..]);
        }
        prop_assert_eq!(play(&plain, &cuts).0.to(), Some(To::Route(0)), "before the first byte");
    }
}

#[track_caller]
fn goes_to(routes: impl IntoIterator<Item = Term>, client: Script, to: To) {
    assert_eq!(tell(&Scene::new(routes, client).otherwise()).to(), Some(to));
}

#[test]
fn the_first_of_two_that_match_wins() {
    let client = || Client::silent().raw("GET /x HTTP/1.1\r\nx-tenant: blue\r\n\r\n");
    goes_to([Term::HeaderIs("x-tenant", "blue"), Term::Path("/x")], client(), To::Route(0));
    goes_to([Term::Path("/x"), Term::HeaderIs("x-tenant", "blue")], client(), To::Route(0));
    goes_to([Term::HeaderIs("x-tenant", "red"), Term::Path("/x")], client(), To::Route(1));
    goes_to([Term::HeaderIs("x-tenant", "red"), Term::Path("/y")], client(), To::Otherwise);
}

/// D-8: a later route that could be taken at once waits for an earlier one that needs more.
#[test]
fn need_more_of_an_earlier_route_is_waited_for() {
    let head = Client::silent().raw("GET /x HTTP/1.1\r\n").pause(ms(900)).raw("x-tenant: blue\r\n\r\n");
    let seen = tell(&Scene::new([Term::HeaderIs("x-tenant", "blue"), Term::Path("/x")], head));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(0)), ms(900)));

    let magic = Client::silent().raw("\x05\x01").pause(ms(10)).raw("\0").pause(ms(10)).raw("more");
    let seen = tell(&Scene::new([Term::Prefix(b"\x05\x01\0more"), Term::Socks5], magic));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(0)), ms(20)));
    let other = Client::silent().raw("\x05\x01").pause(ms(10)).raw("\0").pause(ms(10)).raw("less");
    let seen = tell(&Scene::new([Term::Prefix(b"\x05\x01\0more"), Term::Socks5], other));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(1)), ms(20)));

    let hello = Hello::to("a.example").offering(&["h2"]).encode();
    let client = Client::silent().raw(&hello[..40]).pause(ms(300)).raw(&hello[40..]);
    let seen = tell(&Scene::new([Term::Sni("b.example"), Term::Prefix(b"\x16\x03")], client));
    assert_eq!((seen.to(), seen.at), (Some(To::Route(1)), ms(300)));
}

/// D-10: `otherwise` is there for whatever every route has refused, and for nothing else.
#[test]
fn otherwise_takes_what_all_others_refuse() {
    goes_to([Term::Tls, Term::Http], Client::silent().raw("MAGIC\0"), To::Otherwise);
    goes_to([], Client::silent(), To::Otherwise);
    goes_to([Term::Grpc], Client::http2().settings(&[]).headers(1, GET), To::Otherwise);
    goes_to([Term::Grpc], Client::silent().raw("PRI * HT").ends(End::Fin), To::Otherwise);
}

/// C-17: every matcher of a route counts, not only the last one.
#[test]
fn all_the_matchers_of_a_route_count() {
    let client = || Client::http2().settings(&[]).headers(1, GRPC_CALL);
    let (yes, no) = (Term::Grpc, Term::Path("/other"));
    goes_to([Term::AnyOf(vec![yes.clone(), no.clone()])], client(), To::Route(0));
    goes_to([Term::AnyOf(vec![no.clone(), yes.clone()])], client(), To::Route(0));
    goes_to([Term::All(vec![yes.clone(), no.clone()])], client(), To::Otherwise);
    goes_to([Term::All(vec![no, yes])], client(), To::Otherwise);
}

/// D-9: what a byte costs does not grow with the routes that have said no.
#[test]
fn a_route_that_has_said_no_is_not_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = |verdict: Verdict| -> Matcher {
        let asked = asked.clone();
        matchers::prefix_fn(move |bytes| {
            asked.fetch_add(1, Ordering::Relaxed);
            if bytes.is_empty() {
                Verdict::NeedMore
            } else {
                verdict
            }
        })
    };
    let mut routes = Routes::new();
    for i in 0..100 {
        routes = routes.route(counting(Verdict::NoMatch), i);
    }
    let routes = Arc::new(routes.route(matchers::tls(), 100));
    let now = Instant::now();
    let mut machine = MuxMachine::new(routes, Arc::new(Config::default()), now);
    for byte in Hello::to("a.example").encode() {
        machine.handle_input(&[byte], now);
    }
    let Output::Routed(handover) = machine.poll_output() else { panic!("not routed") };
    assert_eq!(handover.target(), Some(&100));
    assert_eq!(asked.load(Ordering::Relaxed), 101, "the first one twice: before the first byte, and with it");
}
