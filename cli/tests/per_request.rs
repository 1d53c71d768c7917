//! `oneport serve --per-request`, with a client of hand-made frames.

#[allow(dead_code)] // this file uses a part of it
mod serving;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};

use serving::Serve;

/// `GET /` of `a`.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

struct Client {
    stream: TcpStream,
    decoder: Decoder,
}

impl Client {
    fn new(serve: &Serve) -> Self {
        let mut stream = serve.connect();
        stream.write_all(PREFACE).expect("written");
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").expect("written");
        Self { stream, decoder: Decoder::new(DEFAULT_TABLE_SIZE) }
    }

    fn get(&mut self, stream: u32) {
        self.ask(&[stream], GET);
    }

    /// The same header block on each of these streams, written at once.
    fn ask(&mut self, streams: &[u32], block: &[u8]) {
        let mut frames = Vec::new();
        for stream in streams {
            encode_frame(&mut frames, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, *stream, block);
        }
        self.stream.write_all(&frames).expect("written");
    }

    fn frame(&mut self) -> Option<(Head, Vec<u8>)> {
        let mut bytes = vec![0; HEAD_LEN];
        self.stream.read_exact(&mut bytes).ok()?;
        let head = Head::peek(&bytes)?;
        let mut payload = vec![0; head.frame_len() - HEAD_LEN];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head, payload))
    }

    /// The status that comes on this stream.
    fn status(&mut self, stream: u32) -> String {
        let limits = Limits { max_list_size: 65_536, max_string_len: 65_536 };
        loop {
            let (head, payload) = self.frame().expect("an answer");
            if head.kind != Kind::HEADERS {
                continue;
            }
            let mut status = String::new();
            let read = self.decoder.decode(&payload, &limits, |field| {
                if field.name == b":status" {
                    status = String::from_utf8_lossy(field.value).into_owned();
                }
                ControlFlow::Continue(())
            });
            assert_eq!(read, Ok(()));
            if head.stream == stream {
                return status;
            }
        }
    }

    /// The last stream and the code of the next GOAWAY.
    fn goaway(&mut self) -> (u32, u32) {
        loop {
            let (head, payload) = self.frame().expect("a GOAWAY");
            if head.kind == Kind::GOAWAY {
                let word =
                    |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
                return (word(0), word(4));
            }
        }
    }
}

/// A port where nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

#[test]
fn a_backend_that_is_down_fails_requests_and_not_the_connection() {
    let serve = Serve::start(nobody(), &["--per-request"]);
    let mut client = Client::new(&serve);
    for stream in [1, 3, 5] {
        client.get(stream);
        assert_eq!(client.status(stream), "502");
        let line = serve.logged("\"backend\"");
        assert!(line.contains("backend-down") && line.contains("refused"), "{line}");
    }
    // To one client more nothing has changed.
    let mut other = Client::new(&serve);
    other.get(1);
    assert_eq!(other.status(1), "502");
}

