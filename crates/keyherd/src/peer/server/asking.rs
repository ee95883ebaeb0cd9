//! Rules and approvals through a server.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use keyherd_api::documents::{
    AnswerDocument, ApprovalView, DefaultDocument, ImportedView, ListView, RuleDocument, RuleTestDocument,
    RuleTestView, RuleView, RulesDocument, RulesView,
};
use keyherd_core::broker::PAGE_MAX;
use serde::Serialize;

use super::{Outgoing, ServerPeer, wait_seconds};
use crate::cli::Failure;
use crate::peer::AskingPeer;

#[async_trait]
impl AskingPeer for ServerPeer {
    async fn rules(&self) -> Result<RulesView, Failure> {
        self.read(&["v1", "rules"], &[]).await
    }

    async fn add_rule(&self, rule: RuleDocument) -> Result<(RuleView, bool), Failure> {
        let body = Some(written(&rule)?);
        let said = self.ask(Method::POST, &["v1", "rules"], &[], body, self.brief()).await;
        let said = said.map_err(|refused| self.failure(refused))?;
        Ok((self.parsed(&said)?, said.status == 201))
    }

    async fn remove_rule(&self, id: &str) -> Result<(), Failure> {
        let said = self.ask(Method::DELETE, &["v1", "rules", id], &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    async fn set_default(&self, default: DefaultDocument) -> Result<DefaultDocument, Failure> {
        self.change(Method::PUT, &["v1", "rules", "default"], written(&default)?).await
    }

    async fn import_rules(&self, rules: RulesDocument) -> Result<ImportedView, Failure> {
        self.change(Method::POST, &["v1", "rules", "import"], written(&rules)?).await
    }

    async fn test_rules(&self, request: RuleTestDocument) -> Result<RuleTestView, Failure> {
        self.change(Method::POST, &["v1", "rules", "test"], written(&request)?).await
    }

    async fn approvals(
        &self,
        state: Option<&str>,
        after: Option<&str>,
    ) -> Result<ListView<ApprovalView>, Failure> {
        let limit = PAGE_MAX.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(state.map(|state| ("state", state)));
        query.extend(after.map(|after| ("after", after)));
        self.read(&["v1", "approvals"], &query).await
    }

    async fn approval(&self, id: &str, wait: Duration) -> Result<ApprovalView, Failure> {
        if wait.is_zero() {
            return self.read(&["v1", "approvals", id], &[]).await;
        }
        let seconds = wait_seconds(wait);
        let (text, whole) = (seconds.to_string(), self.patient(seconds));
        let query = [("wait_seconds", text.as_str())];
        let said = self.ask(Method::GET, &["v1", "approvals", id], &query, None, whole).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    async fn answer(&self, id: &str, answer: AnswerDocument) -> Result<ApprovalView, Failure> {
        self.change(Method::POST, &["v1", "approvals", id, "answer"], written(&answer)?).await
    }
}

fn written(document: &impl Serialize) -> Result<Outgoing, Failure> {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| Failure::failed(format!("the request cannot be written as JSON: {error}")))?;
    Ok(bytes.into())
}
