//! Approvals: one open question to a human, and its one answer for all who ask the same.
//!
//! Owns what a question is, when two are the same, and what an answer means. Never waits, announces or keeps anything.

mod question;

use std::time::Duration;

pub use self::question::{Asked, KEY_LEN_MAX, Question, QuestionError, TEXT_LEN_MAX};
use crate::ids::{ApprovalId, RuleId};
use crate::time::Timestamp;

/// An approval as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id, random.
    pub id: ApprovalId,
    /// What is asked.
    pub question: Question,
    /// Whether the same question attaches to it.
    pub coalesces: bool,
    /// The rule that asks; none where it was asked from outside.
    pub rule: Option<RuleId>,
    /// How many wait for the answer, in all processes; once it is answered: how many it reached.
    pub waiters: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it will have been a deny, if nobody answers.
    pub expires_at: Timestamp,
    /// Its answer; none while it is open.
    pub answer: Option<Answer>,
}

/// How an approval ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was decided; none where nobody did in time, which is a deny.
    pub decision: Option<Decision>,
    /// For how long a time it allows, where it does so for a time: until then.
    pub until: Option<Timestamp>,
    /// By whom; none where nobody did. With no decision: who withdrew the question.
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What a human decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// All who wait may, and the next is asked about anew.
    AllowOnce,
    /// All who wait may, and all who come until then.
    AllowFor,
    /// Now and from now on.
    AlwaysAllow,
    /// All who wait may not, and the next is asked about anew.
    Deny,
    /// Neither now nor later.
    AlwaysDeny,
}

impl Decision {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::AllowOnce, Self::AllowFor, Self::AlwaysAllow, Self::Deny, Self::AlwaysDeny];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow_once",
            Self::AllowFor => "allow_for",
            Self::AlwaysAllow => "always_allow",
            Self::Deny => "deny",
            Self::AlwaysDeny => "always_deny",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.as_str() == word)
    }

    /// Whether those who wait may go.
    pub const fn allows(self) -> bool {
        matches!(self, Self::AllowOnce | Self::AllowFor | Self::AlwaysAllow)
    }

    /// Whether it is about later requests too.
    pub const fn is_remembered(self) -> bool {
        matches!(self, Self::AllowFor | Self::AlwaysAllow | Self::AlwaysDeny)
    }
}

impl Answer {
    /// Whether those who wait may go. What nobody answered is a deny.
    pub fn allows(&self) -> bool {
        self.decision.is_some_and(Decision::allows)
    }
}

/// Where an approval is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for an answer.
    Open,
    /// Somebody answered.
    Answered,
    /// Nobody did in time.
    TimedOut,
    /// It was taken back: the agent that asked was revoked.
    Withdrawn,
}

impl Stage {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Open, Self::Answered, Self::TimedOut, Self::Withdrawn];
        all.into_iter().find(|stage| stage.as_str() == word)
    }
}

impl Approval {
    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        match &self.answer {
            None => Stage::Open,
            Some(Answer { decision: Some(_), .. }) => Stage::Answered,
            Some(Answer { decision: None, by: None, .. }) => Stage::TimedOut,
            Some(Answer { decision: None, by: Some(_), .. }) => Stage::Withdrawn,
        }
    }

    /// Why such an answer cannot be given to it.
    pub fn refuses(&self, decision: Decision) -> Option<&'static str> {
        let is_named = self.question.is_named();
        match decision {
            Decision::AlwaysAllow | Decision::AlwaysDeny if !is_named => {
                Some("'always' needs a name for what it remembers: whoever asks gives it with 'key'")
            }
            Decision::AllowFor if !is_named && !self.coalesces => Some(
                "this question asked for an answer of its own ('coalesce' is false, and no 'key'): allow it once, or deny it",
            ),
            _ => None,
        }
    }
}

/// Bounds on asking.
#[derive(Debug, Clone)]
pub struct ApprovalBounds {
    /// How long an approval waits for an answer; then it is a deny.
    pub timeout: Duration,
    /// Those who wait for one approval in one process, at most.
    pub waiters_max: usize,
    /// Approvals that are open at once, at most.
    pub open_max: usize,
    /// Approvals opened within a minute about one target (host and port; from outside: the agent), at most.
    pub prompts_per_minute: u32,
    /// How long an ended approval is kept.
    pub keep: Duration,
    /// The longest time that an answer may be remembered for, unless it is for always.
    pub allow_for_max: Duration,
}

impl Default for ApprovalBounds {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            waiters_max: 100_000,
            open_max: 1_000,
            prompts_per_minute: 120,
            keep: Duration::from_secs(7 * 24 * 3600),
            allow_for_max: Duration::from_secs(366 * 24 * 3600),
        }
    }
}

#[cfg(test)]
mod tests;
