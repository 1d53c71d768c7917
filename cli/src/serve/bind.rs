//! Opens listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{lookup_host, TcpListener, UnixListener, UnixStream};

use super::socket::{keep_alive, AnyListener};
use crate::address::Address;
use crate::errors::Error;
use crate::table::Listen;

/// Connections that the kernel holds until they are accepted: what Linux allows by default (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// Removes the path of a Unix socket when it is dropped, if the socket there is still the one that was bound. Drop it before the
/// listener: as long as that one holds the socket, the system gives its number to no other.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The socket that was just bound.
    ///
    /// # Errors
    /// It is gone again.
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed ours, and put the socket of another program there.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What tells a file from all others that are there at the same time: its device and its inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|data| (data.dev(), data.ino()))
}

/// A listening socket, and where it listens.
#[derive(Debug)]
pub(crate) struct Bound {
    // The first field is dropped first; see there.
    pub(crate) file: Option<SocketFile>,
    pub(crate) listener: AnyListener,
    /// With the port that the system has chosen.
    pub(crate) address: Address,
}

/// Opens a listening socket beside those that are `bound` already; `None` if it is not required and this machine has no such
/// addresses.
///
/// # Errors
/// The address is in use, not one of this machine, or not permitted.
pub(crate) async fn bind(listen: &Listen, bound: &[Bound]) -> Result<Option<Bound>, Error> {
    let result = match &listen.address {
        Address::Ip(address) => bind_tcp(*address, !listen.is_required, bound),
        Address::Name { host, port } => bind_name(host, *port, bound).await,
        Address::Unix(path) => {
            bind_unix(path).await.map_err(|error| name_holder(error, &listen.address, bound))
        }
    };
    match result {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if !listen.is_required && is_unsupported(&error) => Ok(None),
        Err(error) => Err(Error::usage(format!(
            "can not listen on {}: {}",
            listen.address,
            explain(&error, &listen.address)
        ))),
    }
}

/// Whether the machine has no addresses of this family.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// "Address family not supported" of Linux; std has no kind for it.
const EAFNOSUPPORT: i32 = 97;

/// Ports below are reserved for the privileged, unless the system is told otherwise.
const PRIVILEGED_PORTS: u16 = 1_024;

fn explain(error: &io::Error, address: &Address) -> String {
    match error.kind() {
        // Of this module, and more exact than what follows.
        _ if error.get_ref().is_some() => error.to_string(),
        io::ErrorKind::AddrInUse => "the address is in use by another program".to_owned(),
        io::ErrorKind::AddrNotAvailable => "it is no address of this machine".to_owned(),
        io::ErrorKind::PermissionDenied => match address.port() {
            None => "permission denied (a socket is made only where its folder can be written to)".to_owned(),
            Some(port) if port < PRIVILEGED_PORTS => {
                "permission denied (ports below 1024 need a privilege; choose a higher one)".to_owned()
            }
            Some(_) => "permission denied".to_owned(),
        },
        _ => error.to_string(),
    }
}

/// An address that is in use may be so by one of our own listeners: then the error says by which.
fn name_holder(error: io::Error, address: &Address, bound: &[Bound]) -> io::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    match bound.iter().find(|bound| overlap(&bound.address, address)) {
        Some(Bound { address, .. }) => io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{address}, where oneport is to listen as well, takes it"),
        ),
        None => error,
    }
}

/// Whether the system lets only one socket listen on both.
fn overlap(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Ip(one), Address::Ip(other)) => {
            // `[::]` takes IPv4 as well; an address that is not specified takes all of its family.
            let takes = |all: &SocketAddr, part: &SocketAddr| {
                all.ip().is_unspecified() && (all.is_ipv6() || part.is_ipv4())
            };
            one.port() == other.port() && (one.ip() == other.ip() || takes(one, other) || takes(other, one))
        }
        (one, other) => one == other,
    }
}

fn bind_tcp(address: SocketAddr, is_v6_only: bool, bound: &[Bound]) -> io::Result<Bound> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run that are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && is_v6_only {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Before it listens: clients that wait for a restart may be connected from then on, before another line of this is run.
    keep_alive(&socket);
    // With SO_REUSEADDR it may be `listen` that finds another listener.
    socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG))
        .map_err(|error| name_holder(error, &Address::Ip(address), bound))?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = Address::Ip(listener.local_addr()?);
    Ok(Bound { file: None, listener: AnyListener::Tcp(listener), address })
}

async fn bind_name(host: &str, port: u16, bound: &[Bound]) -> io::Result<Bound> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match bind_tcp(address, false, bound) {
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
    let file = Some(SocketFile::new(path)?);
    Ok(Bound { file, listener: AnyListener::Unix(listener), address: Address::Unix(path.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str) -> Listen {
        Listen { address: Address::parse_listen(address).expect("an address"), is_required: true }
    }

    /// A folder of this test alone; removed with what is in it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("oneport-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn only_our_own_socket_is_removed() {
        let folder = Folder::new("own-socket");
        let path = folder.0.join("a.sock");
        let first = bind_unix(&path).await.expect("the first");
        std::fs::remove_file(&path).expect("somebody removes it");
        let second = bind_unix(&path).await.expect("a successor");
        drop(first);
        assert!(path.exists(), "the successor's socket is still there");
        drop(second);
        assert!(!path.exists(), "it removes its own");
    }

    #[tokio::test]
    async fn an_address_that_we_have_ourselves_is_no_other_programs() {
        let first = bind(&listen("127.0.0.1:0"), &[]).await.expect("a port").expect("required");
        let port = first.address.port().expect("a port");
        let ours = [first];
        for again in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"), format!("localhost:{port}")] {
            let Err(error) = bind(&listen(&again), &ours).await else { panic!("{again} was bound") };
            let error = error.to_string();
            assert!(error.contains(&format!("127.0.0.1:{port}, where oneport")), "{error}");
            let Err(error) = bind(&listen(&again), &[]).await else { panic!("{again} was bound") };
            assert!(error.to_string().contains("by another program"), "{error}");
        }
        let folder = Folder::new("own-address");
        let path = format!("unix:{}", folder.0.join("a.sock").display());
        let ours = [bind(&listen(&path), &[]).await.expect("a path").expect("required")];
        let Err(error) = bind(&listen(&path), &ours).await else { panic!("bound twice") };
        assert!(error.to_string().contains("a.sock, where oneport"), "{error}");
    }

    #[test]
    fn what_overlaps() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("0.0.0.0:1", "[::]:1", true),
            ("[::1]:1", "[::]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("127.0.0.1:1", "[::1]:1", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
        ] {
            let (a, b) = (listen(one).address, listen(other).address);
            assert_eq!((overlap(&a, &b), overlap(&b, &a)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn permission_is_explained_by_what_is_asked_for() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        for (address, part) in [("unix:/a", "folder"), ("0.0.0.0:80", "below 1024"), ("a:1023", "below 1024")]
        {
            let said = explain(&denied, &listen(address).address);
            assert!(said.contains(part), "{address}: {said}");
        }
        assert_eq!(explain(&denied, &listen("0.0.0.0:1024").address), "permission denied");
    }
}
