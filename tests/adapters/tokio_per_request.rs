//! tonic and axum behind one port whose requests are routed one by one: calls and other requests share one connection of a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use oneport::matchers::grpc;
use oneport::tokio::{Handle, Mux};
use oneport::SplitConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::codegen::Service;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::HealthCheckRequest;

use super::tokio_peers::{ask, h2, request, runtime, serve_axum, serve_tonic};
use super::PATIENCE;

/// Of each kind.
const REQUESTS: usize = 1_000;
/// At a time; the mux allows 100.
const AT_A_TIME: usize = 50;
const DRAIN: Duration = Duration::from_millis(300);

async fn tonic_and_axum() -> (SocketAddr, Handle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut mux = Mux::new(listener);
    let address = mux.local_address().ok().and_then(|address| address.tcp()).expect("a TCP port");
    let calls = mux.route("grpc", grpc());
    let requests = mux.otherwise("rest");
    let mut split = SplitConfig::default();
    split.drain_deadline = DRAIN;
    mux.per_request_with(split);
    let handle = mux.handle();
    tokio::spawn(mux.serve());
    tokio::spawn(serve_tonic(calls));
    tokio::spawn(serve_axum(requests));
    (address, handle)
}

/// So many connections have come, and each one's requests were routed one by one: it came to no route as a whole.
#[track_caller]
fn check_split(handle: &Handle<TcpStream>, connections: u64) {
    let counters = handle.counters();
    assert_eq!((counters.accepted, counters.count("routed")), (connections, connections), "{counters:?}");
    assert!(counters.tallies.keys().all(|key| key.route.is_none()), "{counters:?}");
}

/// A health check by hand; its message and its status.
async fn check(client: &mut h2::client::SendRequest<Bytes>, local: SocketAddr) -> (Vec<u8>, Option<String>) {
    let call = Request::builder()
        .method("POST")
        .uri("http://a.example/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // The server compares.
        .header("x-peer", local.to_string())
        .body(())
        .expect("a request");
    let (answer, mut sending) = client.send_request(call, false).expect("a stream");
    sending.send_data(Bytes::from_static(&[0; 5]), true).expect("open");
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    let mut headers: HeaderMap = answer.headers().clone();
    let mut body = answer.into_body();
    let mut message = Vec::new();
    while let Some(piece) = timeout(PATIENCE, body.data()).await.expect("in time") {
        message.extend_from_slice(&piece.expect("a message"));
    }
    if let Some(trailers) = body.trailers().await.expect("trailers, or none") {
        headers.extend(trailers);
    }
    let status = headers.get("grpc-status").and_then(|status| status.to_str().ok());
    (message, status.map(ToOwned::to_owned))
}

/// Thousands of requests of both kinds on one connection of the h2 crate, many at a time, none wrong.
#[test]
fn calls_and_requests_share_a_connection() {
    runtime().block_on(async {
        let (address, handle) = tonic_and_axum().await;
        let (client, local) = h2(address).await;
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        let mut all = JoinSet::new();
        for i in 0..2 * REQUESTS {
            let place = places.clone().acquire_owned().await.expect("open");
            let client = client.clone();
            all.spawn(async move {
                let _place = place;
                let mut client = timeout(PATIENCE, client.ready()).await.expect("in time").expect("it lives");
                if i % 2 == 0 {
                    // One field of one byte: SERVING.
                    let answer = check(&mut client, local).await;
                    assert_eq!(answer, (vec![0, 0, 0, 0, 2, 8, 1], Some("0".to_owned())));
                } else if i % 20 == 1 {
                    let body: Vec<u8> = (0..100_000).map(|at| (at ^ i) as u8).collect();
                    let answer = ask(&mut client, request("POST", "/echo"), body.clone().into()).await;
                    assert!(answer == (StatusCode::OK, body));
                } else {
                    let answer = ask(&mut client, request("GET", "/"), Bytes::new()).await;
                    assert_eq!(answer, (StatusCode::OK, local.to_string().into_bytes()));
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done.expect("it was right");
        }
        check_split(&handle, 1);
    });
}

/// tonic's own client, and plain requests on its connection.
#[test]
fn tonics_client_shares_its_connection() {
    runtime().block_on(async {
        let (address, handle) = tonic_and_axum().await;
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let mut channel = timeout(PATIENCE, endpoint.connect()).await.expect("in time").expect("it listens");
        let mut health = HealthClient::new(channel.clone());
        let watch = health.watch(HealthCheckRequest { service: String::new() });
        let mut statuses = timeout(PATIENCE, watch).await.expect("in time").expect("a stream").into_inner();
        let first = timeout(PATIENCE, statuses.message()).await.expect("in time").expect("a message");
        assert_eq!(first.map(|answer| answer.status()), Some(ServingStatus::Serving));
        for _ in 0..100 {
            let call = health.check(HealthCheckRequest { service: String::new() });
            let answer = timeout(PATIENCE, call).await.expect("in time").expect("it is healthy");
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

            std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("it lives");
            let get = Request::builder().uri("/").body(tonic::body::Body::empty()).expect("a request");
            let answer = timeout(PATIENCE, channel.call(get)).await.expect("in time").expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            let body = axum::body::Body::new(answer.into_body());
            let body = axum::body::to_bytes(body, 1_000).await.expect("a body");
            assert!(body.starts_with(b"127.0.0.1:"), "{body:?}");
        }
        check_split(&handle, 1);

        // A shutdown lets the stream of statuses be for the time of the drain, and takes no more calls.
        handle.shutdown();
        let end = timeout(PATIENCE, statuses.message()).await.expect("the drain has a deadline");
        assert!(end.is_err() || end.is_ok_and(|message| message.is_none()));
    });
}

/// A single thread runs the mux, both servers and the client: nobody waits for a turn that does not come.
#[test]
fn one_thread_is_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (address, handle) = tonic_and_axum().await;
        let (mut client, local) = h2(address).await;
        let megabyte: Vec<u8> = (0..1 << 20).map(|i: u32| (i >> 8) as u8 ^ i as u8).collect();
        let mut other = client.clone();
        let (uploaded, ()) =
            tokio::join!(ask(&mut client, request("POST", "/echo"), megabyte.clone().into()), async {
                for _ in 0..100 {
                    assert_eq!(check(&mut other, local).await.1.as_deref(), Some("0"));
                }
            });
        assert!(uploaded == (StatusCode::OK, megabyte));
        check_split(&handle, 1);
    });
}
