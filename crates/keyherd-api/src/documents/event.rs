//! Events as the events door sends them.

use keyherd_core::ports::store::StoredEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Moment;
use super::audit::value;

/// Something that was committed, in any process on the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// `refreshed`, `reauth_required`, `cooldown`, `failover`, `approval_opened`, `approval_answered`, `credential_created`, …
    pub event: String,
    /// Rising; `Last-Event-ID` resumes after it.
    pub seq: i64,
    /// When, on the store's clock.
    pub at: Moment,
    /// The credential, pool, client or channel by name, an approval by its id.
    pub subject: String,
    /// What belongs to it; of `approval_answered` the `decision`, `answered_by`, and in `waiters` how many waited when it was
    /// given, as far as was known by then: the approval itself has how many it reached. `decision` is also `timeout`, and
    /// `withdrawn`, without a number, where the agent was revoked. Never a secret.
    #[schema(value_type = Object)]
    pub detail: Value,
}

impl From<&StoredEvent> for EventView {
    fn from(event: &StoredEvent) -> Self {
        Self {
            event: event.kind.clone(),
            seq: event.seq,
            at: event.at.into(),
            subject: event.subject.clone(),
            detail: value(event.detail.clone()),
        }
    }
}
