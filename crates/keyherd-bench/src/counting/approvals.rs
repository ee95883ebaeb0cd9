//! Rules and approvals: reads and writes like any other.

use async_trait::async_trait;
use keyherd_core::approval::{Answer, Approval, Stage};
use keyherd_core::ids::ApprovalId;
use keyherd_core::policy::Rulebook;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    ApprovalStore, Closed, NewApproval, NewRule, OpenBounds, Opened, Record, RuleStore, RulesEdit,
    RulesEdited,
};
use keyherd_core::time::Timestamp;

use super::CountingStore;

#[async_trait]
impl RuleStore for CountingStore {
    async fn rules(&self) -> Result<Rulebook, StoreError> {
        self.read().rules().await
    }

    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError> {
        self.write().edit_rules(edit, record).await
    }
}

#[async_trait]
impl ApprovalStore for CountingStore {
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError> {
        self.write().open_approval(new, bounds, record).await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.read().approval(id).await
    }

    async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, StoreError> {
        self.read().approvals(stage, after, limit).await
    }

    async fn close_approval(
        &self,
        id: ApprovalId,
        answer: Answer,
        remember: Option<NewRule>,
        record: Record,
    ) -> Result<Closed, StoreError> {
        self.write().close_approval(id, answer, remember, record).await
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, now: Timestamp) -> Result<(), StoreError> {
        self.write().note_waiters(id, waiters, now).await
    }

    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError> {
        self.write().renew_words(at).await
    }

    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError> {
        self.read().uncounted(id).await
    }

    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.write().trim_approvals(before, now).await
    }
}
