//! Real servers and clients of tokio's world on one port: tonic and axum with their own clients, and h2, which is strict on both
//! sides: as a server it closes on an acknowledgement of SETTINGS that it never sent, as a client on one too many.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, StatusCode};
use oneport::matchers::{grpc, http2};
use oneport::tokio::{ClientAddress, Handle, Incoming, Mux};
use oneport::{Address, Config, Limits};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::HealthCheckRequest;

use super::PATIENCE;

pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// tonic and axum behind one port; patience is this long.
async fn tonic_and_axum(patience: Duration) -> (SocketAddr, Handle<TcpStream>) {
    let mut config = Config::default();
    config.settings_patience = patience;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut mux = Mux::with_bounds(listener, config, Limits::default());
    let address = mux.local_address().ok().and_then(|address| address.tcp()).expect("a TCP port");
    let calls = mux.route("grpc", grpc());
    let requests = mux.otherwise("rest");
    let handle = mux.handle();
    tokio::spawn(mux.serve());
    tokio::spawn(serve_tonic(calls));
    tokio::spawn(serve_axum(requests));
    (address, handle)
}

pub(super) async fn serve_tonic(calls: Incoming<TcpStream>) {
    let (_reporter, health) = tonic_health::server::health_reporter();
    // The answer says who asked.
    let tells_peer = |mut request: tonic::Request<()>| {
        let peer = request.remote_addr().ok_or_else(|| tonic::Status::internal("no address"))?;
        let asked = request.metadata_mut().remove("x-peer");
        match asked.and_then(|asked| asked.to_str().ok()?.parse::<SocketAddr>().ok()) {
            Some(asked) if asked != peer => Err(tonic::Status::failed_precondition(peer.to_string())),
            _ => Ok(request),
        }
    };
    tonic::transport::Server::builder()
        .layer(tonic::service::InterceptorLayer::new(tells_peer))
        .add_service(health)
        .serve_with_incoming_shutdown(calls, std::future::pending())
        .await
        .expect("it serves");
}

pub(super) async fn serve_axum(requests: Incoming<TcpStream>) {
    let app = axum::Router::new()
        .route(
            "/",
            get(|ConnectInfo(client): ConnectInfo<ClientAddress>| async move { client.0.to_string() }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
        .into_make_service_with_connect_info::<ClientAddress>();
    axum::serve(requests, app).await.expect("it serves");
}

pub(super) async fn h2(address: SocketAddr) -> (h2::client::SendRequest<Bytes>, SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let local = stream.local_addr().expect("an address");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(async move { connection.await.expect("nothing is wrong with what the client reads") });
    (client.ready().await.expect("ready"), local)
}

/// Sends a request with this body, and reads the answer.
pub(super) async fn ask(
    client: &mut h2::client::SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let (answer, mut sending) = client.send_request(request, body.is_empty()).expect("a stream");
    let upload = async {
        let mut rest = body;
        while !rest.is_empty() {
            sending.reserve_capacity(rest.len());
            let n = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await.expect("open").expect("open");
            let piece = rest.split_to(n.min(rest.len()));
            sending.send_data(piece, rest.is_empty()).expect("open");
        }
    };
    let download = async {
        let answer = answer.await.expect("an answer");
        let status = answer.status();
        let mut body = answer.into_body();
        let mut received = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.expect("a body");
            body.flow_control().release_capacity(piece.len()).expect("open");
            received.extend_from_slice(&piece);
        }
        (status, received)
    };
    timeout(PATIENCE, async { tokio::join!(upload, download).1 }).await.expect("in time")
}

pub(super) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).expect("a request")
}

/// gRPC to tonic, HTTP/2 and HTTP/1 to axum, all on one port; both know the real address of their client.
fn mixed(patience: Duration) -> Handle<TcpStream> {
    let runtime = runtime();
    runtime.block_on(async {
        let (address, handle) = tonic_and_axum(patience).await;
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = timeout(PATIENCE, endpoint.connect()).await.expect("in time").expect("it listens");
        let mut health = HealthClient::new(channel);
        for _ in 0..20 {
            let call = health.check(HealthCheckRequest { service: String::new() });
            let answer = timeout(PATIENCE, call).await.expect("in time").expect("it is healthy").into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving);
        }
        let watch = health.watch(HealthCheckRequest { service: String::new() });
        let mut statuses = timeout(PATIENCE, watch).await.expect("in time").expect("a stream").into_inner();
        let first = timeout(PATIENCE, statuses.message()).await.expect("in time").expect("a message");
        assert_eq!(first.map(|answer| answer.status()), Some(ServingStatus::Serving));

        let (mut client, local) = h2(address).await;
        for _ in 0..20 {
            let (status, body) = ask(&mut client, request("GET", "/"), Bytes::new()).await;
            assert_eq!((status, body), (StatusCode::OK, local.to_string().into_bytes()));
        }
        let megabyte: Vec<u8> = (0..1 << 20).map(|i: u32| (i >> 8) as u8 ^ i as u8).collect();
        let (status, body) = ask(&mut client, request("POST", "/echo"), megabyte.clone().into()).await;
        assert!(status == StatusCode::OK && body == megabyte);

        let answer = tokio::task::spawn_blocking(move || {
            let mut client = super::client::Client::tcp(address);
            client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
            let answer = client.read_to_fin();
            (String::from_utf8(answer).expect("text"), client.address())
        });
        let (answer, local) = answer.await.expect("it is answered");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&local.to_string()),
            "{answer}"
        );
        handle
    })
}

