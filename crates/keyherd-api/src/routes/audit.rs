//! The audit log: read and verified.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;

use super::extract::{Asked, PageQuery};
use super::json;
use crate::documents::{AuditView, ListView, VerifyView};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// The audit log, oldest first
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAudit",
    tag = "audit",
    params(PageQuery),
    responses((status = 200, description = "A part of the log", body = ListView<AuditView>), Problems)
)]
pub(super) async fn entries(
    Extracted(state): Extracted<State>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Problem> {
    let limit = page.limit()?;
    let after = match page.after.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => return Err(Problem::invalid("in the query: 'after' is the 'seq' of an entry")),
    };
    let mut entries = state.broker.ports().store.entries(after, limit + 1).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(|last| last.seq.to_string());
    let items = entries.into_iter().map(AuditView::from).collect();
    Ok(json(StatusCode::OK, &ListView { items, next }))
}

/// Checks every entry of the audit log
///
/// Reads the whole log; one look at a time.
#[utoipa::path(
    get,
    path = "/v1/audit/verify",
    operation_id = "verifyAudit",
    tag = "audit",
    responses((status = 200, description = "What was found, good or bad", body = VerifyView), Problems)
)]
pub(super) async fn verify(Extracted(state): Extracted<State>) -> Result<Response, Problem> {
    let _turn = state.verifying.lock().await;
    let found = state.broker.ports().store.verify().await?;
    Ok(json(StatusCode::OK, &VerifyView::from(found)))
}
