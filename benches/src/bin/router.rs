//! gRPC and REST on one port, in one program on tokio: tonic's health service and a handler of axum.
//!
//! ```text
//! router merged      one server of axum, with the service merged into its routes
//! router oneport     a server of tonic and a server of axum behind `per_request()`
//! ```
//!
//! It prints `listening on ADDR` and ends with its standard input.

use std::io;
use std::thread;

use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::Router;
use oneport::matchers::grpc;
use oneport::tokio::Mux;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let (_reporter, health) = tonic_health::server::health_reporter();
    let rest = Router::new().route("/hello", get(|| async { "hello\n" }));
    match std::env::args().nth(1).as_deref() {
        Some("merged") => {
            let listener = listener.tap_io(|stream| {
                // A client that is gone says so later.
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, rest.merge(Routes::new(health).into_axum_router())).await?;
        }
        Some("oneport") => {
            let mut mux = Mux::new(listener);
            let calls = mux.route("grpc", grpc());
            let requests = mux.otherwise("rest");
            mux.per_request();
            tokio::spawn(Server::builder().add_service(health).serve_with_incoming(calls));
            tokio::spawn(async move { axum::serve(requests, rest).await });
            mux.serve().await;
        }
        _ => panic!("usage: router merged|oneport"),
    }
    Ok(())
}
