//! What only the blocking adapter has: clones that share ledgers, and deciding on the thread that has the connection.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

use oneport::matchers::{any, grpc, http1, prefix};
use oneport::std::{Connection, Io, Mux, NotBare, Router, StillOwed};
use oneport::{Addresses, Limits, Outcome, Phase, Reason};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
/// S₀ and the acknowledgement of the client's SETTINGS.
const GREETING: usize = 15 + 9;
/// GET / over HTTP/2, with END_STREAM.
const REQUEST: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
const DATA: &[u8] = b"\0\0\x05\0\x01\0\0\0\x03hello";

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (client, server)
}

/// A client that had to be greeted and has not acknowledged that yet: both ledgers are open.
fn greeted() -> (TcpStream, Connection<TcpStream>) {
    let (mut client, server) = pair();
    let router = Router::builder().route("grpc", grpc()).otherwise("rest").build();
    let deciding = thread::spawn(move || router.decide(server, Addresses::UNKNOWN).unwrap());
    client.write_all(PREFACE).unwrap();
    client.write_all(SETTINGS).unwrap();
    client.read_exact(&mut [0; GREETING]).unwrap();
    client.write_all(REQUEST).unwrap();
    let connection = deciding.join().unwrap();
    assert_eq!(connection.route(), Some("rest"));
    assert!(connection.was_greeted());
    (client, connection)
}

fn read_exactly(mut from: impl Read, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn clones_share_the_replay_and_the_ledgers() {
    let (mut client, connection) = greeted();
    let clone = connection.try_clone().unwrap();
    let opening = [PREFACE, SETTINGS, REQUEST].concat();
    assert_eq!(connection.owed(), Some(StillOwed::Replay(opening.len())));
    let mut seen = read_exactly(&connection, 30);
    seen.extend(read_exactly(&clone, opening.len() - 30));
    assert_eq!(seen, opening);
    assert_eq!(clone.owed(), Some(StillOwed::ClientAck));

    // The acknowledgement is taken out once, whoever reads; another one is the backend's own.
    client.write_all(&[ACK, DATA, ACK].concat()).unwrap();
    let mut seen = read_exactly(&clone, 4);
    seen.extend(read_exactly(&connection, DATA.len() + ACK.len() - 4));
    assert_eq!(seen, [DATA, ACK].concat());
    let NotBare { connection, owed } = connection.into_inner().unwrap_err();
    assert_eq!(owed, StillOwed::BackendSettings);

    // One clone begins a frame and the other one ends it. S₀ said MAX_CONCURRENT_STREAMS, so its default is appended.
    (&connection).write_all(&SETTINGS[..4]).unwrap();
    (&clone).write_all(&[&SETTINGS[4..], ACK, DATA].concat()).unwrap();
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\x7f\xff\xff\xff";
    assert_eq!(read_exactly(&client, 15 + DATA.len()), [settings, DATA].concat());
    assert_eq!((connection.owed(), clone.owed()), (None, None));
    let (mut first, second) = (connection.into_inner().unwrap(), clone.into_inner().unwrap());
    first.write_all(b"bare").unwrap();
    assert_eq!(read_exactly(&client, 4), b"bare");
    drop((first, second));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_read_that_waits_keeps_nobody_from_writing_and_asking() {
    let (mut client, connection) = greeted();
    read_exactly(&connection, PREFACE.len() + SETTINGS.len() + REQUEST.len());
    let reader = connection.try_clone().unwrap();
    let (sender, bytes) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut buf = [0; 99];
        let n = (&reader).read(&mut buf).unwrap();
        sender.send(buf[..n].to_vec()).unwrap();
    });
    // It is in the read for sure after this; if it were not, the test would prove less and still hold.
    thread::sleep(Duration::from_millis(50));
    (&connection).write_all(&[SETTINGS, ACK, DATA].concat()).unwrap();
    assert_eq!(read_exactly(&client, 15 + DATA.len())[15..], *DATA);
    assert_eq!(connection.owed(), Some(StillOwed::ClientAck));

    // Nothing but the acknowledgement comes: the read goes on, and does not take that for the end.
    client.write_all(ACK).unwrap();
    assert!(bytes.recv_timeout(Duration::from_millis(100)).is_err());
    client.write_all(DATA).unwrap();
    assert_eq!(bytes.recv_timeout(Duration::from_secs(10)).unwrap(), DATA);
    reading.join().unwrap();
    assert_eq!(connection.owed(), None);
}

/// What the ledger holds back of an unfinished frame goes out in front of the end.
#[test]
fn the_end_of_a_stream_that_is_no_socket_comes_behind_everything() {
    let (client, mut connection) = greeted();
    connection.write_all(SETTINGS).unwrap();
    connection.write_all(&DATA[..5]).unwrap();
    connection.finish().unwrap();
    let mut heard = Vec::new();
    (&client).read_to_end(&mut heard).unwrap();
    // Reconciled: the mux had said its own.
    assert_eq!(heard[15..], DATA[..5]);
}

