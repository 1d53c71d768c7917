//! Servers that hold many connections, for a look at their memory.
//!
//! ```text
//! hold tokio|smol|std direct|oneport silent|routed
//! ```
//!
//! `silent`: nobody has said anything yet. `routed`: each connection has had one request and its answer and is idle. Both are the
//! least that a server can do with a connection: a task of the runtime that waits in a read and holds no buffer; with std a socket
//! in a list, since a thread for each would hide everything else.
//!
//! It prints `listening on ADDR` and ends with its standard input. With std, each connection in the list is read and answered once
//! more when a line comes in.

use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{ready, Poll};
use std::thread;
use std::time::Duration;

use oneport::{matchers, Config, Limits};

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const READ_SIZE: usize = 1_024;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [runtime, mode @ ("direct" | "oneport"), what @ ("silent" | "routed")] = words[..] else {
        panic!("usage: hold tokio|smol|std direct|oneport silent|routed");
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let behind = mode == "oneport";
    println!("listening on {}", listener.local_addr()?);
    match runtime {
        "tokio" => {
            end_with_input(|| {});
            tokio::runtime::Runtime::new()?.block_on(on_tokio(listener, behind))
        }
        "smol" => {
            end_with_input(|| {});
            let executor: Arc<smol::Executor<'static>> = Arc::default();
            smol::block_on(executor.clone().run(on_smol(listener, behind, executor)))
        }
        "std" => on_std(listener, behind, what == "routed"),
        _ => panic!("no runtime {runtime}"),
    }
}

fn end_with_input(mut at_line: impl FnMut() + Send + 'static) {
    thread::spawn(move || {
        for _ in io::stdin().lock().lines() {
            at_line();
        }
        std::process::exit(0);
    });
}

/// The defaults, but for so many silent connections at once.
fn bounds() -> (Config, Limits) {
    let (mut config, mut limits) = (Config::default(), Limits::default());
    config.silent_deadline = Duration::from_secs(3_600);
    limits.undecided = 20_000;
    (config, limits)
}

// ---- tokio ---------------------------------------------------------------------------------------------------------------------

async fn on_tokio(listener: TcpListener, behind: bool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if !behind {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(idle_on_tokio(stream));
        }
    }
    let (config, limits) = bounds();
    let mut mux = oneport::tokio::Mux::with_bounds(listener, config, limits);
    for mut incoming in
        [mux.route("grpc", matchers::grpc()), mux.route("http1", matchers::http1()), mux.otherwise("rest")]
    {
        tokio::spawn(async move {
            while let Some(connection) = incoming.accept().await {
                tokio::spawn(idle_on_tokio(connection));
            }
        });
    }
    mux.serve().await;
    Ok(())
}

async fn idle_on_tokio<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut io: T) -> io::Result<()> {
    use tokio::io::{AsyncWriteExt as _, ReadBuf};
    loop {
        let read = poll_fn(|cx| {
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut io).poll_read(cx, &mut buffer))?;
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        });
        if read.await? == 0 {
            return Ok(());
        }
        io.write_all(ANSWER).await?;
    }
}

// ---- smol ----------------------------------------------------------------------------------------------------------------------

type Executor = Arc<smol::Executor<'static>>;

async fn on_smol(listener: TcpListener, behind: bool, executor: Executor) -> io::Result<()> {
    let listener = smol::Async::new(listener)?;
    if !behind {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            executor.spawn(idle_on_smol(stream)).detach();
        }
    }
    let (config, limits) = bounds();
    let mut mux = oneport::smol::Mux::with_bounds(listener, config, limits);
    for mut incoming in
        [mux.route("grpc", matchers::grpc()), mux.route("http1", matchers::http1()), mux.otherwise("rest")]
    {
        let spawner = executor.clone();
        let accepting = async move {
            while let Some(connection) = incoming.accept().await {
                spawner.spawn(idle_on_smol(connection)).detach();
            }
        };
        executor.spawn(accepting).detach();
    }
    mux.serve().await;
    Ok(())
}

async fn idle_on_smol<T: smol::io::AsyncRead + smol::io::AsyncWrite + Unpin>(mut io: T) -> io::Result<()> {
    use smol::io::AsyncWriteExt as _;
    loop {
        let read = poll_fn(|cx| {
            let mut buffer = [0; READ_SIZE];
            Pin::new(&mut io).poll_read(cx, &mut buffer)
        });
        if read.await? == 0 {
            return Ok(());
        }
        io.write_all(ANSWER).await?;
    }
}

// ---- std -----------------------------------------------------------------------------------------------------------------------

fn on_std(listener: TcpListener, behind: bool, routed: bool) -> io::Result<()> {
    if behind {
        let (config, limits) = bounds();
        let mut mux = oneport::std::Mux::with_bounds(listener, config, limits);
        let list = list();
        for incoming in [
            mux.route("grpc", matchers::grpc()),
            mux.route("http1", matchers::http1()),
            mux.otherwise("rest"),
        ] {
            // Whoever has come by a route has said something.
            let list = list.clone();
            thread::spawn(move || incoming.for_each(|connection| take(&list, connection, true)));
        }
        mux.serve();
        return Ok(());
    }
    let list = list::<TcpStream>();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        take(&list, stream, routed);
    }
}

type List<T> = Arc<Mutex<Vec<T>>>;

/// A list whose connections are answered once more for every line of input.
fn list<T: Read + Write + Send + 'static>() -> List<T> {
    let list = List::default();
    let again: List<T> = list.clone();
    end_with_input(move || again.lock().expect("no panic").iter_mut().for_each(answer));
    list
}

fn take<T: Read + Write>(list: &List<T>, mut connection: T, has_spoken: bool) {
    if has_spoken {
        answer(&mut connection);
    }
    list.lock().expect("no panic").push(connection);
}

/// A client that has gone is no news.
fn answer<T: Read + Write>(connection: &mut T) {
    let mut request = [0; READ_SIZE];
    if let Ok(1..) = connection.read(&mut request) {
        let _ = connection.write_all(ANSWER);
    }
}
