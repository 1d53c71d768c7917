//! SIGTERM under load: what was routed is finished within the drain time, nobody gets in any more, and what does not end is cut.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::MOMENT;
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::checks::{Checks, Trouble};
use crate::clients::bytes::http1_request;
use crate::clients::h2::{routed, Channel, Question};
use crate::clients::http1::open;
use crate::clients::{Heard, Stage};
use crate::front::{patiently, Front, Mode, AT_ONCE, MODES, PATIENCE};
use crate::load::{Counts, World};
use crate::process::Setup;
use crate::random::Random;
use crate::soak::{accounts, nothing_cut};

/// Clients of each kind whose requests are in progress when the signal comes.
const EACH: usize = 25;
/// Kinds of such clients.
const KINDS: usize = 4;
/// A request takes up to so long when the backends answer again: not all end at the same time.
const LONGEST_MS: usize = 1_000;
/// `--drain` where all is to end before it is over: long, for a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// `--drain` where something is to be cut.
const SHORT: Duration = Duration::from_secs(2);

pub(crate) async fn run(checks: &mut Checks) -> Result<(), Trouble> {
    for mode in MODES {
        finished(mode, checks).await?;
        cut(mode, checks).await?;
    }
    Ok(())
}

async fn start(world: &World, mode: Mode, drain: Duration) -> Result<Front, String> {
    let mut options = world.routes();
    options.extend(["--drain".to_owned(), format!("{}s", drain.as_secs())]);
    // Not while the others get ready, however long that takes.
    for deadline in ["opening", "silent", "delivery"] {
        options.extend([format!("--{deadline}-deadline"), "10m".to_owned()]);
    }
    Front::start(mode, &options, &Setup::default()).await
}

/// Requests that end in time: each has its exact answer.
async fn finished(mode: Mode, checks: &mut Checks) -> Result<(), Trouble> {
    let world = World::start().await?;
    let gates = [&world.http1.gate, &world.grpc.gate, &world.h2.gate];
    gates.iter().for_each(|gate| gate.close());
    let front = Arc::new(start(&world, mode, LONG).await?);
    let counts = Arc::new(Counts::default());
    let echoes = Arc::new(Echoes::default());
    let mut clients = JoinSet::new();
    for n in 0..EACH {
        for kind in 0..KINDS {
            let (front, counts, echoes) = (front.clone(), counts.clone(), echoes.clone());
            clients.spawn(async move {
                let stage = Stage { front: &front, counts: &counts };
                patiently("a client in the drain", in_progress(stage, kind, n, &echoes)).await
            });
        }
    }
    // Undecided ones; they are ended at once.
    let mut undecided = Vec::new();
    for said in [&b""[..], b"GET /un", b"SSH"] {
        let stage = Stage { front: &front, counts: &counts };
        let mut io = open(stage, "undecided", Expect::of(&[("shutdown", "")]), &mut Random::new(1)).await?;
        io.say(said).await?;
        undecided.push(io);
    }
    // All requests are at their backends, which answer none; nobody can be done before the signal.
    let all = KINDS * EACH;
    let there = || gates.map(|gate| gate.asked()).iter().sum::<u64>() + echoes.begun.load(Ordering::Relaxed);
    let until = Instant::now() + PATIENCE / 2;
    while there() < all as u64 && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(MOMENT).await;
    let is_open = |clients: &mut JoinSet<Heard>| match clients.try_join_next() {
        None => Ok(format!("{} of {all}", there())),
        Some(ended) => Err(format!("one of them has ended: {ended:?}")),
    };
    let before = is_open(&mut clients);
    front.process.signal(Signal::TERM);
    let signalled = Instant::now();
    checks.check(
        format!("{mode}: {all} requests are in progress at the signal"),
        before.is_ok() && there() == all as u64,
        before.unwrap_or_else(|error| error),
    );
    sleep(MOMENT).await;
    let late = tokio::net::TcpStream::connect(front.process.address).await;
    checks.check(
        format!("{mode}: nobody gets in any more"),
        late.is_err(),
        format!("{:?}", late.map(|_| "connected")),
    );
    let mut ended = 0;
    for io in &mut undecided {
        let left = AT_ONCE.saturating_sub(signalled.elapsed());
        ended += usize::from(timeout(left, io.rest()).await.is_ok());
    }
    let took = signalled.elapsed();
    let still = is_open(&mut clients);
    checks.check(
        format!("{mode}: undecided connections are ended at once, and no other"),
        ended == undecided.len() && still.is_ok(),
        format!(
            "{ended} of {} within {:.1} s; open: {}",
            undecided.len(),
            took.as_secs_f64(),
            still.unwrap_or_else(|error| error)
        ),
    );
    gates.iter().for_each(|gate| gate.open());
    echoes.may_end.store(true, Ordering::Relaxed);
    let (mut answered, mut failures) = (0, Vec::new());
    while let Some(result) = clients.join_next().await {
        match result {
            Ok(Ok(())) => answered += 1,
            Ok(Err(error)) => failures.push(error),
            Err(_) => failures.push("a client's task broke".to_owned()),
        }
    }
    checks.check(
        format!("{mode}: no routed request is lost in the drain"),
        failures.is_empty() && answered == all,
        format!(
            "{answered} of {all} exact{}",
            failures.first().map(|first| format!("; the first that is not: {first}")).unwrap_or_default()
        ),
    );
    let Ok(mut front) = Arc::try_unwrap(front) else {
        return Err("a client is still there".to_owned().into());
    };
    let last = Instant::now();
    let code = front.process.wait(PATIENCE).await;
    let took = last.elapsed();
    checks.check(
        format!("{mode}: it ends when they have, and not later, with exit code 0"),
        code == Some(0) && took <= AT_ONCE,
        format!(
            "{code:?} {:.1} s after the last of them, at most {} s; {:.1} s after the signal",
            took.as_secs_f64(),
            AT_ONCE.as_secs(),
            signalled.elapsed().as_secs_f64()
        ),
    );
    nothing_cut(checks, &front);
    accounts(checks, &front, &counts);
    Ok(())
}

