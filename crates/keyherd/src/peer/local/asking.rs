//! Rules and approvals on the store that this process has opened.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_api::documents::{
    AnswerDocument, ApprovalView, DefaultDocument, ImportedView, ListView, RuleDocument, RuleTestDocument,
    RuleTestView, RuleView, RulesDocument, RulesView,
};
use keyherd_core::approval::Stage;
use keyherd_core::broker::PAGE_MAX;
use keyherd_core::ids::{ApprovalId, RuleId};

use super::actor;
use crate::cli::Failure;
use crate::peer::AskingPeer;
use crate::wire::Wired;

#[async_trait]
impl AskingPeer for Wired {
    async fn rules(&self) -> Result<RulesView, Failure> {
        Ok(RulesView::new(&self.broker.rulebook().await?))
    }

    async fn add_rule(&self, rule: RuleDocument) -> Result<(RuleView, bool), Failure> {
        let (verdict, scope) = rule.into_rule().map_err(Failure::usage)?;
        let (rule, is_new) = self.broker.add_rule(verdict, scope, &actor()).await?;
        Ok((RuleView::new(&rule), is_new))
    }

    async fn remove_rule(&self, id: &str) -> Result<(), Failure> {
        let id = RuleId::parse(id).ok_or_else(|| no_rule(id))?;
        Ok(self.broker.remove_rule(id, &actor()).await?)
    }

    async fn set_default(&self, default: DefaultDocument) -> Result<DefaultDocument, Failure> {
        let verdict = default.clone().into_verdict().map_err(Failure::usage)?;
        self.broker.set_default_verdict(verdict, &actor()).await?;
        Ok(default)
    }

    async fn import_rules(&self, rules: RulesDocument) -> Result<ImportedView, Failure> {
        Ok(self.broker.import_rules(rules.into_import()?, &actor()).await?.into())
    }

    async fn test_rules(&self, request: RuleTestDocument) -> Result<RuleTestView, Failure> {
        let tested = request.into_target().map_err(Failure::usage)?;
        Ok(RuleTestView::new(&self.broker.explain(&tested.target()).await?))
    }

    async fn approvals(
        &self,
        state: Option<&str>,
        after: Option<&str>,
    ) -> Result<ListView<ApprovalView>, Failure> {
        let page = self
            .broker
            .approvals(state.and_then(Stage::parse), after.and_then(ApprovalId::parse), PAGE_MAX)
            .await?;
        Ok(ListView { items: page.items.iter().map(ApprovalView::new).collect(), next: page.next })
    }

    async fn approval(&self, id: &str, wait: Duration) -> Result<ApprovalView, Failure> {
        let parsed = ApprovalId::parse(id).ok_or_else(|| no_approval(id))?;
        let found = self.broker.approval_ended(parsed, wait).await?;
        found.as_ref().map(ApprovalView::new).ok_or_else(|| no_approval(id))
    }

    async fn answer(&self, id: &str, answer: AnswerDocument) -> Result<ApprovalView, Failure> {
        let parsed = ApprovalId::parse(id).ok_or_else(|| no_approval(id))?;
        let (decision, time) = answer.into_decision().map_err(Failure::usage)?;
        Ok(ApprovalView::new(&self.broker.answer(parsed, decision, time, &actor()).await?))
    }
}

fn no_rule(id: &str) -> Failure {
    Failure::failed(format!("no rule has the id '{}': see 'keyherd rule list'", shown(id)))
}

fn no_approval(id: &str) -> Failure {
    Failure::failed(format!("no approval has the id '{}': see 'keyherd approval list'", shown(id)))
}

fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(40).collect()
}
