//! How `oneport serve` ends, and what becomes of connections whose backend does not answer.

#[allow(dead_code)] // this file uses a part of it
mod serving;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use serving::{accept, Serve, PATIENCE};

/// A backend that never accepts, and whose kernel answers no further client: its queue is full.
struct Hung {
    address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl Hung {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("listening");
        let address = listener.local_addr().expect("an address").as_socket().expect("of IP");
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            filler.set_nonblocking(true).expect("nonblocking");
            // In progress, and most stay so.
            let _ = filler.connect(&address.into());
            sockets.push(filler);
        }
        thread::sleep(Duration::from_millis(100));
        Self { address, _sockets: sockets }
    }
}

/// All that the client is told; `Err` when it is reset.
fn told(mut client: TcpStream) -> Result<String, std::io::ErrorKind> {
    let mut answer = String::new();
    client.read_to_string(&mut answer).map(|_| answer).map_err(|error| error.kind())
}

const RESET: Result<String, std::io::ErrorKind> = Err(std::io::ErrorKind::ConnectionReset);

/// Long enough for a request to be decided, even on a busy machine.
fn settle() {
    thread::sleep(Duration::from_millis(500));
}

#[test]
fn a_refusal_survives_the_drain() {
    let hung = Hung::new();
    let mut serve = Serve::start(hung.address, &["--drain", "20s", "--delivery-deadline", "2s"]);
    let client = serve.request();
    settle();
    serve.signal("TERM");
    let answer = told(client);
    assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 502")), "{answer:?}");
    let line = serve.logged(r#""event":"connection""#);
    assert!(line.contains(r#""reason":"delivery-timeout""#), "{line}");
    assert!(serve.wait().success());
}

#[test]
fn the_end_of_the_drain_cuts_and_counts_who_still_waits_for_a_backend() {
    let hung = Hung::new();
    let options = ["--drain", "300ms", "--delivery-deadline", "20s", "--max-undelivered", "1"];
    let mut serve = Serve::start(hung.address, &options);
    // One whose backend is connecting, one that waits for its place, one in the backlog.
    let clients = [serve.request(), serve.request(), serve.request()];
    settle();
    serve.signal("TERM");
    for client in clients {
        assert_eq!(told(client), RESET);
        let line = serve.logged(r#""event":"connection""#);
        assert!(line.contains(r#""outcome":"shutdown""#), "{line}");
    }
    serve.logged(r#""event":"drain-cut""#);
    assert!(serve.wait().success());
}

/// What a name stands for is known when it is listened on: one that looks like no address of this machine, and is one.
#[test]
fn a_way_back_that_shows_when_the_sockets_are_open_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let (listen, route) = (format!("0x7f.1:{port}"), format!("any=127.0.0.1:{port}"));
    let options = ["--listen", &listen, "--route", &route];
    let oneport = || Command::new(env!("CARGO_BIN_EXE_oneport"));
    assert!(oneport().arg("check").args(options).output().expect("it runs").status.success());
    let child = oneport().arg("serve").args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let (mut child, until) = (child.expect("it runs"), Instant::now() + PATIENCE);
    while child.try_wait().expect("a child").is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("what it said");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("is where oneport itself listens"), "{message}");
}

#[test]
fn a_second_signal_cuts_at_once() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut serve = Serve::start(backend.local_addr().expect("an address"), &["--drain", "60s"]);
    let client = serve.request();
    let _accepted = accept(&backend);
    serve.logged(r#""outcome":"routed""#);
    serve.signal("TERM");
    serve.logged(r#""event":"stopping""#);
    serve.signal("INT");
    let line = serve.logged(r#""event":"drain-cut""#);
    assert!(line.contains("second signal"), "{line}");
    assert!(serve.wait().success());
    assert_eq!(told(client), RESET);
}

/// A backend on a Unix socket whose queue is full: Linux says so at once, and does not wait as with TCP.
#[cfg(target_os = "linux")]
mod full {
    use super::*;
    use std::path::PathBuf;

    /// Its path goes with it.
    pub(super) struct Full {
        pub(super) listener: Socket,
        path: PathBuf,
        fillers: Vec<Socket>,
    }

    impl Full {
        pub(super) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("oneport-{name}-{}", std::process::id()));
            let address = socket2::SockAddr::unix(&path).expect("a path");
            let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            let listener = socket();
            listener.bind(&address).expect("a free path");
            listener.listen(1).expect("listening");
            // Of accept, too.
            listener.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut fillers = Vec::new();
            loop {
                let filler = socket();
                filler.set_nonblocking(true).expect("nonblocking");
                match filler.connect(&address) {
                    Ok(()) => fillers.push(filler),
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                        return Self { listener, path, fillers };
                    }
                }
            }
        }

        pub(super) fn serve(&self, options: &[&str]) -> Serve {
            let route = format!("any=unix:{}", self.path.display());
            Serve::start_with(&[&["--route", route.as_str()], options].concat())
        }

        /// Takes all that came before.
        pub(super) fn drain(&self) {
            self.fillers.iter().for_each(|_| drop(self.listener.accept().expect("one of the queue")));
        }
    }

    impl Drop for Full {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_of_a_unix_backend_is_waited_for() {
    let full = full::Full::new("drained");
    let serve = full.serve(&["--delivery-deadline", "20s"]);
    let client = serve.request();
    settle();
    full.drain();
    let (mut backend, _) = full.listener.accept().expect("the client");
    // What is not read would make a reset of the end.
    assert!(backend.read(&mut [0; 1_000]).expect("a request") > 0);
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("written");
    drop(backend);
    let answer = told(client);
    assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), "{answer:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_of_a_unix_backend_is_waited_for_until_the_deadline() {
    let full = full::Full::new("stuck");
    let serve = full.serve(&["--delivery-deadline", "1s"]);
    let begin = Instant::now();
    let answer = told(serve.request());
    assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 502")), "{answer:?}");
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    let line = serve.logged(r#""event":"connection""#);
    assert!(line.contains(r#""reason":"delivery-timeout""#), "{line}");
}

/// The backlog, the place and the backend have one deadline together.
#[test]
fn waiting_for_a_backend_has_one_deadline() {
    let hung = Hung::new();
    let options = ["--delivery-deadline", "2s", "--max-undelivered", "1"];
    let serve = Serve::start(hung.address, &options);
    let begin = Instant::now();
    let clients = [serve.request(), serve.request(), serve.request(), serve.request()];
    for client in clients {
        let answer = told(client);
        assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 502")), "{answer:?}");
    }
    // One after the other they would take 4 s and more.
    assert!(begin.elapsed() < Duration::from_millis(3_700), "{:?}", begin.elapsed());
}

/// A process that was stopped (a frozen container) awakes behind all deadlines. What the sockets hold by then comes first.
#[test]
fn who_sent_the_rest_while_it_was_stopped_is_served() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let route = format!("http1={nobody}");
    let serve = Serve::start_with(&["--route", &route, "--opening-deadline", "3s"]);
    let (begin, end) = (b"GET / HTTP/1.1\r\nHo", b"st: a\r\n\r\n");
    let mut clients: Vec<_> = (0..10).map(|_| serve.connect()).collect();
    clients.iter_mut().for_each(|client| client.write_all(begin).expect("written"));
    settle();
    serve.signal("STOP");
    clients.iter_mut().for_each(|client| client.write_all(end).expect("written"));
    thread::sleep(Duration::from_secs(3));
    serve.signal("CONT");
    for client in clients {
        // Decided, and by then the backend is down: in time.
        let answer = told(client);
        assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 502")), "{answer:?}");
    }
}
