//! What exchanges count, under the names of the outside surface.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

/// How a request ended, as far as its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Upstream's first answer was passed on.
    Answered,
    /// A later one was.
    Replayed,
    /// No token was to be had.
    Refused,
    /// Upstream gave no answer.
    Failed,
    /// A rule or a human said no, or nobody answered.
    Denied,
}

/// One door's counters, looked up once.
pub(crate) struct Meters {
    requests: [Counter; 5],
    overhead: Histogram,
}

impl Meters {
    /// `mode`: the door's name.
    pub(crate) fn new(mode: &'static str) -> Self {
        let outcome = |outcome: &'static str| counter!("keyherd_proxy_requests_total", "mode" => mode, "outcome" => outcome);
        Self {
            requests: ["answered", "replayed", "refused", "failed", "denied"].map(outcome),
            overhead: histogram!("keyherd_proxy_overhead_seconds"),
        }
    }

    /// `ours`: what was spent on it here, upstream's time left out.
    pub(crate) fn ended(&self, outcome: Outcome, ours: Duration) {
        self.count(outcome);
        self.overhead.record(ours);
    }

    /// A request that went nowhere because it may not. What a human took to say so is nobody's overhead.
    pub(crate) fn denied(&self) {
        self.count(Outcome::Denied);
    }

    fn count(&self, outcome: Outcome) {
        let at = match outcome {
            Outcome::Answered => 0,
            Outcome::Replayed => 1,
            Outcome::Refused => 2,
            Outcome::Failed => 3,
            Outcome::Denied => 4,
        };
        if let Some(counter) = self.requests.get(at) {
            counter.increment(1);
        }
    }
}
