//! A consecutive-failures breaker and a pace, for the background's calls to one endpoint. Time is a parameter.

use std::time::Duration;

/// Closed, open until a time, or half open: one call tries.
#[derive(Debug, Clone)]
pub struct Breaker {
    failures_max: u32,
    rest: Duration,
    failures: u32,
    open_until: Option<Duration>,
}

impl Breaker {
    /// Closed. Opens after `failures_max` failures in a row, for `rest`.
    pub fn new(failures_max: u32, rest: Duration) -> Self {
        Self { failures_max: failures_max.max(1), rest, failures: 0, open_until: None }
    }

    /// Whether it is open at `now`. Unlike [`Breaker::admits`], asking changes nothing.
    pub fn is_open(&self, now: Duration) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    /// Whether a call may go at `now`. After the rest one may, and the next only after another rest.
    pub fn admits(&mut self, now: Duration) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + self.rest);
                true
            }
        }
    }

    /// A call succeeded: closed.
    pub fn succeeded(&mut self) {
        (self.failures, self.open_until) = (0, None);
    }

    /// A call failed. `true`: this one opened it.
    pub fn failed(&mut self, now: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.failures_max {
            return false;
        }
        let opened = self.open_until.is_none();
        self.open_until = Some(now + self.rest);
        opened
    }
}

/// Spaces calls evenly.
#[derive(Debug, Clone)]
pub struct Pace {
    gap: Duration,
    next: Duration,
}

impl Pace {
    /// At most `per_second` calls a second.
    pub fn new(per_second: u32) -> Self {
        Self { gap: Duration::from_secs(1) / per_second.max(1), next: Duration::ZERO }
    }

    /// Takes the next place, and says how long to wait for it.
    pub fn rest(&mut self, now: Duration) -> Duration {
        let at = self.next.max(now);
        self.next = at + self.gap;
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn opens_tries_once_and_closes() {
        let mut breaker = Breaker::new(2, 10 * SECOND);
        assert!(!breaker.failed(SECOND));
        assert!(breaker.admits(SECOND));
        assert!(breaker.failed(SECOND), "the second failure opens it");
        assert!(!breaker.admits(10 * SECOND));
        assert!(breaker.admits(11 * SECOND), "half open: one call");
        assert!(!breaker.admits(12 * SECOND), "and no second one");
        assert!(!breaker.failed(12 * SECOND), "it was open already");
        assert!(breaker.admits(22 * SECOND));
        breaker.succeeded();
        assert!(breaker.admits(22 * SECOND) && breaker.admits(22 * SECOND));
    }

    #[test]
    fn spaces_calls() {
        let mut pace = Pace::new(4);
        let rests = [SECOND, SECOND, SECOND, 5 * SECOND].map(|now| pace.rest(now).as_millis());
        assert_eq!(rests, [0, 250, 500, 0]);
    }
}
