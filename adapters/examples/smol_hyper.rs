//! hyper's HTTP/1 and HTTP/2 servers on smol, each with its own settings, on one port, with a line-echo server beside them.
//!
//! ```sh
//! cargo run -p oneport --example smol_hyper --no-default-features --features smol -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/                              # HTTP/1.1
//! curl --http2-prior-knowledge http://127.0.0.1:8080/      # HTTP/2
//! printf 'echo me\n' | nc -q1 127.0.0.1 8080               # anything else
//! ```

use std::convert::Infallible;
use std::net::{TcpListener, ToSocketAddrs};
use std::sync::Arc;

use async_io::Async;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming as Body};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use oneport::matchers::{http1, http2};
use oneport::smol::Mux;
use smol::Executor;
use smol_hyper::rt::{FuturesIo, SmolExecutor, SmolTimer};

async fn hello(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(format!("hello over {:?}\n", request.version()))))
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address = address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut mux = Mux::new(Async::<TcpListener>::bind(address)?);
    let mut new = mux.route("http2", http2());
    let mut old = mux.route("http1", http1());
    let mut rest = mux.otherwise("echo");
    println!("listening on {}", mux.local_address()?);

    let executor: Arc<Executor<'static>> = Arc::default();
    let spawner = executor.clone();
    executor
        .spawn(async move {
            while let Some(connection) = new.accept().await {
                let server = http2::Builder::new(SmolExecutor::new(spawner.clone()))
                    .timer(SmolTimer::new())
                    .serve_connection(FuturesIo::new(connection), service_fn(hello));
                spawner.spawn(server).detach();
            }
        })
        .detach();
    let spawner = executor.clone();
    executor
        .spawn(async move {
            while let Some(connection) = old.accept().await {
                let server = http1::Builder::new()
                    .timer(SmolTimer::new())
                    .serve_connection(FuturesIo::new(connection), service_fn(hello));
                spawner.spawn(server).detach();
            }
        })
        .detach();
    let spawner = executor.clone();
    executor
        .spawn(async move {
            while let Some(connection) = rest.accept().await {
                let echo = async move {
                    let (reader, mut writer) = smol::io::split(connection);
                    smol::io::copy(reader, &mut writer).await?;
                    smol::io::AsyncWriteExt::close(&mut writer).await
                };
                spawner.spawn(echo).detach();
            }
        })
        .detach();
    smol::block_on(executor.run(mux.serve()));
    Ok(())
}
