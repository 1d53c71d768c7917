//! A bound for how often something is logged that a peer can make happen at no cost.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most so many lines in each second.
#[derive(Debug)]
pub(crate) struct Rate {
    most: u32,
    now: Mutex<Second>,
}

#[derive(Debug)]
struct Second {
    until: Instant,
    logged: u32,
    /// Since the last line, in this second and before it.
    missed: u64,
}

impl Rate {
    /// So many in each second; the first one begins now.
    pub(crate) fn per_second(most: u32, now: Instant) -> Self {
        Self { most, now: Mutex::new(Second { until: now + SECOND, logged: 0, missed: 0 }) }
    }

    /// Whether there may be one more line at this time. If so, the number of those since the last line that there were not.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut second = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= second.until {
            second.until = now + SECOND;
            second.logged = 0;
        }
        if second.logged >= self.most {
            second.missed = second.missed.saturating_add(1);
            return None;
        }
        second.logged += 1;
        Some(std::mem::take(&mut second.missed))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_so_many_a_second_they_are_counted() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let rate = Rate::per_second(2, begin);
        for (millis, expected) in [
            (0, Some(0)),
            (400, Some(0)),
            (500, None),
            (999, None),
            (1_000, Some(2)),
            (1_900, Some(0)),
            (1_950, None),
            // Long after: the second begins with the line.
            (9_900, Some(1)),
            (10_100, Some(0)),
            (10_200, None),
        ] {
            assert_eq!(rate.admit(at(millis)), expected, "at {millis} ms");
        }
    }
}
