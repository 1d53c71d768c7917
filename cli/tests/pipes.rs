//! What `oneport serve` does with pipes: who has one, and what becomes of bulk when there are none.
#![cfg(target_os = "linux")]

#[allow(dead_code)] // this file uses a part of it
mod serving;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use oneport_core::wire::frame::{encode_frame, flag, Kind, PREFACE};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, Setting, SettingId};
use serving::stream::{connect, receive, send, serve, MIB};
use serving::{accept, Serve, PATIENCE};

/// Longer than no pipe is asked for after the system has refused one, and than no client is taken while there are no files.
const PAUSE: Duration = Duration::from_millis(1_100);

/// Files that are ends of pipes. Its own standard output and error are two of them.
fn ends_of_pipes(serve: &Serve) -> usize {
    serve.files().iter().filter(|file| file.starts_with("pipe:")).count()
}

fn sockets(serve: &Serve) -> usize {
    serve.files().iter().filter(|file| file.starts_with("socket:")).count()
}

/// Waits until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// From the backend to the client.
fn download(ends: &(TcpStream, TcpStream), seed: u64, count: u64) {
    let (client, backend) = ends;
    thread::scope(|scope| {
        scope.spawn(|| send(backend, seed, 0, count).expect("sent"));
        assert_eq!(receive(client, seed, 0, count).expect("read"), count);
    });
}

#[test]
fn small_messages_need_no_pipe() {
    let (serve, listener) = serve(&[]);
    let ends = connect(&serve, &listener);
    let before = ends_of_pipes(&serve);
    for seed in 0..200 {
        download(&ends, seed, 20_000);
    }
    assert_eq!(ends_of_pipes(&serve), before);
    drop(ends);
    assert_eq!(serve.closed().1[2], 0, "spliced");
}

/// Readers that stall in the middle of bulk: each takes a step now and then, until the next thing that has come for it is in a pipe.
/// When all is read, at most the eight pipes that are kept are left.
#[test]
fn a_pipe_is_held_only_while_something_is_in_it() {
    let (serve, listener) = serve(&[]);
    let before = ends_of_pipes(&serve);
    let pairs: Vec<_> = (0..20).map(|_| connect(&serve, &listener)).collect();
    thread::scope(|scope| {
        for (_, backend) in &pairs {
            scope.spawn(move || send(backend, 1, 0, 24 * MIB).expect("sent"));
        }
        let mut place = 0;
        while ends_of_pipes(&serve) < before + 2 * 12 {
            assert!(place < 12 * MIB, "stalled directions have no pipes");
            for (client, _) in &pairs {
                receive(client, 1, place, MIB / 2).expect("read");
            }
            place += MIB / 2;
            thread::sleep(Duration::from_millis(200));
        }
        for (client, _) in &pairs {
            assert_eq!(receive(client, 1, place, 24 * MIB - place).expect("read"), 24 * MIB);
        }
    });
    wait_until("the pipes are given back", || ends_of_pipes(&serve) <= before + 2 * 8);
    // All of these connections are still there, and work.
    for ends in &pairs {
        download(ends, 2, 1);
    }
}

/// Whoever resets while the other side takes nothing leaves nothing behind, but an empty pipe that another may use.
#[test]
fn a_reset_behind_a_side_that_takes_nothing_frees_all() {
    let (serve, listener) = serve(&[]);
    let before = (sockets(&serve), ends_of_pipes(&serve));
    for is_upload in [true, false] {
        let (client, backend) = connect(&serve, &listener);
        let (mut talker, listening) = if is_upload { (client, backend) } else { (backend, client) };
        talker.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        while talker.write_all(&[7; 100_000]).is_ok() {}
        socket2::SockRef::from(&talker).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(talker);
        let reset = Instant::now();
        assert_eq!(serve.closed().0, "cut", "upload: {is_upload}");
        assert!(reset.elapsed() < Duration::from_secs(5), "{:?}", reset.elapsed());
        wait_until("it has closed all", || {
            sockets(&serve) <= before.0 && ends_of_pipes(&serve) <= before.1 + 2
        });
        drop(listening);
    }
}

