//! The wall clock is set, forward by a day and back by one: no deadline may come early, late or not at all. The clock of the process
//! alone is set, by a library that is preloaded; that it was shows in the times of the log.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::MOMENT;
use crate::books::Expect;
use crate::checks::{Checks, Trouble};
use crate::clients::h2::{self, routed, Channel, Question};
use crate::clients::http1::{self, open};
use crate::clients::refused::is_told;
use crate::clients::Stage;
use crate::front::{patiently, Front, Mode, AT_ONCE};
use crate::load::Counts;
use crate::process::Setup;
use crate::random::Random;

const DAY: i64 = 24 * 3_600;
/// Steps, in seconds from the system's time: forward by a day, and back by one.
const STEPS: [i64; 2] = [DAY, -DAY];
/// `--opening-deadline` of this scene. An early end is an error at once…
const OPENING: Duration = Duration::from_secs(8);
/// …and a later one than this, by which a busy machine may be behind.
const LATE: Duration = AT_ONCE;

/// Where the process of this mode reads by how much its clock is off. In a folder of this project alone (`endurance/run` makes it),
/// where nobody else puts a link of that name.
fn file(mode: Mode) -> PathBuf {
    PathBuf::from(format!(".work/clock-{mode}"))
}

pub(crate) fn setup(mode: Mode) -> Result<Setup, Trouble> {
    let library = std::env::var_os("ENDURANCE_CLOCK_LIBRARY").map(PathBuf::from).filter(|path| path.exists());
    let Some(library) = library else {
        return Err(Trouble::CanNot(
            "ENDURANCE_CLOCK_LIBRARY names no library; start it by endurance/run".to_owned(),
        ));
    };
    // From a run that was broken off.
    let _ = std::fs::remove_file(file(mode));
    let environment: Vec<(&'static str, OsString)> =
        vec![("LD_PRELOAD", library.into()), ("ENDURANCE_CLOCK", file(mode).into())];
    Ok(Setup { environment, ..Setup::default() })
}

pub(crate) async fn run(front: &Front, counts: &Counts, checks: &mut Checks) -> Result<(), Trouble> {
    let mode = front.mode;
    let stage = Stage { front, counts };
    for step in STEPS {
        let result = patiently("the scene", scene(stage, step)).await;
        let _ = std::fs::remove_file(file(mode));
        checks.check_ok(format!("{mode}: the clock is set by {step:+} s"), result);
    }
    Ok(())
}

async fn scene(stage: Stage<'_>, step: i64) -> Result<String, String> {
    let mut random = Random::new(5);
    let idle = open(stage, "idle-over-the-step", routed(stage, "grpc"), &mut random).await?;
    let idle = Channel::open(idle, true).await?;
    let mut stalled =
        open(stage, "stalls-over-the-step", Expect::of(&[("timed-out", "opening")]), &mut random).await?;
    // The deadline runs from the first byte.
    let started = Instant::now();
    stalled.say(b"GET /clock HTTP/1.1\r\nHos").await?;
    // At the same time as the others: they may take as long as they like.
    let ends = async {
        patiently("half a head", is_told(&mut stalled, b"HTTP/1.1 408 ")).await?;
        Ok(started.elapsed())
    };
    let (took, (before, after)) = tokio::try_join!(ends, set(stage, step, &mut random))?;
    if before == after {
        return Err(format!("the log says {after} before and after: the clock was not set"));
    }
    if took < OPENING || took > OPENING + LATE {
        return Err(format!(
            "the deadline of {} s came after {:.1} s",
            OPENING.as_secs(),
            took.as_secs_f64()
        ));
    }
    idle.ask_exactly(stage, &Question::grpc("soak.Echo", &mut random), "grpc").await?;
    idle.close().await?;
    Ok(format!(
        "from {before} to {after} in the log; a deadline of {} s came after {:.1} s",
        OPENING.as_secs(),
        took.as_secs_f64()
    ))
}

/// Sets the clock, and looks whether all goes on. The days that the log believes it is, before and after.
async fn set(stage: Stage<'_>, step: i64, random: &mut Random) -> Result<(String, String), String> {
    sleep(MOMENT).await;
    let before = logged_day(stage.front).await?;
    std::fs::write(file(stage.front.mode), step.to_string()).map_err(|error| error.to_string())?;
    http1::keep_alive(stage, random).await?;
    h2::grpc_waiting(stage, random).await?;
    Ok((before, logged_day(stage.front).await?))
}

/// The day that the log believes it is, by a line that is made for it.
async fn logged_day(front: &Front) -> Result<String, String> {
    drop(
        front
            .connect("probe", Expect::of(&[("probe", "silent")]))
            .await
            .map_err(|error| error.to_string())?,
    );
    sleep(MOMENT).await;
    let tail = front.process.tail();
    let line = tail.last().ok_or("the log is empty")?;
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let time = value.get("time").and_then(|time| time.as_str()).unwrap_or_default();
    Ok(time.split('T').next().unwrap_or_default().to_owned())
}
