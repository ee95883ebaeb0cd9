//! `[postgres]`, `[listen]` and `[redis]`: the bounds of a fleet's store, of its notices and of its Redis.

use std::time::Duration;

use keyherd_adapters::coordinator::{FleetOptions, PostgresBellOptions, RedisLinkOptions, TurnOptions};
use keyherd_adapters::journal::CopyOptions;
use keyherd_adapters::postgres::{ClockOptions, WireOptions};
use keyherd_adapters::store::CrowdBounds;
use serde::Deserialize;

use super::number::{count, milliseconds, seconds};

/// How long a claim lives unless it is renewed: long enough for a provider's answer between two renewals, and what a
/// host that vanished costs the others.
const CLAIM_LIFE: Duration = Duration::from_secs(120);

/// Between two looks at imported profiles: their changes are notified.
const PROFILES_EVERY: Duration = Duration::from_secs(60);

/// `[postgres]`: the keys of [`WireOptions`] and [`ClockOptions`], and a claim's life. A bound without a key does not
/// compile.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PostgresKeys {
    #[serde(rename = "connections_max", deserialize_with = "count::<_, _, 2, 1_000>")]
    lanes_max: u32,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    connect_timeout: Duration,
    #[serde(rename = "queue_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    queue_timeout: Duration,
    #[serde(rename = "statement_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    statement_timeout: Duration,
    #[serde(
        rename = "idle_in_transaction_timeout_seconds",
        deserialize_with = "seconds::<_, 1_000, 600_000>"
    )]
    idle_in_transaction_timeout: Duration,
    #[serde(rename = "answer_margin_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    answer_margin: Duration,
    #[serde(rename = "connection_age_max_seconds", deserialize_with = "seconds::<_, 1_000, 604_800_000>")]
    connection_age_max: Duration,
    prepared_statements: bool,
    #[serde(rename = "plan_age_max_seconds", deserialize_with = "seconds::<_, 1_000, 604_800_000>")]
    plan_age_max: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    crowd_max: u32,
    #[serde(rename = "crowd_patience_milliseconds", deserialize_with = "milliseconds::<_, 1, 60_000>")]
    crowd_patience: Duration,
    #[serde(rename = "claim_life_seconds", deserialize_with = "seconds::<_, 1_000, 3_600_000>")]
    pub(super) claim_life: Duration,
    #[serde(rename = "clock_interval_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    clock_every: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 10_000>")]
    clock_drift_ppm: u32,
    #[serde(rename = "profiles_interval_seconds", deserialize_with = "seconds::<_, 100, 86_400_000>")]
    pub(super) profiles_every: Duration,
}

impl Default for PostgresKeys {
    fn default() -> Self {
        let WireOptions {
            lanes_max,
            connect_timeout,
            queue_timeout,
            statement_timeout,
            idle_in_transaction_timeout,
            answer_margin,
            connection_age_max,
            prepared_statements,
            plan_age_max,
        } = WireOptions::default();
        let ClockOptions { every, drift_ppm } = ClockOptions::default();
        let CrowdBounds { crowd_max, patience: crowd_patience } = CrowdBounds::default();
        Self {
            crowd_max,
            crowd_patience,
            lanes_max,
            connect_timeout,
            queue_timeout,
            statement_timeout,
            idle_in_transaction_timeout,
            answer_margin,
            connection_age_max,
            prepared_statements,
            plan_age_max,
            claim_life: CLAIM_LIFE,
            clock_every: every,
            clock_drift_ppm: drift_ppm,
            profiles_every: PROFILES_EVERY,
        }
    }
}

impl PostgresKeys {
    pub(super) fn wire(&self) -> WireOptions {
        WireOptions {
            lanes_max: self.lanes_max,
            connect_timeout: self.connect_timeout,
            queue_timeout: self.queue_timeout,
            statement_timeout: self.statement_timeout,
            idle_in_transaction_timeout: self.idle_in_transaction_timeout,
            answer_margin: self.answer_margin,
            connection_age_max: self.connection_age_max,
            prepared_statements: self.prepared_statements,
            plan_age_max: self.plan_age_max,
        }
    }

    pub(super) fn crowds(&self) -> CrowdBounds {
        CrowdBounds { crowd_max: self.crowd_max, patience: self.crowd_patience }
    }

    pub(super) fn clock(&self) -> ClockOptions {
        ClockOptions { every: self.clock_every, drift_ppm: self.clock_drift_ppm }
    }
}

