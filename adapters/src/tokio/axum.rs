//! A route as a listener of `axum::serve`.

use std::future::pending;
use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};

use super::connection::Connection;
use super::incoming::Incoming;
use super::listener::Io;
use crate::address::Address;

impl<T: Io> Listener for Incoming<T> {
    type Io = Connection<T>;
    type Addr = Address;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.arrival().await {
            Some(arrival) => {
                let connection = arrival.accept();
                let peer = connection.peer_address().clone();
                (connection, peer)
            }
            // After shutdown there is nothing to accept, and axum has no way to be told.
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.local_address().clone())
    }
}

/// The client's address, for `ConnectInfo<ClientAddress>` behind `into_make_service_with_connect_info::<ClientAddress>()`.
///
/// A type of our own: axum implements its trait for `SocketAddr` only with its own listeners.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClientAddress(pub Address);

impl<T: Io> Connected<IncomingStream<'_, Incoming<T>>> for ClientAddress {
    fn connect_info(stream: IncomingStream<'_, Incoming<T>>) -> Self {
        Self(stream.remote_addr().clone())
    }
}