#[test]
fn a_write_that_times_out_loses_and_repeats_nothing() {
    let (mut client, mut connection) = greeted();
    connection.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    // The backend's acknowledgement is never written: the ledger stays open and looks at every frame.
    let frame = [b"\0\x40\0\0\0\0\0\0\x01".as_slice(), &[7; 16 * 1024]].concat();
    let mut sent = b"\0\0\x06\x04\0\0\0\0\0\0\x03\x7f\xff\xff\xff".to_vec();
    connection.write_all(SETTINGS).unwrap();
    let (mut at, mut timeouts) = (0, 0);
    let mut heard = Vec::new();
    while timeouts < 3 {
        match connection.write(&frame[at..]) {
            Ok(n) => {
                sent.extend_from_slice(&frame[at..at + n]);
                at = (at + n) % frame.len();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                timeouts += 1;
                let mut buf = vec![0; 300_000];
                let n = client.read(&mut buf).unwrap();
                heard.extend_from_slice(&buf[..n]);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let rest = thread::spawn(move || {
        client.read_to_end(&mut heard).unwrap();
        heard
    });
    connection.set_write_timeout(None).unwrap();
    connection.flush().unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let heard = rest.join().unwrap();
    assert_eq!(heard.len(), sent.len());
    assert!(heard == sent);
}

#[test]
fn shutting_down_ends_the_read_and_the_write_of_other_clones() {
    let (client, connection) = greeted();
    read_exactly(&connection, PREFACE.len() + SETTINGS.len() + REQUEST.len());
    let (reader, writer) = (connection.try_clone().unwrap(), connection.try_clone().unwrap());
    let reading = thread::spawn(move || (&reader).read(&mut [0; 9]));
    let writing = thread::spawn(move || {
        (&writer).write_all(SETTINGS)?;
        loop {
            (&writer).write_all(b"\0\0\x08\0\0\0\0\0\x01no end..")?;
        }
    });
    thread::sleep(Duration::from_millis(100));
    connection.shutdown(Shutdown::Both).unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), 0);
    let written: io::Result<()> = writing.join().unwrap();
    assert!(written.is_err());
    drop(client);
}

#[test]
fn what_a_ledger_holds_back_goes_out_before_the_end() {
    let (client, connection) = greeted();
    // Not a whole frame: this backend does not speak HTTP/2.
    (&connection).write_all(b"bye").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    (&client).read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"bye");
}

#[test]
fn a_router_refuses_times_out_evicts_and_shuts_down() {
    let mut config = oneport::Config::default();
    config.opening_deadline = Duration::from_millis(80);
    let mut limits = Limits::default();
    limits.undecided = 1;
    let router = Router::with_bounds(config, limits).route("a", prefix("aaaa")).build();
    let decide = |opening: &'static [u8]| {
        let (mut client, server) = pair();
        let router = router.clone();
        let deciding = thread::spawn(move || router.decide(server, Addresses::UNKNOWN).map(drop));
        client.write_all(opening).unwrap();
        (client, deciding)
    };
    assert_eq!(decide(b"aaaa").1.join().unwrap(), Ok(()));
    let (mut client, deciding) = decide(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 404"), "{heard}");
    drop(client);
    assert_eq!(deciding.join().unwrap(), Err(Outcome::Refused(Reason::NoRoute)));
    let (_client, deciding) = decide(b"aa");
    assert_eq!(deciding.join().unwrap(), Err(Outcome::TimedOut(Phase::Opening)));
    let (client, deciding) = decide(b"");
    drop(client);
    assert_eq!(deciding.join().unwrap(), Err(Outcome::Left(Phase::Silent)));

    let (_first, evicted) = decide(b"");
    while router.undecided().silent == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let (_second, stopped) = decide(b"");
    assert_eq!(evicted.join().unwrap(), Err(Outcome::Refused(Reason::Overload)));
    let start = Instant::now();
    router.shutdown();
    assert_eq!(stopped.join().unwrap(), Err(Outcome::Shutdown));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(router.counters().accepted, 6);
}

#[test]
fn the_time_for_a_refusal_may_be_as_long_as_can_be() {
    let mut limits = Limits::default();
    limits.linger = Duration::MAX;
    let router = Router::with_bounds(oneport::Config::default(), limits).route("a", prefix("a")).build();
    let (mut client, server) = pair();
    let deciding = thread::spawn(move || router.decide(server, Addresses::UNKNOWN).map(drop));
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 404"), "{heard}");
    drop(client);
    assert_eq!(deciding.join().unwrap(), Err(Outcome::Refused(Reason::NoRoute)));
}

