//! Approvals: asked from outside, listed, waited for, answered.

use std::time::Duration;

use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use http::StatusCode;
use keyherd_core::approval::Stage;
use keyherd_core::ids::ApprovalId;
use serde::Deserialize;

use super::extract::{Asked, limit, no_cursor};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{AnswerDocument, ApprovalDocument, ApprovalView, ListView, shown};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// Which approvals.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalsQuery {
    /// `open`, `answered`, `timed_out` or `withdrawn`; absent: all that are kept.
    state: Option<String>,
    /// `next` of the part before.
    after: Option<String>,
    /// The most items, 1 to 1000; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// How long to wait for the answer.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// The answer is waited for so long, in seconds; 0 where it is not said.
    #[param(maximum = 300)]
    wait_seconds: Option<u64>,
}

/// The approvals, the oldest first
///
/// An agent's key shows its own. Where there is a `next`, there may be more behind it, although a part is short.
#[utoipa::path(
    get,
    path = "/v1/approvals",
    operation_id = "listApprovals",
    tag = "approvals",
    params(ApprovalsQuery),
    responses((status = 200, description = "Part of them", body = ListView<ApprovalView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Asked(asked): Asked<ApprovalsQuery>,
) -> Result<Response, Problem> {
    let stage = match asked.state.as_deref() {
        None => None,
        Some(word) => Some(Stage::parse(word).ok_or_else(|| {
            Problem::invalid(
                "in the query: 'state' is open, answered, timed_out or withdrawn, or is left out",
            )
        })?),
    };
    let after =
        asked.after.as_deref().map(|text| ApprovalId::parse(text).ok_or_else(no_cursor)).transpose()?;
    let page = state.broker.approvals(stage, after, limit(asked.limit)?).await?;
    if let Some(after) = after
        && page.items.is_empty()
        && state.broker.approval(after).await?.is_none()
    {
        return Err(no_cursor());
    }
    let items = page.items.iter().filter(|one| caller.may_see(one)).map(ApprovalView::new).collect();
    Ok(json(StatusCode::OK, &ListView { items, next: page.next }))
}

/// Asks a human, from outside
///
/// Does not wait: GET the approval with `wait_seconds`. The same question attaches to the approval that is open; one whose
/// answer is remembered comes back answered.
#[utoipa::path(
    post,
    path = "/v1/approvals",
    operation_id = "createApproval",
    tag = "approvals",
    request_body = ApprovalDocument,
    responses((status = 201, description = "It is open, or answered already", body = ApprovalView), Problems)
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<ApprovalDocument>,
) -> Result<Response, Problem> {
    let ask = document.into_ask()?;
    caller.may_ask_as(&ask.question.agent)?;
    let consent = state.broker.open(ask, &caller.actor()).await?;
    let view = ApprovalView::of(&consent).ok_or_else(Problem::internal)?;
    Ok(json(StatusCode::CREATED, &view))
}

/// One approval; with `wait_seconds`, when it is answered or that time is over
#[utoipa::path(
    get,
    path = "/v1/approvals/{id}",
    operation_id = "getApproval",
    tag = "approvals",
    params(("id" = String, Path, description = "The approval's id"), WaitQuery),
    responses((status = 200, description = "How it stands", body = ApprovalView), Problems)
)]
pub(super) async fn show(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<WaitQuery>,
) -> Result<Response, Problem> {
    let id = parsed(&id)?;
    let wait = Duration::from_secs(asked.wait_seconds.unwrap_or(0));
    if wait > state.limits.wait_max {
        let max = state.limits.wait_max.as_secs();
        return Err(Problem::invalid(format!("in the query: 'wait_seconds' is at most {max}")));
    }
    // Whose it is before anything is waited for: an agent does not learn of others' by the time it takes.
    let now = state.broker.approval(id).await?.filter(|approval| caller.may_see(approval));
    let now = now.ok_or_else(|| unknown(&id.to_string()))?;
    if now.answer.is_some() || wait.is_zero() {
        return Ok(json(StatusCode::OK, &ApprovalView::new(&now)));
    }
    let waited = state.closing.run_until_cancelled(state.broker.approval_ended(id, wait)).await;
    let ended = waited.transpose()?.flatten().unwrap_or(now);
    Ok(json(StatusCode::OK, &ApprovalView::new(&ended)))
}

/// Answers, for all who wait
#[utoipa::path(
    post,
    path = "/v1/approvals/{id}/answer",
    operation_id = "answerApproval",
    tag = "approvals",
    params(("id" = String, Path, description = "The approval's id")),
    request_body = AnswerDocument,
    responses((status = 200, description = "It is answered", body = ApprovalView), Problems)
)]
pub(super) async fn answer(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Path(id): Path<String>,
    Document(document): Document<AnswerDocument>,
) -> Result<Response, Problem> {
    let id = parsed(&id)?;
    let (decision, time) = document.into_decision()?;
    let approval = state.broker.answer(id, decision, time, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &ApprovalView::new(&approval)))
}

fn parsed(id: &str) -> Result<ApprovalId, Problem> {
    ApprovalId::parse(id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("no approval has the id '{}': GET /v1/approvals lists them", shown(id)),
    )
}
