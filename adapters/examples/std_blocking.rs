//! A small blocking HTTP/1 server and an echo server, a thread per connection, on one port.
//!
//! ```sh
//! cargo run -p oneport --example std_blocking --no-default-features --features std -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/                              # HTTP/1.1
//! printf 'echo me\n' | nc -q1 127.0.0.1 8080               # the echo server
//! ```
//!
//! tiny_http (and rouille on it) can not stand here: it takes listeners, not streams, and can not be given a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use oneport::matchers::{http1, prefix};
use oneport::std::{Connection, Mux};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut mux = Mux::new(TcpListener::bind(address)?);
    let requests = mux.route("http", http1());
    let echoes = mux.route("echo", prefix("echo "));
    println!("listening on {}", mux.local_address()?);

    serve_each(requests, http);
    serve_each(echoes, echo);
    // This thread accepts and decides.
    mux.serve();
    Ok(())
}

/// A thread that takes a route's connections, and one per connection.
fn serve_each(
    connections: impl Iterator<Item = Connection<TcpStream>> + Send + 'static,
    serve: fn(Connection<TcpStream>) -> io::Result<()>,
) {
    thread::spawn(move || {
        for connection in connections {
            thread::spawn(move || {
                let client = connection.peer_address().clone();
                if let Err(error) = serve(connection) {
                    eprintln!("{client}: {error}");
                }
            });
        }
    });
}

/// Answers each request of the connection with its first line.
fn http(connection: Connection<TcpStream>) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let (mut body, mut is_last) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => body = value.trim().parse().map_err(io::Error::other)?,
                "connection" => is_last = value.trim().eq_ignore_ascii_case("close"),
                // An example has its limits.
                "transfer-encoding" => {
                    return writer.write_all(
                        b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    )
                }
                _ => {}
            }
        }
        io::copy(&mut reader.by_ref().take(body), &mut io::sink())?;
        let answer = format!("{} had {body} bytes of body\n", first.trim_end());
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        writer.write_all((head + &answer).as_bytes())?;
        if is_last {
            return writer.shutdown(Shutdown::Write);
        }
    }
}

fn echo(connection: Connection<TcpStream>) -> io::Result<()> {
    // A shared reference reads and writes as well.
    io::copy(&mut &connection, &mut &connection)?;
    connection.shutdown(Shutdown::Write)
}