#[test]
fn a_taken_connection_is_blocking_again_and_the_iterator_ends() {
    let mut mux = Mux::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let mut old = mux.route("http1", http1());
    let address = mux.local_address().unwrap().tcp().unwrap();
    let handle = mux.handle();
    let (stop, stopped) = mpsc::channel::<()>();
    let serving = thread::spawn(move || {
        mux.serve_until(move || {
            let _ = stopped.recv();
        })
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let connection = old.next().unwrap();
    assert_eq!(connection.peer_addr().unwrap(), client.local_addr().unwrap());
    assert_eq!(connection.peer_address().tcp(), Some(client.local_addr().unwrap()));
    assert!(connection.inner().unwrap().nodelay().unwrap());
    read_exactly(&connection, 27);
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"more").unwrap();
    });
    assert_eq!(read_exactly(&connection, 4), b"more");
    later.join().unwrap();

    // One that was accepted elsewhere takes the same way.
    let (mut client, server) = pair();
    handle.connect(server, Addresses::UNKNOWN).unwrap();
    client.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let connection = old.next().unwrap();
    assert_eq!(read_exactly(&connection, 3), b"PUT");

    // Decided before the end and not taken before it: still to be had.
    client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while handle.undecided().silent + handle.undecided().partial > 0 || handle.counters().accepted < 3 {
        thread::sleep(Duration::from_millis(1));
    }
    drop(stop);
    serving.join().unwrap().unwrap();
    assert!(handle.connect(pair().1, Addresses::UNKNOWN).is_err());
    assert!(old.next().is_some());
    assert!(old.next().is_none());
    assert_eq!(handle.counters().count("routed"), 3);
}

#[test]
fn a_router_that_is_shut_down_routes_nobody() {
    let router = Router::builder().route("all", any()).build();
    let decide = || {
        let (mut client, server) = pair();
        client.write_all(b"hello").unwrap();
        router.decide(server, Addresses::UNKNOWN).map(drop)
    };
    assert_eq!(decide(), Ok(()));
    router.shutdown();
    assert_eq!(decide(), Err(Outcome::Shutdown));
    assert_eq!(router.counters().count("shutdown"), 1);
}

/// A client that says this and then nothing more, and reads nothing.
struct Deaf {
    says: &'static [u8],
    timeout: Cell<Duration>,
    /// Whether it fails at once where a blocking stream would wait.
    is_nonblocking: bool,
    tries: Arc<AtomicUsize>,
}

impl Deaf {
    fn new(says: &'static [u8]) -> Self {
        Self { says, timeout: Cell::default(), is_nonblocking: false, tries: Arc::default() }
    }

    fn time_out<R>(&self) -> io::Result<R> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        if !self.is_nonblocking {
            thread::sleep(self.timeout.get());
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Read for Deaf {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.says.read(buf) {
            Ok(0) => self.time_out(),
            read => read,
        }
    }
}

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.time_out()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Io for Deaf {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout.set(timeout.unwrap());
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

/// A greeting that the client does not take ends for the reason that it ends for, and not as if the client had left.
#[test]
fn words_that_nobody_reads_end_as_on_the_other_runtimes() {
    let mut config = oneport::Config::default();
    config.settings_patience = Duration::ZERO;
    config.http2_idle_deadline = Duration::from_millis(300);
    let mut limits = Limits::default();
    limits.linger = Duration::from_millis(10);
    let router = Router::with_bounds(config, limits).route("grpc", grpc()).build();
    let decide = || {
        let router = router.clone();
        let opening = Box::leak([PREFACE, SETTINGS].concat().into_boxed_slice());
        thread::spawn(move || router.decide(Deaf::new(opening), Addresses::UNKNOWN).map(drop))
    };
    assert_eq!(decide().join().unwrap(), Err(Outcome::TimedOut(Phase::Http2Idle)));
    let stopped = decide();
    // It is being greeted after this; if it were not, the test would prove less and still hold.
    thread::sleep(Duration::from_millis(50));
    router.shutdown();
    assert_eq!(stopped.join().unwrap(), Err(Outcome::Shutdown));
}

/// A stream that does not block is waited for all the same, and not by asking it without a pause.
#[test]
fn a_stream_that_is_not_blocking_costs_no_core() {
    let mut config = oneport::Config::default();
    config.silent_deadline = Duration::from_millis(100);
    config.opening_deadline = Duration::from_millis(100);
    let mut limits = Limits::default();
    limits.linger = Duration::from_millis(100);
    let router = Router::with_bounds(config, limits).route("a", prefix("aaaa")).build();
    for says in [&b""[..], b"aa", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let stream = Deaf { is_nonblocking: true, ..Deaf::new(says) };
        let tries = stream.tries.clone();
        assert!(router.decide(stream, Addresses::UNKNOWN).is_err());
        let tries = tries.load(Ordering::Relaxed);
        assert!((1..=250).contains(&tries), "{tries} tries in 200 ms");
    }
}
