//! How many PINGs a greeted client may have answered: a burst, and then one per interval.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct PingBudget {
    left: u32,
    refilled: Instant,
}

impl PingBudget {
    pub(super) const fn new(burst: u32, now: Instant) -> Self {
        Self { left: burst, refilled: now }
    }

    /// Takes one; `false` when there is none left.
    pub(super) fn take(&mut self, burst: u32, interval: Duration, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled);
        let earned = passed.as_nanos().checked_div(interval.as_nanos()).unwrap_or_else(|| u128::from(burst));
        if earned >= u128::from(burst - self.left.min(burst)) {
            self.left = burst;
            self.refilled = now;
        } else if earned > 0 {
            self.left += earned as u32;
            self.refilled += interval * earned as u32;
        }
        let has_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_interval() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let second = Duration::from_secs(1);
        let mut budget = PingBudget::new(2, start);
        assert!(budget.take(2, second, at(0)));
        assert!(budget.take(2, second, at(0)));
        assert!(!budget.take(2, second, at(999)));
        assert!(budget.take(2, second, at(1_000)));
        assert!(!budget.take(2, second, at(1_500)));
        assert!(budget.take(2, second, at(2_000)), "the half second that was left counts");
        assert!(budget.take(2, second, at(60_000)));
        assert!(budget.take(2, second, at(60_000)));
        assert!(!budget.take(2, second, at(60_000)), "never more than the burst");
    }

    #[test]
    fn degenerate_budgets_do_not_panic() {
        let start = Instant::now();
        assert!(!PingBudget::new(0, start).take(0, Duration::ZERO, start));
        assert!(PingBudget::new(1, start).take(1, Duration::ZERO, start));
    }
}
