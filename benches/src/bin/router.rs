//! gRPC and REST on one port, in one program on tokio: tonic's health service and a handler of axum.
//!
//! ```text
//! router merged                 one server of axum, with the service merged into its routes
//! router oneport                a server of tonic and a server of axum behind `per_request()`
//! router connections [MILLIS]   the same two behind a mux that routes connections, with so much patience
//! router axum                   as `connections`, but it is axum that serves the calls, too, as it does in `merged`
//! router ports                  the same two, each on a port of its own
//! ```
//!
//! It prints `listening on ADDR`, or `listening on ADDR,ADDR` with tonic's first, and ends with its standard input.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use axum::routing::get;
use axum::serve::{Listener, ListenerExt as _};
use axum::Router;
use oneport::matchers::grpc;
use oneport::tokio::Mux;
use oneport::{Config, Limits};
use tokio::net::{TcpListener, TcpStream};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let second = TcpListener::bind("127.0.0.1:0").await?;
    match words[..] {
        ["ports"] => println!("listening on {},{}", listener.local_addr()?, second.local_addr()?),
        _ => println!("listening on {}", listener.local_addr()?),
    }
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let (_reporter, health) = tonic_health::server::health_reporter();
    let rest = Router::new().route("/hello", get(|| async { "hello\n" }));
    match words[..] {
        ["merged"] => {
            axum::serve(undelayed(listener), rest.merge(Routes::new(health).into_axum_router())).await?;
        }
        ["ports"] => {
            let calls = TcpIncoming::from(listener).with_nodelay(Some(true));
            tokio::spawn(Server::builder().add_service(health).serve_with_incoming(calls));
            axum::serve(undelayed(second), rest).await?;
        }
        ["oneport" | "connections" | "axum", ..] => {
            let mut config = Config::default();
            if let [_, patience] = words[..] {
                config.settings_patience = Duration::from_millis(patience.parse()?);
            }
            let mut mux = Mux::with_bounds(listener, config, Limits::default());
            let calls = mux.route("grpc", grpc());
            let requests = mux.otherwise("rest");
            if words[0] == "oneport" {
                mux.per_request();
            }
            if words[0] == "axum" {
                let calls = axum::serve(calls, Routes::new(health).into_axum_router());
                tokio::spawn(async move { calls.await });
            } else {
                tokio::spawn(Server::builder().add_service(health).serve_with_incoming(calls));
            }
            tokio::spawn(async move { axum::serve(requests, rest).await });
            mux.serve().await;
        }
        _ => panic!("usage: router merged|oneport|connections [MILLIS]|axum|ports"),
    }
    Ok(())
}

fn undelayed(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener.tap_io(|stream| {
        // A client that is gone says so later.
        let _ = stream.set_nodelay(true);
    })
}