/// What those have in common whose bytes come and go all the time.
#[derive(Debug, Default)]
struct Echoes {
    /// How many have heard their first.
    begun: AtomicU64,
    may_end: AtomicBool,
}

/// A client whose request takes until it is answered, and a while more.
async fn in_progress(stage: Stage<'_>, kind: usize, n: usize, echoes: &Echoes) -> Heard {
    let mut random = Random::new((100 * kind + n) as u64);
    let delay = random.below(LONGEST_MS);
    match kind {
        0 => {
            let mut io = open(stage, "http1-in-drain", Expect::routed("http1"), &mut random).await?;
            let path = format!("/drain/{n}");
            io.say(&http1_request("soak.test", &path, &format!("X-Delay-Ms: {delay}\r\n"), b"")).await?;
            io.hear(&answer(&path, b"")).await?;
            io.finish().await
        }
        1 => {
            // Bytes that come and go all the time, before, during and after.
            let mut io = open(stage, "echo-in-drain", Expect::routed("socks5"), &mut random).await?;
            io.say(b"\x05\x01\0").await?;
            io.hear(b"\x05\x01\0").await?;
            echoes.begun.fetch_add(1, Ordering::Relaxed);
            let mut until = None;
            while until.is_none_or(|until| Instant::now() < until) {
                let said = random.next().to_be_bytes();
                io.say(&said).await?;
                io.hear(&said).await?;
                sleep(Duration::from_millis(50)).await;
                if until.is_none() && echoes.may_end.load(Ordering::Relaxed) {
                    until = Some(Instant::now() + Duration::from_millis(delay as u64));
                }
            }
            io.finish().await
        }
        _ => {
            let (question, backend, route) = match kind {
                2 => (Question::grpc("soak.Echo", &mut random), "grpc", "grpc"),
                _ => (Question::plain(&mut random), "h2", "http2"),
            };
            let question = Question { delay_ms: delay as u32, ..question };
            let io = open(stage, "h2-in-drain", routed(stage, route), &mut random).await?;
            let channel = Channel::open(io, kind == 2).await?;
            channel.ask_exactly(stage, &question, backend).await?;
            // Routed by request, the mux has said goodbye already.
            channel.close().await
        }
    }
}

/// Requests that do not end: cut at the end of the drain, and so that it shows.
async fn cut(mode: Mode, checks: &mut Checks) -> Result<(), Trouble> {
    let world = World::start().await?;
    let mut front = start(&world, mode, SHORT).await?;
    let counts = Counts::default();
    let stage = Stage { front: &front, counts: &counts };
    let mut random = Random::new(6);
    let mut io = open(stage, "never-ends", Expect::routed("http1,host:mute.test"), &mut random).await?;
    io.say(&http1_request("mute.test", "/", "", b"")).await?;
    let h2 = open(stage, "never-ends-h2", routed(stage, "grpc"), &mut random).await?;
    let channel = Channel::open(h2, true).await?;
    let question =
        Question { delay_ms: 600_000, body: Vec::new(), ..Question::grpc("soak.Echo", &mut random) };
    let mut ask = Box::pin(channel.ask(stage, &question));
    let _ = timeout(MOMENT, &mut ask).await;
    let signalled = Instant::now();
    front.process.signal(Signal::TERM);
    let heard = patiently("a request that is cut", async { Ok(io.hear(b"\0").await) }).await?;
    let is_reset = heard.as_ref().is_err_and(|error| error.contains("reset"));
    checks.check(
        format!("{mode}: what does not end is reset at the end of the drain"),
        is_reset,
        format!("{heard:?}"),
    );
    let heard = patiently("a call that is cut", async { Ok(ask.await) }).await?;
    checks.check(format!("{mode}: and a call ends in an error"), heard.is_err(), format!("{heard:?}"));
    channel.abandon();
    let code = front.process.wait(PATIENCE).await;
    let took = signalled.elapsed();
    checks.check(
        format!("{mode}: it ends then, with exit code 0"),
        code == Some(0) && took + Duration::from_millis(50) >= SHORT,
        format!("{code:?} after {:.1} s; the drain is {} s", took.as_secs_f64(), SHORT.as_secs()),
    );
    let cuts = front.books.sums().events.get("drain-cut").copied().unwrap_or_default();
    checks.check(
        format!("{mode}: the log says that something was cut"),
        cuts == 1,
        format!("{cuts} events drain-cut"),
    );
    accounts(checks, &front, &counts);
    Ok(())
}
