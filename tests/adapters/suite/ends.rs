//! How connections end: a FIN is a FIN, a reset is a reset, each direction on its own (law 12), wherever the end comes (law 9).

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use oneport_core::{MuxMachine, Outcome, Output, Phase, Routes};

use crate::adapters::client::Client;
use crate::adapters::frames::{frame, greeting, request, settings_ack, waiting};
use crate::adapters::kit::{Faults, Kit, Served};
use crate::adapters::port::{handed, tcp, Port};
use crate::adapters::PATIENCE;
use crate::flights::flight;
use oneport::matchers::{grpc, http1, http2, ssh, tls};
use oneport::Config;
use oneport_core::wire::frame::Kind;

/// Longer than what the buffers of sockets hold.
const LONG: usize = 3 << 20;

/// A connection that was greeted and whose ledgers are both open: the client's acknowledgement and all of the backend's words are
/// still to come.
fn greeted(port: &mut Port) -> (Client, Box<dyn Served>) {
    let mut client = port.client_that_says(&waiting());
    client.expect(&greeting());
    client.send(&request("application/grpc"));
    let mut served = port.accept("grpc");
    served.expect(&[waiting(), request("application/grpc")].concat());
    (client, served)
}

/// One connection of each kind: with nothing in between any more, with a replay, and with ledgers.
fn each_kind(kit: &dyn Kit, check: impl Fn(Client, Box<dyn Served>)) {
    let head = flight("curl-h1").bytes;
    let mut port = tcp().by_protocol().impatient().open(kit);
    let client = port.client_that_says(head);
    let mut served = port.accept("http1");
    served.expect(head);
    check(client, served);

    let client = port.client_that_says(head);
    let served = port.accept("http1");
    check(client, served);

    let (client, served) = greeted(&mut port);
    check(client, served);
}

/// The client ends its side: the server reads the end and can still answer, at any length.
pub(crate) fn the_clients_fin_is_a_fin(kit: &dyn Kit) {
    each_kind(kit, |mut client, mut served| {
        client.send(b"last words");
        client.finish();
        let mut received = Vec::new();
        served.read_to_end(&mut received).expect("a FIN is no error");
        assert!(received.ends_with(b"last words"));
        served.expect_fin();

        let answer = vec![7; LONG];
        let reading = thread::spawn(move || client.read_to_fin());
        served.say(&answer);
        served.finish().expect("a socket");
        assert!(reading.join().expect("it reads to the end") == answer, "the answer came whole");
    });
}

/// The server ends its side: the client reads the end and can still talk, at any length.
pub(crate) fn the_servers_fin_is_a_fin(kit: &dyn Kit) {
    each_kind(kit, |mut client, mut served| {
        served.say(b"first words");
        served.finish().expect("a socket");
        client.expect(b"first words");
        client.expect_silent_end();

        let talking = thread::spawn(move || {
            client.send(&vec![7; LONG]);
            client.finish();
            // Open until the server has read it all.
            client
        });
        let mut received = Vec::new();
        served.read_to_end(&mut received).expect("the client still talks");
        assert!(received.len() >= LONG && received.ends_with(&[7; 100]));
        talking.join().expect("it talks to the end");
    });
}

/// The client resets: the server reads an error and never an end.
pub(crate) fn the_clients_reset_is_an_error(kit: &dyn Kit) {
    each_kind(kit, |client, mut served| {
        client.reset();
        let result = served.read_to_end(&mut Vec::new());
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    });
}

/// The server resets, or goes with input unread: the client reads an error and never an end.
pub(crate) fn the_servers_reset_is_an_error(kit: &dyn Kit) {
    each_kind(kit, |mut client, served| {
        served.reset();
        client.read_to_reset();
    });
}

/// A client that resets while it is undecided has left, in the phase it was in, and no server hears of it.
pub(crate) fn a_reset_of_the_undecided_has_left(kit: &dyn Kit) {
    let head = flight("curl-h1").bytes;
    let mut port = tcp().by_protocol().open(kit);
    for (i, (opening, phase)) in [
        (&b""[..], Phase::Silent),
        (b"GET", Phase::Opening),
        (&waiting()[..30], Phase::Http2Settings),
        (&waiting(), Phase::Http2Waiting),
        (&[waiting(), request("text/plain")[..12].to_vec()].concat(), Phase::Http2Headers),
    ]
    .into_iter()
    .enumerate()
    {
        let client = port.client_that_says(opening);
        // It resets once the mux has read that much; a reset may overtake what is still to be read.
        super::wait_read(
            &port,
            usize::from(opening.is_empty()),
            usize::from(!opening.is_empty()),
            opening.len(),
        );
        client.reset();
        assert_eq!(port.records.wait(i + 1)[i].outcome, Outcome::Left(phase), "{opening:?}");
    }
    port.check_life("http1", head);
}

/// Every length of an opening, and then the end: the outcome is the machine's, and what is routed arrives whole and ends.
pub(crate) fn an_end_at_any_offset_is_what_the_machine_says(kit: &dyn Kit) {
    let names = ["grpc", "http2", "http1", "tls", "ssh", "other"];
    let routes = Routes::new().route(grpc(), 0).route(http2(), 1).route(http1(), 2).route(tls(), 3);
    let routes = Arc::new(routes.route(ssh(), 4).otherwise(5));
    let mut config = Config::default();
    config.settings_patience = PATIENCE;
    let config = Arc::new(config);

    let mut port = handed().by_protocol().otherwise("other").open(kit);
    let mut count = 0;
    for name in ["curl-h1", "grpc-go-1.33", "curl-h2c-prior", "openssl-tls13", "ssh"] {
        let opening = flight(name).bytes;
        for length in 0..=opening.len() {
            let opening = &opening[..length];
            let now = Instant::now();
            let mut machine = MuxMachine::new(routes.clone(), config.clone(), now);
            machine.handle_input(opening, now);
            machine.handle_eof(now);
            let (outcome, route) = loop {
                match machine.poll_output() {
                    Output::Closed(outcome) => break (outcome, None),
                    Output::Routed(handover) => {
                        break (Outcome::Routed(handover.why()), handover.target().map(|i| names[*i]))
                    }
                    Output::Write(_) => {}
                    Output::Split(_) => panic!("requests are not routed one by one here"),
                    Output::NeedInput { .. } => panic!("undecided after the end of {name} at {length}"),
                }
            };

            let mut client = port.pair(Faults::default());
            client.send(opening);
            client.finish();
            if let Some(route) = route {
                let mut served = port.accept(route);
                served.expect(opening);
                served.expect_fin();
                served.finish().expect("a socket");
                client.expect_silent_end();
            }
            count += 1;
            assert_eq!(port.records.wait(count)[count - 1].outcome, outcome, "{name} at {length}");
        }
    }
    port.check_books();
}

/// What a ledger has held back at the end of a direction, since it might have been a frame to drop, goes on as it came.
pub(crate) fn bytes_held_back_go_on_at_the_end(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    let head = &settings_ack()[..8];
    let data = frame(Kind::DATA, 0, 1, b"data");

    let (mut client, mut served) = greeted(&mut port);
    client.send(&[&data, head].concat());
    client.finish();
    served.expect(&[&data, head].concat());
    served.expect_fin();

    let backend = [crate::adapters::frames::settings(&[(3, 1)]), data].concat();
    served.say(&[&backend, head].concat());
    served.finish().expect("a socket");
    assert_eq!(client.read_to_fin(), [&backend, head].concat());
}
