//! `[store]`: the bounds of a store on any engine, and those of a SQLite file.

use std::time::Duration;

use keyherd_adapters::store::StoreBounds;
use keyherd_adapters::store::sqlite::SqliteBounds;
use serde::Deserialize;

use super::number::{count, count_or_off, seconds, seconds_or_off};

/// The keys of [`SqliteBounds`] and [`StoreBounds`]. What is left out is as in their defaults; a bound without a key
/// does not compile.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    #[serde(
        rename = "audit_keep_seconds",
        deserialize_with = "seconds_or_off::<_, 3_600_000, 315_360_000_000>"
    )]
    audit_keep: Option<Duration>,
    #[serde(deserialize_with = "count_or_off::<_, 1_000, 1_000_000_000_000>")]
    audit_entries_max: Option<u64>,
    #[serde(deserialize_with = "count::<_, _, 0, 100>")]
    contention_retries_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    trim_batch: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    trim_batches_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    rekey_batch: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    verify_batch: u32,
    #[serde(rename = "anchor_every_seconds", deserialize_with = "seconds::<_, 0, 3_600_000>")]
    anchor_every: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    anchors_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    owners_swept_max: usize,
}

impl Default for StoreKeys {
    fn default() -> Self {
        let SqliteBounds {
            busy_timeout,
            queue_timeout,
            upgrade_timeout,
            readers_max,
            cache_kib,
            owners_swept_max,
            store,
        } = SqliteBounds::default();
        Self {
            busy_timeout,
            queue_timeout,
            upgrade_timeout,
            readers_max,
            cache_kib,
            spent_tokens_max: store.spent_tokens_max,
            events_keep: store.events_keep,
            events_max: store.events_max,
            audit_keep: store.audit_keep,
            audit_entries_max: store.audit_entries_max,
            contention_retries_max: store.contention_retries_max,
            trim_batch: store.trim_batch,
            trim_batches_max: store.trim_batches_max,
            rekey_batch: store.rekey_batch,
            verify_batch: store.verify_batch,
            anchor_every: store.anchor_every,
            anchors_max: store.anchors_max,
            owners_swept_max,
        }
    }
}

impl StoreKeys {
    /// How long an opening waits for another process that makes or upgrades the store.
    pub(super) fn upgrade_timeout(&self) -> Duration {
        self.upgrade_timeout
    }

    /// What bounds a store on any engine.
    pub(super) fn bounds(&self) -> StoreBounds {
        StoreBounds {
            spent_tokens_max: self.spent_tokens_max,
            events_keep: self.events_keep,
            events_max: self.events_max,
            audit_keep: self.audit_keep,
            audit_entries_max: self.audit_entries_max,
            contention_retries_max: self.contention_retries_max,
            trim_batch: self.trim_batch,
            trim_batches_max: self.trim_batches_max,
            rekey_batch: self.rekey_batch,
            verify_batch: self.verify_batch,
            anchor_every: self.anchor_every,
            anchors_max: self.anchors_max,
        }
    }

    /// What bounds a SQLite file.
    pub(super) fn sqlite(&self) -> SqliteBounds {
        SqliteBounds {
            busy_timeout: self.busy_timeout,
            queue_timeout: self.queue_timeout,
            upgrade_timeout: self.upgrade_timeout,
            readers_max: self.readers_max,
            cache_kib: self.cache_kib,
            owners_swept_max: self.owners_swept_max,
            store: self.bounds(),
        }
    }
}
