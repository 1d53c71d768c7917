//! Clients that die, flood, or come all at once.

use tokio::time::{sleep, timeout};

use super::bytes::{
    block, frame, h2_opening, http1_request, openings, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING,
    RST_STREAM, SETTINGS,
};
use super::h2::routed;
use super::http1::open;
use super::io::ClientIo;
use super::refused::is_told;
use super::stalled::goes_silent;
use super::{Heard, Stage};
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::front::{patiently, reset};
use crate::random::Random;

/// Where a connection may end whose client went in the middle of its opening, or behind it.
pub(crate) const DIED: &[(&str, &str)] =
    &[("left", "*"), ("probe", "silent"), ("routed", ""), ("refused", "no-route")];

/// Says part of an opening, and goes, in good order or not.
pub(crate) async fn dies_in_opening(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "dies-in-opening", Expect::of(DIED), random).await?;
    let openings = openings();
    let opening = &openings[random.below(openings.len())];
    let said = &opening[..random.below(opening.len() + 1)];
    // It may be told to go at once, and to whoever is gone nothing can be said.
    let _ = io.say(said).await;
    if random.one_in(2) {
        sleep(random.millis(50)).await;
    }
    if random.one_in(2) {
        reset(io.stream);
    }
    Ok(())
}

/// Asks for a large answer, takes some of it, and goes.
pub(crate) async fn dies_in_response(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "dies-in-response", Expect::routed("http1"), random).await?;
    let path = format!("/big/{}/4000000", random.next() >> 1);
    io.say(&http1_request("soak.test", &path, "", b"")).await?;
    let expected = answer(&path, b"");
    io.hear(&expected[..1 + random.size(1_000_000)]).await?;
    sleep(random.millis(200)).await;
    if random.one_in(2) {
        reset(io.stream);
    }
    Ok(())
}

/// A TCP health check.
pub(crate) async fn probe(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "probe", goes_silent(stage), random).await?;
    if random.one_in(2) {
        sleep(random.millis(30)).await;
    }
    if random.one_in(2) {
        reset(io.stream);
    }
    Ok(())
}

/// Frames that carry nothing, more of them than anyone may send.
pub(crate) async fn flood_frames(stage: Stage<'_>, random: &mut Random) -> Heard {
    let expect = if stage.front.is_per_request() {
        routed(stage, "")
    } else {
        Expect::of(&[("refused", "too-large")])
    };
    let io = open(stage, "flood-frames", expect, random).await?;
    let count = if stage.front.is_per_request() { 14_000 } else { 200 };
    let flood = match random.below(3) {
        0 => frame(PING, 0, 0, b"endurace").repeat(count),
        1 => frame(SETTINGS, 0, 0, b"").repeat(count),
        _ => [
            frame(HEADERS, END_STREAM, 1, &block("flood", true)),
            frame(CONTINUATION, 0, 1, b"").repeat(count),
        ]
        .concat(),
    };
    is_ended(io, &[h2_opening(), flood].concat(), "a flood").await
}

/// A head without an end: 431.
pub(crate) async fn flood_head(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "flood-head", Expect::of(&[("refused", "too-large")]), random).await?;
    let head = [
        &b"GET /flood HTTP/1.1\r\nHost: soak.test\r\n"[..],
        &b"X-More: more more more more more\r\n".repeat(2_200),
    ]
    .concat();
    let _ = io.say(&head).await;
    is_told(&mut io, b"HTTP/1.1 431 ").await
}

/// Requests that are taken back as soon as they are sent (CVE-2023-44487).
pub(crate) async fn rapid_reset(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "rapid-reset", routed(stage, "http2"), random).await?;
    const COUNT: u32 = 2_500;
    let mut flood = h2_opening();
    for n in 0..COUNT {
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &block("reset", false)));
        flood.extend(frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    is_ended(io, &flood, "a rapid reset").await
}

/// Sends all of it and has to be ended for it.
async fn is_ended(mut io: ClientIo, flood: &[u8], what: &str) -> Heard {
    patiently(what, async {
        let (mut reader, mut writer) = tokio::io::split(&mut io);
        let mut heard = Vec::new();
        // While it writes it reads; the write may break.
        let write = tokio::io::AsyncWriteExt::write_all(&mut writer, flood);
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut heard);
        let _ = tokio::join!(write, read);
        Ok(())
    })
    .await
}

/// Many at once, each with a request; then all are gone, and it starts anew.
pub(crate) async fn storm(stage: Stage<'_>, random: &mut Random) -> Heard {
    const COUNT: usize = 60;
    for _ in 0..2 {
        let mut clients = Vec::new();
        for _ in 0..COUNT {
            let mut io = open(stage, "storm", Expect::routed("http1"), random).await?;
            let path = format!("/storm/{}", random.next());
            io.say(&http1_request("soak.test", &path, "", b"")).await?;
            clients.push((io, path));
        }
        for (mut io, path) in clients {
            io.hear(&answer(&path, b"")).await?;
            stage.counts.answered();
            reset(io.stream);
        }
    }
    // And some that do not even wait until they are accepted.
    for _ in 0..COUNT {
        let connect = stage.front.connect("storm", goes_silent(stage));
        if let Ok(Ok(stream)) = timeout(crate::front::PATIENCE, connect).await {
            reset(stream);
        }
    }
    Ok(())
}
