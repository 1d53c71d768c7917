//! gRPC calls and REST requests on ONE connection, as proxies send them (Envoy, Istio, Cloud Run): each goes to its own server.
//!
//! ```sh
//! cargo run -p oneport --example tokio_per_request --features tonic,axum
//! ```
//!
//! It serves on a port of its own, asks both servers over one connection, prints what they say, and goes on serving if it is given
//! an address:
//!
//! ```sh
//! cargo run -p oneport --example tokio_per_request --features tonic,axum -- 127.0.0.1:8080
//! ```

use axum::routing::get;
use oneport::matchers::grpc;
use oneport::tokio::Mux;
use tokio::net::TcpListener;
use tonic::codegen::{http::Request, Service};
use tonic::transport::{Channel, Server};
use tonic_health::pb::{health_client::HealthClient, HealthCheckRequest};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1);
    let mut mux = Mux::new(TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?);
    let calls = mux.route("grpc", grpc());
    let requests = mux.otherwise("rest");
    // This word is all the difference: without it, the first request takes the whole connection with it.
    mux.per_request();
    let listening = mux.local_address()?;
    let serving = tokio::spawn(mux.serve_until(async {
        let _ = tokio::signal::ctrl_c().await;
    }));

    let (_reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(Server::builder().add_service(health).serve_with_incoming(calls));
    let app = axum::Router::new().route("/", get(|| async { "hello, REST" }));
    tokio::spawn(async move { axum::serve(requests, app).await });

    ask_both(Channel::from_shared(format!("http://{listening}"))?.connect().await?).await?;
    if address.is_some() {
        println!("listening on {listening}");
        serving.await?;
    }
    Ok(())
}

/// A channel is one connection, whatever is asked on it.
async fn ask_both(mut channel: Channel) -> Result<(), Error> {
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await?;
    println!("gRPC says: {:?}", health.into_inner().status());

    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    let answer = channel.call(Request::builder().uri("/").body(tonic::body::Body::empty())?).await?;
    let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1_000).await?;
    println!("REST says: {}", String::from_utf8_lossy(&body));
    Ok(())
}
