//! `[access]`: how many agents and bindings there may be.

use keyherd_core::broker::Options;
use serde::Deserialize;

use super::number::count;

/// `[access]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AccessKeys {
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub(super) agents_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub(super) bindings_max: usize,
}

impl Default for AccessKeys {
    fn default() -> Self {
        let Options { agents_max, bindings_max, .. } = Options::default();
        Self { agents_max, bindings_max }
    }
}
