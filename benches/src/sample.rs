//! One short sample of a repeated task.

use std::time::{Duration, Instant};

use rustix::time::{clock_gettime, ClockId};

/// What one run of a task took, on average over the sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Nanoseconds of processor time of the thread that does it: what the clock on the wall would show on a machine with nobody else.
    pub thread: f64,
    /// Nanoseconds of processor time of all threads of the program.
    pub process: f64,
    /// Runs.
    pub count: u64,
}

/// Runs `task` for about this long. The mean and not the best of it: what a peer's garbage collector does between two runs is part of
/// what they cost.
pub fn sample(time: Duration, mut task: impl FnMut()) -> Sample {
    // Caches, and how many runs there are between two looks at the clock.
    let mut batch = 1;
    loop {
        let started = Instant::now();
        (0..batch).for_each(|_| task());
        if started.elapsed() > time / 50 {
            break;
        }
        batch *= 2;
    }
    let (started, mut count) = (Instant::now(), 0);
    let before = (processor_time(ClockId::ThreadCPUTime), processor_time(ClockId::ProcessCPUTime));
    loop {
        (0..batch).for_each(|_| task());
        count += batch;
        if started.elapsed() >= time {
            break;
        }
    }
    let thread = processor_time(ClockId::ThreadCPUTime) - before.0;
    let process = processor_time(ClockId::ProcessCPUTime) - before.1;
    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Sample { thread: each(thread), process: each(process), count }
}

fn processor_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
