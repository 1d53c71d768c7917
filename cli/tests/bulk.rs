//! `oneport serve` with much to carry: every byte, in order, and each end as it was.

#[allow(dead_code)] // this file uses a part of it
mod serving;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serving::stream::{connect, drain_in_bulk, fill, receive, send, serve, MIB};
use serving::{accept_from, Serve};
use socket2::SockRef;

/// Most of it must have gone through pipes, where there are any.
fn assert_spliced(spliced: u64, of: u64) {
    if cfg!(target_os = "linux") {
        assert!(spliced > of / 2 && spliced <= of, "{spliced} of {of} bytes were spliced");
    } else {
        assert_eq!(spliced, 0);
    }
}

fn reset_on_close(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

#[test]
fn bulk_goes_both_ways() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    thread::scope(|scope| {
        for (stream, seed) in [(&client, 1), (&backend, 2)] {
            scope.spawn(move || {
                send(stream, seed, 0, 48 * MIB).expect("sent");
                stream.shutdown(Shutdown::Write).expect("half closed");
            });
        }
        for (stream, seed) in [(&client, 2), (&backend, 1)] {
            scope.spawn(move || assert_eq!(receive(stream, seed, 0, u64::MAX / 2).expect("read"), 48 * MIB));
        }
    });
    let (end, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((end.as_str(), to_backend, to_client), ("done", 48 * MIB, 48 * MIB));
    assert_spliced(spliced, 96 * MIB);
}

#[test]
fn bulk_goes_to_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("oneport-bulk-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a path");
    let route = format!("any=unix:{}", path.display());
    let serve = Serve::start_with(&["--route", &route]);
    let client = serve.connect();
    let (mut backend, _) = accept_from(&listener, UnixListener::set_nonblocking, UnixListener::accept);
    backend.set_nonblocking(false).expect("an option");
    // An echo, so that both kinds are read and written.
    let echo = thread::spawn(move || {
        let mut writer = backend.try_clone().expect("a second handle");
        io::copy(&mut backend, &mut writer).expect("echoed");
        writer.shutdown(Shutdown::Write).expect("half closed");
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            send(&client, 3, 0, 32 * MIB).expect("sent");
            client.shutdown(Shutdown::Write).expect("half closed");
        });
        assert_eq!(receive(&client, 3, 0, u64::MAX / 2).expect("read"), 32 * MIB);
    });
    echo.join().expect("no panic");
    let (end, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((end.as_str(), to_backend, to_client), ("done", 32 * MIB, 32 * MIB));
    // The client's part at least; what comes from a Unix socket may come in chunks that are not worth it.
    assert!(spliced > 16 * MIB || !cfg!(target_os = "linux"), "{spliced} bytes");
    let _ = std::fs::remove_file(&path);
}

/// Talk and bulk in turn, so that a direction changes its way again and again.
#[test]
fn talk_and_bulk_alternate() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    let mut place = 0;
    for round in 0..40 {
        let count = if round % 2 == 0 { 1 + round } else { MIB + 12_345 * round };
        thread::scope(|scope| {
            scope.spawn(|| send(&backend, 4, place, count).expect("sent"));
            assert_eq!(receive(&client, 4, place, count).expect("read"), place + count);
        });
        place += count;
        (&client).write_all(b"next").expect("written");
        (&backend).read_exact(&mut [0; 4]).expect("read");
    }
    drop((client, backend));
    let (_, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((to_backend, to_client), (160, place));
    assert_spliced(spliced, place);
}

/// The backend has sent all and has said so before the client reads: what is in a pipe then is followed by its end, and by nothing
/// before. The other direction lives on.
#[test]
fn an_end_comes_behind_what_is_in_the_pipe() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    // More than every buffer on the way takes.
    let sender = thread::spawn(move || {
        send(&backend, 5, 0, 48 * MIB).expect("sent");
        backend.shutdown(Shutdown::Write).expect("half closed");
        backend
    });
    thread::sleep(Duration::from_millis(300));
    assert_eq!(receive(&client, 5, 0, u64::MAX / 2).expect("read"), 48 * MIB);
    let backend = sender.join().expect("no panic");
    thread::scope(|scope| {
        scope.spawn(|| {
            send(&client, 6, 0, 8 * MIB).expect("sent");
            client.shutdown(Shutdown::Write).expect("half closed");
        });
        assert_eq!(receive(&backend, 6, 0, u64::MAX / 2).expect("read"), 8 * MIB);
    });
    let (end, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((end.as_str(), to_backend, to_client), ("done", 8 * MIB, 48 * MIB));
    assert_spliced(spliced, 56 * MIB);
}