/// `[listen]`: the keys of [`PostgresBellOptions`].
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListenKeys {
    #[serde(rename = "poll_proven_milliseconds", deserialize_with = "milliseconds::<_, 5, 60_000>")]
    poll_proven: Duration,
    #[serde(rename = "poll_unproven_milliseconds", deserialize_with = "milliseconds::<_, 5, 60_000>")]
    poll_unproven: Duration,
    #[serde(rename = "prove_interval_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    prove_every: Duration,
    #[serde(rename = "prove_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    prove_within: Duration,
    #[serde(rename = "reconnect_first_milliseconds", deserialize_with = "milliseconds::<_, 10, 600_000>")]
    reconnect_first: Duration,
    #[serde(rename = "reconnect_max_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    reconnect_max: Duration,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    connect_timeout: Duration,
    #[serde(rename = "spacing_milliseconds", deserialize_with = "milliseconds::<_, 1, 10_000>")]
    spacing: Duration,
    #[serde(rename = "settle_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    settle_timeout: Duration,
}

impl Default for ListenKeys {
    fn default() -> Self {
        let PostgresBellOptions {
            poll_proven,
            poll_unproven,
            prove_every,
            prove_within,
            reconnect_first,
            reconnect_max,
            connect_timeout,
            spacing,
            settle_timeout,
        } = PostgresBellOptions::default();
        Self {
            poll_proven,
            poll_unproven,
            prove_every,
            prove_within,
            reconnect_first,
            reconnect_max,
            connect_timeout,
            spacing,
            settle_timeout,
        }
    }
}

/// `[redis]`: the keys of [`RedisLinkOptions`], [`TurnOptions`] and [`CopyOptions`].
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RedisKeys {
    #[serde(rename = "answer_timeout_milliseconds", deserialize_with = "milliseconds::<_, 1, 10_000>")]
    answer_timeout: Duration,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    connect_timeout: Duration,
    #[serde(rename = "probe_interval_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    probe_every: Duration,
    #[serde(rename = "turn_lasts_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    turn_lasts: Duration,
    #[serde(rename = "turn_renew_milliseconds", deserialize_with = "milliseconds::<_, 10, 600_000>")]
    turn_renew: Duration,
    #[serde(rename = "turn_held_max_seconds", deserialize_with = "seconds::<_, 1_000, 3_600_000>")]
    turn_held_max: Duration,
    #[serde(rename = "copies_keep_seconds", deserialize_with = "seconds::<_, 60_000, 31_536_000_000>")]
    copies_kept: Duration,
    #[serde(rename = "copy_timeout_milliseconds", deserialize_with = "milliseconds::<_, 1, 10_000>")]
    copy_timeout: Duration,
    #[serde(rename = "copy_bytes_max", deserialize_with = "count::<_, _, 1_024, 1_073_741_824>")]
    copy_len_max: usize,
}

impl Default for RedisKeys {
    fn default() -> Self {
        let RedisLinkOptions { answer_timeout, connect_timeout, probe_every } = RedisLinkOptions::default();
        let TurnOptions { lasts, renew_every, held_max } = TurnOptions::default();
        let CopyOptions { kept, answer_timeout: copy_timeout, len_max, sealed_patience: _ } =
            CopyOptions::default();
        Self {
            answer_timeout,
            connect_timeout,
            probe_every,
            turn_lasts: lasts,
            turn_renew: renew_every,
            turn_held_max: held_max,
            copies_kept: kept,
            copy_timeout,
            copy_len_max: len_max,
        }
    }
}

impl RedisKeys {
    /// `owner_recovery` is what an answer's owner has to bring it back, and so what a key has to be brought here.
    pub(super) fn copies(&self, owner_recovery: Duration) -> CopyOptions {
        CopyOptions {
            kept: self.copies_kept,
            answer_timeout: self.copy_timeout,
            len_max: self.copy_len_max,
            sealed_patience: owner_recovery,
        }
    }
}

/// The first key that another one contradicts, and why.
pub(super) fn contradiction(redis: &RedisKeys) -> Option<(&'static str, &'static str)> {
    let ends_first = redis.turn_renew >= redis.turn_lasts;
    ends_first.then_some((
        "turn_renew_milliseconds",
        "is no shorter than turn_lasts_seconds: a turn would end before it is renewed",
    ))
}

/// How a fleet's processes hear of each other.
pub(super) fn coordination(listen: &ListenKeys, redis: &RedisKeys) -> FleetOptions {
    FleetOptions {
        bell: PostgresBellOptions {
            poll_proven: listen.poll_proven,
            poll_unproven: listen.poll_unproven,
            prove_every: listen.prove_every,
            prove_within: listen.prove_within,
            reconnect_first: listen.reconnect_first,
            reconnect_max: listen.reconnect_max,
            connect_timeout: listen.connect_timeout,
            spacing: listen.spacing,
            settle_timeout: listen.settle_timeout,
        },
        link: RedisLinkOptions {
            answer_timeout: redis.answer_timeout,
            connect_timeout: redis.connect_timeout,
            probe_every: redis.probe_every,
        },
        turns: TurnOptions {
            lasts: redis.turn_lasts,
            renew_every: redis.turn_renew,
            held_max: redis.turn_held_max,
        },
    }
}
