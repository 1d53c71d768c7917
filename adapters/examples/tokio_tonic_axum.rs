//! tonic and axum, each with its own server and settings, on one port of tokio.
//!
//! ```sh
//! cargo run -p oneport --example tokio_tonic_axum --features tonic,axum -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/                              # HTTP/1.1
//! curl --http2-prior-knowledge http://127.0.0.1:8080/      # HTTP/2
//! grpcurl -plaintext -import-path . -proto health.proto 127.0.0.1:8080 grpc.health.v1.Health/Check
//! ```

use axum::extract::ConnectInfo;
use axum::routing::get;
use oneport::matchers::grpc;
use oneport::tokio::{ClientAddress, Mux};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut mux = Mux::new(TcpListener::bind(&address).await?);
    let calls = mux.route("grpc", grpc());
    let requests = mux.otherwise("rest");
    println!("listening on {}", mux.local_address()?);
    tokio::spawn(mux.serve_until(async {
        let _ = tokio::signal::ctrl_c().await;
    }));

    let (_reporter, health) = tonic_health::server::health_reporter();
    let grpc = tonic::transport::Server::builder().add_service(health).serve_with_incoming(calls);

    let app =
        axum::Router::new()
            .route(
                "/",
                get(|ConnectInfo(client): ConnectInfo<ClientAddress>| async move {
                    format!("hello, {}\n", client.0)
                }),
            )
            .into_make_service_with_connect_info::<ClientAddress>();
    // It never returns: axum has no way to hear that its listener has ended.
    tokio::spawn(async move { axum::serve(requests, app).await });

    // Ends when the mux has shut down and every call is done.
    Ok(grpc.await?)
}
