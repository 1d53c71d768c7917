//! ECONNRESET anywhere: by the client after each byte of its opening, and by the backend after each byte of its answer.

use tokio::time::sleep;

use crate::backends::http1::answer;
use crate::backends::Mood;
use crate::books::Expect;
use crate::checks::Checks;
use crate::clients::bytes::{http1_request, openings};
use crate::clients::h2::{routed, Channel, Question};
use crate::clients::http1::open;
use crate::clients::rude::DIED;
use crate::clients::{Heard, Stage};
use crate::front::{patiently, reset, Front, PATIENCE};
use crate::load::{Counts, World};
use crate::random::Random;

pub(crate) async fn run(front: &Front, world: &World, counts: &Counts, seed: u64, checks: &mut Checks) {
    let mode = front.mode;
    let stage = Stage { front, counts };
    let mut random = Random::new(seed);
    let by_client = patiently("the sweep", client_resets(stage, &mut random)).await;
    checks.check_ok(format!("{mode}: the client resets after each byte of its opening"), by_client);
    let settled = front.settle(PATIENCE).await.map(|took| format!("after {:.1} s", took.as_secs_f64()));
    checks.check_ok(format!("{mode}: nothing is left of them"), settled);

    let by_backend = patiently("the sweep", http1_backend_resets(stage, world, &mut random)).await;
    checks.check_ok(format!("{mode}: a backend of HTTP/1 resets after each byte of its answer"), by_backend);
    let by_backend = patiently("the sweep", grpc_backend_resets(stage, world, &mut random)).await;
    checks.check_ok(format!("{mode}: a backend of gRPC resets after each byte of its answer"), by_backend);
    world.flaky_http1.set(Mood::Live);
    world.flaky_grpc.set(Mood::Live);
}

async fn client_resets(stage: Stage<'_>, random: &mut Random) -> Result<String, String> {
    let mut count = 0;
    for opening in openings() {
        for end in 0..=opening.len() {
            let mut io = open(stage, "resets", Expect::of(DIED), random).await?;
            let _ = io.say(&opening[..end]).await;
            // Once before the mux has seen the bytes, and once behind.
            if end % 2 == 0 {
                sleep(std::time::Duration::from_millis(2)).await;
            }
            reset(io.stream);
            count += 1;
        }
    }
    Ok(format!("{count} resets"))
}

/// What the client hears is a beginning of the answer, and then a reset: a cut answer must not look whole.
async fn http1_backend_resets(
    stage: Stage<'_>,
    world: &World,
    random: &mut Random,
) -> Result<String, String> {
    let expected = answer("/cut", b"");
    let mut parts = 0;
    for end in 0..=expected.len() {
        world.flaky_http1.set(Mood::CutAfter(end));
        let expect = Expect::of(&[("routed", ""), ("refused", "backend-down")]);
        let mut io = open(stage, "cut-http1", expect, random).await?;
        io.say(&http1_request("flaky.test", "/cut", "", b"")).await?;
        match io.hear(&expected).await {
            Ok(()) if end == expected.len() => {}
            Err(error) if error.contains("reset") && end < expected.len() => parts += 1,
            heard => return Err(format!("after {end} of {} bytes: {heard:?}", expected.len())),
        }
    }
    Ok(format!("{} cuts, {parts} of them seen as such", expected.len()))
}

/// An answer of HTTP/2: an error, or status 14 if nothing had come, or, when all of it had come, the answer.
async fn grpc_backend_resets(stage: Stage<'_>, world: &World, random: &mut Random) -> Result<String, String> {
    // SETTINGS, its acknowledgement, WINDOW_UPDATE perhaps, the head, the body, the trailers.
    const MOST: usize = 260;
    let (mut errors, mut told, mut whole) = (0, 0, 0);
    for end in 0..MOST {
        world.flaky_grpc.set(Mood::CutAfter(end));
        let expect = if stage.front.is_per_request() {
            routed(stage, "")
        } else {
            Expect::of(&[("routed", ""), ("refused", "backend-down")])
        };
        let io = open(stage, "cut-grpc", expect, random).await?;
        let channel = Channel::open(io, end % 2 == 0).await?;
        let question = Question { body: b"a few bytes".to_vec(), ..Question::grpc("flaky.Echo", random) };
        match channel.ask(stage, &question).await {
            Ok(answer) if answer == question.answer("flaky-grpc") => whole += 1,
            Ok(answer) if answer.grpc_status == "14" && answer.backend.is_empty() => told += 1,
            Ok(answer) => return Err(format!("after {end} bytes: {answer:?}")),
            Err(_) => errors += 1,
        }
        if stage.front.is_per_request() {
            lives_on(stage, &channel, random).await.map_err(|error| format!("after {end} bytes: {error}"))?;
        }
        channel.abandon();
    }
    if whole == 0 || errors + told == 0 {
        return Err(format!("{errors} errors, {told} told, {whole} whole: the sweep misses something"));
    }
    Ok(format!("{errors} errors, {told} told status 14, {whole} whole answers"))
}

/// One backend dies, and the connections to the others do not.
async fn lives_on(stage: Stage<'_>, channel: &Channel, random: &mut Random) -> Heard {
    channel.ask_exactly(stage, &Question::grpc("soak.Echo", random), "grpc").await
}
