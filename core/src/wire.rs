//! Stage 1: bytes to units of a protocol and back; no policy, no history of the connection.

pub mod hpack;
