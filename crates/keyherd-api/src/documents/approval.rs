//! Approvals: asked for, shown, answered.

use std::time::Duration;

use keyherd_core::approval::{Answer, Approval, Asked, Decision, Question, Stage};
use keyherd_core::broker::{ApprovalAsk, Consent};
use keyherd_core::ids::Name;
use keyherd_core::policy::{About, Rule, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::exact::exactly;
use super::{BadDocument, Moment};

/// A question from outside, such as a tool gate's, for `POST /v1/approvals`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDocument {
    /// On whose behalf: the agent's name.
    #[schema(example = "builder")]
    pub agent: String,
    /// What is shown to the human: any JSON that can be shown as it is. Numbers that 64 bits cannot keep, fields that are there
    /// twice, and characters that turn the reading direction are refused.
    #[schema(value_type = Value)]
    pub question: Box<RawValue>,
    /// What the same questions have in common, and what `always` remembers. Without it, equal questions are the same, and
    /// `always` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `false`: this one asks for an answer of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub coalesce: Option<bool>,
}

impl ApprovalDocument {
    /// The question it stands for.
    pub fn into_ask(self) -> Result<ApprovalAsk, BadDocument> {
        let agent =
            Name::parse(&self.agent).map_err(|error| BadDocument::field("agent", error.to_string()))?;
        let question = exactly(&self.question).map_err(|problem| BadDocument::field("question", problem))?;
        let text = canonical(&question);
        let question = Question::outside(agent, self.key.as_deref(), &text)
            .map_err(|error| BadDocument::whole(error.to_string()))?;
        Ok(ApprovalAsk { question, coalesces: self.coalesce.unwrap_or(true), rule: None })
    }
}

/// One text for equal values: fields in order of their names, no blanks.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            let fields: Vec<_> = names
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

/// An answer, for `POST /v1/approvals/{id}/answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerDocument {
    /// `allow_once`, `allow_for`, `always_allow`, `deny` or `always_deny`.
    #[schema(example = "allow_once")]
    pub decision: String,
    /// With `allow_for`: for how long, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
}

impl AnswerDocument {
    /// The decision it stands for, and its time.
    pub fn into_decision(self) -> Result<(Decision, Option<Duration>), BadDocument> {
        let decision = Decision::parse(&self.decision).ok_or_else(|| {
            BadDocument::field("decision", "is allow_once, allow_for, always_allow, deny or always_deny")
        })?;
        Ok((decision, self.for_seconds.map(Duration::from_secs)))
    }
}

/// An approval: one question to a human, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// Its id.
    pub id: String,
    /// `open`, `answered`, `timed_out`, or `withdrawn`: the agent that asked was revoked, by `answered_by`.
    pub state: String,
    /// What is asked: a target (`host`, `port`, `method`, `path`), or what was asked from outside, which is any JSON.
    pub question: Value,
    /// Who asks.
    pub agent: String,
    /// How many wait for the answer; once it is answered, how many it reached.
    pub waiters: u64,
    /// When it was opened.
    pub opened_at: Moment,
    /// When it is a deny, if nobody answers.
    pub expires_at: Moment,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Moment>,
    /// With `allow_for`: until when it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Of a question from outside: what `always` would remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the same question attaches to it.
    pub coalesce: bool,
    /// The rule that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether nobody was asked: an answer of before covers it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remembered: bool,
}

impl ApprovalView {
    /// Of the domain's.
    pub fn new(approval: &Approval) -> Self {
        let answer = approval.answer.as_ref();
        Self {
            id: approval.id.to_string(),
            state: approval.stage().as_str().into(),
            question: shown(&approval.question.asked),
            agent: approval.question.agent.to_string(),
            waiters: approval.waiters,
            opened_at: approval.opened_at.into(),
            expires_at: approval.expires_at.into(),
            decision: answer.and_then(|answer| answer.decision).map(|decision| decision.as_str().into()),
            answered_by: answer.and_then(|answer| answer.by.clone()),
            answered_at: answer.map(|answer: &Answer| answer.at.into()),
            until: answer.and_then(|answer| answer.until).map(Moment::from),
            key: key(&approval.question.asked),
            coalesce: approval.coalesces,
            rule: approval.rule.map(|id| id.to_string()),
            remembered: false,
        }
    }

    /// Of what became of a question; `None`: the caller left before it was open.
    pub fn of(consent: &Consent) -> Option<Self> {
        match consent {
            Consent::Answered(approval) => Some(Self::new(approval)),
            Consent::Remembered(rule) => Self::remembered(rule),
            Consent::Left(_) => None,
        }
    }

    /// As the approval whose answer it is.
    fn remembered(rule: &Rule) -> Option<Self> {
        let About::Answered(question) = &rule.about else { return None };
        let decision = match (rule.verdict, rule.until) {
            (Verdict::Allow, None) => Decision::AlwaysAllow,
            (Verdict::Allow, Some(_)) => Decision::AllowFor,
            (Verdict::Deny | Verdict::Ask, _) => Decision::AlwaysDeny,
        };
        Some(Self {
            id: rule.approval.map_or_else(|| rule.id.to_string(), |id| id.to_string()),
            state: Stage::Answered.as_str().into(),
            question: shown(&question.asked),
            agent: question.agent.to_string(),
            waiters: 0,
            opened_at: rule.created_at.into(),
            expires_at: rule.created_at.into(),
            decision: Some(decision.as_str().into()),
            answered_by: Some(rule.created_by.clone()),
            answered_at: Some(rule.created_at.into()),
            until: rule.until.map(Moment::from),
            key: key(&question.asked),
            coalesce: true,
            rule: Some(rule.id.to_string()),
            remembered: true,
        })
    }
}

fn shown(asked: &Asked) -> Value {
    match asked {
        Asked::Outside { text, .. } => serde_json::from_str(text).unwrap_or(Value::Null),
        Asked::Target { host, port, method, path } => {
            let mut shown = json!({"host": **host, "port": port});
            if let Value::Object(fields) = &mut shown {
                fields.extend(method.as_deref().map(|method| ("method".to_owned(), method.into())));
                fields.extend(path.as_deref().map(|path| ("path".to_owned(), path.into())));
            }
            shown
        }
    }
}

fn key(asked: &Asked) -> Option<String> {
    match asked {
        Asked::Outside { key, .. } => key.as_deref().map(Into::into),
        Asked::Target { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_questions_have_one_text() {
        let text = |json: &str| canonical(&serde_json::from_str(json).expect("is JSON"));
        assert_eq!(
            text(r#"{ "b": [1, {"y":null,"x":"\u00e9"}], "a": true }"#),
            r#"{"a":true,"b":[1,{"x":"é","y":null}]}"#
        );
        assert_ne!(text("[1,2]"), text("[2,1]"));
        assert_ne!(text("\"1\""), text("1"));
    }
}
