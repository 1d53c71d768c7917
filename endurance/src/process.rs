//! A process `oneport serve`: started, watched through `/proc`, signalled, and read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::books::{Books, End};
use crate::clients::bytes::BY_HAND;

/// What is asked of the system for a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Files that it may have open (`RLIMIT_NOFILE`).
    pub(crate) files: Option<u32>,
    /// Variables of its environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

/// What a process uses at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, KiB.
    pub(crate) rss: u64,
    /// Open files of all kinds.
    pub(crate) files: usize,
    /// Those of them that are sockets.
    pub(crate) sockets: usize,
    /// Those of them that are ends of pipes; a pipe has two.
    pub(crate) pipes: usize,
    /// Those of them that are timers.
    pub(crate) timers: usize,
    /// Processor time so far.
    pub(crate) cpu: Duration,
}

/// The command keeps up to 8 empty pipes for the next connection that needs one (`MOST_KEPT` in `cli/src/serve/pipes.rs`): two files
/// each, which no connection has left behind.
const KEPT_PIPES: usize = 2 * 8;
/// The mux has a timer from when it begins to serve, which is behind the word of where it listens.
const MUX_TIMERS: usize = 1;

impl Usage {
    /// Whether it has no more open than when it was idle, but for the pipes that it may keep, and the one timer of its mux, which it may not
    /// have had yet.
    pub(crate) fn is_back_to(&self, idle: &Self) -> bool {
        let others = |usage: &Self| usage.files - usage.pipes - usage.timers;
        others(self) <= others(idle) && self.pipes <= idle.pipes + KEPT_PIPES && self.timers <= MUX_TIMERS
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    reader: JoinHandle<()>,
    /// The last lines of the log, to show when something is wrong.
    tail: Arc<Mutex<Vec<String>>>,
}

/// How long it may take until it says where it listens, until it stops, and until it ends when it is killed.
const TO_START: Duration = Duration::from_secs(30);

/// The command to test.
pub(crate) fn command() -> PathBuf {
    std::env::var_os("ENDURANCE_ONEPORT")
        .map_or_else(|| PathBuf::from("../target/release/oneport"), PathBuf::from)
}

impl Process {
    /// Starts the command, and is told where it listens.
    pub(crate) async fn start(options: &[String], setup: &Setup, books: Arc<Books>) -> Result<Self, String> {
        let binary = command();
        let mut command = match setup.files {
            None => Command::new(&binary),
            Some(files) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(&binary);
                shell
            }
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"]);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a platform sets changes what is warned of.
        command.env_remove("K_SERVICE").env_remove("PORT");
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        running().insert(child.id());
        let tail = Arc::new(Mutex::new(Vec::new()));
        let errors = child.stderr.take().ok_or("no stderr")?;
        let reader = {
            let tail = tail.clone();
            thread::spawn(move || read_log(errors, &books, &tail))
        };
        let out = child.stdout.take().ok_or("no stdout")?;
        let (tell, told) = oneshot::channel();
        // Not here: one that neither says anything nor ends would hold up all else, and this program could not be told to end.
        thread::spawn(move || {
            let mut first = String::new();
            let _ = BufReader::new(out).read_line(&mut first);
            let _ = tell.send(first);
        });
        let mut process = Self { child, address: SocketAddr::from(([0; 4], 0)), reader, tail };
        let first = timeout(TO_START, told).await.unwrap_or(Ok(String::new())).unwrap_or_default();
        match first.trim().rsplit(' ').next().and_then(|word| word.parse().ok()) {
            Some(address) => process.address = address,
            None => {
                let _ = process.child.kill();
                let _ = process.wait(TO_START).await;
                return Err(format!("does not start:\n{}", process.tail().join("\n")));
            }
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, signal);
        }
    }

    /// Stops it (SIGSTOP). Ready when each of its threads has: until then the signal is only on its way, and they go on.
    pub(crate) async fn freeze(&self) -> Result<(), String> {
        self.signal(Signal::STOP);
        let until = Instant::now() + TO_START;
        while !self.is_frozen() {
            if Instant::now() > until {
                return Err(format!("it has not stopped within {TO_START:?}"));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return false };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state comes behind the name, which is in parentheses.
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    }

    /// The exit code, if it ends within this time; of a signal -1. All that it has logged is in the books then.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Option<i32> {
        let until = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                running().remove(&self.child.id());
                while !self.reader.is_finished() && Instant::now() <= until {
                    sleep(Duration::from_millis(5)).await;
                }
                return Some(status.code().unwrap_or(-1));
            }
            if Instant::now() > until {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it uses now; `None` if it is gone.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss = rss.trim().trim_end_matches(" kB").parse().ok()?;
        let links = std::fs::read_dir(folder.join("fd")).ok()?;
        let links: Vec<_> = links.flatten().map(|entry| std::fs::read_link(entry.path())).collect();
        let of =
            |kind| links.iter().flatten().filter(|link| link.to_string_lossy().starts_with(kind)).count();
        let (sockets, pipes, timers) = (of("socket:"), of("pipe:"), of("anon_inode:[timerfd]"));
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        // Behind the name, which is in parentheses: utime and stime are the 12th and 13th, in hundredths of a second.
        let mut times = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<u64>().ok();
        let cpu = Duration::from_millis(10 * (ticks()? + ticks()?));
        Some(Usage { rss, files: links.len(), sockets, pipes, timers, cpu })
    }

    /// The share of one processor that it uses during this time.
    pub(crate) async fn cpu_share(&self, during: Duration) -> f64 {
        let started = Instant::now();
        let before = self.usage().unwrap_or_default().cpu;
        sleep(during).await;
        let used = self.usage().unwrap_or_default().cpu.saturating_sub(before);
        used.as_secs_f64() / started.elapsed().as_secs_f64()
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Those that run now, by their ids.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all of them: this program is told to end, and nothing that it started may stay.
pub(crate) fn kill_all() {
    for id in running().iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)) {
        let _ = kill_process(id, Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        running().remove(&self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_log(errors: ChildStderr, books: &Books, tail: &Mutex<Vec<String>>) {
    const TAIL: usize = 12;
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.remove(0);
            }
            tail.push(line.clone());
        }
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            books.strange(&line);
            continue;
        };
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let event = text("event");
        if event == "request" && text("path").starts_with(BY_HAND) {
            continue;
        }
        if event != "connection" {
            books.event(&event, value.get("count").and_then(Value::as_u64).unwrap_or(1));
            continue;
        }
        let detail = if value.get("phase").is_some() { text("phase") } else { text("reason") };
        match text("peer").parse() {
            Ok(peer) => books.ended(peer, &End { outcome: text("outcome"), detail, route: text("route") }),
            Err(_) => books.strange(&line),
        }
    }
}
