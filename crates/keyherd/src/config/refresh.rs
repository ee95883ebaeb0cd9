//! `[refresh]`: the bounds of the refresh engine.

use std::time::Duration;

use keyherd_core::refresh::RefreshBounds;
use serde::Deserialize;

use super::number::{count, seconds};

/// The keys of [`RefreshBounds`]. What is left out is as in its default; a bound without a key does not compile.
#[derive(Deserialize)]
#[serde(remote = "RefreshBounds", default = "RefreshBounds::default", deny_unknown_fields)]
pub(super) struct RefreshKeys {
    #[serde(rename = "min_valid_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    min_valid: Duration,
    #[serde(rename = "refresh_ahead_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    refresh_ahead: Duration,
    #[serde(rename = "keep_alive_ahead_seconds", deserialize_with = "seconds::<_, 1_000, 7_776_000_000>")]
    keep_alive_ahead: Duration,
    #[serde(rename = "provider_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    provider_timeout: Duration,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    connect_timeout: Duration,
    #[serde(rename = "answer_bytes_max", deserialize_with = "count::<_, _, 1_024, 67_108_864>")]
    answer_len_max: usize,
    #[serde(rename = "flight_timeout_seconds", deserialize_with = "seconds::<_, 1_000, 3_600_000>")]
    flight_timeout: Duration,
    #[serde(rename = "backoff_first_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    backoff_first: Duration,
    #[serde(rename = "backoff_max_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    backoff_max: Duration,
    #[serde(rename = "retry_after_max_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    retry_after_max: Duration,
    #[serde(rename = "uncertain_backoff_first_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    uncertain_backoff_first: Duration,
    #[serde(rename = "uncertain_backoff_max_seconds", deserialize_with = "seconds::<_, 10, 604_800_000>")]
    uncertain_backoff_max: Duration,
    #[serde(rename = "owner_recovery_seconds", deserialize_with = "seconds::<_, 0, 3_600_000>")]
    owner_recovery: Duration,
    #[serde(rename = "verdict_probe_first_seconds", deserialize_with = "seconds::<_, 1_000, 604_800_000>")]
    verdict_probe_first: Duration,
    #[serde(rename = "verdict_probe_max_seconds", deserialize_with = "seconds::<_, 1_000, 2_592_000_000>")]
    verdict_probe_max: Duration,
    #[serde(rename = "forced_apart_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    forced_apart: Duration,
    #[serde(rename = "rejected_again_within_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    rejected_again_within: Duration,
    #[serde(rename = "authentication_cooldown_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    authentication_cooldown: Duration,
}

/// The first key that another one contradicts, and why.
pub(super) fn contradiction(bounds: &RefreshBounds) -> Option<(&'static str, &'static str)> {
    let one_call = bounds.connect_timeout + bounds.provider_timeout;
    let checks = [
        (
            bounds.connect_timeout > bounds.provider_timeout,
            "connect_timeout_seconds",
            "is longer than provider_timeout_seconds",
        ),
        (
            bounds.flight_timeout < one_call,
            "flight_timeout_seconds",
            "is shorter than connect_timeout_seconds and provider_timeout_seconds together: one call must fit",
        ),
        (
            bounds.backoff_first > bounds.backoff_max,
            "backoff_first_seconds",
            "is longer than backoff_max_seconds",
        ),
        (
            bounds.uncertain_backoff_first > bounds.uncertain_backoff_max,
            "uncertain_backoff_first_seconds",
            "is longer than uncertain_backoff_max_seconds",
        ),
        (
            bounds.verdict_probe_first > bounds.verdict_probe_max,
            "verdict_probe_first_seconds",
            "is longer than verdict_probe_max_seconds",
        ),
    ];
    checks.into_iter().find(|(wrong, _, _)| *wrong).map(|(_, key, why)| (key, why))
}
