//! How shares of a client's connection begin and end: servers that are full, gone or forbidden, that close in the middle; clients
//! that leave; shutdowns; and bounds over all connections. What one side does wrong harms nobody else.

use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use oneport::matchers::{grpc, path};
use oneport::{Outcome, Reason, Why, EVICTION_GRACE};

use crate::adapters::client::Client;
use crate::adapters::eventually;
use crate::adapters::kit::Kit;
use crate::adapters::port::{tcp, timed, Plan, Port};
use crate::adapters::talker::{Talker, POST};
use crate::split::strict::Word;

/// The last stream of the first GOAWAY of a drain: all that are, and may still come.
const ALL: u32 = 0x7fff_ffff;
/// RFC 9113 §7.
const INTERNAL_ERROR: u32 = 2;

/// gRPC, /other, and the rest.
fn three_routes() -> Plan {
    tcp().route("grpc", grpc()).route("other", path("/other")).otherwise("rest").per_request()
}

/// Another route serves a request on the same connection, on a share that is new or not.
#[track_caller]
fn check_other(port: &mut Port, client: &mut Talker<Client>, id: u32) {
    client.get(id, "/other");
    let mut server = Talker::server(port.accept("other"));
    server.answer(id, b"alive");
    client.expect_answer(id, b"alive");
    // It goes: the next one is new.
    drop(server);
}

/// Requests to a server that has gone are answered, those that come later as well; other routes live.
pub(crate) fn a_dropped_incoming_answers_its_requests(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    // Two wait in the backlogs when they are dropped.
    client.get(1, "/");
    client.call(3);
    check_other(&mut port, &mut client, 5);
    drop(port.routes.remove("rest"));
    drop(port.routes.remove("grpc"));
    client.expect_status(1, "502");
    client.expect_grpc_status(3, "14");
    client.get(7, "/");
    client.call(9);
    client.expect_status(7, "502");
    client.expect_grpc_status(9, "14");
    check_other(&mut port, &mut client, 11);
    port.records.wait(1);
    port.check_books();
}

/// A request that gets no place in a full backlog, or whose share nobody takes, is answered at the deadline. Whoever accepts later
/// gets what is still wanted, and nothing that is not.
pub(crate) fn a_full_backlog_answers_at_the_deadline(kit: &dyn Kit) {
    let deadline = Duration::from_millis(300);
    let mut port = three_routes()
        .limits(|limits| limits.backlog = 1)
        .split(|split| split.connect_deadline = deadline)
        .open(kit);
    let mut clients: Vec<_> = (0..3).map(|_| Talker::client(port.client())).collect();
    let ((), took) = timed(|| {
        for client in &mut clients {
            client.get(1, "/");
        }
        check_other(&mut port, &mut clients[0], 3);
        for client in &mut clients {
            client.expect_status(1, "502");
        }
    });
    assert!(took >= deadline, "{took:?}");
    for client in &mut clients {
        client.get(5, "/");
        let mut server = Talker::server(port.accept("rest"));
        server.answer(5, b"at last");
        client.expect_answer(5, b"at last");
        assert_eq!(server.peer.ids(), [5], "not the request that was answered");
    }
}

/// A server may refuse a share: for good, or for now.
pub(crate) fn a_share_can_be_refused(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    port.route("rest").refuse(Reason::Overload);
    client.expect_status(1, "502");
    client.get(3, "/");
    port.route("rest").forget();
    client.expect_status(3, "502");
    client.call(5);
    port.route("grpc").refuse(Reason::BackendDown);
    client.expect_grpc_status(5, "14");

    client.get(7, "/");
    port.route("rest").refuse(Reason::Forbidden);
    client.expect_status(7, "403");
    client.call(9);
    port.route("grpc").refuse(Reason::Forbidden);
    client.expect_grpc_status(9, "7");
    // It is not asked again on this connection.
    client.get(11, "/");
    client.call(13);
    client.expect_status(11, "403");
    client.expect_grpc_status(13, "7");
    check_other(&mut port, &mut client, 15);
    // On another one it is.
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    Talker::server(port.accept("rest")).answer(1, b"open");
    client.expect_answer(1, b"open");
    port.records.wait(2);
    port.check_books();
}

