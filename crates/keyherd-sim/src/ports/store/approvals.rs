//! Rules and approvals, reached as all else; but for what a host's housekeeping asks, which nobody here waits for: it takes
//! neither time nor faults away from what is played.

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

use super::SimStore;

#[async_trait]
impl RuleStore for SimStore {
    async fn rules(&self) -> Result<Rulebook, StoreError> {
        self.step("rules", None, self.inner.rules(), |_| None).await
    }

    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError> {
        self.step("edit rules", None, self.inner.edit_rules(edit, record), |_| None).await
    }
}

#[async_trait]
impl ApprovalStore for SimStore {
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError> {
        self.step("open approval", None, self.inner.open_approval(new, bounds, record), |_| None).await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.step("approval", None, self.inner.approval(id), |_| None).await
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
        self.step("close approval", None, self.inner.close_approval(id, answer, remember, record), |_| None)
            .await
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, now: Timestamp) -> Result<(), StoreError> {
        self.step("note waiters", None, self.inner.note_waiters(id, waiters, now), |_| None).await
    }

    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError> {
        self.step("renew words", None, self.inner.renew_words(at), |_| None).await
    }

    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError> {
        self.step("uncounted", None, self.inner.uncounted(id), |_| None).await
    }

    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.inner.trim_approvals(before, now).await
    }
}
