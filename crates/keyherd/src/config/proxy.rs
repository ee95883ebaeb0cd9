//! `[proxy]`: where the forward proxy is, and its bounds.

use std::num::NonZeroUsize;
use std::time::Duration;

use keyherd_proxy::forward::ForwardLimits;
use keyherd_proxy::swap::DecodeLimits;
use keyherd_proxy::tls::LeafLimits;
use keyherd_proxy::{SwapLimits, TrailLimits};
use serde::{Deserialize, Deserializer};

use super::number::{count, milliseconds, seconds};

/// Where the proxy listens unless it is told otherwise.
pub(super) const LISTEN: &str = "127.0.0.1:8485";
/// The word for no proxy.
pub(super) const OFF: &str = "off";

/// `[proxy]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProxyKeys {
    pub(super) listen: Option<String>,
    #[serde(with = "ForwardKeys")]
    limits: ForwardLimits,
    #[serde(with = "SwapKeys")]
    swap: SwapLimits,
    #[serde(with = "TrailKeys")]
    audit: TrailLimits,
    #[serde(with = "LeafKeys")]
    leaves: LeafLimits,
}

/// The proxy's bounds, resolved.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxySettings {
    /// Of its connections.
    pub(crate) limits: ForwardLimits,
    /// Of swapping.
    pub(crate) swap: SwapLimits,
    /// Of its audit lines.
    pub(crate) audit: TrailLimits,
    /// Of the certificates that it makes.
    pub(crate) leaves: LeafLimits,
}

impl ProxyKeys {
    pub(super) fn bounds(&self) -> ProxySettings {
        ProxySettings {
            limits: self.limits.clone(),
            swap: self.swap.clone(),
            audit: self.audit.clone(),
            leaves: self.leaves,
        }
    }
}

/// `[proxy.limits]`: the keys of [`ForwardLimits`]. What is left out is as in its default.
#[derive(Deserialize)]
#[serde(remote = "ForwardLimits", default = "ForwardLimits::default", deny_unknown_fields)]
struct ForwardKeys {
    #[serde(deserialize_with = "count::<_, _, 2, 1_000_000>")]
    connections_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    backlog_max: u32,
    #[serde(rename = "handshake_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    handshake_timeout: Duration,
    #[serde(rename = "head_timeout_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    head_timeout: Duration,
    #[serde(rename = "head_bytes_max", deserialize_with = "count::<_, _, 8_192, 1_048_576>")]
    head_len_max: usize,
    #[serde(deserialize_with = "count::<_, _, 10, 1_000>")]
    headers_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    streams_max: u32,
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    connect_timeout: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000>")]
    addresses_max: usize,
    #[serde(rename = "tunnel_idle_timeout_seconds", deserialize_with = "seconds::<_, 10, 604_800_000>")]
    tunnel_idle_timeout: Duration,
    #[serde(rename = "drain_timeout_seconds", deserialize_with = "seconds::<_, 0, 3_600_000>")]
    drain_timeout: Duration,
}

/// `[proxy.swap]`: the keys of [`SwapLimits`].
#[derive(Deserialize)]
#[serde(remote = "SwapLimits", default = "SwapLimits::default", deny_unknown_fields)]
struct SwapKeys {
    #[serde(rename = "buffer_bytes_max", deserialize_with = "count::<_, _, 0, 1_073_741_824>")]
    buffer_len_max: usize,
    #[serde(rename = "buffer_timeout_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    buffer_timeout: Duration,
    #[serde(rename = "answer_hold_seconds", deserialize_with = "seconds::<_, 0, 600_000>")]
    answer_hold: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    tables_max: usize,
    #[serde(rename = "tables_age_max_seconds", deserialize_with = "seconds::<_, 0, 3_600_000>")]
    tables_age_max: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    secrets_max: usize,
    #[serde(rename = "replaced_age_max_seconds", deserialize_with = "seconds::<_, 0, 604_800_000>")]
    replaced_age_max: Duration,
    #[serde(rename = "token_request_bytes_max", deserialize_with = "count::<_, _, 1_024, 16_777_216>")]
    token_request_len_max: usize,
    #[serde(rename = "token_answer_bytes_max", deserialize_with = "count::<_, _, 1_024, 16_777_216>")]
    token_answer_len_max: usize,
    #[serde(rename = "token_timeout_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    token_timeout: Duration,
    agent_logins: bool,
    #[serde(with = "DecodeKeys")]
    decode: DecodeLimits,
}

/// `[proxy.swap.decode]`: the keys of [`DecodeLimits`].
#[derive(Deserialize)]
#[serde(remote = "DecodeLimits", default = "DecodeLimits::default", deny_unknown_fields)]
struct DecodeKeys {
    #[serde(rename = "decoded_bytes_max", deserialize_with = "count::<_, _, 1_024, 1_099_511_627_776>")]
    decoded_len_max: u64,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    decoded_ratio_max: u64,
    #[serde(rename = "decoded_slack_bytes", deserialize_with = "count::<_, _, 0, 1_073_741_824>")]
    decoded_slack: u64,
}

/// `[proxy.audit]`: the keys of [`TrailLimits`].
#[derive(Deserialize)]
#[serde(remote = "TrailLimits", default = "TrailLimits::default", deny_unknown_fields)]
struct TrailKeys {
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    lines_max: usize,
    #[serde(rename = "line_wait_seconds", deserialize_with = "seconds::<_, 10, 600_000>")]
    line_wait: Duration,
    #[serde(rename = "write_every_milliseconds", deserialize_with = "milliseconds::<_, 0, 60_000>")]
    write_every: Duration,
}

/// `[proxy.leaves]`: the keys of [`LeafLimits`].
#[derive(Deserialize)]
#[serde(remote = "LeafLimits", default = "LeafLimits::default", deny_unknown_fields)]
struct LeafKeys {
    #[serde(deserialize_with = "at_least_one::<_, 1_000_000>")]
    leaves_max: NonZeroUsize,
    #[serde(rename = "leaf_life_seconds", deserialize_with = "seconds::<_, 3_600_000, 34_387_200_000>")]
    leaf_life: Duration,
    #[serde(deserialize_with = "count::<_, _, 0, 100_000>")]
    names_max: usize,
    #[serde(rename = "clock_slack_seconds", deserialize_with = "seconds::<_, 0, 604_800_000>")]
    clock_slack: Duration,
}

fn at_least_one<'de, D, const MAX: u64>(from: D) -> Result<NonZeroUsize, D::Error>
where
    D: Deserializer<'de>,
{
    let number: usize = count::<_, _, 1, MAX>(from)?;
    Ok(NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN))
}