/// A server ends its share in the middle: a request without a response is answered, a response that has begun is reset, what was
/// answered counts, other routes notice nothing, and the next request gets a new share.
pub(crate) fn a_server_that_goes_takes_only_its_requests(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/other");
    let mut other = Talker::server(port.accept("other"));
    let mut first = 3;
    for with_fin in [true, false] {
        let (answered, begun, waiting) = (first, first + 2, first + 4);
        client.get(answered, "/");
        client.get(begun, "/");
        client.get(waiting, "/");
        let mut server = Talker::server(port.accept("rest"));
        server.until_asked(waiting);
        server.peer.say_head(begun, &[(":status", "200")], false, None);
        server.peer.say_data(begun, b"some", false, None);
        server.answer(answered, b"last words");
        if with_fin {
            server.io.finish().expect("a share");
        }
        drop(server);
        client.expect_answer(answered, b"last words");
        client.expect_status(waiting, "502");
        client.until("the reset", |peer| peer.has_ended(begun));
        assert_eq!(client.peer.words(begun).last(), Some(&Word::Reset(INTERNAL_ERROR)));
        first += 6;
    }
    other.answer(1, b"unmoved");
    client.expect_answer(1, b"unmoved");
    client.get(first, "/");
    Talker::server(port.accept("rest")).answer(first, b"new");
    client.expect_answer(first, b"new");
    port.records.wait(1);
}

/// A server that says GOAWAY finishes what it has, is closed then, and the next request gets a new share.
pub(crate) fn a_server_may_leave_in_words(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut old = Talker::server(port.accept("rest"));
    old.until_asked(1);
    old.peer.say_goaway(1, 0);
    old.flush();
    client.get(3, "/");
    let mut new = Talker::server(port.accept("rest"));
    // Whether or not it was opened on the old one, it is served by the new one.
    new.answer(3, b"new");
    client.expect_answer(3, b"new");
    old.answer(1, b"old");
    client.expect_answer(1, b"old");
    old.hear_the_end().expect("a clean end");
}

/// The client ends its connection, or breaks it: servers hear an end if they had nothing to do, and a reset if they had.
pub(crate) fn servers_hear_how_their_client_goes(kit: &dyn Kit) {
    for with_reset in [false, true] {
        let mut port = three_routes().open(kit);
        let mut client = Talker::client(port.client());
        client.get(1, "/other");
        let mut idle = Talker::server(port.accept("other"));
        idle.answer(1, b"done");
        client.expect_answer(1, b"done");
        client.get(3, "/");
        let mut busy = Talker::server(port.accept("rest"));
        busy.until_asked(3);
        if with_reset {
            client.io.reset();
        } else {
            drop(client);
        }
        idle.hear_the_end().expect("a clean end");
        let end = busy.hear_the_end();
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        eventually("it is gone", || port.control.undecided().split == 0);
        assert_eq!(port.records.only(), Outcome::Routed(Why::PerRequest));
        // A server that holds on to its share for ever holds up nothing.
        port.control.shutdown();
        port.control.wait_served();
        drop((idle, busy));
    }
}

/// A client that says that it leaves gets its answers, and a clean end.
pub(crate) fn a_client_may_leave_in_words(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    client.peer.say_goaway(0, 0);
    client.flush();
    let mut server = Talker::server(port.accept("rest"));
    server.answer(1, b"bye");
    client.expect_answer(1, b"bye");
    client.hear_the_end().expect("a FIN");
    server.hear_the_end().expect("a clean end");
    eventually("it is gone", || port.control.undecided().split == 0);
}

/// A shutdown tells clients twice, finishes their requests, and `serve` waits for that.
pub(crate) fn a_shutdown_drains(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(1);
    let mut idle = Talker::client(port.client());
    idle.until("SETTINGS", |peer| !peer.settings.is_empty());
    eventually("both are there", || port.control.undecided().split == 2);

    port.control.shutdown();
    let has_served = AtomicBool::new(false);
    let (control, routes) = (&port.control, &mut port.routes);
    thread::scope(|scope| {
        scope.spawn(|| {
            control.wait_served();
            has_served.store(true, Ordering::Relaxed);
        });
        while client.peer.goaways.is_empty() {
            assert!(client.try_hear().expect("it lives") > 0);
        }
        assert_eq!(client.peer.goaways, [(ALL, 0)]);
        // A request that is on its way meanwhile is served as well: this one comes before the answer to the PING.
        let answer = std::mem::take(&mut client.peer.out);
        client.get(3, "/other");
        client.peer.out.extend(answer);
        client.flush();
        let mut other = Talker::server(routes.get_mut("other").expect("a route").accept().expect("a share"));
        other.answer(3, b"in time");
        client.expect_answer(3, b"in time");
        idle.until("both", |peer| peer.goaways.len() == 2);
        idle.hear_the_end().expect("a FIN");
        client.until("the second GOAWAY", |peer| peer.goaways.len() == 2);
        assert!(!has_served.load(Ordering::Relaxed), "a request is in progress");
        server.answer(1, b"at leisure");
        client.expect_answer(1, b"at leisure");
        client.hear_the_end().expect("a FIN");
        server.hear_the_end().expect("a clean end");
        eventually("it has served", || has_served.load(Ordering::Relaxed));
    });
    for route in ["rest", "grpc"] {
        assert!(port.route(route).accept().is_none(), "that was all");
    }
    port.records.wait(2);
    port.check_books();
}

