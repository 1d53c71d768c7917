//! A server of HTTP/1.1 that answers with what it got.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{before_a_reset, delay, raw, Gate, Limited};
use crate::random::pattern;

/// Serves requests, one behind the other.
pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(io: &mut Limited<T>, gate: &Gate) {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(io, &mut buffer).await {
        let length = field(&head, "content-length").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            match io.read_buf(&mut buffer).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        let path = head.split(' ').nth(1).unwrap_or_default();
        gate.pass().await;
        delay(field(&head, "x-delay-ms")).await;
        if io.write_all(&answer(path, &body)).await.is_err() {
            break;
        }
    }
    if io.is_cut {
        before_a_reset().await;
    } else {
        let _ = io.shutdown().await;
    }
}

/// What the server answers: the path and the body, or, to `/big/SEED/LENGTH`, so much of a pattern.
pub(crate) fn answer(path: &str, body: &[u8]) -> Vec<u8> {
    let mut words = path.strip_prefix("/big/").unwrap_or_default().split('/').map(str::parse::<u64>);
    let content = match (words.next(), words.next()) {
        (Some(Ok(seed)), Some(Ok(length))) => pattern(seed, length as usize),
        _ => [path.as_bytes(), b"\n", body].concat(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), &content].concat()
}

/// The answer to an upgrade.
pub(crate) const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Takes an upgrade; what follows is given back.
pub(super) async fn upgrade<T: AsyncRead + AsyncWrite + Unpin>(io: &mut Limited<T>) {
    let mut buffer = Vec::new();
    if read_head(io, &mut buffer).await.is_some() {
        buffer.splice(..0, SWITCHING.iter().copied());
        raw::echo(io, &buffer).await;
    }
}

/// The next head. What came behind it stays in the buffer.
async fn read_head<T: AsyncRead + Unpin>(io: &mut T, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return String::from_utf8(head).ok();
        }
        match io.read_buf(buffer).await {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
    }
}

/// The value of a field of a head, by its name in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (this, value) = line.split_once(':')?;
        this.eq_ignore_ascii_case(name).then_some(value)
    })
}
