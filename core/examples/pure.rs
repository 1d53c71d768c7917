//! All of the core as one module with no world around it: `.ci/purity` builds it for `wasm32-unknown-unknown` and looks at what is in it.
#![allow(unsafe_code)] // `no_mangle`, so that the linker keeps what is called from here

use std::sync::Arc;
use std::time::Instant;

use oneport_core::ledger::{BackendLedger, ClientLedger};
use oneport_core::wire::hpack::{Encoder, Field};
use oneport_core::{matchers as m, Config, MuxMachine, Output, Routes};

/// A connection from its first byte to its last.
#[no_mangle]
pub fn drive(bytes: &[u8], now: Instant) -> Vec<u8> {
    let routes = Routes::new()
        .route(m::all([m::grpc(), !m::authority("a.example")]), 0)
        .route(m::any_of([m::sni("*.example"), m::header("te", m::present()), m::path_prefix("/a")]), 1)
        .route(m::any_of([m::ssh(), m::postgres(), m::socks5(), m::websocket(), m::prefix(*b"x")]), 2)
        .otherwise(3);
    let mut machine = MuxMachine::new(Arc::new(routes), Arc::new(Config::default()), now);
    let mut out = Vec::new();
    machine.handle_input(bytes, now);
    machine.handle_timeout(machine.deadline().unwrap_or(now));
    machine.handle_eof(now);
    machine.handle_shutdown(now);
    loop {
        match machine.poll_output() {
            Output::Write(reply) => reply.encode(&mut out),
            Output::Routed(handover) => {
                let parts = handover.into_parts();
                out.extend_from_slice(&parts.replay);
                pass(bytes, parts.to_backend, parts.to_client, &mut out);
                return out;
            }
            Output::Closed(outcome) => {
                out.extend_from_slice(outcome.to_string().as_bytes());
                return out;
            }
            _ => return out,
        }
    }
}

fn pass(bytes: &[u8], mut to_backend: ClientLedger, mut to_client: BackendLedger, out: &mut Vec<u8>) {
    let (mut one, mut other) = (bytes, bytes);
    while let Some(piece) = to_backend.pull(&mut one) {
        out.extend_from_slice(&piece);
    }
    while let Some(piece) = to_client.pull(&mut other) {
        out.extend_from_slice(&piece);
    }
    Encoder::new().encode([Field { name: b"a", value: bytes, never_indexed: false }], out);
}
