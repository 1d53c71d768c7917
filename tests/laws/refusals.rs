//! Beside the laws: a refusal is read by people, too. Each reason says what it is in words, where the protocol has room for words.

use std::ops::ControlFlow;
use std::time::Instant;

use oneport_core::testing::{Client, GRPC_CALL};
use oneport_core::wire::frame::Kind;
use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};
use oneport_core::{matchers, Bound, Config, Handover, MuxMachine, Output, Reason, Routes};

use crate::support::http2::frames;

fn machine(routes: Routes<()>, client: &[u8], now: Instant) -> MuxMachine<()> {
    let mut machine = MuxMachine::new(routes.into(), Config::default().into(), now);
    machine.handle_input(client, now);
    machine
}

fn routed(client: &[u8]) -> Handover<()> {
    let routes = Routes::new().route(matchers::http1(), ()).route(matchers::grpc(), ());
    match machine(routes, client, Instant::now()).poll_output() {
        Output::Routed(handover) => handover,
        other => panic!("{other:?}"),
    }
}

/// All that the machine says until it is through.
fn last_words(mut machine: MuxMachine<()>) -> Vec<u8> {
    let mut words = Vec::new();
    loop {
        match machine.poll_output() {
            Output::Write(reply) => reply.encode(&mut words),
            Output::Closed(_) => return words,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_grpc_client_is_told_the_reason() {
    let told = |end: &dyn Fn(Handover<()>) -> MuxMachine<()>| {
        let handover = routed(&Client::http2().settings(&[]).headers(1, GRPC_CALL).bytes());
        let words = last_words(end(handover));
        let (frames, _) = frames(&words);
        let response = frames.iter().find(|frame| frame.kind == Kind::HEADERS.0).expect("a response");
        let (mut status, mut message) = (String::new(), String::new());
        let limits = Limits { max_list_size: 4_096, max_string_len: 4_096 };
        Decoder::new(DEFAULT_TABLE_SIZE)
            .decode(response.payload, &limits, |field| {
                match field.name {
                    b"grpc-status" => status.extend(field.value.escape_ascii().map(char::from)),
                    b"grpc-message" => message.extend(field.value.escape_ascii().map(char::from)),
                    _ => {}
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        (status, message)
    };
    for (reason, code, words) in [
        (Reason::BackendDown, "14", "the backend is down"),
        (Reason::DeliveryTimeout, "14", "the backend does not accept connections"),
        (Reason::Forbidden, "7", "this route is closed"),
        (Reason::NoRoute, "12", "no route takes this request"),
        (Reason::Overload, "14", "too many connections"),
        (Reason::TooLarge(Bound::HeaderList), "8", "the request is too large"),
    ] {
        let seen = told(&|handover| handover.refuse(reason, Instant::now()));
        assert_eq!(seen, (code.to_owned(), format!("oneport: {words}")), "{reason:?}");
    }
    assert_eq!(told(&Handover::shut_down), ("14".to_owned(), "oneport: shutting down".to_owned()));
}

/// By the phrases of RFC 9110 §15 and RFC 6585 §5, and with a line of text for who looks at it in a browser.
#[test]
fn an_http1_client_is_told_the_reason() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let refused = |reason| last_words(routed(GET).refuse(reason, Instant::now()));
    let no_route = |client: &[u8]| {
        let now = Instant::now();
        let mut machine = machine(Routes::new().route(matchers::tls(), ()), client, now);
        machine.handle_timeout(now + Config::default().refusal_deadline);
        last_words(machine)
    };
    let told = [
        (no_route(b"GET / HTTP/1.1\r\nHost\r\n\r\n"), "400 Bad Request", "the request is malformed"),
        (refused(Reason::Forbidden), "403 Forbidden", "this route is closed"),
        (refused(Reason::NoRoute), "404 Not Found", "no route takes this request"),
        (no_route(b"GET / HTTP/1.1\r\n"), "408 Request Timeout", "the request did not come in time"),
        (
            refused(Reason::TooLarge(Bound::Http1Head)),
            "431 Request Header Fields Too Large",
            "the head of the request is too large",
        ),
        (refused(Reason::BackendDown), "502 Bad Gateway", "the backend is down"),
        (refused(Reason::Overload), "503 Service Unavailable", "not now"),
    ];
    for (words, status, text) in told {
        let words = String::from_utf8(words).unwrap();
        let (head, body) = words.split_once("\r\n\r\n").expect("a whole head");
        assert_eq!(head.split("\r\n").next(), Some(&*format!("HTTP/1.1 {status}")));
        assert_eq!(body, format!("oneport: {text}\n"), "{status}");
    }
}