/// What is not finished at the deadline of the drain is cut.
pub(crate) fn a_drain_has_a_deadline(kit: &dyn Kit) {
    let deadline = Duration::from_millis(300);
    let mut port = three_routes().split(|split| split.drain_deadline = deadline).open(kit);
    let mut client = Talker::client(port.client());
    client.get(1, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(1);
    let ((), took) = timed(|| {
        port.control.shutdown();
        port.control.wait_served();
    });
    assert!(took >= deadline && took < Duration::from_secs(8), "{took:?}");
    let end = server.hear_the_end();
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    let _ = client.hear_the_end();
    assert!(client.peer.words(1).is_empty());
    assert!(port.route("rest").accept().is_none());
}

/// Beyond the bound the one that is idle goes, told by GOAWAY; nobody who is busy loses a request.
pub(crate) fn beyond_the_bound_the_idle_go_first(kit: &dyn Kit) {
    let mut port = three_routes().limits(|limits| limits.split = 2).open(kit);
    let mut busy = Talker::client(port.client());
    busy.get(1, "/");
    let mut server = Talker::server(port.accept("rest"));
    server.until_asked(1);
    let mut idle = Talker::client(port.client());
    check_other(&mut port, &mut idle, 1);
    eventually("both are there", || port.control.undecided().split == 2);
    sleep(EVICTION_GRACE);

    let mut new = Talker::client(port.client());
    idle.until("both GOAWAYs", |peer| peer.goaways.len() == 2);
    idle.hear_the_end().expect("a FIN");
    assert_eq!(idle.peer.goaways, [(ALL, 0), (1, 0)]);
    check_other(&mut port, &mut new, 1);
    server.answer(1, b"unmoved");
    busy.expect_answer(1, b"unmoved");
    assert!(busy.peer.goaways.is_empty());
}

/// If all are busy, the one that has been for longest is drained: its request is finished.
pub(crate) fn beyond_the_bound_the_busy_are_drained(kit: &dyn Kit) {
    let mut port = three_routes().limits(|limits| limits.split = 1).open(kit);
    let mut old = Talker::client(port.client());
    old.peer.say_head(1, &POST, false, None);
    old.flush();
    let mut server = Talker::server(port.accept("rest"));
    server.until("the head", |peer| !peer.words(1).is_empty());
    sleep(EVICTION_GRACE);
    let mut new = Talker::client(port.client());
    old.until("both GOAWAYs", |peer| peer.goaways.len() == 2);
    check_other(&mut port, &mut new, 1);
    old.peer.say_data(1, b"the rest of it", true, None);
    old.flush();
    server.answer(1, b"done");
    old.expect_answer(1, b"done");
    assert_eq!(server.peer.content(1), b"the rest of it");
    old.hear_the_end().expect("a FIN");
    server.hear_the_end().expect("a clean end");
    check_other(&mut port, &mut new, 3);
    port.records.wait(2);
}

/// Many clients, each with a share of each route, all served by the same two servers' threads, come and go.
pub(crate) fn many_clients_come_and_go(kit: &dyn Kit) {
    let mut port = three_routes().open(kit);
    for round in 0..10 {
        let mut clients: Vec<_> = (0..20).map(|_| Talker::client(port.client())).collect();
        for client in &mut clients {
            client.get(1, "/");
            client.call(3);
        }
        let mut shares: Vec<_> =
            (0..20).flat_map(|_| [port.accept("rest"), port.accept("grpc")].map(Talker::server)).collect();
        for pair in shares.chunks_mut(2) {
            pair[0].answer(1, b"rest");
            pair[1].answer(3, b"\0\0\0\0\0");
        }
        for client in &mut clients {
            client.expect_answer(1, b"rest");
            client.expect_answer(3, b"\0\0\0\0\0");
        }
        if round % 2 == 0 {
            drop(shares);
        }
    }
    eventually("all are gone", || port.control.undecided().split == 0);
    port.records.wait(200);
    port.check_books();
    // Nothing is left over that somebody could take.
    let mut client = Talker::client(port.client());
    check_other(&mut port, &mut client, 1);
    let mut byte = [0];
    client.io.finish();
    assert_eq!(client.io.read(&mut byte).expect("a FIN"), 0);
}