/// With patience, clients that do not wait are not greeted: nobody but them speaks.
#[test]
fn eager_clients_are_served_ungreeted() {
    let handle = mixed(2 * PATIENCE);
    let counters = handle.counters();
    assert_eq!(counters.count("routed"), 3, "{counters:?}");
    assert_eq!(counters.tallies.values().map(|tally| tally.greeted).sum::<u64>(), 0);
}

/// Without patience many of them are greeted although they had not asked for it, and notice nothing.
#[test]
fn clients_that_are_greeted_in_vain_notice_nothing() {
    let handle = mixed(Duration::ZERO);
    assert_eq!(handle.counters().count("routed"), 3);
    assert_eq!(handle.counters().not_http2, 0);
}

/// The address that tonic's service sees is the client's own.
#[test]
fn tonic_sees_the_clients_address() {
    runtime().block_on(async {
        let (address, handle) = tonic_and_axum(Duration::ZERO).await;
        let (mut client, local) = h2(address).await;
        for (claims, status) in [(local, "0"), (address, "9")] {
            let request = Request::builder()
                .method("POST")
                .uri("http://a.example/grpc.health.v1.Health/Check")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("x-peer", claims.to_string())
                .body(())
                .expect("a request");
            let (answer, mut sending) = client.send_request(request, false).expect("a stream");
            // Who refuses does not wait for the message: the stream may be over already.
            let _ = sending.send_data(Bytes::from_static(&[0; 5]), true);
            let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
            let mut headers = answer.headers().clone();
            let mut body = answer.into_body();
            while let Some(piece) = body.data().await {
                piece.expect("a message");
            }
            if let Some(trailers) = body.trailers().await.expect("trailers, or none") {
                headers.extend(trailers);
            }
            let read = headers.get("grpc-status").and_then(|value| value.to_str().ok());
            assert_eq!(read, Some(status), "{headers:?}");
        }
        assert_eq!(handle.counters().count("routed"), 1);
    });
}

/// A server of the h2 crate, strict with acknowledgements, behind a port that greets everybody: a hundred clients one after the
/// other, each with requests after its ledgers are settled.
#[test]
fn a_strict_server_never_sees_the_greetings_acknowledgement() {
    runtime().block_on(async {
        let mut config = Config::default();
        config.settings_patience = Duration::ZERO;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut mux = Mux::with_bounds(listener, config, Limits::default());
        let address = mux.local_address().ok().and_then(|address| address.tcp()).expect("a TCP port");
        let mut route = mux.route("never", grpc());
        let mut incoming = mux.route("http2", http2());
        let handle = mux.handle();
        tokio::spawn(mux.serve());
        tokio::spawn(async move { while route.accept().await.is_some() {} });
        tokio::spawn(async move {
            while let Some(connection) = incoming.accept().await {
                assert!(matches!(connection.peer_address(), Address::Tcp(_)));
                tokio::spawn(async move {
                    let mut server = h2::server::handshake(connection).await.expect("HTTP/2");
                    while let Some(stream) = server.accept().await {
                        let (_request, mut respond) =
                            stream.expect("nothing is wrong with what the server reads");
                        let mut body = respond.send_response(http::Response::new(()), false).expect("open");
                        body.send_data(Bytes::from_static(b"strict"), true).expect("open");
                    }
                    Ok::<_, Infallible>(())
                });
            }
        });
        for _ in 0..100 {
            let (mut client, _) = h2(address).await;
            for _ in 0..3 {
                let (status, body) = ask(&mut client, request("GET", "/"), Bytes::new()).await;
                assert_eq!((status, &body[..]), (StatusCode::OK, &b"strict"[..]));
            }
        }
        assert_eq!(handle.counters().count("routed"), 100);
    });
}
