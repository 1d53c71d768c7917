//! Clients.
//!
//! ```text
//! load connections http1|h2c ADDR MILLISECONDS CONCURRENCY    a connection per request: `DONE FAILED SECONDS`
//! load download ADDR MEBIBYTES CONNECTIONS                    `BYTES SECONDS`
//! load hold ADDR COUNT silent|routed                          holds connections; then for each line of input sends a request on
//!                                                             every one of them: `ANSWERED FAILED`
//! load backend                                                a server for `download` and `connections http1`, behind proxies
//! ```

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// Preface, empty SETTINGS, and `GET /` on stream 1: a client that does not wait.
const H2C: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x01\x09a.example";

const HTTP1: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: load/0\r\nAccept: */*\r\nConnection: close\r\n\r\n";

/// As [`HTTP1`], and the connection stays.
const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: load/0\r\nAccept: */*\r\n\r\n";

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["connections", version, address, time, concurrency] => connections(
            version == "h2c",
            parse(address),
            Duration::from_millis(parse(time)),
            parse(concurrency),
        ),
        ["download", address, mebibytes, connections] => {
            download(parse(address), parse::<u64>(mebibytes) << 20, parse(connections))
        }
        ["hold", address, count, what] => hold(parse(address), parse(count), what == "routed"),
        ["backend"] => backend(),
        _ => panic!("usage: load connections|download|hold|backend …"),
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("what is {word}?"))
}

// ---- a connection per request --------------------------------------------------------------------------------------------------

/// Source addresses in turn: the ports of one would be used up by connections that have just ended.
fn source() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let last = NEXT.fetch_add(1, Relaxed) % 200;
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, last as u8 + 1), 0))
}

fn connections(is_h2c: bool, address: SocketAddr, time: Duration, concurrency: u32) -> io::Result<()> {
    // One thread, so that the servers have the other processor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    runtime.block_on(async {
        let clients: Vec<_> = (0..concurrency)
            .map(|_| {
                let (done, failed) = (done.clone(), failed.clone());
                tokio::spawn(async move {
                    while started.elapsed() < time {
                        let exchange =
                            tokio::time::timeout(Duration::from_secs(5), exchange(is_h2c, address));
                        let is_good = matches!(exchange.await, Ok(Ok(true)));
                        if is_good { &done } else { &failed }.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("no panic");
        }
    });
    println!("{} {} {:.4}", done.load(Relaxed), failed.load(Relaxed), started.elapsed().as_secs_f64());
    Ok(())
}

/// Whether a new connection's request is answered with 200.
async fn exchange(is_h2c: bool, address: SocketAddr) -> io::Result<bool> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(source())?;
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(if is_h2c { H2C } else { HTTP1 }).await?;
    let mut answer = [0; 2_048];
    let mut length = 0;
    loop {
        let n = stream.read(&mut answer[length..]).await?;
        length += n;
        if is_h2c {
            if let Some(is_good) = h2c_answer(&answer[..length]) {
                return Ok(is_good);
            }
        }
        if n == 0 {
            return Ok(!is_h2c
                && answer.starts_with(b"HTTP/1.1 200 ")
                && answer[..length].ends_with(b"\nhello\n"));
        }
    }
}

/// Whether stream 1 has ended, and was answered with an indexed `:status: 200`.
fn h2c_answer(bytes: &[u8]) -> Option<bool> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const END_STREAM: u8 = 1;
    let mut rest = bytes;
    let mut is_good = false;
    loop {
        let &[a, b, c, kind, flags, _, _, _, _, ref behind @ ..] = rest else { return None };
        let (payload, next) = behind.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
        // Size updates of the table may stand before.
        is_good |= kind == HEADERS && payload.iter().find(|&&byte| byte & 0xe0 != 0x20) == Some(&0x88);
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Some(is_good);
        }
        rest = next;
    }
}

// ---- bulk ----------------------------------------------------------------------------------------------------------------------

fn download(address: SocketAddr, bytes: u64, connections: u64) -> io::Result<()> {
    let started = Instant::now();
    let each = bytes / connections;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            thread::spawn(move || -> io::Result<u64> {
                let mut stream = TcpStream::connect(address)?;
                write!(stream, "GET /{each} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")?;
                let mut head = Vec::new();
                // Byte by byte: what is behind the head is only counted.
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    head.push(byte[0]);
                }
                // The kernel throws the bytes away: the client is not what is measured.
                let mut nowhere = vec![0; 1 << 20];
                let mut got = 0;
                loop {
                    let (n, _) = rustix::net::recv(&stream, &mut nowhere[..], RecvFlags::TRUNC)?;
                    match n {
                        0 => return Ok(got),
                        n => got += n as u64,
                    }
                }
            })
        })
        .collect();
    let mut total = 0;
    for client in clients {
        total += client.join().expect("no panic")?;
    }
    assert_eq!(total, each * connections, "all that was asked for");
    println!("{total} {:.4}", started.elapsed().as_secs_f64());
    Ok(())
}

/// A thread per connection: `GET /N` is answered with N bytes, `GET /` with a few.
fn backend() -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let zeros: Arc<[u8]> = vec![0; 256 << 10].into();
    loop {
        let (mut stream, _) = listener.accept()?;
        let zeros = zeros.clone();
        thread::spawn(move || -> io::Result<()> {
            stream.set_nodelay(true)?;
            let mut head = [0; 1_024];
            let mut length = 0;
            while !head[..length].ends_with(b"\r\n\r\n") {
                match stream.read(&mut head[length..])? {
                    0 => return Ok(()),
                    n => length += n,
                }
            }
            let text = String::from_utf8_lossy(&head[..length]);
            let Some(size) = text.split([' ', '/']).nth(2).and_then(|size| size.parse::<usize>().ok()) else {
                return stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n");
            };
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n")?;
            let mut left = size;
            while left > 0 {
                left -= stream.write(&zeros[..left.min(zeros.len())])?;
            }
            Ok(())
        });
    }
}

// ---- many at once --------------------------------------------------------------------------------------------------------------

fn hold(address: SocketAddr, count: usize, routed: bool) -> io::Result<()> {
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let stream = TcpStream::connect(address)?;
        if routed {
            ask_all(&[&stream])?;
        }
        held.push(stream);
        // The listener's queue is short.
        if n % 100 == 99 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    println!("held {}", held.len());
    for line in io::stdin().lock().lines() {
        line?;
        let (mut good, mut bad) = (0, 0);
        for chunk in held.chunks(100) {
            match ask_all(&chunk.iter().collect::<Vec<_>>()) {
                Ok(answered) => {
                    good += answered;
                    bad += chunk.len() - answered;
                }
                Err(_) => bad += chunk.len(),
            }
        }
        println!("{good} {bad}");
    }
    Ok(())
}

/// A request on each of them, then an answer from each: how many were answered.
fn ask_all(streams: &[&TcpStream]) -> io::Result<usize> {
    for &(mut stream) in streams {
        stream.write_all(KEPT)?;
    }
    let mut answered = 0;
    for &(mut stream) in streams {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = [0; 256];
        let n = stream.read(&mut answer).unwrap_or_default();
        answered += usize::from(answer[..n].starts_with(b"HTTP/1.1 204 "));
    }
    Ok(answered)
}
