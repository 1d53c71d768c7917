//! Routed connections tell tonic their addresses, so that `Request::remote_addr` is the client's.

use tonic::transport::server::{Connected, TcpConnectInfo};

use super::connection::Connection;

impl<T> Connected for Connection<T> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.local_address().tcp(), remote_addr: self.peer_address().tcp() }
    }
}
