//! The process is stopped for longer than all its deadlines, as a virtual machine is that is suspended. Who has sent what was missing
//! meanwhile is served: what the socket holds comes before the clock. Who has not, is not.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::MOMENT;
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::checks::{Checks, Trouble};
use crate::clients::bytes::{client_hello, http1_request};
use crate::clients::h2::{routed, Channel, Question};
use crate::clients::http1::open;
use crate::clients::io::ClientIo;
use crate::clients::{Heard, Stage};
use crate::front::{patiently, Front};
use crate::load::Counts;
use crate::random::Random;

/// Clients of each kind.
const EACH: usize = 15;
/// The deadlines of the scene (`own_options`): all clients must be there well before.
const DEADLINES: Duration = Duration::from_secs(12);
/// Beyond all of them.
const STOPPED: Duration = Duration::from_secs(14);

/// A connection in mid-opening: what it says while the process is stopped, and what it has to hear.
struct Halved {
    io: ClientIo,
    rest: Vec<u8>,
    hears: Vec<u8>,
}

pub(crate) async fn run(front: &Front, counts: &Counts, checks: &mut Checks) -> Result<(), Trouble> {
    let mode = front.mode;
    let stage = Stage { front, counts };
    let mut too_slow = None;
    let result = patiently("the scene", scene(stage, &mut too_slow)).await;
    if let Some(took) = too_slow {
        return Err(Trouble::CanNot(format!(
            "this machine is too slow for it: its clients came in {took:?}"
        )));
    }
    checks.check_ok(format!("{mode}: whose bytes were waiting when it awoke is served"), result);
    Ok(())
}

/// Breaks off if this machine is too slow for it, and says how long the clients took to come.
async fn scene(stage: Stage<'_>, too_slow: &mut Option<Duration>) -> Result<String, String> {
    let mut random = Random::new(4);
    let started = Instant::now();
    let mut halved = Vec::new();
    let mut channels = Vec::new();
    let mut late = Vec::new();
    for n in 0..EACH {
        let path = format!("/suspended/{n}");
        let request = http1_request("soak.test", &path, "", b"");
        let hello = client_hello("soak.test", [9; 8]);
        for (by, route, said, at, hears) in [
            ("half-head", "http1", &request, 1 + n % (request.len() - 2), answer(&path, b"")),
            ("half-hello", "tls", &hello, 5 + n, hello.clone()),
            ("silent", "http1", &request, 0, answer(&path, b"")),
        ] {
            let mut io = open(stage, by, Expect::routed(route), &mut random).await?.at_once();
            io.say(&said[..at]).await?;
            halved.push(Halved { io, rest: said[at..].to_vec(), hears });
        }
        // Greeted, and idle.
        let io = open(stage, "idle-grpc", routed(stage, "grpc"), &mut random).await?.at_once();
        channels.push(Channel::open(io, true).await?);
        let expect = Expect::of(&[("timed-out", "opening")]);
        let mut io = open(stage, "says-no-more", expect, &mut random).await?.at_once();
        io.say(b"GET /late HTTP/1.1\r\nHos").await?;
        late.push(io);
    }
    sleep(MOMENT).await;
    let process = &stage.front.process;
    process.freeze().await?;
    let took = started.elapsed();
    if took > DEADLINES / 2 {
        process.signal(Signal::CONT);
        *too_slow = Some(took);
        return Ok(String::new());
    }
    sleep(Duration::from_millis(100)).await;
    let said: Heard = async {
        for one in &mut halved {
            one.io.say(&one.rest).await?;
        }
        Ok(())
    }
    .await;
    let questions: Vec<_> = channels.iter().map(|_| Question::grpc("soak.Echo", &mut random)).collect();
    let mut asked = Vec::new();
    for (channel, question) in channels.iter().zip(&questions) {
        let mut ask = Box::pin(channel.ask_exactly(stage, question, "grpc"));
        // Begun now, heard later.
        let _ = tokio::time::timeout(Duration::from_millis(1), &mut ask).await;
        asked.push(ask);
    }
    sleep(STOPPED).await;
    process.signal(Signal::CONT);
    said?;
    for one in &mut halved {
        one.io
            .hear(&one.hears)
            .await
            .map_err(|error| format!("half an opening, and the rest while it was stopped: {error}"))?;
    }
    for ask in asked {
        ask.await.map_err(|error| format!("an idle channel that asked while it was stopped: {error}"))?;
    }
    for channel in channels {
        channel.close().await?;
    }
    for io in &mut late {
        let told = io.rest().await;
        if !told.starts_with(b"HTTP/1.1 408 ") {
            return Err(format!("who said no more was told {:?}", told.escape_ascii().to_string()));
        }
    }
    Ok(format!(
        "{} of 4 kinds served after {} s, {} timed out that had said no more",
        4 * EACH,
        STOPPED.as_secs(),
        late.len()
    ))
}
