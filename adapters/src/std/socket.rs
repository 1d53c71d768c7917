//! What a blocking connection must be able to do.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::smol;

/// A blocking bidirectional stream whose reads and writes can be given up after a time.
///
/// Implemented for `TcpStream` and `UnixStream`. Implement it for a stream of your own, such as one whose TLS is terminated: the
/// methods are the socket's below.
///
/// ```
/// use oneport::std::Io;
/// use std::io::{self, Read, Write};
/// use std::net::{Shutdown, TcpStream};
/// use std::time::Duration;
///
/// struct Tls {
///     // session: rustls::ServerConnection,
///     socket: TcpStream,
/// }
/// # impl Read for Tls { fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> { self.socket.read(buf) } }
/// # impl Write for Tls {
/// #     fn write(&mut self, buf: &[u8]) -> io::Result<usize> { self.socket.write(buf) }
/// #     fn flush(&mut self) -> io::Result<()> { self.socket.flush() }
/// # }
///
/// impl Io for Tls {
///     fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.socket.set_read_timeout(timeout)
///     }
///     fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.socket.set_write_timeout(timeout)
///     }
///     fn shutdown(&self, how: Shutdown) -> io::Result<()> {
///         self.socket.shutdown(how)
///     }
/// }
/// ```
pub trait Io: Read + Write {
    /// How long a read may wait; then it fails with `WouldBlock` or `TimedOut`, and nothing is lost. `None`: for ever.
    ///
    /// # Errors
    /// If the system refuses, or the time is zero.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// How long a write may wait; then it fails with `WouldBlock` or `TimedOut`, and nothing is written. `None`: for ever.
    ///
    /// # Errors
    /// If the system refuses, or the time is zero.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Ends one side or both.
    ///
    /// # Errors
    /// If the system refuses.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

/// A socket that the mux can poll: `TcpStream` or `UnixStream`.
pub trait Socket: Io + smol::StreamSocket {
    /// A second handle to the same socket.
    ///
    /// # Errors
    /// If there are no more file descriptors.
    fn try_clone(&self) -> io::Result<Self>;

    /// Whether reads and writes fail with `WouldBlock` where they would have to wait.
    ///
    /// # Errors
    /// If the system refuses.
    fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()>;
}

/// Takes a socket back from the poller.
pub(super) fn blocking<S: Socket>(socket: smol::Socket<S>) -> io::Result<S> {
    let socket = socket.into_inner().into_inner()?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

macro_rules! socket {
    ($socket:ty) => {
        impl Io for $socket {
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_read_timeout(timeout)
            }

            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_write_timeout(timeout)
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
        }

        impl Socket for $socket {
            fn try_clone(&self) -> io::Result<Self> {
                self.try_clone()
            }

            fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
                self.set_nonblocking(is_nonblocking)
            }
        }
    };
}

socket!(TcpStream);
#[cfg(unix)]
socket!(UnixStream);
