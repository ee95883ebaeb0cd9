//! What this server did in the last quarter of an hour: its own counters, read every few seconds.
//!
//! Owns a bounded ring of readings. Never counts anything itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Readings that are kept: at one in five seconds, a quarter of an hour and one to begin with.
const READINGS_MAX: usize = 181;
/// Readings that one bar of a chart is made of.
const READINGS_A_BAR: usize = 3;
/// Bars of a chart.
const BARS: usize = (READINGS_MAX - 1) / READINGS_A_BAR;
/// The counters, by their names in the outside surface.
const NAMES: [&str; 3] =
    ["keyherd_refresh_joined_total", "keyherd_refresh_total", "keyherd_proxy_requests_total"];

/// Readings of the counters, the oldest first.
#[derive(Default)]
pub(crate) struct Samples(Mutex<VecDeque<[u64; NAMES.len()]>>);

/// One counter's last quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    /// Since the server began.
    pub(super) total: u64,
    /// In each stretch of time, the oldest first; always as many.
    pub(super) bars: Vec<u64>,
}

/// Everything that is charted.
pub(super) struct Charted {
    pub(super) joined: Series,
    pub(super) calls: Series,
    pub(super) requests: Series,
}

impl Samples {
    /// Reads the counters out of their text for Prometheus.
    pub(crate) fn take(&self, text: &str) {
        let mut readings = self.lock();
        if readings.len() == READINGS_MAX {
            readings.pop_front();
        }
        readings.push_back(NAMES.map(|name| sum(text, name)));
    }

    /// As of the last reading.
    pub(super) fn charted(&self) -> Charted {
        let readings = self.lock();
        let series =
            |at: usize| series(&readings.iter().filter_map(|one| one.get(at).copied()).collect::<Vec<_>>());
        Charted { joined: series(0), calls: series(1), requests: series(2) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<[u64; NAMES.len()]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter over all its labels.
fn sum(text: &str, name: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<u64>().ok()
    });
    values.sum()
}

fn series(readings: &[u64]) -> Series {
    let steps: Vec<u64> = readings.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    // From the end, so that a bar that is whole stays as it is until it leaves.
    let mut bars: Vec<u64> =
        steps.rchunks(READINGS_A_BAR).map(|steps| steps.iter().sum()).take(BARS).collect();
    bars.resize(BARS, 0);
    bars.reverse();
    Series { total: readings.last().copied().unwrap_or(0), bars }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_over_their_labels() {
        let text = "# TYPE keyherd_refresh_total counter\nkeyherd_refresh_total{outcome=\"ok\"} 3\n\
            keyherd_refresh_total{outcome=\"no\"} 4\nkeyherd_refresh_joined_total 9\nkeyherd_refresh_totals 5\n";
        assert_eq!((sum(text, NAMES[1]), sum(text, NAMES[0]), sum(text, NAMES[2])), (7, 9, 0));
    }

    #[test]
    fn bars_are_what_was_added_and_there_are_only_so_many() {
        let samples = Samples::default();
        assert_eq!(samples.charted().joined, Series { total: 0, bars: vec![0; BARS] });
        for count in 1..=1_000 {
            samples.take(&format!("keyherd_refresh_joined_total {count}\n"));
        }
        let charted = samples.charted();
        assert_eq!((charted.joined.total, charted.joined.bars.len()), (1_000, BARS));
        assert!(charted.joined.bars.iter().all(|bar| *bar == READINGS_A_BAR as u64));
        assert_eq!(charted.calls, Series { total: 0, bars: vec![0; BARS] });
        assert_eq!(samples.lock().len(), READINGS_MAX);
    }
}
