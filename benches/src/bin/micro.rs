//! Samples on request. Lines in, lines out, so that a driver can take turns between this program and its peers:
//!
//! ```text
//! micro list [STORIES]          the names of all cases
//! micro flights                 NAME ROUTE WAITS SEGMENT,… (hexadecimal): what peers are to be given
//! micro ask [STORIES]           for each line `NAME MILLISECONDS`: `THREAD PROCESS COUNT`, processor time of
//!                               the working thread and of all, in nanoseconds for a run
//! micro times NAME COUNT        runs a case, for tools that count instructions from outside
//! ```

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use oneport_benches::cases::{self, Case};
use oneport_benches::flights::{self, ROUTES};
use oneport_benches::sample::sample;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = io::stdout().lock();
    match words[..] {
        ["list", ref stories @ ..] => {
            for case in cases(stories) {
                writeln!(out, "{}", case.name)?;
            }
        }
        ["flights"] => {
            for flight in flights::all() {
                let segments: Vec<String> = flight.segments.iter().map(|bytes| hex(bytes)).collect();
                let (name, route) = (flight.name, ROUTES[flight.route]);
                writeln!(out, "{name} {route} {} {}", flight.waits, segments.join(","))?;
            }
        }
        ["ask", ref stories @ ..] => {
            let mut cases = cases(stories);
            for line in io::stdin().lock().lines() {
                let line = line?;
                let (name, time) = line.split_once(' ').expect("NAME MILLISECONDS");
                let time = Duration::from_millis(time.parse().expect("milliseconds"));
                let taken = sample(time, &mut find(&mut cases, name).task);
                writeln!(out, "{:.2} {:.2} {}", taken.thread, taken.process, taken.count)?;
                out.flush()?;
            }
        }
        ["times", name, count] => {
            let mut cases = cases::all(None, &|case| case == name);
            let case = find(&mut cases, name);
            for _ in 0..count.parse::<u64>().expect("a number") {
                (case.task)();
            }
        }
        _ => panic!("usage: micro list [STORIES] | flights | ask [STORIES] | times NAME COUNT"),
    }
    Ok(())
}

fn cases(stories: &[&str]) -> Vec<Case> {
    cases::all(stories.first().map(PathBuf::from).as_deref(), &|_| true)
}

fn find<'a>(cases: &'a mut [Case], name: &str) -> &'a mut Case {
    cases.iter_mut().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
