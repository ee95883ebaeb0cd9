//! `POST /v1/report`: what upstream answered, from callers that use tokens themselves.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::broker::{Followed, Report};
use keyherd_core::upstream::{Answer, Evidence};

use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{ReportDocument, ReportView};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// Tells what upstream answered
///
/// A used-up limit lets the credential rest, for everyone and once; a refused token is refreshed first. Whoever was not
/// used is never blamed. It holds when this answers: ask for a token again.
#[utoipa::path(
    post,
    path = "/v1/report",
    operation_id = "report",
    tag = "tokens",
    request_body = ReportDocument,
    responses((status = 200, description = "What followed", body = ReportView), Problems)
)]
pub(super) async fn tell(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<ReportDocument>,
) -> Result<Response, Problem> {
    let told = document.into_told()?;
    // Whose token it was is proven by the report: the credential itself, or a member of the pool.
    caller.may_fetch(told.report.name.as_str())?;
    // For agents attribution comes first: whether a credential exists is told to nobody who may not use it.
    if matches!(caller, Caller::Agent(_)) && told.report.name != told.report.credential {
        let unjudged = Report { evidence: Evidence::Nothing, ..told.report.clone() };
        let followed = state.broker.report(&unjudged, &caller.actor()).await?;
        if matches!(followed, Followed::Unproven(_)) {
            return Ok(json(StatusCode::OK, &ReportView::new(&unjudged.credential, followed)));
        }
    }
    let answer = Answer { status: told.status, headers: &told.headers, body: &told.body };
    let evidence = state.broker.evidence(&told.report.credential, &answer).await?;
    let report = Report { evidence, ..told.report };
    let followed = state.broker.report(&report, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &ReportView::new(&report.credential, followed)))
}
