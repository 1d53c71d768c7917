//! Clients whose backend is not there, is mute, or is killed under them: each has to be told, in its own protocol, or cut.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::bytes::http1_request;
use super::h2::{routed, Channel, Question};
use super::http1::open;
use super::io::ClientIo;
use super::{Heard, Stage};
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::front::reset;
use crate::random::{pattern, Random};

/// Bytes that no route takes: closed, without a word.
pub(crate) async fn no_route(stage: Stage<'_>, random: &mut Random) -> Heard {
    // Mostly a refusal; a client that is cut off may be seen to leave first.
    let mut io = open(stage, "no-route", Expect::of(&[("refused", "no-route")]), random).await?;
    let garbage = [&b"\xff"[..], &pattern(random.next(), 1 + random.below(200))].concat();
    let _ = io.say(&garbage).await;
    match io.rest().await.as_slice() {
        [] => Ok(()),
        said => Err(format!("was told {:?}", said.escape_ascii().to_string())),
    }
}

/// A route that leads to `close`: 403.
pub(crate) async fn forbidden(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "forbidden", Expect::of(&[("refused", "forbidden")]), random).await?;
    io.say(&http1_request("closed.test", "/", "", b"")).await?;
    is_told(&mut io, b"HTTP/1.1 403 ").await
}

/// A backend that nobody has started: 502, or status 14 of gRPC.
pub(crate) async fn backend_down(stage: Stage<'_>, random: &mut Random) -> Heard {
    if random.one_in(2) {
        let mut io = open(stage, "backend-down", Expect::of(&[("refused", "backend-down")]), random).await?;
        io.say(&http1_request("down.test", "/", "", b"")).await?;
        return is_told(&mut io, b"HTTP/1.1 502 ").await;
    }
    let expect = if stage.front.is_per_request() {
        routed(stage, "")
    } else {
        Expect::of(&[("refused", "backend-down")])
    };
    let io = open(stage, "backend-down", expect, random).await?;
    let channel = Channel::open(io, random.one_in(2)).await?;
    let question = Question { body: Vec::new(), ..Question::grpc("down.Echo", random) };
    is_unavailable(stage, &channel, &question).await?;
    channel.abandon();
    Ok(())
}

/// Routed there, or gone before that: some wait for a moment only.
const fn leaves(route: &'static str) -> Expect {
    Expect { allowed: &[("routed", ""), ("left", "*")], route }
}

/// A backend that accepts and never answers: so does oneport, for as long as the client waits.
pub(crate) async fn mute_http1(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "mute-backend-http1", leaves("http1,host:mute.test"), random).await?;
    io.say(&http1_request("mute.test", "/", "", b"")).await?;
    if let Ok(heard) = timeout(random.millis(3_000), io.hear(b"\0")).await {
        return Err(format!("heard something of a mute backend: {heard:?}"));
    }
    if random.one_in(2) {
        reset(io.stream);
    }
    Ok(())
}

/// By connection as above. Routed by request, the mux knows that a server of HTTP/2 has to speak, and says so: status 14.
pub(crate) async fn mute_grpc(stage: Stage<'_>, random: &mut Random) -> Heard {
    let expect = if stage.front.is_per_request() { routed(stage, "") } else { leaves("grpc:mute.Echo") };
    let io = open(stage, "mute-backend-grpc", expect, random).await?;
    let channel = Channel::open(io, random.one_in(2)).await?;
    let question = Question { body: Vec::new(), ..Question::grpc("mute.Echo", random) };
    if stage.front.is_per_request() {
        is_unavailable(stage, &channel, &question).await?;
        // The connection lives on, and so do all other backends.
        channel.ask_exactly(stage, &Question::grpc("soak.Echo", random), "grpc").await?;
        return channel.close().await;
    }
    if let Ok(heard) = timeout(random.millis(3_000), channel.ask(stage, &question)).await {
        return Err(format!("heard something of a mute backend: {heard:?}"));
    }
    channel.abandon();
    Ok(())
}

