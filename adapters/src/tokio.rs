//! The adapter for tokio.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use oneport::matchers::grpc;
//! use oneport::tokio::Mux;
//!
//! let mut mux = Mux::new(tokio::net::TcpListener::bind("127.0.0.1:8080").await?);
//! let mut grpc = mux.route("grpc", grpc());
//! let mut rest = mux.otherwise("rest");
//! tokio::spawn(mux.serve());
//!
//! tokio::spawn(async move {
//!     while let Some(connection) = grpc.accept().await {
//!         // hand it to the gRPC server
//! #       drop(connection);
//!     }
//! });
//! while let Some(connection) = rest.accept().await {
//!     // hand it to the other one
//! #   drop(connection);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An [`Incoming`] is a `Stream` of connections, which is what tonic's `serve_with_incoming_shutdown` takes, and with the feature `axum` a
//! listener for `axum::serve`. A [`Connection`] is `AsyncRead + AsyncWrite`, which is all that hyper (through `TokioIo`) and
//! others ask for.

mod alarm;
#[cfg(feature = "axum")]
mod axum;
#[cfg_attr(not(target_os = "linux"), path = "tokio/no_bell.rs")]
mod bell;
mod connection;
mod drive;
mod incoming;
mod listener;
mod mux;
mod source;
mod split;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(feature = "axum")]
pub use self::axum::ClientAddress;
pub use crate::given_back::{NotServing, NotShared};
pub use crate::owed::{NotBare, StillOwed};
pub use crate::split::{Bridge, BridgeEnd};
pub use connection::Connection;
pub use incoming::{Arrival, Incoming};
pub use listener::{Accepted, Io, Listener, StreamListener};
pub use mux::{Handle, Mux};
