//! Growing rests between tries, with jitter so that a fleet does not come back as one.

use std::time::Duration;

/// `first` doubled with each further failure, capped at `max`. `count` is 1 for the first failure.
pub fn doubling(first: Duration, max: Duration, count: u32) -> Duration {
    let factor = 1u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max)
}

/// Between half of `rest` and all of it; `share` is a random number in 0..=1.
pub fn jittered(rest: Duration, share: f64) -> Duration {
    rest.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap() {
        let rest = |count| doubling(Duration::from_secs(1), Duration::from_secs(30), count).as_secs();
        assert_eq!([0, 1, 2, 3, 5, 6, 40, u32::MAX].map(rest), [1, 1, 2, 4, 16, 30, 30, 30]);
    }

    #[test]
    fn jitter_keeps_half() {
        let rest = Duration::from_secs(10);
        assert_eq!(jittered(rest, 0.0), rest / 2);
        assert_eq!(jittered(rest, 1.0), rest);
        assert_eq!(jittered(rest, 7.0), rest);
    }
}
