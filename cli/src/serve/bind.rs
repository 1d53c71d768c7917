//! Opens listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{lookup_host, TcpListener, UnixListener, UnixStream};

use super::socket::AnyListener;
use crate::address::Address;
use crate::errors::Error;
use crate::table::Listen;

/// Connections that the kernel holds until they are accepted: what Linux allows by default (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// Removes the path of a Unix socket when it is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listening socket, and where it listens.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: AnyListener,
    /// With the port that the system has chosen.
    pub(crate) address: Address,
    pub(crate) file: Option<SocketFile>,
}

/// Opens a listening socket; `None` if it is not required and this machine has no such addresses.
///
/// # Errors
/// The address is in use, not one of this machine, or not permitted.
pub(crate) async fn bind(listen: &Listen) -> Result<Option<Bound>, Error> {
    let result = match &listen.address {
        Address::Ip(address) => bind_tcp(*address, !listen.is_required),
        Address::Name { host, port } => bind_name(host, *port).await,
        Address::Unix(path) => bind_unix(path).await,
    };
    match result {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if !listen.is_required && is_unsupported(&error) => Ok(None),
        Err(error) => Err(Error::usage(format!("can not listen on {}: {}", listen.address, explain(&error)))),
    }
}

/// Whether the machine has no addresses of this family.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// "Address family not supported" of Linux; std has no kind for it.
const EAFNOSUPPORT: i32 = 97;

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another program".to_owned(),
        io::ErrorKind::AddrNotAvailable => "it is no address of this machine".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need a privilege; choose a higher one)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn bind_tcp(address: SocketAddr, is_v6_only: bool) -> io::Result<Bound> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run that are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && is_v6_only {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = Address::Ip(listener.local_addr()?);
    Ok(Bound { listener: AnyListener::Tcp(listener), address, file: None })
}

async fn bind_name(host: &str, port: u16) -> io::Result<Bound> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match bind_tcp(address, false) {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn bind_unix(path: &Path) -> io::Result<Bound> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // A file of this name is there. One that nobody listens on was left behind by a program that is gone.
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            match UnixStream::connect(path).await {
                Err(gone) if is_socket && gone.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) => return Err(error),
                Err(_) if is_socket => return Err(error),
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "there is a file that is no socket",
                    ))
                }
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        result => result?,
    };
    let file = Some(SocketFile(path.to_owned()));
    Ok(Bound { listener: AnyListener::Unix(listener), address: Address::Unix(path.to_owned()), file })
}
