//! `[channels]`: the bounds of announcing approvals elsewhere.

use std::time::Duration;

use keyherd_core::channel::ChannelBounds;
use serde::Deserialize;

use super::number::{count, milliseconds, seconds};

/// The keys of [`ChannelBounds`]. What is left out is as in its default.
#[derive(Deserialize)]
#[serde(remote = "ChannelBounds", default = "ChannelBounds::default", deny_unknown_fields)]
pub(super) struct ChannelKeys {
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    channels_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    at_once_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 100>")]
    attempts_max: u32,
    #[serde(rename = "retry_first_milliseconds", deserialize_with = "milliseconds::<_, 10, 600_000>")]
    retry_first: Duration,
    #[serde(rename = "retry_max_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    retry_max: Duration,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 100, 60_000>")]
    connect_timeout: Duration,
    #[serde(rename = "answer_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    answer_timeout: Duration,
    #[serde(rename = "answer_bytes_max", deserialize_with = "count::<_, _, 1_024, 1_048_576>")]
    answer_len_max: usize,
    #[serde(rename = "listen_seconds", deserialize_with = "seconds::<_, 1_000, 50_000>")]
    listen_wait: Duration,
    #[serde(rename = "listen_lease_seconds", deserialize_with = "seconds::<_, 1_000, 600_000>")]
    listen_lease: Duration,
    #[serde(rename = "look_every_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    look_every: Duration,
}