#[test]
fn a_backend_of_http1_is_named() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = backend.local_addr().expect("an address");
    thread::spawn(move || {
        for client in backend.incoming() {
            let mut client = client.expect("a client");
            let _ = client.read(&mut [0; 1_000]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let serve = Serve::start(address, &["--per-request"]);
    let mut client = Client::new(&serve);
    client.get(1);
    assert_eq!(client.status(1), "502");
    let line = serve.logged("fault");
    assert!(line.contains(&address.to_string()) && line.contains("does not speak HTTP/2"), "{line}");
}

#[test]
fn a_closed_route_is_forbidden() {
    // Of the two routes, this one comes first.
    let serve =
        Serve::start_with(&["--route", "path:/=close", "--route", "any=127.0.0.1:1", "--per-request"]);
    let mut client = Client::new(&serve);
    for stream in [1, 3] {
        client.get(stream);
        assert_eq!(client.status(stream), "403");
    }
}

/// A client puts a long path into the compression's table, and then names it by one byte.
#[test]
fn a_small_frame_makes_no_large_line() {
    let serve = Serve::start_with(&["--route", "path:/x=close", "--per-request"]);
    let mut client = Client::new(&serve);
    let path = [&b"/"[..], &[0x80; 3_990]].concat();
    // `:path` with indexing, and 3,991 as RFC 7541 §5.1 writes it; then the newest entry of the table.
    let long = [&b"\x82\x86\x44\x7f\x98\x1e"[..], &path].concat();
    for (stream, block) in [(1, &long[..]), (3, b"\x82\x86\xbe"), (5, b"\x82\x86\xbe")] {
        client.ask(&[stream], block);
        assert_eq!(client.status(stream), "404");
        let line = serve.logged(r#""event":"request""#);
        assert!(line.len() < 2_048, "{} bytes", line.len());
        assert!(line.contains(r#""no-route""#) && line.contains(r#""path_bytes":3991"#), "{line}");
    }
}

#[test]
fn requests_without_a_backend_are_logged_at_a_bounded_rate() {
    let serve = Serve::start_with(&["--route", "path:/x=close", "--per-request", "--log-level", "info"]);
    let mut client = Client::new(&serve);
    let begin = Instant::now();
    let streams: Vec<_> = (0..1_000).map(|n| 2 * n + 1).collect();
    for batch in streams.chunks(50) {
        client.ask(batch, GET);
        assert_eq!(client.status(batch[49]), "404");
    }
    let seconds = begin.elapsed().as_secs() + 2;
    // The first one of another second says how many were not logged before it.
    thread::sleep(Duration::from_millis(1_100));
    client.get(2_001);
    let (mut logged, mut missed) = (0, 0);
    while logged + missed < 1_001 {
        let line = serve.logged(r#""event":"request""#);
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        logged += 1;
        missed += line["missed"].as_u64().unwrap_or_default();
    }
    assert_eq!(logged + missed, 1_001, "each is logged or counted");
    assert!(logged <= 100 * seconds + 1, "{logged} lines in {seconds} s");
}

#[test]
fn clients_may_use_extended_connect_if_the_greeting_says_so() {
    let greeting = ["--per-request", "--greeting", "enable-connect-protocol=1,max-concurrent-streams=100"];
    for (options, is_said) in [(&greeting[..], true), (&["--per-request"], false)] {
        let serve = Serve::start(nobody(), options);
        let (head, settings) = Client::new(&serve).frame().expect("its SETTINGS");
        assert_eq!(head.kind, Kind::SETTINGS);
        // 0x8 is ENABLE_CONNECT_PROTOCOL (RFC 8441 §3).
        assert_eq!(settings.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]), is_said, "{settings:?}");
    }
}

#[test]
fn a_signal_drains_what_is_split() {
    let mut serve = Serve::start(nobody(), &["--per-request"]);
    let mut client = Client::new(&serve);
    client.get(1);
    assert_eq!(client.status(1), "502");
    serve.signal("TERM");
    // First that it ends, without a word on which request is the last; then which one was.
    assert_eq!(client.goaway(), (0x7fff_ffff, 0));
    assert_eq!(client.goaway(), (1, 0));
    assert_eq!(client.frame().map(|(head, _)| head), None);
    let line = serve.logged("\"closed\"");
    assert!(line.contains("\"end\":\"drained\"") && line.contains("\"requests\":1"), "{line}");
    assert!(serve.wait().success());
}

/// Who breaks the protocol is logged with the code that it was told; who leaves in good order only for those who want all.
#[test]
fn the_end_of_each_connection_is_logged() {
    let serve = Serve::start(nobody(), &["--per-request"]);
    drop(Client::new(&serve));
    let line = serve.logged("\"closed\"");
    assert!(line.contains("\"debug\"") && line.contains("\"end\":\"left\""), "{line}");
    let mut client = Client::new(&serve);
    client.get(1);
    assert_eq!(client.status(1), "502");
    let peer = client.stream.local_addr().expect("an address").to_string();
    client.get(2);
    assert_eq!(client.goaway(), (1, 1));
    let line = serve.logged("\"refused\"");
    for part in ["\"info\"", "\"closed\"", "\"code\":\"PROTOCOL_ERROR\"", "\"requests\":1", &peer] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

/// As in connection mode: a process that was stopped for longer than its deadlines first takes what the sockets hold.
#[test]
fn who_asked_while_it_was_stopped_is_answered() {
    let serve = Serve::start(nobody(), &["--per-request", "--http2-idle-deadline", "3s"]);
    let mut clients: Vec<_> = (0..10).map(|_| Client::new(&serve)).collect();
    thread::sleep(Duration::from_millis(500));
    serve.signal("STOP");
    clients.iter_mut().for_each(|client| client.get(1));
    thread::sleep(Duration::from_secs(3));
    serve.signal("CONT");
    for mut client in clients {
        assert_eq!(client.status(1), "502");
    }
}
