//! The soak: mixed load on a front of each mode, and what must hold while it lasts and when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tokio::time::interval;

use crate::checks::{Checks, Trouble};
use crate::clients::{h2, http1, Stage};
use crate::front::{patiently, Front, AT_ONCE, MODES, PATIENCE};
use crate::load::{drive, options, upset, Counts, World};
use crate::plot::{lines, Series};
use crate::process::Setup;
use crate::random::Random;
use crate::trend;

/// Memory may rise by so much of itself between the first and the last third of the time behind the warm-up…
const GROWTH_SHARE: f64 = 0.15;
/// …or by so many KiB, whichever is more: what an allocator keeps changes with the load of the moment.
const GROWTH_KIB: f64 = 1.5 * 1024.0;
/// The share of the time that is warm-up, and the most of it.
const WARM_UP: (f64, Duration) = (0.25, Duration::from_secs(300));
/// A process without clients may use so much of one processor.
const IDLE_CPU: f64 = 0.03;
/// How long that is looked at.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// How long after the last client a connection may still be there: the longest deadline of the load is 10 s.
const SETTLE: Duration = PATIENCE;

/// Seconds, resident KiB, open files, and seconds of processor time.
type Sample = (f64, f64, usize, f64);

/// Drives the load for so long. The plot of memory over time, and all samples.
pub(crate) async fn run(minutes: f64, seed: u64, checks: &mut Checks) -> Result<(String, Value), Trouble> {
    let world = Arc::new(World::start().await?);
    let mut fronts = Vec::new();
    for mode in MODES {
        fronts.push(Arc::new(Front::start(mode, &options(&world, mode), &Setup::default()).await?));
    }
    let counts = Arc::new(Counts::default());
    let stop = Arc::new(AtomicBool::new(false));
    let driving = tokio::spawn(drive(fronts.clone(), counts.clone(), seed, stop.clone()));
    let upsetting = {
        let (world, stop) = (world.clone(), stop.clone());
        tokio::spawn(async move { upset(&world, seed, &stop).await })
    };

    let time = Duration::from_secs_f64(minutes * 60.0);
    let samples = sample(&fronts, time, &counts).await;
    stop.store(true, Ordering::Relaxed);
    let restarts = upsetting.await.unwrap_or_default();
    driving.await.map_err(|error| format!("the load broke: {error}"))?;

    exactness(checks, &counts, restarts);
    for (front, samples) in fronts.iter().zip(&samples) {
        memory(checks, front, samples, time);
        let mode = front.mode;
        let settled = front.settle(SETTLE).await.map(|took| format!("after {:.1} s", took.as_secs_f64()));
        checks.check_ok(format!("{mode}: no connection is stuck, and all files are closed"), settled);
        let share = front.process.cpu_share(IDLE_TIME).await;
        checks.check(
            format!("{mode}: idle, it rests"),
            share <= IDLE_CPU,
            format!("{:.1} % of a processor", share * 100.0),
        );
        checks.check_ok(format!("{mode}: it still serves"), serves(front, &counts).await);
    }
    checks.check_ok("no backend has a connection left", world.emptied(AT_ONCE).await);

    for front in fronts {
        let Ok(mut front) = Arc::try_unwrap(front) else {
            return Err("a client is still there".to_owned().into());
        };
        front.stop(checks).await;
        nothing_cut(checks, &front);
        accounts(checks, &front, &counts);
    }
    let series: Vec<_> = MODES
        .iter()
        .zip(&samples)
        .map(|(mode, samples)| Series {
            name: mode.to_string(),
            points: samples.iter().map(|(at, rss, ..)| (at / 60.0, rss / 1024.0)).collect(),
        })
        .collect();
    let plot = lines(
        "Resident memory of oneport under mixed load, MiB",
        &format!("{minutes} minutes, seed {seed}; behind the dashed line trends are measured"),
        warm_up(time).as_secs_f64() / 60.0,
        &series,
    );
    let all: Vec<_> = MODES
        .iter()
        .zip(&samples)
        .map(|(mode, samples)| json!({"mode": mode.to_string(), "second, KiB, files, processor seconds": samples}))
        .collect();
    Ok((plot, json!(all)))
}

fn warm_up(time: Duration) -> Duration {
    time.mul_f64(WARM_UP.0).min(WARM_UP.1)
}

/// Looks at both processes once a second.
async fn sample(fronts: &[Arc<Front>], time: Duration, counts: &Counts) -> Vec<Vec<Sample>> {
    let mut samples = vec![Vec::new(); fronts.len()];
    let started = Instant::now();
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_word = Duration::ZERO;
    while started.elapsed() < time {
        every.tick().await;
        let at = started.elapsed();
        for (front, samples) in fronts.iter().zip(&mut samples) {
            if let Some(usage) = front.process.usage() {
                samples.push((at.as_secs_f64(), usage.rss as f64, usage.files, usage.cpu.as_secs_f64()));
            }
        }
        if at >= next_word {
            next_word = at + Duration::from_secs(15);
            let state: Vec<_> = fronts
                .iter()
                .zip(&samples)
                .map(|(front, samples)| {
                    let (_, rss, files, cpu) = samples.last().copied().unwrap_or_default();
                    let opened = front.books.sums().opened;
                    format!(
                        "{}: {opened} connections, {:.1} MiB, {files} files, {cpu:.0} s of processor",
                        front.mode,
                        rss / 1024.0
                    )
                })
                .collect();
            eprintln!(
                "  {:4.0} s  {}; {} answered",
                at.as_secs_f64(),
                state.join("; "),
                counts.all_answered()
            );
        }
    }
    samples
}

