//! A leaky bucket: how often something may happen, in a burst and in the long run.

use std::time::{Duration, Instant};

/// A burst, and how much of it comes back in a second, in the unit of the field that it bounds. Nothing is allowed with 0 of both;
/// with 0 per second the burst is for the whole life of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// How much may be spent at once.
    pub burst: u32,
    /// How much comes back in each second.
    pub per_second: u32,
}

impl Rate {
    /// This much at once, and this much more in each second.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second }
    }
}

/// How many bursts may be earned ahead.
const SAVED: u32 = 4;

/// What is left of a [`Rate`].
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: u32,
    refilled: Instant,
}

impl Bucket {
    pub(super) const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, refilled: now }
    }

    /// Spends `cost`; `false` when there is not as much left.
    #[must_use]
    pub(super) fn spend(&mut self, cost: u32, now: Instant) -> bool {
        if self.left < cost {
            self.refill(now);
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Gives back for useful work, up to [`SAVED`] times the burst: what the work causes may come much later, and all at once.
    pub(super) fn earn(&mut self, amount: u32) {
        let most = self.rate.burst.saturating_mul(SAVED).max(self.left);
        self.left = self.left.saturating_add(amount).min(most);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let earned = passed.as_micros().saturating_mul(u128::from(self.rate.per_second)) / 1_000_000;
        if earned == 0 {
            return;
        }
        if earned >= u128::from(self.rate.burst.saturating_sub(self.left)) {
            self.left = self.left.max(self.rate.burst);
            self.refilled = now;
            return;
        }
        // Less than the burst, so that it fits; only the time that was paid for is used up.
        let earned = earned as u32;
        self.left += earned;
        self.refilled +=
            Duration::from_micros(u64::from(earned) * 1_000_000 / u64::from(self.rate.per_second));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_what_comes_back() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(Rate::new(2, 1), start);
        assert!(bucket.spend(2, at(0)));
        assert!(!bucket.spend(1, at(999)));
        assert!(bucket.spend(1, at(1_000)));
        assert!(!bucket.spend(1, at(1_500)));
        assert!(bucket.spend(1, at(2_000)), "the half second that was left counts");
        assert!(bucket.spend(2, at(60_000)));
        assert!(!bucket.spend(1, at(60_000)), "never more than the burst");
        bucket.earn(100);
        assert!(bucket.spend(8, at(60_000)));
        assert!(!bucket.spend(1, at(60_000)), "what is earned ahead is bounded, too");
    }

    #[test]
    fn time_is_used_up_as_far_as_it_was_paid_for() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(Rate::new(10, 4), start);
        assert!(bucket.spend(10, at(0)));
        assert!(bucket.spend(2, at(600)), "one for each 250 ms, and 100 ms are left");
        assert!(!bucket.spend(1, at(749)));
        assert!(bucket.spend(1, at(750)));
    }

    #[test]
    fn degenerate_rates_do_not_panic() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1 << 33);
        assert!(!Bucket::new(Rate::new(0, 0), start).spend(1, later));
        assert!(!Bucket::new(Rate::new(0, u32::MAX), start).spend(1, later));
        let mut bucket = Bucket::new(Rate::new(u32::MAX, u32::MAX), start);
        assert!(bucket.spend(u32::MAX, start));
        assert!(bucket.spend(u32::MAX, later));
    }
}
