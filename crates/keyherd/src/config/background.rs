//! `[background]`: the bounds of the sweep that refreshes ahead of time.

use std::time::Duration;

use keyherd_core::broker::BackgroundBounds;
use serde::Deserialize;

use super::number::{count, seconds};

/// The keys of [`BackgroundBounds`]. What is left out is as in its default.
#[derive(Deserialize)]
#[serde(remote = "BackgroundBounds", default = "BackgroundBounds::default", deny_unknown_fields)]
pub(super) struct BackgroundKeys {
    enabled: bool,
    #[serde(rename = "interval_seconds", deserialize_with = "seconds::<_, 50, 3_600_000>")]
    interval: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    batch_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 10_000>")]
    concurrency: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 10_000>")]
    provider_concurrency: usize,
    #[serde(rename = "provider_rate_per_second", deserialize_with = "count::<_, _, 1, 100_000>")]
    provider_rate: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 10_000>")]
    breaker_failures: u32,
    #[serde(rename = "breaker_rest_seconds", deserialize_with = "seconds::<_, 100, 86_400_000>")]
    breaker_rest: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    lanes_max: usize,
    #[serde(rename = "trim_interval_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    trim_interval: Duration,
}
