//! The audit log: read and verified.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::audit::Entry;
use serde::Deserialize;

use super::extract::{Asked, limit, within};
use super::json;
use crate::documents::{AUDIT_LAST_MAX, AuditView, ListView, VerifyView};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// Which part of the log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PartQuery {
    /// `next` of the part before, or the `seq` of an entry; absent: from the start.
    after: Option<i64>,
    /// The most entries, 1 to 1000; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// So many from the end instead, 1 to 10000.
    #[param(minimum = 1, maximum = 10000)]
    last: Option<usize>,
}

/// The audit log, oldest first
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAudit",
    tag = "audit",
    params(PartQuery),
    responses((status = 200, description = "A part of the log", body = ListView<AuditView>), Problems)
)]
pub(super) async fn entries(
    Extracted(state): Extracted<State>,
    Asked(part): Asked<PartQuery>,
) -> Result<Response, Problem> {
    let store = &state.broker.ports().store;
    let items = |entries: Vec<Entry>| entries.into_iter().map(AuditView::from).collect();
    if let Some(last) = part.last {
        if part.after.is_some() || part.limit.is_some() {
            return Err(Problem::invalid("in the query: 'last' stands alone"));
        }
        let entries = store.tail(within("last", last, AUDIT_LAST_MAX)?).await?;
        return Ok(json(StatusCode::OK, &ListView { items: items(entries), next: None }));
    }
    let limit = limit(part.limit)?;
    let after = part.after.unwrap_or(0);
    if after < 0 {
        return Err(Problem::invalid(format!("in the query: 'after' is {after}, and no entry's number")));
    }
    let mut entries = store.entries(after, limit + 1).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(|last| last.seq.to_string());
    Ok(json(StatusCode::OK, &ListView { items: items(entries), next }))
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
