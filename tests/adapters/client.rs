//! A raw client: a blocking socket whose reads and writes give up after [`PATIENCE`](super::PATIENCE).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use socket2::Socket;

use super::PATIENCE;

#[derive(Debug)]
pub(super) struct Client(Socket);

impl Client {
    pub(super) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        // Each write is a segment.
        stream.set_nodelay(true).expect("a socket");
        Self::new(stream.into())
    }

    pub(super) fn unix(path: &Path) -> Self {
        Self::of_pair(UnixStream::connect(path).expect("it listens"))
    }

    pub(super) fn of_pair(end: UnixStream) -> Self {
        Self::new(end.into())
    }

    fn new(socket: Socket) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self(socket)
    }

    /// Its own address, which the mux sees as the peer.
    pub(super) fn address(&self) -> SocketAddr {
        self.0.local_addr().ok().and_then(|address| address.as_socket()).expect("a TCP client")
    }

    #[track_caller]
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the mux reads");
    }

    /// Sends byte by byte, with a pause after each.
    #[track_caller]
    pub(super) fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send(&[*byte]);
            sleep(pause);
        }
    }

    /// Sends this byte again and again until the other side has had enough.
    pub(super) fn trickle(&mut self, byte: u8, pause: Duration) {
        while self.0.write(&[byte]).is_ok() {
            sleep(pause);
        }
    }

    /// Ends the writing side.
    #[track_caller]
    pub(super) fn finish(&mut self) {
        self.0.shutdown(std::net::Shutdown::Write).expect("a socket");
    }

    /// Closes with a reset.
    pub(super) fn reset(self) {
        self.0.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub(super) fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        let mut at = 0;
        while at < received.len() {
            match self.0.read(&mut received[at..]) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(error) => panic!("{error} after {:?} of {bytes:?}", &received[..at]),
            }
        }
        assert!(received[..at] == *bytes, "received {:?}, not {bytes:?}", &received[..at]);
    }

    /// Reads to the end, which must be one: no reset.
    #[track_caller]
    pub(super) fn read_to_fin(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        match self.0.read_to_end(&mut received) {
            Ok(_) => received,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&received)),
        }
    }

    /// Reads to the reset that must come.
    #[track_caller]
    pub(super) fn read_to_reset(&mut self) {
        let mut received = Vec::new();
        let result = self.0.read_to_end(&mut received);
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "{received:?}");
    }

    /// The end has come without a byte.
    #[track_caller]
    pub(super) fn expect_silent_end(&mut self) {
        assert_eq!(self.read_to_fin(), b"", "nothing is said");
    }

    /// The end has come, as a FIN or, since input of it was not read, as a reset, without a byte.
    #[track_caller]
    pub(super) fn expect_end_without_a_word(&mut self) {
        let mut received = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut received) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(received, b"");
    }

    /// Reads what comes until it ends one way or the other.
    pub(super) fn read_what_comes(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let _ = self.0.read_to_end(&mut received);
        received
    }

    /// Whether nothing has come so far: neither a byte nor an end.
    pub(super) fn hears_nothing(&mut self) -> bool {
        self.0.set_nonblocking(true).expect("a socket");
        let result = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).expect("a socket");
        matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends until the other side has had enough; returns how many bytes it took.
    pub(super) fn flood(&mut self, chunk: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.0.write(chunk) {
                Ok(n) => sent += n,
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    break;
                }
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
        sent
    }

    /// A second hand on the same socket, for another thread.
    pub(super) fn share(&self) -> Self {
        Self(self.0.try_clone().expect("a socket"))
    }
}

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Client {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
