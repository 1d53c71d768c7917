//! The command `oneport serve` under mixed load for as long as asked, and faults on purpose. Started by `endurance/run`; what is
//! checked is in `docs/endurance.md`.

mod args;
mod backends;
mod books;
mod checks;
mod clients;
mod front;
mod load;
mod plot;
mod process;
mod random;
mod report;
mod scenes;
mod soak;
mod trend;

use std::process::ExitCode;
use std::time::Instant;

use tokio::signal::ctrl_c;
use tokio::signal::unix::{signal, SignalKind};

use args::Args;
use checks::{Checks, Trouble};
use report::{Outcome, Scene};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("endurance: {error}");
            return ExitCode::FAILURE;
        }
    };
    let scenes = runtime.block_on(async {
        tokio::select! {
            scenes = run(&args) => Some(scenes),
            () = told_to_end() => None,
        }
    });
    runtime.shutdown_background();
    let Some(scenes) = scenes else {
        process::kill_all();
        return ExitCode::FAILURE;
    };
    match report::write(&args, &scenes) {
        Ok(summary) => println!("{summary}"),
        Err(error) => {
            eprintln!("endurance: can not write the report: {error}");
            return ExitCode::FAILURE;
        }
    }
    if scenes.iter().all(|scene| scene.is_fine()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Ready at SIGTERM or SIGINT.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = ctrl_c() => {}
    }
}

async fn run(args: &Args) -> Vec<Scene> {
    let mut done = Vec::new();
    for name in &args.scenes {
        eprintln!("\n-- {name}");
        let started = Instant::now();
        let mut checks = Checks::default();
        let mut soaked = None;
        let result = match *name {
            "soak" => {
                soak::run(args.minutes, args.seed, &mut checks).await.map(|result| soaked = Some(result))
            }
            name => scenes::run(name, args.seed, &mut checks).await,
        };
        let outcome = match result {
            Ok(()) if checks.hold() => Outcome::Passed,
            Ok(()) => Outcome::Failed,
            Err(Trouble::CanNot(reason)) if args.optional.contains(name) => Outcome::Skipped(reason),
            Err(Trouble::CanNot(reason)) => Outcome::CanNot(reason),
            Err(Trouble::Broke(reason)) => {
                checks.check("it runs", false, reason);
                Outcome::Failed
            }
        };
        eprintln!("  {outcome}");
        done.push(Scene { name, outcome, checks, seconds: started.elapsed().as_secs_f64(), soaked });
    }
    done
}
