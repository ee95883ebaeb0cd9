//! `[approvals]` and `[rules]`: the bounds of asking humans, and of what decides without them.

use std::time::Duration;

use keyherd_core::approval::ApprovalBounds;
use keyherd_core::broker::Options;
use serde::Deserialize;

use super::number::{count, seconds};

/// The keys of [`ApprovalBounds`]. What is left out is as in its default.
#[derive(Deserialize)]
#[serde(remote = "ApprovalBounds", default = "ApprovalBounds::default", deny_unknown_fields)]
pub(super) struct ApprovalKeys {
    #[serde(rename = "timeout_seconds", deserialize_with = "seconds::<_, 1_000, 604_800_000>")]
    timeout: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    waiters_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    open_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    prompts_per_minute: u32,
    #[serde(rename = "keep_ended_seconds", deserialize_with = "seconds::<_, 60_000, 31_536_000_000>")]
    keep: Duration,
    #[serde(rename = "allow_for_max_seconds", deserialize_with = "seconds::<_, 1_000, 31_622_400_000>")]
    allow_for_max: Duration,
}

/// `[rules]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RuleKeys {
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    pub(super) rules_max: u64,
}

impl Default for RuleKeys {
    fn default() -> Self {
        Self { rules_max: Options::default().rules_max }
    }
}
