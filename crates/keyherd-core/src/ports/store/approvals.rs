//! Approvals: opened, attached to, answered.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::{Event, NewRule, Record, StoreError};
use crate::approval::{Answer, Approval, Stage};
use crate::audit::{Actor, Note};
use crate::ids::ApprovalId;
use crate::policy::Rule;
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// The kind of the event that a new approval tells.
pub const APPROVAL_OPENED: &str = "approval_opened";
/// The kind of the event that an answer tells, and a time that ended without one.
pub const APPROVAL_ANSWERED: &str = "approval_answered";

/// For how long a process's word of its waiters is believed: one that was killed says nothing more.
pub const WORD_LIFE: Duration = Duration::from_secs(5);

/// An approval to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewApproval {
    /// As it will stand. Open.
    pub approval: Approval,
    /// What the same question has in common: while it is open, no other one has it.
    pub key: TokenHash,
    /// What an answer to it may be remembered as; none where none can.
    pub remembered_as: Option<TokenHash>,
    /// What prompts are counted by.
    pub counted_as: String,
}

/// Bounds that hold across all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBounds {
    /// Open at once.
    pub open_max: u64,
    /// Opened since then under the same count …
    pub since: Timestamp,
    /// … so many.
    pub prompts_max: u64,
}

/// What became of an opening.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// It is there, and new: the one that is announced.
    New,
    /// The same question is open already: this is it.
    Attached(Box<Approval>),
    /// Its answer is remembered.
    Remembered(Box<Rule>),
    /// Too many are open.
    TooMany,
    /// Too many were opened about that target of late.
    TooOften,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Closed {
    /// It is this one's.
    Done(Box<Approval>),
    /// It has one already, or its time ended: nothing was changed.
    Already(Box<Approval>),
    /// It is not there.
    NotFound,
}

/// What is written of an open question of an agent that was revoked, with the revocation.
pub fn withdrawal(id: ApprovalId, agent: &str, by: &Actor) -> Record {
    let subject = id.to_string();
    let detail = json!({"agent": agent, "decision": Stage::Withdrawn.as_str(), "answered_by": &*by.0});
    Record {
        note: Note {
            action: "approval.withdraw",
            actor: by.clone(),
            subject: subject.clone(),
            detail: detail.clone(),
        },
        event: Some(Event { kind: APPROVAL_ANSWERED, chain: None, subject, detail }),
    }
}

/// Approvals.
#[async_trait]
pub trait ApprovalStore: Send + Sync + 'static {
    /// Opens one, unless the same question is open or its answer is remembered. The waiters that it is opened with are
    /// this process's first word on them.
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError>;

    /// One approval.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Approvals in that stage, or all; the oldest first, those after `after` alone.
    async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, StoreError>;

    /// Gives the answer, if it has none: the first one wins. An answer that a human gave counts only before the
    /// approval's time ended, and one that nobody gave only after. With it goes what is remembered, unless what is
    /// remembered already is as strong.
    async fn close_approval(
        &self,
        id: ApprovalId,
        answer: Answer,
        remember: Option<NewRule>,
        record: Record,
    ) -> Result<Closed, StoreError>;

    /// Says how many wait here, at that time; [`Timestamp::NEVER`] for this process's last word: so many the answer
    /// reached. What was said while it is open is believed for [`WORD_LIFE`], also where the approval ends before that; a
    /// last word for ever. A last word counts for an approval that has ended alone, any other one for an open one alone.
    async fn note_waiters(&self, id: ApprovalId, waiters: u64, at: Timestamp) -> Result<(), StoreError>;

    /// All that this process said of open approvals holds, at that time: as if it had said each of it again.
    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError>;

    /// How many processes said that somebody waits there, are believed, and have not said their last word.
    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError>;

    /// Drops those that ended before `before`, and remembered answers that ended. Returns how many rows.
    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError>;
}
