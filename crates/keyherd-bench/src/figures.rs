//! Numbers from many measurements: pure.

use std::time::Duration;

/// The value that `share` (0..=1) of all values do not exceed; zero where there is none.
pub fn quantile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.into_iter().nth(place(last, share)).unwrap_or_default()
}

/// The middle one; zero where there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(place(last, 0.5)).copied().unwrap_or_default()
}

/// The smallest and the largest one.
pub fn spread(values: &[f64]) -> (f64, f64) {
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    (smallest, values.iter().copied().fold(0.0, f64::max))
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of an index is an index"
)]
fn place(last: usize, share: f64) -> usize {
    let last = u32::try_from(last).unwrap_or(u32::MAX);
    (f64::from(last) * share).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (share, expected) in [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)] {
            assert_eq!(quantile(&values, share), Duration::from_millis(expected), "{share}");
        }
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[])), (2.0, 0.0));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 3.0));
    }
}
