//! `oneport serve` where it may use one processor only: then one thread carries everything, and must leave a turn to everyone.
#![cfg(target_os = "linux")]

#[allow(dead_code)] // this file uses a part of it
mod serving;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, available_parallelism};

use serving::stream::{connect, drain_in_bulk, receive, send, MIB};
use serving::Serve;

fn serve(options: &[&str]) -> (Serve, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    (Serve::start_on_one_processor(listener.local_addr().expect("an address"), options), listener)
}

/// So many bytes each way at the same time, and both ends.
fn both_ways(client: &TcpStream, backend: &TcpStream, count: u64) {
    thread::scope(|scope| {
        for (stream, seed) in [(client, 1), (backend, 2)] {
            scope.spawn(move || {
                send(stream, seed, 0, count).expect("sent");
                stream.shutdown(Shutdown::Write).expect("half closed");
            });
        }
        scope.spawn(|| assert_eq!(receive(client, 2, 0, u64::MAX / 2).expect("read"), count));
        assert_eq!(receive(backend, 1, 0, u64::MAX / 2).expect("read"), count);
    });
}

/// The other tests of this file test nothing of their own unless this is so.
#[test]
fn one_processor_has_one_thread() {
    let (one, listener) = serve(&[]);
    // Beside the one that writes the log.
    assert_eq!(one.threads(), 2);
    let free = Serve::start(listener.local_addr().expect("an address"), &[]);
    let processors = available_parallelism().expect("a number").get();
    assert_eq!(free.threads() > 2, processors > 1, "{} threads", free.threads());
}

#[test]
fn bulk_goes_both_ways() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    both_ways(&client, &backend, 48 * MIB);
    let (end, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((end.as_str(), to_backend, to_client), ("done", 48 * MIB, 48 * MIB));
    assert!(spliced > 48 * MIB, "{spliced} bytes");
}

/// Set when it is dropped, by a panic too: whoever waits for it ends.
struct Over<'t>(&'t AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bulk on two connections, as fast as it goes, for as long as a third one talks and further ones come.
#[test]
fn talk_goes_on_beside_bulk() {
    let (serve, listener) = serve(&[]);
    let (talker, its_backend) = connect(&serve, &listener);
    let bulk = [connect(&serve, &listener), connect(&serve, &listener)];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for (client, backend) in &bulk {
            for (mut from, mut to) in [(client, backend), (backend, client)] {
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        from.write_all(&[7; 1 << 18]).expect("written");
                    }
                    from.shutdown(Shutdown::Write).expect("half closed");
                });
                scope.spawn(move || {
                    let mut buffer = vec![0; 1 << 20];
                    while to.read(&mut buffer).expect("read") > 0 {}
                });
            }
        }
        for _ in 0..50 {
            for (mut from, mut to) in [(&talker, &its_backend), (&its_backend, &talker)] {
                from.write_all(b"word").expect("written");
                to.read_exact(&mut [0; 4]).expect("read");
            }
            drop(connect(&serve, &listener));
        }
    });
}

#[test]
fn a_drain_lets_bulk_end() {
    let (mut serve, listener) = serve(&["--drain", "25s"]);
    assert_eq!(drain_in_bulk(&mut serve, &listener).0, "done");
}

/// Bulk that never ends does not hold up the signal nor the end of the drain.
#[test]
fn the_end_of_the_drain_cuts_bulk() {
    let (mut serve, listener) = serve(&["--drain", "300ms"]);
    let (client, backend) = connect(&serve, &listener);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&backend, 4, 0, u64::MAX / 2).expect_err("cut").kind());
        receive(&client, 4, 0, 8 * MIB).expect("read");
        serve.signal("TERM");
        let error = receive(&client, 4, 8 * MIB, u64::MAX / 2).expect_err("no end in good order");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = sender.join().expect("no panic");
        assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    });
    assert_eq!(serve.closed().0, "cut");
    serve.logged(r#""event":"drain-cut""#);
    assert!(serve.wait().success());
}
