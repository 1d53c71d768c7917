//! One short sample of a repeated task.

use std::time::{Duration, Instant};

use rustix::time::{clock_gettime, ClockId};

/// What one run of a task took, on average over the sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Nanoseconds by the wall clock.
    pub wall: f64,
    /// Nanoseconds of processor time, of all threads.
    pub cpu: f64,
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
    let (started, cpu, mut count) = (Instant::now(), processor_time(), 0);
    while started.elapsed() < time {
        (0..batch).for_each(|_| task());
        count += batch;
    }
    let (wall, cpu) = (started.elapsed(), processor_time() - cpu);
    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Sample { wall: each(wall), cpu: each(cpu), count }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
