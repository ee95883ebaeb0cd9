//! The verbs on rules and approvals, as a command asks for them.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_api::documents::{
    AnswerDocument, ApprovalView, DefaultDocument, ImportedView, ListView, RuleDocument, RuleTestDocument,
    RuleTestView, RuleView, RulesDocument, RulesView,
};

use crate::cli::Failure;

/// Rules and approvals.
#[async_trait]
pub(crate) trait AskingPeer: Send + Sync {
    /// The rules and the default.
    async fn rules(&self) -> Result<RulesView, Failure>;

    /// Writes a rule; whether it is new.
    async fn add_rule(&self, rule: RuleDocument) -> Result<(RuleView, bool), Failure>;

    /// Removes a rule.
    async fn remove_rule(&self, id: &str) -> Result<(), Failure>;

    /// Sets the default.
    async fn set_default(&self, default: DefaultDocument) -> Result<DefaultDocument, Failure>;

    /// Adds the rules of a file.
    async fn import_rules(&self, rules: RulesDocument) -> Result<ImportedView, Failure>;

    /// Which rule decides, and why.
    async fn test_rules(&self, request: RuleTestDocument) -> Result<RuleTestView, Failure>;

    /// Approvals in that state, or all of them.
    async fn approvals(
        &self,
        state: Option<&str>,
        after: Option<&str>,
    ) -> Result<ListView<ApprovalView>, Failure>;

    /// One approval, when it has ended or that time is over.
    async fn approval(&self, id: &str, wait: Duration) -> Result<ApprovalView, Failure>;

    /// Answers.
    async fn answer(&self, id: &str, answer: AnswerDocument) -> Result<ApprovalView, Failure>;
}
