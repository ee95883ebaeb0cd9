//! Metrics: the names of the outside surface, the recorder behind them, and their text for Prometheus.
//!
//! Core counts through the `metrics` facade; the recorder is installed here, once per process. The time of acquiring
//! is kept apart, because it is recorded on the hot path: two additions, and no memory that grows between scrapes.

mod acquire;

use std::fmt::Write;
use std::sync::Arc;

use keyherd_core::credential::State;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use self::acquire::AcquireTimes;
pub(crate) use self::acquire::Path;

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 15] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The same of what the proxy adds, which is less.
const OVERHEAD_BUCKETS: [f64; 11] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0];

/// Name, type and meaning of every metric that there is.
const NAMES: [(&str, &str, &str); 16] = [
    ("keyherd_refresh_total", "counter", "Provider calls to refresh a token, by provider and outcome."),
    ("keyherd_refresh_joined_total", "counter", "Callers who joined a refresh that was under way."),
    ("keyherd_provider_call_seconds", "histogram", "How long the provider's token endpoint took."),
    (
        ACQUIRE,
        "histogram",
        "How long callers waited for a token, from memory (hot) or with a refresh (flight).",
    ),
    ("keyherd_credentials", "gauge", "Credentials by state."),
    ("keyherd_cooldowns_total", "counter", "Cooldowns that were set or extended, by reason."),
    (
        "keyherd_failovers_total",
        "counter",
        "Moves of a pool's pointer because its active member rests, by pool.",
    ),
    ("keyherd_journal_pending", "gauge", "Provider answers that are in no store yet."),
    ("keyherd_coordinator_up", "gauge", "1 while the coordinator is well, 0 while it is in trouble."),
    ("keyherd_claims_unresolved", "gauge", "Claims whose outcome is not recorded yet."),
    ("keyherd_approvals_total", "counter", "Approvals that ended, by decision."),
    ("keyherd_approval_waiters", "gauge", "Those who wait for a human's answer in this process."),
    ("keyherd_channel_messages_total", "counter", "Messages sent on channels, by channel and outcome."),
    ("keyherd_proxy_requests_total", "counter", "Requests to upstreams, by door and outcome."),
    (OVERHEAD, "histogram", "What was spent on a request here, upstream's own time left out."),
    ("keyherd_claim_lost_total", "counter", "Claims that were lost before their answer was committed."),
];

const ACQUIRE: &str = "keyherd_acquire_seconds";
const OVERHEAD: &str = "keyherd_proxy_overhead_seconds";

/// Counters and gauges without a label: they stand at 0 until something happens, so that a rise from there is one.
const UNLABELLED: [&str; 4] = [
    "keyherd_refresh_joined_total",
    "keyherd_claim_lost_total",
    "keyherd_approval_waiters",
    "keyherd_journal_pending",
];

/// Every state a credential may be in: those without any count as zero.
const STATES: [State; 7] = [
    State::Active,
    State::Disabled,
    State::Cooling,
    State::ReauthRequired,
    State::Uncertain,
    State::Blocked,
    State::Unavailable,
];

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    acquire: Arc<AcquireTimes>,
}

/// The recorder could not be installed: there is one already.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct MetricsError(#[from] BuildError);

impl Metrics {
    /// Installs the process's recorder. Once per process, before a broker runs.
    pub fn install() -> Result<Self, MetricsError> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(OVERHEAD.into()), &OVERHEAD_BUCKETS)?
            .install_recorder()?;
        describe();
        Ok(Self { handle, acquire: Arc::default() })
    }

    /// A recorder that nobody records to: for tests, and for processes that show no metrics.
    pub fn detached() -> Self {
        let handle = PrometheusBuilder::new().build_recorder().handle();
        Self { handle, acquire: Arc::default() }
    }

    /// Records how long a caller waited for a token.
    pub(crate) fn acquired(&self, path: Path, took: std::time::Duration) {
        self.acquire.record(path, took);
    }

    /// Sets what is counted in the store.
    pub(crate) fn counted(&self, census: &[(String, u64)], unresolved: u64) {
        for state in STATES {
            let count = census.iter().find(|(word, _)| word == state.as_str()).map_or(0, |(_, count)| *count);
            metrics::gauge!("keyherd_credentials", "state" => state.as_str()).set(number(count));
        }
        metrics::gauge!("keyherd_claims_unresolved").set(number(unresolved));
    }

    /// Sets how many answers wait in the journal.
    pub(crate) fn journaled(&self, pending: usize) {
        metrics::gauge!("keyherd_journal_pending").set(number(pending as u64));
    }

    /// Sets whether the coordinator is well.
    pub(crate) fn coordinated(&self, is_up: bool) {
        metrics::gauge!("keyherd_coordinator_up").set(if is_up { 1.0 } else { 0.0 });
    }

    /// The text of all metrics, in Prometheus's exposition format 0.0.4. Those without a sample stand with their
    /// meaning, so that one can see what there is.
    pub(crate) fn render(&self) -> String {
        let mut text = self.handle.render();
        for (name, kind, help) in NAMES {
            if !text.contains(&format!("# TYPE {name} ")) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
                if UNLABELLED.contains(&name) {
                    let _ = writeln!(text, "{name} 0");
                }
                if name == ACQUIRE {
                    self.acquire.render(ACQUIRE, &mut text);
                }
            }
        }
        text
    }

    /// Moves what was recorded to where it is rendered; without it, recorded histograms grow.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe() {
    for (name, kind, help) in NAMES {
        match kind {
            "counter" => metrics::describe_counter!(name, help),
            "gauge" => metrics::describe_gauge!(name, help),
            _ if name == ACQUIRE => {}
            _ => metrics::describe_histogram!(name, metrics::Unit::Seconds, help),
        }
    }
}

/// Counts past 2^32 show as 2^32.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_with_its_meaning_once() {
        let metrics = Metrics::detached();
        metrics.acquired(Path::Hot, std::time::Duration::from_micros(3));
        let text = metrics.render();
        for (name, kind, help) in NAMES {
            assert_eq!(text.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{text}");
            assert!(text.contains(&format!("# HELP {name} {help}\n")));
        }
        for name in UNLABELLED {
            assert!(text.contains(&format!("\n{name} 0\n")), "{name}: {text}");
        }
        assert!(text.contains("keyherd_acquire_seconds_count{path=\"hot\"} 1\n"), "{text}");
    }
}
