//! The verb `permit`: what the rules say of a target, and where they say "ask", what a human says.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::ask::{ApprovalAsk, AskError, Consent};
use crate::approval::{Approval, Asked, Question};
use crate::audit::Actor;
use crate::ids::{ApprovalId, Name, RuleId};
use crate::policy::{Decided, Decision, Target, Verdict};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    /// Whether it may go.
    pub allows: bool,
    /// By what.
    pub by: PermittedBy,
}

/// What decided a request.
#[derive(Debug, Clone, PartialEq)]
pub enum PermittedBy {
    /// A written rule.
    Rule(RuleId),
    /// A remembered answer.
    Remembered(RuleId),
    /// The default verdict.
    Default,
    /// A human; or nobody in time, which the approval says.
    Approval(Arc<Approval>),
    /// The caller's own time ended before an answer came.
    NobodyInTime(Option<ApprovalId>),
    /// A human would have to be asked, and nobody knows on whose behalf.
    NoAgent,
}

impl PermittedBy {
    fn by(decided: Decided) -> Self {
        match decided {
            Decided::Rule(id) => Self::Rule(id),
            Decided::Remembered(id) => Self::Remembered(id),
            Decided::Default => Self::Default,
        }
    }
}

impl Broker {
    /// Decides a target by the rules in memory. `None`: they must be read first, or a human is to be asked, as
    /// [`Broker::permit`] does.
    pub fn permit_at_hand(&self, target: &Target<'_>) -> Option<Permit> {
        by_rules(self.rules_at_hand()?.decide(target, self.now()))
    }

    /// Decides a target. Where a human is asked, waits for the answer, at most so long.
    pub async fn permit(
        &self,
        target: &Target<'_>,
        wait: Duration,
        actor: &Actor,
    ) -> Result<Permit, AskError> {
        let decision = self.rules_ready().await?.decide(target, self.now());
        if let Some(permit) = by_rules(decision) {
            return Ok(permit);
        }
        let Some(question) = question(target, &decision) else {
            return Ok(Permit { allows: false, by: PermittedBy::NoAgent });
        };
        let rule = match decision.by {
            Decided::Rule(id) | Decided::Remembered(id) => Some(id),
            Decided::Default => None,
        };
        let consent = self.ask(ApprovalAsk { question, coalesces: true, rule }, wait, actor).await?;
        // What was forbidden meanwhile is forbidden, whatever was answered.
        let now = self.rules_ready().await?.decide(target, self.now());
        if consent.allows() && now.verdict == Verdict::Deny && matches!(now.by, Decided::Rule(_)) {
            return Ok(Permit { allows: false, by: PermittedBy::by(now.by) });
        }
        let allows = consent.allows();
        let by = match consent {
            Consent::Answered(approval) => PermittedBy::Approval(approval),
            Consent::Remembered(rule) => PermittedBy::Remembered(rule.id),
            Consent::Left(id) => PermittedBy::NobodyInTime(id),
        };
        Ok(Permit { allows, by })
    }
}

/// `None`: they ask a human.
fn by_rules(decision: Decision) -> Option<Permit> {
    let by = PermittedBy::by(decision.by);
    (decision.verdict != Verdict::Ask).then_some(Permit { allows: decision.verdict == Verdict::Allow, by })
}

/// The question that the rules ask about a target.
fn question(target: &Target<'_>, decision: &Decision) -> Option<Question> {
    let agent = Name::parse(target.agent?).ok()?;
    let asked = Asked::Target {
        host: target.destination.host().into(),
        port: target.destination.port(),
        method: target.method_word().filter(|_| decision.asks_method).map(Into::into),
        path: target.path.filter(|_| decision.asks_path).map(|path| path.as_str().into()),
    };
    Some(Question { agent, asked })
}
