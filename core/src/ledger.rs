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

mod backend;
mod client;
mod walk;

pub use backend::{BackendLedger, Reconciled};
pub use client::ClientLedger;
