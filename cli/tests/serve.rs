//! How `oneport serve` ends, and what becomes of connections whose backend does not answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Longer than anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `oneport serve` with one route, `any`; ended with the test.
struct Serve {
    child: Child,
    address: String,
    log: Receiver<String>,
}

impl Serve {
    fn start(backend: SocketAddr, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oneport"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"])
            .args(["--route", &format!("any={backend}")])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("where it listens");
        let address = first.trim().rsplit(' ').next().expect("a word").to_owned();
        let (line, log) = channel();
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, address, log }
    }

    /// A client that has sent a request.
    fn request(&self) -> TcpStream {
        let mut client = TcpStream::connect(&self.address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
        client
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// The next line of the log with this in it.
    fn logged(&self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.log.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("{part} is not in the log"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

#[test]
fn a_second_signal_cuts_at_once() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut serve = Serve::start(backend.local_addr().expect("an address"), &["--drain", "60s"]);
    let client = serve.request();
    let _accepted = backend.accept().expect("a connection");
    serve.logged(r#""outcome":"routed""#);
    serve.signal("TERM");
    serve.logged(r#""event":"stopping""#);
    serve.signal("INT");
    let line = serve.logged(r#""event":"drain-cut""#);
    assert!(line.contains("second signal"), "{line}");
    assert!(serve.wait().success());
    assert_eq!(told(client), RESET);
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
