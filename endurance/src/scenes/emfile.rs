//! The process has no files left: accepting must neither spin nor end, and goes on as soon as there are some again.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::MOMENT;
use crate::backends::http1::answer;
use crate::books::Expect;
use crate::checks::Checks;
use crate::clients::bytes::http1_request;
use crate::clients::http1::open;
use crate::clients::Stage;
use crate::front::{patiently, reset, Front};
use crate::load::Counts;
use crate::random::Random;

/// Files that the process may have open.
pub(crate) const FILES: u32 = 48;
/// Clients that come at once; more than there are files, and fewer than the queue of the listener takes.
const CLIENTS: usize = 120;
/// What a process that only waits for files may use of one processor. It tries again at least once a second.
const CPU: f64 = 0.10;

pub(crate) async fn run(front: &Front, counts: &Counts, checks: &mut Checks) {
    let mode = front.mode;
    let stage = Stage { front, counts };
    let mut random = Random::new(1);
    let silent = Expect::of(&[("probe", "silent")]);
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..CLIENTS {
        match front.connect("silent", silent).await {
            Ok(stream) => clients.push(stream),
            Err(error) => return checks.check(format!("{mode}: clients connect"), false, error.to_string()),
        }
    }
    sleep(MOMENT).await;
    let files = front.process.usage().unwrap_or_default().files;
    let all = files + 2 >= FILES as usize;
    checks.check(format!("{mode}: it has run out of files"), all, format!("{files} of {FILES} are open"));
    let share = front.process.cpu_share(Duration::from_secs(3)).await;
    checks.check(
        format!("{mode}: meanwhile it does not spin"),
        share <= CPU,
        format!("{:.1} % of a processor", share * 100.0),
    );
    // A client that is in already and now asks: its backend can not be connected without a file, and it is told so or served.
    let asks = async {
        let expect =
            Expect::of(&[("routed", ""), ("refused", "backend-down"), ("refused", "delivery-timeout")]);
        let mut io = open(stage, "asks", expect, &mut random).await?;
        io.say(&http1_request("soak.test", "/emfile", "", b"")).await?;
        sleep(MOMENT).await;
        // Some of those that are in go, at once and without order: now there are files again.
        for stream in clients.drain(..CLIENTS / 2) {
            reset(stream);
        }
        drop(std::mem::take(&mut clients));
        match io.hear(&answer("/emfile", b"")).await {
            Err(error) if !error.contains("502") => Err(error),
            _ => Ok("served, or told 502"),
        }
    };
    checks.check_ok(
        format!("{mode}: a client that came when there were none is answered"),
        patiently("the client", asks).await,
    );
    // Those that were never in are accounted for as well, when they have gone.
    let settled =
        front.settle(crate::front::PATIENCE).await.map(|took| format!("after {:.1} s", took.as_secs_f64()));
    checks.check_ok(format!("{mode}: it recovers, and every client is accounted for"), settled);
}
