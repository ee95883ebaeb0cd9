//! Liveness and readiness.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `ok`.
    pub status: String,
    /// keyherd's version.
    pub version: String,
}

/// Whether requests can be served. Each part is `ok`, or one word for its trouble; the log has the whole story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyView {
    /// `ok`, `unavailable`, `unwritable`, `misconfigured`, `corrupt` or `sealed`.
    pub store: String,
    /// `ok` or `trouble`: everything works without it, only slower.
    pub coordinator: String,
    /// What is wrong with the coordinator, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coordinator_trouble: Vec<String>,
    /// `ok`, `unavailable` or `unreadable`.
    pub journal: String,
    /// Provider answers that are in no store yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_pending: Option<usize>,
}