#[test]
fn without_files_for_pipes_bulk_is_copied() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let most = 64;
    let serve = Serve::start_with_files(listener.local_addr().expect("an address"), most);
    let ends = connect(&serve, &listener);
    let idle = sockets(&serve) - 2;
    // Connections until there is no file left, not even for a pipe that is only one end.
    let fillers: Vec<_> =
        (0..most).map(|_| TcpStream::connect(&serve.address).expect("the kernel takes it")).collect();
    wait_until("it has no more files", || serve.files().len() + 1 >= most);
    download(&ends, 3, 16 * MIB);
    drop(ends);
    let (_, [_, to_client, spliced]) = serve.closed();
    assert_eq!((to_client, spliced), (16 * MIB, 0));

    // When there are files again, so are pipes. Those who waited in the queue are taken when there is one, and each is told to the
    // backend; until the last of them is gone, a client may find no file left to connect with.
    drop(fillers);
    listener.set_nonblocking(true).expect("an option");
    let mut quiet_since = Instant::now();
    wait_until("it has files again, and nobody in its queue", || {
        while listener.accept().is_ok() {}
        if sockets(&serve) > idle {
            quiet_since = Instant::now();
        }
        quiet_since.elapsed() > PAUSE
    });
    let ends = connect(&serve, &listener);
    download(&ends, 4, 16 * MIB);
    drop(ends);
    let spliced = std::iter::repeat_with(|| serve.closed().1).find(|carried| carried[1] == 16 * MIB);
    assert!(spliced.is_some_and(|carried| carried[2] > 8 * MIB), "{spliced:?}");
}

#[test]
fn with_no_splice_all_is_copied() {
    let (serve, listener) = serve(&["--no-splice"]);
    let ends = connect(&serve, &listener);
    let before = ends_of_pipes(&serve);
    download(&ends, 6, 16 * MIB);
    assert_eq!(ends_of_pipes(&serve), before);
    drop(ends);
    assert_eq!(serve.closed().1[1..], [16 * MIB, 0]);
}

/// So few files that no pipe is even tried.
#[test]
fn a_process_with_few_files_has_no_pipes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let serve = Serve::start_with_files(listener.local_addr().expect("an address"), 15);
    let ends = connect(&serve, &listener);
    download(&ends, 5, 8 * MIB);
    drop(ends);
    assert_eq!(serve.closed().1[1..], [8 * MIB, 0]);
}

/// A client that was greeted owes the acknowledgement of the greeting, and its backend one that the client has had already. Both
/// come in the middle of bulk. Until then nothing may pass by the ledgers; from then on all may.
#[test]
fn what_is_owed_is_not_passed_by() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve =
        Serve::start_with(&["--route", &format!("grpc={address}"), "--route", &format!("any={address}")]);
    let mut client = serve.connect();
    let mut opening = PREFACE.to_vec();
    encode_settings(&mut opening, &[]);
    client.write_all(&opening).expect("written");
    // The greeting: SETTINGS with one entry, and an acknowledgement.
    client.read_exact(&mut [0; 9 + 6 + 9]).expect("greeted");

    // `GET /` of `a`.
    let mut request = Vec::new();
    encode_frame(&mut request, Kind::HEADERS, flag::END_HEADERS, 1, b"\x82\x86\x84\x41\x01a");
    client.write_all(&request).expect("written");
    let backend = accept(&listener);
    let frames = |count: usize| {
        let mut bytes = Vec::new();
        (0..count).for_each(|_| encode_frame(&mut bytes, Kind::DATA, 0, 1, &[0x5a; 16_384]));
        bytes
    };
    let bulk_around_ack = || {
        let mut bytes = frames(512);
        encode_settings_ack(&mut bytes);
        bytes.extend(frames(1_024));
        bytes
    };
    let mut answer = Vec::new();
    encode_settings(&mut answer, &[]);
    answer.extend(bulk_around_ack());
    // What the greeting had said and the backend does not say goes back to its default.
    let mut heard = Vec::new();
    encode_settings(&mut heard, &[Setting { id: SettingId::MAX_CONCURRENT_STREAMS, value: 0x7fff_ffff }]);
    heard.extend(frames(512 + 1_024));
    let seen = [opening, request, frames(512 + 1_024)].concat();

    let talk = |mut stream: &TcpStream, words: &[u8]| {
        stream.write_all(words).expect("written");
        stream.shutdown(Shutdown::Write).expect("half closed");
    };
    let listen = |mut stream: &TcpStream, expected: &[u8]| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an end");
        assert!(bytes == expected, "{} bytes instead of {}", bytes.len(), expected.len());
    };
    thread::scope(|scope| {
        scope.spawn(|| talk(&client, &bulk_around_ack()));
        scope.spawn(|| listen(&client, &heard));
        scope.spawn(|| talk(&backend, &answer));
        listen(&backend, &seen);
    });
    let (_, [to_backend, to_client, spliced]) = serve.closed();
    assert_eq!((to_backend, to_client), (seen.len() as u64, answer.len() as u64));
    assert!(spliced > 4 * MIB, "{spliced} bytes");
}
