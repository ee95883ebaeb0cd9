//! Rules and approvals, as the store has them.

use crate::approval::{Answer, Approval, Stage};
use crate::ids::ApprovalId;
use crate::policy::Rulebook;
use crate::ports::StoreError;
use crate::ports::store::{
    ApprovalStore, Closed, NewApproval, NewRule, OpenBounds, Opened, Record, RuleStore, RulesEdit,
    RulesEdited,
};
use crate::time::Timestamp;
use async_trait::async_trait;

use super::BentStore;

#[async_trait]
impl RuleStore for BentStore {
    async fn rules(&self) -> Result<Rulebook, StoreError> {
        self.inner.rules().await
    }

    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError> {
        self.inner.edit_rules(edit, record).await
    }
}

#[async_trait]
impl ApprovalStore for BentStore {
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError> {
        self.inner.open_approval(new, bounds, record).await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.inner.approval(id).await
    }

    async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, StoreError> {
        self.inner.approvals(stage, after, limit).await
    }

    async fn close_approval(
        &self,
        id: ApprovalId,
        answer: Answer,
        remember: Option<NewRule>,
        record: Record,
    ) -> Result<Closed, StoreError> {
        self.inner.close_approval(id, answer, remember, record).await
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, now: Timestamp) -> Result<(), StoreError> {
        self.inner.note_waiters(id, waiters, now).await
    }

    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError> {
        self.inner.renew_words(at).await
    }

    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError> {
        self.inner.uncounted(id).await
    }

    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.inner.trim_approvals(before, now).await
    }
}