/// A response that was cut must not look whole, wherever its last bytes are.
#[test]
fn a_reset_in_the_middle_stays_a_reset() {
    let (serve, listener) = serve(&[]);
    for backend_breaks in [true, false] {
        let (client, backend) = connect(&serve, &listener);
        let (breaks, stays) = if backend_breaks { (backend, client) } else { (client, backend) };
        // It gives up when every buffer on the way is full.
        breaks.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let _ = send(&breaks, 7, 0, 64 * MIB);
                reset_on_close(&breaks);
            });
            receive(&stays, 7, 0, 4 * MIB).expect("read");
            sender.join().expect("no panic");
        });
        drop(breaks);
        let error = receive(&stays, 7, 4 * MIB, u64::MAX / 2).expect_err("no end in good order");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let (end, [to_backend, to_client, spliced]) = serve.closed();
        assert_eq!(end, "cut");
        assert_spliced(spliced, to_backend + to_client);
    }
}

/// The reader resets while its sender is in the middle.
#[test]
fn a_reader_that_breaks_resets_its_sender() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&backend, 8, 0, 1024 * MIB));
        receive(&client, 8, 0, 4 * MIB).expect("read");
        reset_on_close(&client);
        drop(client);
        let error = sender.join().expect("no panic").expect_err("nobody reads");
        assert!(
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
            "{error}"
        );
    });
    assert_eq!(serve.closed().0, "cut");
}

/// Nobody reads: what is sent is not taken without end, others are served, and nothing is lost.
#[test]
fn a_reader_that_stalls_holds_back_its_sender_only() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    backend.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let mut sent = 0;
    let mut chunk = vec![0; 100_000];
    loop {
        fill(&mut chunk, 9, sent);
        match (&backend).write(&chunk) {
            Ok(n) => sent += n as u64,
            Err(_) => break,
        }
        assert!(sent < 64 * MIB, "the sender is not held back");
    }
    let (other, its_backend) = connect(&serve, &listener);
    thread::scope(|scope| {
        scope.spawn(|| send(&its_backend, 10, 0, 16 * MIB).expect("sent"));
        assert_eq!(receive(&other, 10, 0, 16 * MIB).expect("read"), 16 * MIB);
    });
    drop((other, its_backend));
    assert_eq!(serve.closed().1[1], 16 * MIB);
    drop(backend);
    assert_eq!(receive(&client, 9, 0, u64::MAX / 2).expect("read"), sent);
    drop(client);
    let (end, [_, to_client, spliced]) = serve.closed();
    assert_eq!((end.as_str(), to_client), ("done", sent));
    assert_spliced(spliced, sent);
}

/// The read side sees nothing of an urgent byte, and what is in front of it and behind it comes. One at a time: of two on the way,
/// TCP takes the first for an ordinary byte.
#[test]
fn an_urgent_byte_stops_nothing() {
    let (serve, listener) = serve(&[]);
    let (client, backend) = connect(&serve, &listener);
    let all_is_read = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..8 {
                send(&backend, 11, 2 * round * MIB, MIB).expect("sent");
                assert_eq!(SockRef::from(&backend).send_out_of_band(b"!").expect("sent"), 1);
                send(&backend, 11, (2 * round + 1) * MIB, MIB).expect("sent");
                all_is_read.wait();
            }
        });
        for round in 0..8 {
            let from = 2 * round * MIB;
            assert_eq!(receive(&client, 11, from, 2 * MIB).expect("read"), from + 2 * MIB);
            all_is_read.wait();
        }
    });
    drop((client, backend));
    assert_spliced(serve.closed().1[2], 16 * MIB);
}

#[test]
fn a_drain_lets_bulk_end() {
    let (mut serve, listener) = serve(&["--drain", "25s"]);
    let (end, [_, to_client, spliced]) = drain_in_bulk(&mut serve, &listener);
    assert_eq!((end.as_str(), to_client), ("done", 48 * MIB));
    assert_spliced(spliced, to_client);
}

#[test]
fn the_end_of_the_drain_cuts_bulk() {
    let (mut serve, listener) = serve(&["--drain", "300ms"]);
    let (client, backend) = connect(&serve, &listener);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&backend, 13, 0, 1024 * MIB).expect_err("cut").kind());
        receive(&client, 13, 0, 8 * MIB).expect("read");
        // From here on nobody reads, so that the pipe is full when it is cut.
        serve.signal("TERM");
        let (end, [_, _, spliced]) = serve.closed();
        assert_eq!(end, "cut");
        assert!(spliced > 4 * MIB || !cfg!(target_os = "linux"), "{spliced} bytes");
        serve.logged(r#""event":"drain-cut""#);
        let error = receive(&client, 13, 8 * MIB, u64::MAX / 2).expect_err("no end in good order");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = sender.join().expect("no panic");
        assert!(matches!(error, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
    });
    assert!(serve.wait().success());
}
