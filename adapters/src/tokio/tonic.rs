//! Routed connections tell tonic their addresses, so that `Request::remote_addr` is the client's.

use tonic::transport::server::{Connected, TcpConnectInfo};

use super::connection::Connection;

/// The addresses that the listener knows, whatever the stream is: also of a share, which has no stream of its own.
///
/// Of a stream whose TLS is terminated in this process tonic learns nothing more: `Request::peer_certs` is `None`. For that, give it
/// connections of a type of your own that passes on what the stream says (of tokio-rustls's `TlsStream`, tonic knows addresses and
/// certificates):
///
/// ```
/// use oneport::tokio::Connection;
/// use tonic::transport::server::Connected;
///
/// struct OverTls<T>(Connection<T>);
///
/// impl<T: Connected> Connected for OverTls<T> {
///     type ConnectInfo = T::ConnectInfo;
///
///     fn connect_info(&self) -> T::ConnectInfo {
///         // Only a mux with `per_request` has others.
///         self.0.inner().expect("a whole connection").connect_info()
///     }
/// }
/// // And `AsyncRead` and `AsyncWrite`, which call those of the connection.
/// ```
impl<T> Connected for Connection<T> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.local_address().tcp(), remote_addr: self.peer_address().tcp() }
    }
}
