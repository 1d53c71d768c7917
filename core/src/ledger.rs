//! After the verdict: what is still to be taken out of the two streams because the mux spoke before the backend did.
//!
//! ```text
//!  client  --- SETTINGS  ACK(S₀)  HEADERS … -->  ClientLedger   --- SETTINGS  HEADERS … ------->  backend
//!  client  <-- SETTINGS(S₁')  HEADERS … -------  BackendLedger  <-- SETTINGS(S₁)  ACK  HEADERS …  backend
//! ```
//!
//! A ledger walks the frames of its direction by their heads, passes payload through without copying or looking at it, and is
//! transparent for good once nothing is owed. Each direction has a type of its own, usable without the machine.
//!
//! Both are fed by `pull`, which takes bytes from the front of a chunk and says which bytes go on: either bytes of the chunk
//! itself, or bytes that the ledger had to hold back (an unfinished frame head, the backend's first SETTINGS). How a stream is
//! cut into chunks makes no difference to what goes on.

use core::ops::Deref;

mod backend;
mod client;
mod walk;

pub use backend::{BackendLedger, Reconciled};
pub use client::ClientLedger;

/// Bytes that go on, as `pull` says them. Never empty.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'s, 'c> {
    /// Bytes of the chunk itself, not copied.
    Chunk(&'c [u8]),
    /// Bytes that the ledger had held back, in whole or in part from earlier chunks.
    Held(&'s [u8]),
}

impl Deref for Piece<'_, '_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Chunk(bytes) => bytes,
            Self::Held(bytes) => bytes,
        }
    }
}
