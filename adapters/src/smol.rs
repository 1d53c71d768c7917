//! The adapter for smol, and for any other executor, on async-io.
//!
//! ```no_run
//! # fn run() -> std::io::Result<()> {
//! use async_io::Async;
//! use oneport::matchers::grpc;
//! use oneport::smol::Mux;
//! use std::net::TcpListener;
//!
//! let mut mux = Mux::new(Async::<TcpListener>::bind(([127, 0, 0, 1], 8080))?);
//! let mut grpc = mux.route("grpc", grpc());
//! let mut rest = mux.otherwise("rest");
//! smol::spawn(mux.serve()).detach();
//!
//! smol::spawn(async move {
//!     while let Some(connection) = grpc.accept().await {
//!         // hand it to the gRPC server
//! #       drop(connection);
//!     }
//! })
//! .detach();
//! smol::block_on(async {
//!     while let Some(connection) = rest.accept().await {
//!         // hand it to the other one
//! #       drop(connection);
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! There is no global executor that the adapter could spawn on, and it needs none: [`Mux::serve`] is one future that runs all
//! undecided connections itself, on an executor inside of it. A panic in a matcher of yours ends the one connection, and one in the
//! outcome hook none. Between two looks at its connections it accepts a bounded number of new ones, and the other way round, so
//! that neither starves. Await it as a task of its own: inside of a task that is busy with other things, deciding waits for them.
//!
//! An [`Incoming`] is a `Stream` of connections. A [`Connection`] is `futures_io::{AsyncRead, AsyncWrite}`, which is what
//! smol-hyper's `FuturesIo`, async-tungstenite and others ask for. From the listener of `smol::net`, `Async` is had by
//! `Arc::<Async<TcpListener>>::from(listener)` and `Arc::try_unwrap`.

mod connection;
mod drive;
mod home;
mod incoming;
mod listener;
mod mux;
mod socket;
mod source;
mod split;

pub use crate::given_back::{NotServing, NotShared};
pub use crate::owed::{NotBare, StillOwed};
pub use crate::split::{Bridge, BridgeEnd};
pub use connection::Connection;
pub use incoming::{Arrival, Incoming};
pub use listener::{Accepted, Io, Listener, StreamListener};
pub use mux::{Handle, Mux};
pub use socket::{Socket, StreamSocket};
