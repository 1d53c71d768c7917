//! Serve gRPC, plain HTTP/2, HTTP/1, TLS, SSH and anything else on one port.
//!
//! A connection's first bytes say which server it is for; that server then sees it as if nobody had read before. Nothing is lost,
//! and nothing is added but what the greeting of a client that waits makes necessary (`docs/handshake.md` of the repository).
//! What a client can use up before its server is known is bounded. The crate has one module per runtime, each with the same few
//! calls:
//!
//! | module | feature | connections are |
//! |---|---|---|
//! | `oneport::tokio` | `tokio` (default); `tonic` and `axum` plug it into these | `tokio::io::{AsyncRead, AsyncWrite}` |
//! | `oneport::smol` | `smol` | `futures_io::{AsyncRead, AsyncWrite}`, for smol and any other executor, on async-io |
//! | `oneport::std` | `std` (implies `smol`) | `std::io::{Read, Write}`, blocking |
//!
//! What decides is the pure machine of [`oneport_core`], re-exported here as `core`; [`matchers`] has the vocabulary.

// The modules in the table are no links: each exists with its feature only, and the page has to hold without.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(feature = "tokio", feature = "smol"))]
mod accept;
mod address;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod backlog;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod context;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod given_back;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod inbound;
mod limits;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod outbound;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod owed;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod pair;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod parcel;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod registry;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod split;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod stats;
#[cfg(feature = "std")]
pub mod std;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod talk;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use address::{Address, Addresses};
#[cfg(any(feature = "tokio", feature = "smol"))]
pub use given_back::{NotServing, NotShared};
pub use limits::{Limits, EVICTION_GRACE};
pub use oneport_core::split::{SplitConfig, SplitOutcome, SplitPhase};
pub use oneport_core::{
    self as core, ledger, matchers, Bound, Config, Fact, Facts, Greeting, GreetingError, HttpVersion,
    Matcher, Outcome, Phase, Reason, Request, Verdict, Why,
};
#[cfg(any(feature = "tokio", feature = "smol"))]
pub use owed::{NotBare, StillOwed};
#[cfg(any(feature = "tokio", feature = "smol"))]
pub use registry::Undecided;
#[cfg(any(feature = "tokio", feature = "smol"))]
pub use split::{Bridge, BridgeEnd};
#[cfg(any(feature = "tokio", feature = "smol"))]
pub use stats::{Counters, Report, SplitReport, SplitTally, SplitTallyKey, Tally, TallyKey};

/// The README's examples compile.
#[cfg(all(
    doctest,
    feature = "tokio",
    feature = "tonic",
    feature = "axum",
    feature = "smol",
    feature = "std"
))]
#[doc = include_str!("../../README.md")]
mod readme {}
