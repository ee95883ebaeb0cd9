//! How long evidence lets a credential rest.

use std::time::Duration;

use crate::time::Timestamp;

/// Bounds of cooldowns. Every one is a configuration value of the same name.
#[derive(Debug, Clone)]
pub struct CooldownBounds {
    /// Rest after a rate limit that does not say how long.
    pub rate_limit: Duration,
    /// The shortest rest, whatever upstream asks for.
    pub floor: Duration,
    /// The longest rest, whatever upstream asks for: then one caller tries.
    pub cap: Duration,
    /// Ends are rounded up to it, and an end that is later by less than it is the same rest: one wave of refusals is
    /// written once.
    pub grain: Duration,
    /// How long others wait for the caller who tries first when a rest has ended.
    pub probe_wait: Duration,
    /// Who comes later than this after a rest's end does not count as the first to try: all may.
    pub probe_within: Duration,
}

impl Default for CooldownBounds {
    fn default() -> Self {
        Self {
            rate_limit: Duration::from_secs(60),
            floor: Duration::from_secs(1),
            cap: Duration::from_secs(3_600),
            grain: Duration::from_secs(1),
            probe_wait: Duration::from_secs(1),
            probe_within: Duration::from_secs(600),
        }
    }
}

impl CooldownBounds {
    /// When a rest ends that upstream asked for.
    pub fn end(&self, asked: Duration, now: Timestamp) -> Timestamp {
        self.rounded(now + asked.min(self.cap).max(self.floor))
    }

    /// The next whole grain.
    pub fn rounded(&self, until: Timestamp) -> Timestamp {
        let grain = crate::time::millis(self.grain).max(1);
        let over = until.as_millis().rem_euclid(grain);
        if over == 0 { until } else { Timestamp::from_millis(until.as_millis().saturating_add(grain - over)) }
    }
}
