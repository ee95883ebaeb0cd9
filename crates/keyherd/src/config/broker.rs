//! `[broker]` and `[journal]`: the bounds of one process's view of the store, and of what it keeps beside it.

use std::time::Duration;

use keyherd_adapters::coordinator::BellOptions;
use keyherd_core::approval::ApprovalBounds;
use keyherd_core::broker::{BackgroundBounds, Options};
use keyherd_core::channel::ChannelBounds;
use keyherd_core::refresh::RefreshBounds;
use keyherd_core::upstream::CooldownBounds;
use serde::Deserialize;

use super::access::AccessKeys;
use super::approvals::RuleKeys;
use super::number::{count, milliseconds, seconds};

/// `[broker]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BrokerKeys {
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    snapshots_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    events_lag_max: usize,
    #[serde(rename = "follow_poll_max_milliseconds", deserialize_with = "milliseconds::<_, 10, 10_000>")]
    follow_poll_max: Duration,
    #[serde(rename = "coordinator_timeout_milliseconds", deserialize_with = "milliseconds::<_, 10, 10_000>")]
    coordinator_timeout: Duration,
    #[serde(rename = "turn_wait_milliseconds", deserialize_with = "milliseconds::<_, 5, 10_000>")]
    turn_wait: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    event_holes_max: usize,
    #[serde(rename = "memory_age_max_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    memory_age_max: Duration,
    #[serde(rename = "remove_wait_milliseconds", deserialize_with = "milliseconds::<_, 0, 600_000>")]
    remove_wait: Duration,
    #[serde(rename = "bell_poll_milliseconds", deserialize_with = "milliseconds::<_, 5, 10_000>")]
    bell_poll: Duration,
}

/// `[journal]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JournalKeys {
    /// At least a day: a store that failed over is rolled forward from what is kept.
    #[serde(rename = "keep_seconds", deserialize_with = "seconds::<_, 86_400_000, 31_536_000_000>")]
    pub(super) keep: Duration,
}

impl Default for BrokerKeys {
    fn default() -> Self {
        let options = Options::default();
        Self {
            snapshots_max: options.snapshots_max,
            events_lag_max: options.events_lag_max,
            follow_poll_max: options.follow_poll_max,
            coordinator_timeout: options.coordinator_timeout,
            turn_wait: options.turn_wait,
            event_holes_max: options.event_holes_max,
            memory_age_max: options.memory_age_max,
            remove_wait: options.remove_wait,
            bell_poll: BellOptions::default().poll_every,
        }
    }
}

impl Default for JournalKeys {
    fn default() -> Self {
        Self { keep: Options::default().journal_keep }
    }
}

/// The broker's options. Naming every field here makes a bound without a key a compile error.
pub(super) fn options(
    refresh: RefreshBounds,
    cooldown: CooldownBounds,
    background: BackgroundBounds,
    access: &AccessKeys,
    broker: &BrokerKeys,
    journal: &JournalKeys,
    asking: (ApprovalBounds, &RuleKeys, ChannelBounds),
) -> Options {
    Options {
        refresh,
        cooldown,
        background,
        snapshots_max: broker.snapshots_max,
        events_lag_max: broker.events_lag_max,
        follow_poll_max: broker.follow_poll_max,
        coordinator_timeout: broker.coordinator_timeout,
        turn_wait: broker.turn_wait,
        event_holes_max: broker.event_holes_max,
        memory_age_max: broker.memory_age_max,
        agents_max: access.agents_max,
        bindings_max: access.bindings_max,
        remove_wait: broker.remove_wait,
        journal_keep: journal.keep,
        approvals: asking.0,
        rules_max: asking.1.rules_max,
        channels: asking.2,
    }
}

/// How other processes' commits are heard of.
pub(super) fn bell(broker: &BrokerKeys) -> BellOptions {
    BellOptions { poll_every: broker.bell_poll }
}
