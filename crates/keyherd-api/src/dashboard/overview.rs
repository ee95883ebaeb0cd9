//! `GET /`: who waits for an answer, how the credentials stand, what this server did; or the page to log in.

use std::time::Duration;

use axum::extract::State as Extracted;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use keyherd_core::approval::Stage;
use keyherd_core::audit::Entry;
use keyherd_core::broker::Page;
use maud::{Markup, html};

use super::fields::{Fields, is_a_persons};
use super::layout::{Failed, Tab};
use super::session::Signed;
use super::{approvals, audit, charts, draw, layout, login};
use crate::documents::{ApprovalView, AuditView};
use crate::state::State;

/// Approvals on this page.
const OPEN_SHOWN: usize = 5;
/// Entries of the audit log on it.
const ENTRIES_SHOWN: usize = 8;
/// How old a count of all credentials may be: it looks at each of them.
const CENSUS_AGE_MAX: Duration = Duration::from_secs(2);

/// A page about this server, for people
///
/// The dashboard; without a session, the page to log in to it.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "page",
    tag = "status",
    security(()),
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub(crate) async fn index(
    Extracted(state): Extracted<State>,
    uri: Uri,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let touches = is_a_persons(&headers, &uri);
    match state.sessions.of(&headers, state.uptime(), &state.limits, touches) {
        Some(signed) => overview(&state, &signed).await,
        None => Ok(login::page(StatusCode::OK, login::inside(fields.text("next")), None)),
    }
}

async fn overview(state: &State, signed: &Signed) -> Result<Response, Failed> {
    let store = &state.broker.ports().store;
    let open = state.broker.approvals(Some(Stage::Open), None, OPEN_SHOWN);
    let (open, entries) = tokio::try_join!(open, store.tail(ENTRIES_SHOWN))?;
    let census = census(state).await;
    let now = state.broker.now();
    let content = html! {
        h1.visually-hidden { "Overview" }
        (waiting(signed, &open, now))
        section.card #credentials data-live="5000" {
            h2 { a href="/ui/credentials" { "Credentials" } }
            @match &census {
                Some(census) => (draw::shares(census)),
                None => p.muted { "The store does not answer." },
            }
        }
        (charts::charts(&state.samples.charted()))
        (lately(entries, now))
    };
    Ok(layout::page(signed, Tab::Overview, &content))
}

async fn census(state: &State) -> Option<Vec<(String, u64)>> {
    let count = async { state.broker.ports().store.census(state.broker.now()).await.ok() };
    let mut census = state.census.fresh(|| state.uptime(), CENSUS_AGE_MAX, count).await?;
    // The good ones first, then by how many there are: so that colours keep their places.
    census.sort_by_key(|(state, count)| (state != "active", std::cmp::Reverse(*count), state.clone()));
    Some(census)
}

fn waiting(
    signed: &Signed,
    open: &Page<keyherd_core::approval::Approval>,
    now: keyherd_core::time::Timestamp,
) -> Markup {
    html! {
        section #open data-live=(if open.items.is_empty() { "" } else { "1000" }) aria-label="Open approvals" {
            h2 { a href="/ui/approvals" { "Waiting for you" } }
            @for approval in &open.items {
                (approvals::card(signed, approval, &ApprovalView::new(approval), now, "/"))
            }
            @if open.items.is_empty() { p.empty { "Nobody waits for an answer." } }
            @if open.next.is_some() { p { a href="/ui/approvals" { "All that are open" } } }
        }
    }
}

fn lately(entries: Vec<Entry>, now: keyherd_core::time::Timestamp) -> Markup {
    let views: Vec<_> = entries.into_iter().rev().map(AuditView::from).collect();
    html! {
        section.card #lately data-live="" {
            h2 { a href="/ui/audit" { "Lately" } }
            @if views.is_empty() { p.muted { "Nothing has happened yet." } } @else { (audit::table(&views, now)) }
        }
    }
}
