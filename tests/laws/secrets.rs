//! Beside the laws: what clients say is not for logs. Whatever is printed with `{:?}`, a machine or what it hands out, has neither the
//! value of a field in it nor the bytes that it came in, and so is short, too, whatever a client sends.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use oneport_core::split::{self, SplitConfig, SplitMachine};
use oneport_core::testing::Client;
use oneport_core::wire::hpack::{Decoder, Encoder, Field, Limits};
use oneport_core::{matchers, Config, MuxMachine, Output, Routes, Verdict};

const SECRET: &str = "hunter2";

/// Says so if a text has the secret in it, or its bytes as numbers.
#[track_caller]
fn silent(text: &str) {
    let numbers = SECRET.bytes().take(3).map(|byte| byte.to_string()).collect::<Vec<_>>();
    assert!(!text.contains(SECRET) && !text.contains(&numbers.join(", ")), "{text}");
    assert!(text.len() < 2_000, "{} bytes: {text}", text.len());
}

#[track_caller]
fn printed(value: &dyn Debug) {
    let text = format!("{value:?}");
    assert!(!text.is_empty(), "what it is, and how much of it there is, it says");
    silent(&text);
    let lines = format!("{value:#?}");
    silent(&lines.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn http1() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {SECRET}\r\n\r\n").into_bytes()
}

fn http2() -> Vec<u8> {
    let head = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("authorization", SECRET)];
    Client::http2().settings(&[]).headers(1, &head).bytes()
}

#[test]
fn a_machine_and_its_handover_keep_to_themselves_what_a_client_says() {
    let now = Instant::now();
    let cut = http2().len() - 40;
    let mut config = Config::default();
    config.complete_facts = true;
    for (opening, pieces) in [(http1(), 1), (http1(), 20), (http2(), 1), (http2(), cut)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let looks = seen.clone();
        let look = matchers::facts_fn(move |facts| {
            looks.lock().unwrap().push(format!("{facts:?}"));
            Verdict::NoMatch
        });
        let routes = Routes::new().route(look, "none").route(matchers::header("x", matchers::present()), "x");
        let routes = routes.otherwise("rest");
        let mut machine = MuxMachine::new(routes.into(), config.clone().into(), now);
        printed(&machine);
        for piece in opening.chunks(pieces) {
            machine.handle_input(piece, now);
            printed(&machine);
        }
        let output = machine.poll_output();
        printed(&output);
        let Output::Routed(handover) = output else { panic!("{output:?}") };
        printed(&handover);
        printed(handover.facts());
        let parts = handover.into_parts();
        assert_eq!(parts.replay, opening);
        printed(&parts);
        let count = format!("replay: {} bytes", opening.len());
        assert!(format!("{parts:?}").contains(&count), "how much there is, it says");
        let looks = seen.lock().unwrap();
        assert!(!looks.is_empty());
        looks.iter().for_each(|look| silent(look));
    }
}

#[test]
fn a_machine_that_splits_keeps_to_itself_what_passes() {
    let now = Instant::now();
    let routes = || Arc::new(Routes::new().otherwise("rest"));
    let mut config = Config::default();
    config.per_request = true;
    let mut mux = MuxMachine::new(routes(), config.into(), now);
    mux.handle_input(&http2(), now);
    let output = mux.poll_output();
    printed(&output);
    let Output::Split(bytes) = output else { panic!("{output:?}") };

    let mut machine = SplitMachine::new(routes(), SplitConfig::default().into(), now);
    machine.handle_input(split::Side::Client, bytes, now);
    let mut asked = 0;
    loop {
        printed(&machine);
        let output = machine.poll_output();
        printed(&output);
        match output {
            split::Output::Connect { backend, .. } => machine.handle_connected(backend, now),
            split::Output::Write { to, batch } => {
                assert_eq!(format!("{batch:?}"), format!("Batch({} bytes)", batch.len()));
                asked += u32::from(to != split::Side::Client);
                machine.handle_written(to, batch, now);
            }
            _ => break,
        }
    }
    assert!(asked > 0, "the request went to a backend");
}

#[test]
fn tables_of_fields_keep_their_fields_to_themselves() {
    let field = Field { name: b"authorization", value: SECRET.as_bytes(), never_indexed: false };
    let (mut encoder, mut block) = (Encoder::new(), Vec::new());
    encoder.encode([field], &mut block);
    let limits = Limits { max_list_size: 4_096, max_string_len: 4_096 };
    let mut decoder = Decoder::new(4_096);
    decoder.decode(&block, &limits, |_| std::ops::ControlFlow::Continue(())).expect("a block");
    assert!(encoder.table_size() > 0 && decoder.table_size() > 0);
    printed(&encoder);
    printed(&decoder);
}
