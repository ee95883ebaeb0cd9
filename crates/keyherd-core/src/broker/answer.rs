//! The verb `answer`: the first one wins, reaches everybody, and may be remembered.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Broker;
use super::ask::{Word, told_of};
use crate::approval::{Answer, Approval, Decision, Stage};
use crate::audit::{Actor, Note};
use crate::ids::{ApprovalId, RuleId};
use crate::policy::{About, Rule, Verdict};
use crate::ports::StoreError;
use crate::ports::store::{APPROVAL_ANSWERED, Closed, Event, NewRule, Record};

/// Approvals by how they ended.
const ENDED: &str = "keyherd_approvals_total";
/// How that is called where nobody answered.
const TIMEOUT: &str = "timeout";

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// No approval has that id.
    #[error("no approval has the id '{0}': see 'keyherd approval list'")]
    NotFound(ApprovalId),
    /// It has ended.
    #[error("approval {} is not open any more: {}", .0.id, ended_how(.0))]
    Already(Box<Approval>),
    /// Its time is none.
    #[error("the time must be 1 to {max_seconds} seconds")]
    Time {
        /// The bound.
        max_seconds: u64,
    },
    /// This answer does not do for that question.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Answers. `time`: how long [`Decision::AllowFor`] allows for.
    pub async fn answer(
        &self,
        id: ApprovalId,
        decision: Decision,
        time: Option<Duration>,
        actor: &Actor,
    ) -> Result<Approval, AnswerError> {
        let open = self.0.ports.store.approval(id).await?.ok_or(AnswerError::NotFound(id))?;
        let open = self.counted(open);
        if let Some(problem) = open.refuses(decision) {
            return Err(AnswerError::Unfit(problem.into()));
        }
        let now = self.now();
        let until = self.until(decision, time)?.map(|time| now + time);
        let answer =
            Answer { decision: Some(decision), until, by: Some(actor.0.as_ref().to_owned()), at: now };
        let rule = decision.is_remembered().then(|| self.remembering(&open, &answer));
        let record = closing(&open, &answer, actor);
        let closed = self.0.ports.store.close_approval(id, answer, rule.clone(), record).await?;
        match closed {
            Closed::Done(approval) => {
                if rule.is_some() {
                    self.0.policy.changed();
                }
                self.0.ports.coordinator.announce();
                metrics::counter!(ENDED, "decision" => decision.as_str()).increment(1);
                self.release(&approval).await;
                Ok(self.when_counted(*approval).await)
            }
            Closed::Already(approval) => {
                self.release(&approval).await;
                Err(AnswerError::Already(approval))
            }
            Closed::NotFound => Err(AnswerError::NotFound(id)),
        }
    }

    /// Nobody answered in time: that is a deny. What has an answer already is told as it is.
    pub(super) async fn time_out(&self, open: &Approval) -> Result<Option<Approval>, StoreError> {
        let actor = Actor::new("keyherd");
        let answer = Answer { decision: None, until: None, by: None, at: self.now() };
        let record = closing(&self.counted(open.clone()), &answer, &actor);
        match self.0.ports.store.close_approval(open.id, answer, None, record).await? {
            Closed::Done(approval) => {
                self.0.ports.coordinator.announce();
                metrics::counter!(ENDED, "decision" => TIMEOUT).increment(1);
                self.release(&approval).await;
                Ok(Some(*approval))
            }
            Closed::Already(approval) => {
                self.release(&approval).await;
                Ok(Some(*approval))
            }
            Closed::NotFound => Ok(None),
        }
    }

    /// Tells everybody here.
    pub(super) async fn release(&self, approval: &Approval) {
        if approval.answer.is_some() {
            self.tell_room(approval.id, Word::Ended(Arc::new(approval.clone()))).await;
        }
    }

    fn until(&self, decision: Decision, time: Option<Duration>) -> Result<Option<Duration>, AnswerError> {
        let max = self.0.options.approvals.allow_for_max;
        match (decision, time) {
            (Decision::AllowFor, Some(time)) if !time.is_zero() && time <= max => Ok(Some(time)),
            (Decision::AllowFor, Some(_)) => Err(AnswerError::Time { max_seconds: max.as_secs() }),
            (Decision::AllowFor, None) => {
                Err(AnswerError::Unfit("'allow_for' needs a time: say for how many seconds".into()))
            }
            (_, Some(_)) => Err(AnswerError::Unfit(format!(
                "a time goes with 'allow_for', not with '{}'",
                decision.as_str()
            ))),
            (_, None) => Ok(None),
        }
    }

    fn remembering(&self, open: &Approval, answer: &Answer) -> NewRule {
        let allows = answer.allows();
        let rule = Rule {
            id: RuleId::of_random(self.0.ports.entropy.id()),
            verdict: if allows { Verdict::Allow } else { Verdict::Deny },
            about: About::Answered(open.question.clone()),
            until: answer.until,
            approval: Some(open.id),
            created_at: answer.at,
            created_by: answer.by.clone().unwrap_or_default(),
        };
        NewRule { fingerprint: rule.fingerprint(&self.0.ports.hasher), rule }
    }
}

/// Whoever answers counts it. Who answered by command has gone, and its figures with it; and who revokes an agent answers
/// nothing: there the one counts it that asked.
pub(super) fn count_what_no_other_process_shows(ended: &Approval) {
    let Some(answer) = &ended.answer else { return };
    match answer.decision {
        Some(decision) if answer.by.as_deref() == Some(Actor::BY_COMMAND) => {
            metrics::counter!(ENDED, "decision" => decision.as_str()).increment(1);
        }
        None if ended.stage() == Stage::Withdrawn => {
            metrics::counter!(ENDED, "decision" => Stage::Withdrawn.as_str()).increment(1);
        }
        _ => {}
    }
}

fn closing(open: &Approval, answer: &Answer, actor: &Actor) -> Record {
    let subject = open.id.to_string();
    let mut detail = told_of(&open.question);
    if let Value::Object(fields) = &mut detail {
        let decision = answer.decision.map_or(TIMEOUT, Decision::as_str);
        fields.insert("decision".into(), decision.into());
        fields.insert("answered_by".into(), answer.by.clone().into());
        fields.insert("until".into(), json!(answer.until.map(crate::time::Timestamp::as_millis)));
        fields.insert("opened_at".into(), json!(open.opened_at.as_millis()));
        // As far as it is known by now: the approval itself has what every process said when it released them.
        fields.insert("waiters".into(), open.waiters.into());
    }
    let action = if answer.decision.is_some() { "approval.answer" } else { "approval.timeout" };
    Record {
        note: Note { action, actor: actor.clone(), subject: subject.clone(), detail: detail.clone() },
        event: Some(Event { kind: APPROVAL_ANSWERED, chain: None, subject, detail }),
    }
}

fn ended_how(approval: &Approval) -> String {
    match (approval.stage(), &approval.answer) {
        (Stage::Answered, Some(Answer { decision: Some(decision), by, .. })) => {
            format!("{} answered '{}'", by.as_deref().unwrap_or("somebody"), decision.as_str())
        }
        (Stage::Withdrawn, _) => format!("agent '{}' was revoked", approval.question.agent),
        _ => "its time ended without an answer".into(),
    }
}
