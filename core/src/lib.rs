//! The sans-IO machine of oneport: which server is this connection for, decided by its first bytes, without the server noticing.
//!
//! ```text
//!  client bytes -> wire -> facts -> matchers -> routes -> mux -> handover -> replay, then the socket itself
//!                  cuts    remember  judge       choose    speaks            ledgers until empty, then nothing
//! ```
//!
//! This crate has no sockets, no clock, no threads and no runtime; the crate `oneport` plugs it into tokio, smol and std. Its
//! centre is [`MuxMachine`]: `handle_*` tells it what happened, [`MuxMachine::poll_output`] says what to do. An adapter is one
//! `match` in a loop. A whole connection of a client that waits for the server's SETTINGS:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use oneport_core::{matchers, Config, MuxMachine, Output, Reply, Routes};
//!
//! let routes = Arc::new(Routes::new().route(matchers::grpc(), "grpc").otherwise("rest"));
//! let now = Instant::now();
//! let mut machine = MuxMachine::new(routes, Arc::new(Config::default()), now);
//!
//! // The preface and empty SETTINGS; then the client waits.
//! machine.handle_input(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", now);
//! let Output::NeedInput { until: Some(patience) } = machine.poll_output() else { panic!() };
//! machine.handle_timeout(patience);
//! let Output::Write(reply @ Reply::Greeting { .. }) = machine.poll_output() else { panic!() };
//! let mut out = Vec::new();
//! reply.encode(&mut out);
//! assert_eq!(out, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\0\x04\x01\0\0\0\0");
//!
//! // It acknowledges the mux's SETTINGS and sends its request.
//! let ack = b"\0\0\0\x04\x01\0\0\0\0";
//! let request = b"\0\0\x11\x01\x04\0\0\0\x01\x83\x86\x84\x0f\x10\x0bapplication";
//! machine.handle_input(ack, patience);
//! machine.handle_input(request, patience);
//! let Output::Routed(handover) = machine.poll_output() else { panic!() };
//! assert_eq!(handover.target(), Some(&"rest"));
//!
//! // The backend sees the client's words without the acknowledgement of SETTINGS that it never sent.
//! let parts = handover.into_parts();
//! assert_eq!(parts.replay.len(), 24 + 9 + request.len());
//! assert!(parts.to_backend.is_transparent());
//! assert!(!parts.to_client.is_transparent());
//! ```
//!
//! What it promises is written down as laws, each with a property test in the repository: it says nothing to clients that need
//! no word; how bytes are cut makes no difference; the order of routes is their priority; the first request decides; replay and
//! return are exact; afterwards it is out of the way; memory, frames and time are bounded; every connection ends in exactly one
//! [`Outcome`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]
// `clippy.toml` beside this crate lists what would make it impure. Tests may ask for the time.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod facts;
pub mod ledger;
pub mod matchers;
mod mux;
mod routes;
pub mod split;
#[cfg(feature = "testing")]
pub mod testing;
mod unsaid;
pub mod wire;

pub use facts::{Bound, Fact, Facts, HttpVersion, Request};
pub use matchers::{Matcher, Verdict};
pub use mux::{
    Config, Greeting, GreetingError, Handover, MuxMachine, Outcome, Output, Parts, Phase, Reason, Refusal,
    Reply, Response, ResponseKind, DEFAULT_MAX_CONCURRENT_STREAMS,
};
pub use routes::{Routes, Why};