fn exactness(checks: &mut Checks, counts: &Counts, restarts: u64) {
    let clients = counts.clients();
    let (done, failed) = clients.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let failed = failed + counts.all_broken();
    let failures = counts.failures();
    checks.check(
        "every client heard exactly what it had to hear",
        failed == 0 && counts.all_answered() > 0,
        format!(
            "{done} clients, {} exact answers, {} requests cut by {restarts} restarts of backends, {failed} failures{}",
            counts.all_answered(),
            counts.all_cut(),
            failures.first().map(|first| format!("; the first: {first}")).unwrap_or_default(),
        ),
    );
    checks.check(
        "backends were restarted, and clients felt it",
        restarts > 0 && counts.all_cut() > 0,
        format!("{restarts} restarts"),
    );
    for mode in MODES {
        let kinds = crate::clients::SWIFT.iter().chain(crate::clients::SLOW).map(|kind| kind.name);
        let (came, missing): (Vec<_>, Vec<_>) = kinds.partition(|name| clients.contains_key(&(mode, *name)));
        checks.check(
            format!("{mode}: every kind of client came"),
            missing.is_empty(),
            format!("{} kinds, missing {missing:?}", came.len()),
        );
    }
}

fn memory(checks: &mut Checks, front: &Front, samples: &[Sample], time: Duration) {
    let warm = warm_up(time).as_secs_f64();
    let values: Vec<_> = samples.iter().filter(|(at, ..)| *at >= warm).map(|(_, rss, ..)| *rss).collect();
    let level = trend::median(&values);
    let by_slope = trend::slope(&values) * values.len() as f64;
    let rise = trend::rise(&values);
    let bound = GROWTH_KIB.max(level * GROWTH_SHARE);
    checks.check(
        format!("{}: memory is flat", front.mode),
        values.len() > 5 && by_slope <= bound && rise <= bound,
        format!(
            "{:.1} MiB; last third above first {:+.2} MiB, by the Theil–Sen slope {:+.2} MiB, at most {:.1} MiB ({} samples)",
            level / 1024.0,
            rise / 1024.0,
            by_slope / 1024.0,
            bound / 1024.0,
            values.len()
        ),
    );
}

/// One client of HTTP/1 and one of gRPC.
pub(crate) async fn serves(front: &Front, counts: &Counts) -> Result<String, String> {
    let stage = Stage { front, counts };
    let mut random = Random::new(front.process.id().into());
    patiently("a client of HTTP/1", http1::keep_alive(stage, &mut random)).await?;
    patiently("a client of gRPC", h2::grpc_waiting(stage, &mut random)).await?;
    // Their connections end, and are accounted for.
    front.settle(SETTLE).await?;
    Ok("HTTP/1 and gRPC".to_owned())
}

/// At its end the process had no connection any more, and knew it.
pub(crate) fn nothing_cut(checks: &mut Checks, front: &Front) {
    let cuts = front.books.sums().events.get("drain-cut").copied().unwrap_or_default();
    checks.check(
        format!("{}: nothing was left to be cut", front.mode),
        cuts == 0,
        format!("{cuts} events drain-cut"),
    );
}

/// The sums: what clients opened, and what the log says became of it.
pub(crate) fn accounts(checks: &mut Checks, front: &Front, counts: &Counts) {
    let mode = front.mode;
    let sums = front.books.sums();
    checks.check(
        format!("{mode}: every connection has exactly one outcome, and the right one"),
        sums.opened == sums.ended && sums.waiting == 0 && sums.wrong_count == 0 && sums.opened > 0,
        format!(
            "{} connections of clients, {} outcomes, {} waiting, {} wrong{}",
            sums.opened,
            sums.ended,
            sums.waiting,
            sums.wrong_count,
            sums.wrong.first().map(|first| format!("; the first: {first}")).unwrap_or_default(),
        ),
    );
    checks.check(
        format!("{mode}: no log line was dropped"),
        sums.lines_dropped == 0,
        format!("{}", sums.lines_dropped),
    );
    if front.is_per_request() {
        let logged = sums.events.get("request").copied().unwrap_or_default();
        let (heard, asked) = (counts.all_heard(), counts.all_asked());
        checks.check(
            format!("{mode}: requests are accounted for"),
            (heard..=asked).contains(&logged),
            format!("{heard} answered <= {logged} in the log <= {asked} sent"),
        );
    }
    let mut table = format!("{mode}, by outcome:\n\n| outcome | connections |\n|---|---|\n");
    for (outcome, count) in &sums.outcomes {
        table.push_str(&format!("| {outcome} | {count} |\n"));
    }
    checks.tables.push(table);
    if !sums.by_client.is_empty() {
        let mut table =
            format!("{mode}, by client:\n\n| client | connections and their outcomes |\n|---|---|\n");
        for (client, outcomes) in &sums.by_client {
            let all: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            table.push_str(&format!("| {client} | {} |\n", all.join(", ")));
        }
        checks.tables.push(table);
    }
}
