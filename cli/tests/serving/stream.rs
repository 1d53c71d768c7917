//! Streams of bytes that can be told apart at every place, and the command between their ends.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::serving::{accept, Serve};

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes that do not repeat at any distance that a buffer has: each place has its own.
pub(crate) fn fill(buffer: &mut [u8], seed: u64, place: u64) {
    let mut words = Vec::with_capacity(buffer.len() + 16);
    let mut next = place / 8;
    let skipped = (place % 8) as usize;
    while words.len() < skipped + buffer.len() {
        next += 1;
        let word = next.wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (seed << 32));
        words.extend_from_slice(&(word ^ (word >> 29)).to_le_bytes());
    }
    buffer.copy_from_slice(&words[skipped..skipped + buffer.len()]);
}

/// Sends so many bytes, from this place of the stream on.
pub(crate) fn send(mut stream: &TcpStream, seed: u64, from: u64, count: u64) -> io::Result<()> {
    let mut chunk = vec![0; 100_000];
    let mut place = from;
    while place < from + count {
        let n = (from + count - place).min(chunk.len() as u64) as usize;
        fill(&mut chunk[..n], seed, place);
        stream.write_all(&chunk[..n])?;
        place += n as u64;
    }
    Ok(())
}

/// Receives so many bytes, or to the end; each must be the right one. Returns where the stream stands.
pub(crate) fn receive(mut stream: &TcpStream, seed: u64, from: u64, count: u64) -> io::Result<u64> {
    let (mut chunk, mut expected) = (vec![0; 300_000], vec![0; 300_000]);
    let mut place = from;
    while place < from + count {
        let most = (from + count - place).min(chunk.len() as u64) as usize;
        let n = match stream.read(&mut chunk[..most])? {
            0 => break,
            n => n,
        };
        fill(&mut expected[..n], seed, place);
        assert!(chunk[..n] == expected[..n], "other bytes than were sent, near {place}");
        place += n as u64;
    }
    Ok(place)
}

/// A command in front of a listener, with these options.
pub(crate) fn serve(options: &[&str]) -> (Serve, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    (Serve::start(listener.local_addr().expect("an address"), options), listener)
}

/// Both ends of a connection through the command.
pub(crate) fn connect(serve: &Serve, listener: &TcpListener) -> (TcpStream, TcpStream) {
    (serve.connect(), accept(listener))
}

/// SIGTERM in the middle of bulk lets it end, and the command with it. Says how the connection ended, and what `closed` counted.
pub(crate) fn drain_in_bulk(serve: &mut Serve, listener: &TcpListener) -> (String, [u64; 3]) {
    let (client, backend) = connect(serve, listener);
    thread::scope(|scope| {
        scope.spawn(move || send(&backend, 12, 0, 48 * MIB).expect("sent"));
        receive(&client, 12, 0, 8 * MIB).expect("read");
        serve.signal("TERM");
        serve.logged(r#""event":"stopping""#);
        assert_eq!(receive(&client, 12, 8 * MIB, u64::MAX / 2).expect("read"), 48 * MIB);
        drop(client);
    });
    let closed = serve.closed();
    assert!(serve.wait().success());
    closed
}
