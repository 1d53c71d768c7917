//! What must hold of any bytes. Each function is the body of the fuzz target of its name: it panics where a law is broken.
//!
//! They are a library, without libFuzzer in it, so that the root test suite can replay the committed corpora with them on any
//! toolchain.

#![warn(missing_docs)]

mod hpack;
mod ledgers;
mod machine;
mod parsers;
mod script;
mod split;

pub use hpack::{hpack_decoder, hpack_encoder};
pub use ledgers::{backend_ledger, client_ledger};
pub use machine::machine;
pub use parsers::{client_hello, http1};
pub use script::MARK;
pub use split::split;

/// A target: its body, and the name of it and of its folder of inputs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("backend_ledger", backend_ledger),
    ("client_hello", client_hello),
    ("client_ledger", client_ledger),
    ("hpack_decoder", hpack_decoder),
    ("hpack_encoder", hpack_encoder),
    ("http1", http1),
    ("machine", machine),
    ("split", split),
];
