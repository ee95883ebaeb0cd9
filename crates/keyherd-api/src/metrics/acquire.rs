//! How long acquiring took: fixed buckets of atomics.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds, and as they stand in `le`.
const BUCKETS: [(u64, &str); 17] = [
    (1, "0.000001"),
    (5, "0.000005"),
    (10, "0.00001"),
    (100, "0.0001"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
    (120_000_000, "120"),
];

/// How a token was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// From memory.
    Hot,
    /// With a look at the store, or a refresh.
    Flight,
}

/// The times of both paths.
#[derive(Debug, Default)]
pub(super) struct AcquireTimes {
    hot: Times,
    flight: Times,
}

#[derive(Debug, Default)]
struct Times {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

impl AcquireTimes {
    pub(super) fn record(&self, path: Path, took: Duration) {
        match path {
            Path::Hot => self.hot.record(took),
            Path::Flight => self.flight.record(took),
        }
    }

    /// The samples, without the lines that describe them.
    pub(super) fn render(&self, name: &str, text: &mut String) {
        self.hot.render(name, "hot", text);
        self.flight.render(name, "flight", text);
    }
}

impl Times {
    fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|(bound, _)| bound * 1_000 < nanos);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn render(&self, name: &str, path: &str, text: &mut String) {
        let mut total = 0;
        let bounds = BUCKETS.iter().map(|(_, le)| *le).chain(["+Inf"]);
        // Writing to a String cannot fail.
        for (count, le) in self.counts.iter().zip(bounds) {
            total += count.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{path=\"{path}\",le=\"{le}\"}} {total}");
        }
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum{{path=\"{path}\"}} {seconds}");
        let _ = writeln!(text, "{name}_count{{path=\"{path}\"}} {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let times = AcquireTimes::default();
        for micros in [1, 2, 2_000, 500_000_000] {
            times.record(Path::Flight, Duration::from_micros(micros));
        }
        let mut text = String::new();
        times.render("t", &mut text);
        for line in [
            "t_bucket{path=\"flight\",le=\"0.000001\"} 1\n",
            "t_bucket{path=\"flight\",le=\"0.000005\"} 2\n",
            "t_bucket{path=\"flight\",le=\"0.005\"} 3\n",
            "t_bucket{path=\"flight\",le=\"120\"} 3\n",
            "t_bucket{path=\"flight\",le=\"+Inf\"} 4\n",
            "t_sum{path=\"flight\"} 500.002003\n",
            "t_count{path=\"flight\"} 4\n",
            "t_count{path=\"hot\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
