//! Well-behaved clients of HTTP/1.1: each answer has to be exact, to the last byte.

use tokio::time::sleep;

use super::bytes::http1_request;
use super::io::ClientIo;
use super::{Heard, Stage};
use crate::backends::http1::{answer, SWITCHING};
use crate::books::Expect;
use crate::front::reset;
use crate::random::{pattern, Random};

pub(crate) async fn open(
    stage: Stage<'_>,
    by: &'static str,
    expect: Expect,
    random: &mut Random,
) -> Result<ClientIo, String> {
    let stream =
        stage.front.connect(by, expect).await.map_err(|error| format!("could not connect: {error}"))?;
    Ok(ClientIo::new(stream, random))
}

/// Some requests, one behind the other, on one connection.
pub(crate) async fn keep_alive(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "http1", Expect::routed("http1"), random).await?;
    for _ in 0..1 + random.below(6) {
        let body = if random.one_in(2) { pattern(random.next(), random.size(100_000)) } else { Vec::new() };
        let path = format!("/echo/{}", random.next());
        io.say(&http1_request("soak.test", &path, "", &body)).await?;
        io.hear(&answer(&path, &body)).await?;
        stage.counts.answered();
    }
    match random.below(3) {
        0 => reset(io.stream),
        1 => drop(io),
        _ => io.finish().await?,
    }
    Ok(())
}

/// A head that takes its time, byte by byte, and still ends before its deadline.
pub(crate) async fn slow_head(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "slow-head", Expect::routed("http1"), random).await?;
    let path = format!("/slow/{}", random.next());
    for byte in http1_request("soak.test", &path, "", b"") {
        io.say(&[byte]).await?;
        sleep(random.millis(60)).await;
    }
    io.hear(&answer(&path, b"")).await?;
    stage.counts.answered();
    io.finish().await
}

/// A large answer that is read slowly: what waits must wait at the backend, and nothing may get lost.
pub(crate) async fn slow_reader(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "http1-slow-reader", Expect::routed("http1"), random).await?;
    let path = format!("/big/{}/{}", random.next() >> 1, 200_000 + random.below(2_000_000));
    io.say(&http1_request("soak.test", &path, "", b"")).await?;
    let expected = answer(&path, b"");
    for part in expected.chunks(150_000) {
        sleep(random.millis(30)).await;
        io.hear(part).await?;
    }
    stage.counts.answered();
    io.finish().await
}

/// An upgrade; behind it bytes both ways.
pub(crate) async fn websocket(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "websocket", Expect::routed("websocket"), random).await?;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c29hayBzb2FrIHNvYWsgcw==\r\n";
    io.say(&http1_request("soak.test", "/chat", fields, b"")).await?;
    io.hear(SWITCHING).await?;
    for _ in 0..random.below(5) {
        let said = pattern(random.next(), 1 + random.size(60_000));
        io.say(&said).await?;
        io.hear(&said).await?;
    }
    stage.counts.answered();
    io.finish().await
}
