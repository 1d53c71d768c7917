//! The adapter for blocking sockets of std.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use oneport::matchers::grpc;
//! use oneport::std::Mux;
//! use std::thread;
//!
//! let mut mux = Mux::new(std::net::TcpListener::bind("127.0.0.1:8080")?);
//! let grpc = mux.route("grpc", grpc());
//! let rest = mux.otherwise("rest");
//! thread::spawn(move || mux.serve());
//!
//! thread::spawn(move || {
//!     for connection in grpc {
//!         // hand it to the gRPC server
//! #       drop(connection);
//!     }
//! });
//! for connection in rest {
//!     thread::spawn(move || {
//!         // serve it: it is `Read + Write`
//! #       drop(connection);
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Threads
//! The thread that calls [`Mux::serve`] accepts, and polls the sockets of all undecided connections: a silent client costs no
//! thread. It does so by running the adapter for [`smol`](crate::smol), whose one future is polled by `async_io::block_on`. That
//! way the deadlines, the bounds, the refusals and the shutdown of both are the same code; what is here is the way back: a
//! connection that is taken from an [`Incoming`] leaves the poller and is blocking again. (async-io starts one helper thread of
//! its own per process.)
//!
//! Streams that can not be polled, above all those whose TLS is terminated in this process, are decided by a [`Router`], on the
//! thread that has them.
//!
//! # Servers that bring their own listener
//! tiny_http takes listeners of std and no streams: it can not be given a connection. It can only be reached over a socket of its
//! own, as a backend of the `oneport` command, and then sees the command's address as the client's.

mod connection;
mod drive;
mod halves;
mod incoming;
mod listener;
mod mux;
mod park;
mod router;
mod socket;
mod source;

pub use crate::given_back::NotServing;
pub use crate::owed::{NotBare, StillOwed};
pub use connection::Connection;
pub use incoming::{Arrival, Incoming};
pub use listener::Listener;
pub use mux::{Handle, Mux};
pub use router::{Router, RouterBuilder};
pub use socket::{Io, Socket};
