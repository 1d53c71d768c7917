//! Whether a series of samples grows.

/// The middle one; of an even number the lower. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The slope by Theil and Sen, per sample: the median of the slopes of all pairs. A burst in the middle does not move it.
pub(crate) fn slope(values: &[f64]) -> f64 {
    // So many pairs are enough: beyond, every n-th sample.
    const MOST: usize = 600;
    let step = values.len().div_ceil(MOST).max(1);
    let thin: Vec<f64> = values.iter().copied().step_by(step).collect();
    let mut slopes = Vec::new();
    for (i, a) in thin.iter().enumerate() {
        for (j, b) in thin.iter().enumerate().skip(i + 1) {
            slopes.push((b - a) / (j - i) as f64);
        }
    }
    median(&slopes) / step as f64
}

/// How much the last third lies above the first: by the medians of both.
pub(crate) fn rise(values: &[f64]) -> f64 {
    let third = values.len() / 3;
    median(&values[values.len() - third..]) - median(&values[..third])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn noisy(rise_per_sample: f64) -> Vec<f64> {
        let mut random = Random::new(1);
        (0..300).map(|i| f64::from(i) * rise_per_sample + random.below(2_000) as f64).collect()
    }

    #[test]
    fn a_leak_shows_through_noise_and_noise_is_no_leak() {
        assert!((slope(&noisy(50.0)) - 50.0).abs() < 3.0);
        assert!(slope(&noisy(0.0)).abs() < 2.0);
        assert!((rise(&noisy(50.0)) - 10_000.0).abs() < 1_000.0);
        assert!(rise(&noisy(0.0)).abs() < 500.0);
    }

    #[test]
    fn a_burst_is_no_trend() {
        let mut values = vec![10.0; 1_500];
        values[700..900].fill(1e6);
        assert_eq!((slope(&values), rise(&values)), (0.0, 0.0));
    }

    #[test]
    fn few_samples() {
        assert_eq!((median(&[]), slope(&[]), rise(&[])), (0.0, 0.0, 0.0));
        assert_eq!((median(&[3.0, 1.0, 2.0]), slope(&[1.0, 2.0])), (2.0, 1.0));
    }
}