/// Outcomes of connections to a backend that comes and goes.
const COMES_AND_GOES: &[(&str, &str)] =
    &[("routed", ""), ("refused", "backend-down"), ("refused", "delivery-timeout"), ("left", "delivery")];

/// A backend that is killed and started again: the answer is right, or 502, or it is cut so that it can not be taken for whole.
pub(crate) async fn restarts_http1(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "backend-restarts-http1", Expect::of(COMES_AND_GOES), random).await?;
    for _ in 0..4 {
        let path = format!("/big/{}/{}", random.next() >> 1, random.size(300_000));
        let expected = answer(&path, b"");
        let fields = format!("X-Delay-Ms: {}\r\n", random.below(200));
        if io.say(&http1_request("flaky.test", &path, &fields, b"")).await.is_err() {
            return Ok(());
        }
        // While it is mute, nobody answers.
        let Ok(heard) = timeout(Duration::from_secs(5), io.hear(&expected)).await else { return Ok(()) };
        match heard {
            Ok(()) => stage.counts.answered(),
            Err(error) if error.contains("another") && error.contains("HTTP/1.1 502") => return Ok(()),
            Err(error) if error.contains("reset") => {
                stage.counts.cut();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same with gRPC: an answer that is there is right; else there is an error, which is the client's to see.
pub(crate) async fn restarts_grpc(stage: Stage<'_>, random: &mut Random) -> Heard {
    let expect = if stage.front.is_per_request() { routed(stage, "") } else { Expect::of(COMES_AND_GOES) };
    let io = open(stage, "backend-restarts-grpc", expect, random).await?;
    let Ok(channel) = Channel::open(io, random.one_in(2)).await else { return Ok(()) };
    for _ in 0..4 {
        let question =
            Question { delay_ms: random.below(200) as u32, ..Question::grpc("flaky.Echo", random) };
        match timeout(Duration::from_secs(8), channel.ask(stage, &question)).await {
            Ok(Ok(answer)) if answer == question.answer("flaky-grpc") => stage.counts.answered(),
            Ok(Ok(answer)) if answer.grpc_status == "14" && answer.backend.is_empty() => {}
            Ok(Ok(answer)) => {
                return Err(format!(
                    "{} answered by {:?}, status {}, grpc-status {:?}, {} bytes and not {}",
                    question.path,
                    answer.backend,
                    answer.status,
                    answer.grpc_status,
                    answer.body.len(),
                    question.body.len()
                ))
            }
            Ok(Err(_)) if stage.front.is_per_request() => {
                stage.counts.cut();
                // The client's connection lives on.
                channel.ask_exactly(stage, &Question::grpc("soak.Echo", random), "grpc").await?;
            }
            Ok(Err(_)) => {
                stage.counts.cut();
                break;
            }
            Err(_) => break,
        }
        sleep(random.millis(100)).await;
    }
    channel.abandon();
    Ok(())
}

/// Status 14 (UNAVAILABLE), by oneport itself.
async fn is_unavailable(stage: Stage<'_>, channel: &Channel, question: &Question) -> Heard {
    let answer = channel.ask(stage, question).await.map_err(|error| format!("{}: {error}", question.path))?;
    if answer.grpc_status == "14" && answer.backend.is_empty() {
        return Ok(());
    }
    Err(format!("{} got {answer:?}, and not status 14", question.path))
}

/// A refusal that begins like this, whole, and then the end.
pub(crate) async fn is_told(io: &mut ClientIo, begin: &[u8]) -> Heard {
    let said = io.rest().await;
    if said.starts_with(begin) && said.windows(4).any(|four| four == b"\r\n\r\n") {
        return Ok(());
    }
    Err(format!(
        "was told {:?}, and not {:?}",
        said.escape_ascii().to_string(),
        begin.escape_ascii().to_string()
    ))
}
