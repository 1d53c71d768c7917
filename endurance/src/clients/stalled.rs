//! Clients that stop, and wait: the deadline of their phase has to end them, in their own protocol.

use tokio::io::AsyncReadExt as _;
use tokio::time::sleep;

use super::bytes::{block, client_hello, frame, h2_opening, HEADERS, PREFACE};
use super::http1::open;
use super::refused::is_told;
use super::{Heard, Stage};
use crate::books::Expect;
use crate::front::patiently;
use crate::random::Random;

/// What the log is to say of a client that goes without a word. By connection, one that is held up for longer than
/// `--server-first-after` is taken for one whose server speaks first.
pub(crate) const fn goes_silent(stage: Stage<'_>) -> Expect {
    if stage.front.is_per_request() {
        Expect::of(&[("probe", "silent")])
    } else {
        Expect { allowed: &[("probe", "silent"), ("routed", "")], route: "server-first" }
    }
}

/// Says nothing. The front of connections would take it for one whose server speaks first: there it leaves before that.
pub(crate) async fn silent(stage: Stage<'_>, random: &mut Random) -> Heard {
    if !stage.front.is_per_request() {
        let _leaves = open(stage, "stalls-silent", goes_silent(stage), random).await?;
        sleep(random.millis(600)).await;
        return Ok(());
    }
    let mut io = open(stage, "stalls-silent", Expect::of(&[("timed-out", "silent")]), random).await?;
    patiently("silence", async { io.hear_end().await }).await
}

/// Half a head: 408.
pub(crate) async fn http1(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "stalls-http1", Expect::of(&[("timed-out", "opening")]), random).await?;
    io.say(b"GET /stalls HTTP/1.1\r\nHost: soak.te").await?;
    patiently("half a head", is_told(&mut io, b"HTTP/1.1 408 ")).await
}

/// Half a ClientHello: closed without a word.
pub(crate) async fn tls(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "stalls-tls", Expect::of(&[("timed-out", "opening")]), random).await?;
    let hello = client_hello("soak.test", [1; 8]);
    io.say(&hello[..6 + random.below(hello.len() - 6)]).await?;
    patiently("half a ClientHello", async { io.hear_end().await }).await
}

/// A preface alone, an idle connection, or half a head of a request: GOAWAY.
pub(crate) async fn h2(stage: Stage<'_>, random: &mut Random) -> Heard {
    let block = block("stalls", true);
    let begun = [h2_opening(), frame(HEADERS, 0, 1, &block[..20])].concat();
    let (said, expect) = match random.below(3) {
        0 => (PREFACE.to_vec(), Expect::of(&[("timed-out", "http2-settings")])),
        1 => (h2_opening(), Expect::of(&[("timed-out", "http2-idle")])),
        _ => (begun, Expect::of(&[("timed-out", "http2-headers")])),
    };
    let expect = if stage.front.is_per_request() { Expect::routed("") } else { expect };
    let mut io = open(stage, "stalls-h2", expect, random).await?;
    io.say(&said).await?;
    patiently("a stalled client of HTTP/2", async {
        let mut heard = Vec::new();
        io.read_to_end(&mut heard).await.map_err(|error| format!("no end in good order: {error}"))?;
        // Frames; one of them says goodbye.
        let mut at = heard.as_slice();
        while let [a, b, c, kind, ..] = at {
            if *kind == 0x7 {
                return Ok(());
            }
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            at = at.get(9 + length..).unwrap_or_default();
        }
        Err(format!("no GOAWAY in {:?}", heard.escape_ascii().to_string()))
    })
    .await
}
