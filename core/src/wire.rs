//! Stage 1: bytes to units of a protocol and back; no policy, no history of the connection.

pub mod frame;
pub mod headers;
pub mod hpack;
pub mod http1;
pub(crate) mod postgres;
pub mod progress;
pub mod settings;
pub(crate) mod socks5;
mod span;
pub mod tls;
