//! tonic and axum, each with its own server and settings, on one port of tokio, until Ctrl-C: then both finish what they are at.
//!
//! ```sh
//! cargo run -p oneport --example tokio_tonic_axum --features tonic,axum -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/                              # HTTP/1.1
//! curl --http2-prior-knowledge http://127.0.0.1:8080/      # HTTP/2
//! ```
//!
//! and any client of `grpc.health.v1.Health`.

use std::future::IntoFuture as _;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::routing::get;
use oneport::matchers::grpc;
use oneport::tokio::{ClientAddress, Mux};
use tokio::net::TcpListener;

/// What is not done then is cut off: a little less than the platform gives (Cloud Run 10 s).
const DRAIN: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut mux = Mux::new(TcpListener::bind(&address).await?);
    let calls = mux.route("grpc", grpc());
    let requests = mux.otherwise("rest");
    println!("listening on {}", mux.local_address()?);

    // Ready when `stop` is dropped.
    let (stop, stopped) = tokio::sync::watch::channel(());
    let stopped = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.changed().await) }
    };
    let serving = tokio::spawn(mux.serve_until(stopped()));

    let (_reporter, health) = tonic_health::server::health_reporter();
    // When the mux has shut down, `calls` ends, and tonic sees to it that its connections do. Without a signal, even one that never
    // comes, it would return at once, and leave calls in progress to their fate.
    let grpc = tonic::transport::Server::builder()
        .add_service(health)
        .serve_with_incoming_shutdown(calls, std::future::pending());
    let grpc = tokio::spawn(grpc);

    let hello =
        |ConnectInfo(client): ConnectInfo<ClientAddress>| async move { format!("hello, {}\n", client.0) };
    let app =
        axum::Router::new().route("/", get(hello)).into_make_service_with_connect_info::<ClientAddress>();
    // axum can not be told that its listener has ended: it needs the signal itself.
    let rest = tokio::spawn(axum::serve(requests, app).with_graceful_shutdown(stopped()).into_future());

    tokio::signal::ctrl_c().await?;
    drop(stop);
    let all = async { tokio::try_join!(serving, grpc, rest) };
    match tokio::time::timeout(DRAIN, all).await {
        Ok(ended) => {
            let ((), grpc, rest) = ended?;
            grpc?;
            Ok(rest?)
        }
        Err(_) => Err("not everything was done in time".into()),
    }
}
