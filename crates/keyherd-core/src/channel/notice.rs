//! One approval on one channel: what has been said there, and what is to be said next.

use crate::approval::Approval;
use crate::ids::{ApprovalId, ChannelId};
use crate::time::Timestamp;

/// What there is to say of one approval on one channel. There is one for each approval and channel that was there when
/// it was opened, made in the transaction that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The approval.
    pub approval: ApprovalId,
    /// The channel.
    pub channel: ChannelId,
    /// When it is due. While a process has it in hand: when that one is not waited for any more.
    pub due_at: Timestamp,
    /// How often what is due was tried.
    pub attempts: u32,
    /// Whether the approval was announced.
    pub is_announced: bool,
    /// What the announcement is known by on the channel, where it is.
    pub message: Option<String>,
}

/// What is to be done about a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask people.
    Announce,
    /// Tell them how it ended.
    Tell,
    /// Nothing is left to say.
    Rest,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeEnd {
    /// It was announced, and is known by that there. It is due again when the approval ends.
    Announced(Option<String>),
    /// All was said.
    Said,
    /// There was nothing left to say.
    Moot,
    /// It failed, and is tried again then.
    Again {
        /// What went wrong, for people. Never a secret.
        problem: String,
        /// When.
        at: Timestamp,
    },
    /// It failed for good.
    GivenUp {
        /// What went wrong, for people. Never a secret.
        problem: String,
    },
}

/// How it went on a channel last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryState {
    /// When something was delivered last.
    pub delivered_at: Option<Timestamp>,
    /// When something failed last.
    pub failed_at: Option<Timestamp>,
    /// What went wrong then.
    pub problem: Option<String>,
}

impl Notice {
    /// What its message is known by, the same however often it is sent: the other side may drop what it has seen.
    pub fn message_id(&self, step: Step) -> String {
        let what = if step == Step::Tell { "answered" } else { "opened" };
        format!("{}-{}-{what}", self.approval, self.channel)
    }

    /// What is to be done now. One whose announcement may have arrived, although nobody said so, is told how it ended too.
    pub fn step(&self, approval: &Approval) -> Step {
        match (self.is_announced, approval.answer.is_some()) {
            (false, false) => Step::Announce,
            (true, true) => Step::Tell,
            (false, true) if self.attempts > 0 => Step::Tell,
            (false, true) | (true, false) => Step::Rest,
        }
    }
}

impl DeliveryState {
    /// Whether the last one went well. `None`: there was none.
    pub fn is_well(&self) -> Option<bool> {
        match (self.delivered_at, self.failed_at) {
            (None, None) => None,
            (delivered, failed) => Some(delivered >= failed),
        }
    }
}
