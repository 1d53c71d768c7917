//! What the pump has to know of a connection that it carries bytes from and to.

use oneport::tokio::Connection;
use tokio::io::{AsyncRead, AsyncWrite};

use super::socket::Socket;

/// One of two connections that bytes are carried between.
pub(super) trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The socket itself, once its bytes go out and come in as they are.
    fn bare(&self) -> Option<&Socket>;

    /// The socket below, whatever stands before it: to look at.
    fn socket(&self) -> Option<&Socket>;
}

impl Side for Socket {
    fn bare(&self) -> Option<&Socket> {
        Some(self)
    }

    fn socket(&self) -> Option<&Socket> {
        Some(self)
    }
}

impl Side for Connection<Socket> {
    fn bare(&self) -> Option<&Socket> {
        if self.owed().is_some() {
            None
        } else {
            self.inner()
        }
    }

    fn socket(&self) -> Option<&Socket> {
        self.inner()
    }
}
