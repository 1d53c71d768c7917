//! The demo as a user meets it: the binary is started, says where it is, and serves gRPC and REST on that one port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, HEAD_LEN, PREFACE};
use oneport_core::wire::hpack::encode_field;
use oneport_core::wire::settings::{encode_settings, encode_settings_ack};
use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::HealthCheckRequest;

/// A running demo; ended with the test.
struct Demo {
    child: Child,
    address: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oneport"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut first)
            .expect("the demo says where it is");
        let address = first.trim().rsplit(' ').next().expect("a word").to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the demo listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn grpc_and_rest_on_one_port() {
    let demo = Demo::start();
    let channel = Endpoint::from_shared(format!("http://{}", demo.address)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "oneport.demo"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status;
        assert_eq!(status, tonic_health::ServingStatus::Serving as i32, "{service:?}");
    }
    let mut rest = demo.connect();
    rest.write_all(b"GET /hello/you HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    rest.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("Hello, you!\n"), "{answer}");
}

/// The next frame that is not a WINDOW_UPDATE.
fn next_frame(stream: &mut TcpStream) -> (Head, Vec<u8>) {
    loop {
        let mut head = [0; HEAD_LEN];
        stream.read_exact(&mut head).expect("a frame head in time");
        let head = Head::decode(&head);
        let mut payload = vec![0; head.length as usize];
        stream.read_exact(&mut payload).expect("a payload in time");
        if head.kind != Kind::WINDOW_UPDATE {
            return (head, payload);
        }
    }
}

/// What grpc-go, grpc-java and C-core do, and what a multiplexer that only listens can not serve.
#[test]
fn a_client_that_waits_for_settings_is_served() {
    let demo = Demo::start();
    let mut client = demo.connect();
    let mut opening = PREFACE.to_vec();
    encode_settings(&mut opening, &[]);
    client.write_all(&opening).unwrap();
    let (settings, _) = next_frame(&mut client);
    assert!(settings.kind == Kind::SETTINGS && !settings.has(flag::ACK), "{settings:?}");

    let mut request = Vec::new();
    encode_settings_ack(&mut request);
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    encode_frame(&mut request, Kind::HEADERS, flag::END_HEADERS, 1, &block);
    encode_frame(&mut request, Kind::DATA, flag::END_STREAM, 1, &[0; 5]);
    client.write_all(&request).unwrap();

    let mut acknowledged = 0;
    loop {
        let (head, payload) = next_frame(&mut client);
        match head.kind {
            Kind::SETTINGS if head.has(flag::ACK) => acknowledged += 1,
            // The backend's own, which the client did not know of.
            Kind::SETTINGS => {}
            Kind::DATA => {
                // HealthCheckResponse { status: SERVING } behind its five bytes of length.
                assert_eq!(payload, [0, 0, 0, 0, 2, 8, 1]);
                break;
            }
            Kind::HEADERS => assert_eq!(payload.first(), Some(&0x88), ":status 200"),
            _ => panic!("{head:?} {payload:?}"),
        }
    }
    assert_eq!(acknowledged, 1, "one acknowledgement for the client's one SETTINGS");
}
