//! Rules: who may go where.

use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use http::StatusCode;
use keyherd_core::ids::RuleId;

use super::extract::{Asked, NoQuery};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{
    DefaultDocument, ImportedView, RuleDocument, RuleTestDocument, RuleTestView, RuleView, RulesDocument,
    RulesView, shown,
};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// The rules, remembered answers included, and the default verdict
#[utoipa::path(
    get,
    path = "/v1/rules",
    operation_id = "listRules",
    tag = "rules",
    responses((status = 200, description = "All of them, the oldest first", body = RulesView), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let book = state.broker.rulebook().await?;
    Ok(json(StatusCode::OK, &RulesView::new(&book)))
}

/// Writes a rule
#[utoipa::path(
    post,
    path = "/v1/rules",
    operation_id = "createRule",
    tag = "rules",
    request_body = RuleDocument,
    responses(
        (status = 201, description = "It is there", body = RuleView),
        (status = 200, description = "One that says the same is there", body = RuleView),
        Problems
    )
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<RuleDocument>,
) -> Result<Response, Problem> {
    let (verdict, scope) = document.into_rule()?;
    let (rule, is_new) = state.broker.add_rule(verdict, scope, &caller.actor()).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &RuleView::new(&rule)))
}

/// Removes a rule, or forgets an answer
#[utoipa::path(
    delete,
    path = "/v1/rules/{id}",
    operation_id = "removeRule",
    tag = "rules",
    params(("id" = String, Path, description = "The rule's id")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::new(Code::NotFound, format!("no rule has the id '{}'", shown(&id)));
    let id = RuleId::parse(&id).ok_or_else(unknown)?;
    state.broker.remove_rule(id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets what is done where no rule says anything
#[utoipa::path(
    put,
    path = "/v1/rules/default",
    operation_id = "setDefaultVerdict",
    tag = "rules",
    request_body = DefaultDocument,
    responses((status = 200, description = "It is so now", body = DefaultDocument), Problems)
)]
pub(super) async fn set_default(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<DefaultDocument>,
) -> Result<Response, Problem> {
    let verdict = document.clone().into_verdict()?;
    state.broker.set_default_verdict(verdict, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &document))
}

/// Adds the rules of a file in one step
///
/// Those that are there already stay as they are. With `replace`, written rules that are not among them go.
#[utoipa::path(
    post,
    path = "/v1/rules/import",
    operation_id = "importRules",
    tag = "rules",
    request_body = RulesDocument,
    responses((status = 200, description = "What it did", body = ImportedView), Problems)
)]
pub(super) async fn import(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<RulesDocument>,
) -> Result<Response, Problem> {
    let done = state.broker.import_rules(document.into_import()?, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &ImportedView::from(done)))
}

/// Which rule decides a request, and why
#[utoipa::path(
    post,
    path = "/v1/rules/test",
    operation_id = "testRules",
    tag = "rules",
    request_body = RuleTestDocument,
    responses((status = 200, description = "The decision; nothing is asked or sent", body = RuleTestView), Problems)
)]
pub(super) async fn test(
    Extracted(state): Extracted<State>,
    Document(document): Document<RuleTestDocument>,
) -> Result<Response, Problem> {
    let tested = document.into_target()?;
    let explanation = state.broker.explain(&tested.target()).await?;
    Ok(json(StatusCode::OK, &RuleTestView::new(&explanation)))
}
