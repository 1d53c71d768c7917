//! The listen queue is full: the process is stopped while more clients come than the queue takes. Those that got in are all served
//! when it goes on, and those that did not are served later or can not connect; none is stuck.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{end, queued};
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::checks::{Checks, Trouble};
use crate::clients::bytes::http1_request;
use crate::clients::io::ClientIo;
use crate::front::{Front, MODES, PATIENCE};
use crate::load::{Counts, World};
use crate::process::Setup;
use crate::random::Random;

/// The most that the command asks for, as the kernel's own default.
const BACKLOG: usize = 4_096;
/// Clients beyond what the queue takes.
const BEYOND: usize = 200;
/// How long it is stopped behind the last one that got in: long enough for the others to try.
const STOPPED: Duration = Duration::from_secs(2);

pub(crate) async fn run(checks: &mut Checks) -> Result<(), Trouble> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    let queue = text.trim().parse::<usize>().unwrap_or(BACKLOG).min(BACKLOG);
    let clients = queue + 1 + BEYOND;
    // Two for each client at oneport; here one, and at the backend one, and its twin that resets it.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = 3 * clients as u64 + 200;
    if files < needed {
        return Err(Trouble::CanNot(format!(
            "{needed} open files are needed for {clients} clients, and {files} are allowed"
        )));
    }
    for mode in MODES {
        let world = World::start().await?;
        let mut options = world.routes();
        // All of them at once are neither too many nor too late here: that is other scenes' business. The backend, whose queue is
        // shorter, shares its process with all the clients.
        options.extend(["--max-undecided", "8192", "--max-undelivered", "8192"].map(str::to_owned));
        options.extend(
            ["silent", "opening", "delivery"]
                .iter()
                .flat_map(|deadline| [format!("--{deadline}-deadline"), format!("{}s", PATIENCE.as_secs())]),
        );
        let mut front = Front::start(mode, &options, &Setup::default()).await?;
        front.process.freeze().await?;
        let front_now = std::sync::Arc::new(front);
        let mut storm = JoinSet::new();
        for n in 0..clients {
            let front = front_now.clone();
            storm.spawn(async move { timeout(2 * PATIENCE, client(&front, n)).await });
        }
        let at = front_now.process.address;
        let until = Instant::now() + PATIENCE;
        while queued(at) < queue && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
        sleep(STOPPED).await;
        let waiting = queued(at);
        front_now.process.signal(Signal::CONT);
        let (mut served, mut not_connected, mut wrong) = (0, 0, Vec::new());
        while let Some(ended) = storm.join_next().await {
            match ended {
                Ok(Ok(Ok(true))) => served += 1,
                Ok(Ok(Ok(false))) => not_connected += 1,
                Ok(Ok(Err(error))) => wrong.push(error),
                _ => wrong.push("stuck".to_owned()),
            }
        }
        checks.check(
            format!("{mode}: the queue was full"),
            waiting >= queue,
            format!("{waiting} waited to be accepted, {queue} is its size"),
        );
        checks.check(
            format!("{mode}: all are served or could not connect"),
            wrong.is_empty() && served >= queue,
            format!(
                "{served} of {clients} served, {not_connected} could not connect, {} otherwise{}",
                wrong.len(),
                wrong.first().map(|first| format!("; the first: {first}")).unwrap_or_default()
            ),
        );
        front = std::sync::Arc::try_unwrap(front_now).map_err(|_| "a client is still there".to_owned())?;
        end(&mut front, &Counts::default(), checks).await;
    }
    Ok(())
}

/// Whether it was served; `false` if it could not connect.
async fn client(front: &Front, n: usize) -> Result<bool, String> {
    let Ok(stream) = front.connect("storm", Expect::routed("http1")).await else { return Ok(false) };
    let mut io = ClientIo::new(stream, &mut Random::new(n as u64));
    let path = format!("/queue/{n}");
    io.say(&http1_request("soak.test", &path, "", b"")).await?;
    io.hear(&answer(&path, b"")).await?;
    Ok(true)
}
