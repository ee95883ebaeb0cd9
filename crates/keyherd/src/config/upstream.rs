//! `[upstream]`: the bounds of exchanges with upstreams, through the gateway.

use std::time::Duration;

use keyherd_proxy::ExchangeLimits;
use serde::Deserialize;

use super::number::{count, seconds};

/// The keys of [`ExchangeLimits`]. What is left out is as in its default; a bound without a key does not compile.
#[derive(Deserialize)]
#[serde(remote = "ExchangeLimits", default = "ExchangeLimits::default", deny_unknown_fields)]
pub(super) struct UpstreamKeys {
    #[serde(rename = "token_wait_seconds", deserialize_with = "seconds::<_, 100, 300_000>")]
    token_wait: Duration,
    #[serde(rename = "approval_wait_seconds", deserialize_with = "seconds::<_, 100, 604_800_000>")]
    approval_wait: Duration,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    connect_timeout: Duration,
    #[serde(rename = "queue_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    queue_timeout: Duration,
    #[serde(rename = "head_timeout_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    head_timeout: Duration,
    #[serde(rename = "idle_timeout_seconds", deserialize_with = "seconds::<_, 10, 86_400_000>")]
    idle_timeout: Duration,
    #[serde(rename = "head_bytes_max", deserialize_with = "count::<_, _, 8_192, 1_048_576>")]
    head_len_max: usize,
    #[serde(deserialize_with = "count::<_, _, 10, 1_000>")]
    headers_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    requests_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    streams_max: usize,
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    spare_connections_max: usize,
    #[serde(rename = "spare_timeout_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    spare_timeout: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    upstreams_max: usize,
    #[serde(rename = "replay_bytes_max", deserialize_with = "count::<_, _, 0, 1_073_741_824>")]
    replay_len_max: usize,
    #[serde(rename = "replay_bytes_total_max", deserialize_with = "count::<_, _, 0, 1_099_511_627_776>")]
    replay_total_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    tries_max: usize,
    #[serde(rename = "refusal_bytes_max", deserialize_with = "count::<_, _, 0, 16_777_216>")]
    refusal_len_max: usize,
    #[serde(rename = "refusal_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    refusal_timeout: Duration,
    #[serde(rename = "first_event_timeout_seconds", deserialize_with = "seconds::<_, 0, 600_000>")]
    first_event_timeout: Duration,
}
