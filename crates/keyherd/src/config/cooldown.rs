//! `[cooldown]`: how long evidence lets a credential rest.

use std::time::Duration;

use keyherd_core::upstream::CooldownBounds;
use serde::Deserialize;

use super::number::seconds;

/// The keys of [`CooldownBounds`]. What is left out is as in its default.
#[derive(Deserialize)]
#[serde(remote = "CooldownBounds", default = "CooldownBounds::default", deny_unknown_fields)]
pub(super) struct CooldownKeys {
    #[serde(rename = "rate_limit_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    rate_limit: Duration,
    #[serde(rename = "floor_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    floor: Duration,
    #[serde(rename = "cap_seconds", deserialize_with = "seconds::<_, 1_000, 2_592_000_000>")]
    cap: Duration,
    #[serde(rename = "grain_seconds", deserialize_with = "seconds::<_, 10, 60_000>")]
    grain: Duration,
    #[serde(rename = "probe_wait_seconds", deserialize_with = "seconds::<_, 0, 60_000>")]
    probe_wait: Duration,
    #[serde(rename = "probe_within_seconds", deserialize_with = "seconds::<_, 0, 86_400_000>")]
    probe_within: Duration,
}

/// The first key that another one contradicts, and why.
pub(super) fn contradiction(bounds: &CooldownBounds) -> Option<(&'static str, &'static str)> {
    (bounds.floor > bounds.cap).then_some(("floor_seconds", "is longer than cap_seconds"))
}
