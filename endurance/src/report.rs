//! What is left of a run: `results.json`, `summary.md`, and the plot.

use std::env;
use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::thread;

use serde_json::{json, Value};

use crate::args::Args;
use crate::checks::Checks;

#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It can not be carried out here, which is a failure…
    CanNot(String),
    /// …unless it was said before that it may be so.
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed => f.write_str("FAILED"),
            Self::CanNot(reason) => write!(f, "FAILED: can not be carried out here: {reason}"),
            Self::Skipped(reason) => write!(f, "NOT CHECKED: {reason}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) checks: Checks,
    pub(crate) seconds: f64,
    /// Of the soak: the plot and the samples.
    pub(crate) soaked: Option<(String, Value)>,
}

impl Scene {
    pub(crate) const fn is_fine(&self) -> bool {
        matches!(self.outcome, Outcome::Passed | Outcome::Skipped(_))
    }
}

/// Writes all of it; the summary.
///
/// # Errors
/// The folder can not be written to.
pub(crate) fn write(args: &Args, scenes: &[Scene]) -> io::Result<String> {
    fs::create_dir_all(&args.out)?;
    let summary = summary(args, scenes);
    fs::write(args.out.join("summary.md"), &summary)?;
    let mut all = Vec::new();
    for scene in scenes {
        let samples = scene.soaked.as_ref().map(|(_, samples)| samples);
        all.push(json!({
            "scene": scene.name, "outcome": scene.outcome.to_string(), "seconds": scene.seconds,
            "checks": scene.checks.json(), "samples": samples,
        }));
        if let Some((plot, _)) = &scene.soaked {
            fs::write(args.out.join("memory.svg"), plot)?;
        }
    }
    let results = json!({
        "seed": args.seed, "minutes": args.minutes, "code": code(), "machine": machine(), "scenes": all,
    });
    fs::write(args.out.join("results.json"), format!("{results:#}\n"))?;
    Ok(summary)
}

fn summary(args: &Args, scenes: &[Scene]) -> String {
    let mut out = format!(
        "Seed {}, oneport at {}, {}.\n\n| scene | seconds | |\n|---|---|---|\n",
        args.seed,
        code(),
        machine()
    );
    for scene in scenes {
        let _ = writeln!(out, "| {} | {:.0} | {} |", scene.name, scene.seconds, scene.outcome);
    }
    for scene in scenes {
        let _ = writeln!(out, "\n### {}\n\n| check | | seen |\n|---|---|---|", scene.name);
        for (what, holds, seen) in &scene.checks.all {
            let _ = writeln!(
                out,
                "| {what} | {} | {} |",
                if *holds { "ok" } else { "**FAILED**" },
                seen.replace('|', "\\|")
            );
        }
        for table in &scene.checks.tables {
            let _ = write!(out, "\n{table}");
        }
    }
    out
}

/// The commit that was tried, and the day, as `endurance/run` knows them.
fn code() -> String {
    env::var("ENDURANCE_CODE").unwrap_or_else(|_| "an unknown commit".into())
}

/// What it ran on, and how busy that was.
fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let load: Vec<_> = load.split(' ').take(3).collect();
    let kernel = read("/proc/sys/kernel/osrelease");
    let version = kernel.split(['-', '\n']).next().unwrap_or_default();
    format!("{cores} cores, Linux {version}, load at the end {}", load.join(" "))
}
