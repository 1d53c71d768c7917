//! Servers that answer with a few bytes, alone on their port or behind oneport.
//!
//! ```text
//! serve tokio|smol direct|oneport http1|h2c      hyper, a connection a task
//! serve std direct|oneport|router http1          a connection a thread; `router`: each thread decides its own
//! ```
//!
//! What they answer is in `oneport_benches::service`. Both forms of a server are the same code behind another source of connections. It prints `listening on ADDR` and ends with its
//! standard input.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use oneport::{matchers, Addresses};
use oneport_benches::service::{serve, MIB, ZEROS};
use smol_hyper::rt::{FuturesIo, SmolExecutor};

#[derive(Clone, Copy, PartialEq)]
enum Version {
    Http1,
    Http2,
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [runtime, mode @ ("direct" | "oneport" | "router"), version] = words[..] else {
        panic!("usage: serve tokio|smol|std direct|oneport|router http1|h2c");
    };
    let version = if version == "h2c" { Version::Http2 } else { Version::Http1 };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let behind = mode == "oneport";
    println!("listening on {}", listener.local_addr()?);
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    match runtime {
        "tokio" => tokio::runtime::Runtime::new()?.block_on(on_tokio(listener, behind, version)),
        "smol" => {
            let executor: Arc<smol::Executor<'static>> = Arc::default();
            smol::block_on(executor.clone().run(on_smol(listener, behind, version, executor)))
        }
        "std" if mode == "router" => on_std_threads(listener),
        "std" => on_std(listener, behind),
        _ => panic!("no runtime {runtime}"),
    }
}

// ---- tokio ---------------------------------------------------------------------------------------------------------------------

async fn on_tokio(listener: TcpListener, behind: bool, version: Version) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if !behind {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_on_tokio(stream, version);
        }
    }
    let mut mux = oneport::tokio::Mux::new(listener);
    let grpc = mux.route("grpc", matchers::grpc());
    let old = mux.route("http1", matchers::http1());
    let rest = mux.otherwise("rest");
    for (mut incoming, version) in [(grpc, Version::Http2), (old, Version::Http1), (rest, Version::Http2)] {
        tokio::spawn(async move {
            while let Some(connection) = incoming.accept().await {
                spawn_on_tokio(connection, version);
            }
        });
    }
    mux.serve().await;
    Ok(())
}

fn spawn_on_tokio<T>(io: T, version: Version)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // A client that goes away is no news.
    tokio::spawn(async move {
        let io = TokioIo::new(io);
        let _ = match version {
            Version::Http1 => http1::Builder::new().serve_connection(io, service_fn(serve)).await,
            Version::Http2 => {
                http2::Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(serve)).await
            }
        };
    });
}

// ---- smol ----------------------------------------------------------------------------------------------------------------------

type Executor = Arc<smol::Executor<'static>>;

async fn on_smol(
    listener: TcpListener,
    behind: bool,
    version: Version,
    executor: Executor,
) -> io::Result<()> {
    let listener = smol::Async::new(listener)?;
    if !behind {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            spawn_on_smol(stream, version, &executor);
        }
    }
    let mut mux = oneport::smol::Mux::new(listener);
    let grpc = mux.route("grpc", matchers::grpc());
    let old = mux.route("http1", matchers::http1());
    let rest = mux.otherwise("rest");
    for (mut incoming, version) in [(grpc, Version::Http2), (old, Version::Http1), (rest, Version::Http2)] {
        let spawner = executor.clone();
        let accepting = async move {
            while let Some(connection) = incoming.accept().await {
                spawn_on_smol(connection, version, &spawner);
            }
        };
        executor.spawn(accepting).detach();
    }
    mux.serve().await;
    Ok(())
}

fn spawn_on_smol<T>(io: T, version: Version, executor: &Executor)
where
    T: smol::io::AsyncRead + smol::io::AsyncWrite + Unpin + Send + 'static,
{
    let spawner = executor.clone();
    let serving = async move {
        let io = FuturesIo::new(io);
        let _ = match version {
            Version::Http1 => http1::Builder::new().serve_connection(io, service_fn(serve)).await,
            Version::Http2 => {
                http2::Builder::new(SmolExecutor::new(spawner)).serve_connection(io, service_fn(serve)).await
            }
        };
    };
    executor.spawn(serving).detach();
}

// ---- std -----------------------------------------------------------------------------------------------------------------------

fn on_std(listener: TcpListener, behind: bool) -> io::Result<()> {
    if !behind {
        loop {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            thread::spawn(move || answer(stream));
        }
    }
    let mut mux = oneport::std::Mux::new(listener);
    drop(mux.route("grpc", matchers::grpc()));
    let old = mux.route("http1", matchers::http1());
    drop(mux.otherwise("rest"));
    thread::spawn(move || {
        for connection in old {
            thread::spawn(move || answer::<oneport::std::Connection<TcpStream>>(connection));
        }
    });
    mux.serve();
    Ok(())
}

fn on_std_threads(listener: TcpListener) -> io::Result<()> {
    let builder = oneport::std::Router::builder();
    let router =
        builder.route("grpc", matchers::grpc()).route("http1", matchers::http1()).otherwise("rest").build();
    loop {
        let (stream, peer) = listener.accept()?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let router = router.clone();
        thread::spawn(move || {
            let addresses = Addresses { peer: peer.into(), local: local.into() };
            match router.decide(stream, addresses) {
                Ok(connection) if connection.route() == Some("http1") => answer(connection),
                _ => Ok(()),
            }
        });
    }
}

/// Requests by turns with answers, until one says that it is the last or the client has gone.
fn answer<T: Read + Write>(mut io: T) -> io::Result<()> {
    let mut input = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let head = loop {
            if let Some(end) = input[..length].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match io.read(&mut input[length..])? {
                0 => return Ok(()),
                n => length += n,
            }
        };
        // The clients of these measurements write them so.
        let is_last = input[..head].ends_with(b"\r\nConnection: close\r\n\r\n");
        let is_down = input.starts_with(b"GET /down ");
        let mut owed = if input.starts_with(b"POST /up ") { MIB } else { 0 };
        // No client here says more than one request at a time.
        owed -= length - head;
        length = 0;
        while owed > 0 {
            match io.read(&mut input)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => owed -= n,
            }
        }
        if is_last {
            return io.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n");
        }
        if is_down {
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")?;
            io.write_all(&ZEROS)?;
        } else {
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")?;
        }
    }
}
