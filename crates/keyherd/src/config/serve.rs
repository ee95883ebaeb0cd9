//! `[serve]`: what a server takes of its machine.

use serde::Deserialize;

use super::number::count;

/// `[serve]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServeBounds {
    /// Threads that serve connections. 0: as many as there are cores.
    #[serde(deserialize_with = "count::<_, _, 0, 1_024>")]
    pub(crate) workers: usize,
}
