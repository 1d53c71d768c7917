//! What is told of openings of each kind.

use clap::Parser as _;
use oneport_core::wire::frame::{encode_frame, flag, Kind, PREFACE};
use oneport_core::wire::hpack::encode_field;
use oneport_core::wire::settings::{encode_settings, encode_settings_ack};

use super::*;
use crate::args::{Cli, Verb};
use crate::table::{Draft, Environment};

/// The report on `bytes`, given as a file.
fn explain(bytes: &[u8], arguments: &[&str]) -> String {
    let file = std::env::temp_dir().join(format!(
        "oneport-explain-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&file, bytes).unwrap();
    let name = file.to_str().unwrap().to_owned();
    let all = ["oneport", "explain"].iter().chain(arguments).copied().chain([name.as_str()]);
    let Verb::Explain(options) = Cli::try_parse_from(all).unwrap().verb else { panic!() };
    let plan = Draft::from_args(&options.table, None).unwrap().plan(&Environment::default()).unwrap();
    let report = run(&plan, &options);
    std::fs::remove_file(file).unwrap();
    report.unwrap()
}

#[track_caller]
fn assert_has(report: &str, parts: &[&str]) {
    // Columns are for people; what counts is the words.
    let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "`{part}` is not in\n{report}");
    }
}

/// Preface and SETTINGS, and what follows once the server has spoken.
fn waiting_grpc() -> (Vec<u8>, Vec<u8>) {
    let mut first = PREFACE.to_vec();
    encode_settings(&mut first, &[]);
    let mut second = Vec::new();
    encode_settings_ack(&mut second);
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "a.example:80"),
        ("content-type", "application/grpc"),
    ] {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    encode_frame(&mut second, Kind::HEADERS, flag::END_HEADERS, 1, &block);
    (first, second)
}

const ROUTES: [&str; 4] = ["--route", "grpc=127.0.0.1:1", "--route", "http2=b:2"];

#[test]
fn a_client_that_waits_is_greeted_and_its_acknowledgement_taken_out() {
    let (first, second) = waiting_grpc();
    let whole = [first, second].concat();
    let report = explain(&whole, &[&ROUTES[..], &["--pause-after", "33"]].concat());
    let replay = format!("{} of the {} bytes that had come", whole.len() - 9, whole.len());
    assert_has(
        &report,
        &[
            "5ms 33 B oneport says SETTINGS max-concurrent-streams=100, then SETTINGS ACK",
            "100ms",
            "routed by route 1 `grpc` to 127.0.0.1:1",
            "POST /a.B/C HTTP/2",
            "host a.example",
            "2 http2: match, known after 33 bytes",
            &replay,
            "9 bytes were taken out",
            "to the backend: nothing is owed",
            "1 SETTINGS ACK of the backend is to be taken out",
        ],
    );
}

#[test]
fn one_that_does_not_pause_is_told_nothing_in_any_cut() {
    let (first, second) = waiting_grpc();
    let whole = [first, second].concat();
    let replay = format!("{0} of the {0} bytes that had come", whole.len());
    for cut in [&[][..], &["--bytewise"], &["--segments", "1,30,5"]] {
        let report = explain(&whole, &[&ROUTES[..], cut].concat());
        assert_has(&report, &[&replay, "none: oneport said nothing"]);
        assert!(!report.contains("says"), "{report}");
    }
}

#[test]
fn silence_is_followed_to_its_end() {
    let (first, _) = waiting_grpc();
    let report = explain(&first, &ROUTES);
    assert_has(
        &report,
        &["no more input", "35m5ms 33 B oneport says GOAWAY NO_ERROR (last stream 0)", "1 grpc: needs more"],
    );
    assert_has(&explain(b"", &ROUTES), &["75s 0 B timed-out (silent)"]);
    assert_has(&explain(b"", &[&ROUTES[..], &["--eof"]].concat()), &["the client ends its side", "probe"]);
    let waits = [&ROUTES[..], &["--server-first", "db:1", "--server-first-after", "300ms"]].concat();
    assert_has(&explain(b"", &waits), &["300ms 0 B routed by server-first to db:1"]);
    let late = ["--route", "http1=a:1", "--on-timeout", "b:2"];
    assert_has(&explain(b"GET / HT", &late), &["10s 8 B routed by on-timeout to b:2"]);
    assert_has(&explain(b"GET / HT", &["--route", "http1=a:1"]), &["timed-out (opening)"]);
}

#[test]
fn refusals_are_shown_in_the_words_of_the_client() {
    let (first, second) = waiting_grpc();
    let whole = [first, second].concat();
    assert_has(
        &explain(&whole, &["--route", "ssh=a:1"]),
        &[
            "grpc-status: 12",
            "RST_STREAM NO_ERROR on stream 1",
            "GOAWAY NO_ERROR (last stream 1)",
            "refused (no-route)",
        ],
    );
    assert_has(
        &explain(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["--route", "http1=close"]),
        &["taken by route 1 `http1`, which refuses it", "HTTP/1.1 403 Forbidden", "refused (forbidden)"],
    );
    let large = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 400]].concat();
    let bound = ["--route", "grpc=a:1", "--route", "header:y=b:1", "--max-http1-head", "100"];
    assert_has(&explain(&large, &bound), &["HTTP/1.1 431", "exceeded --max-http1-head"]);
}

#[test]
fn what_lies_behind_the_verdict_goes_through_the_ledger() {
    let (first, second) = waiting_grpc();
    // The acknowledgement comes behind the request: legal, and seen in clients that answer late.
    let (ack, request) = second.split_at(9);
    let whole = [&first, request, ack, b"\0\0\x01\0\0\0\0\0\x01x"].concat();
    let segments = format!("33,{}", request.len());
    let arguments = [&ROUTES[..], &["--pause-after", "33", "--segments", &segments]].concat();
    assert_has(&explain(&whole, &arguments), &["19 bytes of the input, of which 10 go on to the backend"]);
}

#[test]
fn hexadecimal_input() {
    assert_has(
        &explain(b"53 53 48 2d\n32", &["--hex", "--route", "ssh=a:1"]),
        &["5 B routed by route 1 `ssh` to a:1"],
    );
}

#[test]
fn each_request_goes_its_own_way() {
    let (mut bytes, rest) = waiting_grpc();
    bytes.extend(rest);
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":path", "/x\u{1b}[1m"), (":authority", "a")]
    {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    // A path with a control character is no request at all.
    encode_frame(&mut bytes, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &block);
    block.clear();
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a")] {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    encode_frame(&mut bytes, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 5, &block);
    encode_frame(&mut bytes, Kind::DATA, 0, 0, b"nobody's");
    let report = explain(&bytes, &[ROUTES.as_slice(), &["--per-request", "--eof"]].concat());
    assert_has(
        &report,
        &[
            "HTTP/2: each request is routed by itself",
            "request on stream 1: POST /a.B/C: route 1 `grpc` to 127.0.0.1:1",
            "request on stream 5: GET /x: route 2 `http2` to b:2",
            "the client broke the protocol: GOAWAY(PROTOCOL_ERROR)",
        ],
    );
    assert!(!report.contains('\u{1b}') && !report.contains("stream 3"), "{report}");
}

#[test]
fn a_request_that_no_route_takes_is_told_so() {
    let (mut bytes, rest) = waiting_grpc();
    bytes.extend(rest);
    let report = explain(&bytes, &["--route", "http1=a:1", "--per-request"]);
    assert_has(&report, &["request on stream 1: POST /a.B/C: no route takes it: 404, or grpc-status 12"]);
}
