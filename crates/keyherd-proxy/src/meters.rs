//! What exchanges count, under the names of the outside surface.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::fault::Fault;

/// How a request ended, as far as its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Upstream's first answer was passed on.
    Answered,
    /// A later one was.
    Replayed,
    /// No token was to be had.
    Refused,
    /// Upstream gave no answer, or the request could not be passed on.
    Failed,
    /// Who asked was not recognised; or a rule, an address or a human said no, or nobody answered.
    Denied,
    /// A connection passes as it is.
    Tunnelled,
}

impl Outcome {
    /// Of a request that has no answer.
    pub(crate) fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Denied(_) | Fault::Undialled(_) | Fault::Unrecognised | Fault::Unanswered(_) => {
                Self::Denied
            }
            Fault::Refused { .. } | Fault::Engine(_) | Fault::Busy(_) | Fault::Unasked(_) => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// One door's counters, looked up once.
pub(crate) struct Meters {
    requests: [Counter; 6],
    overhead: Histogram,
}

impl Meters {
    /// `mode`: the door's name.
    pub(crate) fn new(mode: &'static str) -> Self {
        let outcome = |outcome: &'static str| counter!("keyherd_proxy_requests_total", "mode" => mode, "outcome" => outcome);
        Self {
            requests: ["answered", "replayed", "refused", "failed", "denied", "tunnelled"].map(outcome),
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

    /// One that was not timed.
    pub(crate) fn count(&self, outcome: Outcome) {
        let at = match outcome {
            Outcome::Answered => 0,
            Outcome::Replayed => 1,
            Outcome::Refused => 2,
            Outcome::Failed => 3,
            Outcome::Denied => 4,
            Outcome::Tunnelled => 5,
        };
        if let Some(counter) = self.requests.get(at) {
            counter.increment(1);
        }
    }
}
