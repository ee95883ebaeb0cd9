//! `[store]`: the bounds of the SQLite store.

use std::time::Duration;

use keyherd_adapters::store::sqlite::SqliteBounds;
use serde::Deserialize;

use super::number::{count, seconds};

/// The keys of [`SqliteBounds`]. What is left out is as in its default; a bound without a key does not compile.
#[derive(Deserialize)]
#[serde(remote = "SqliteBounds", default = "SqliteBounds::default", deny_unknown_fields)]
pub(super) struct StoreKeys {
    #[serde(rename = "busy_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    busy_timeout: Duration,
    #[serde(rename = "queue_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    queue_timeout: Duration,
    #[serde(rename = "upgrade_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    upgrade_timeout: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 64>")]
    readers_max: usize,
    #[serde(rename = "cache_kibibytes", deserialize_with = "count::<_, _, 64, 4_194_304>")]
    cache_kib: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    spent_tokens_max: u64,
    #[serde(rename = "events_keep_seconds", deserialize_with = "seconds::<_, 60_000, 31_536_000_000>")]
    events_keep: Duration,
    #[serde(deserialize_with = "count::<_, _, 100, 100_000_000>")]
    events_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    trim_batch: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    trim_batches_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    rekey_batch: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    verify_batch: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    owners_swept_max: usize,
}
