//! Liveness, readiness, metrics, and the door's own description.

use std::num::NonZeroU64;

use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use keyherd_core::ports::{JournalError, StoreError};
use tokio::time::timeout;

use super::{json, json_bytes};
use crate::documents::{HealthView, ReadyView};
use crate::openapi::Problems;
use crate::problem::{Code, Problem, journal_word, store_word};
use crate::state::{Spells, State};

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    tag = "status",
    security(()),
    responses((status = 200, description = "It does", body = HealthView))
)]
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &HealthView { status: "ok".into(), version: crate::VERSION.into() })
}

/// Whether requests can be served
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readiness",
    tag = "status",
    security(()),
    responses((status = 200, description = "The store answers", body = ReadyView), Problems)
)]
pub(super) async fn readyz(Extracted(state): Extracted<State>) -> Response {
    let age_max = state.limits.readiness_age_max;
    let view = state.readiness.fresh(|| state.uptime(), age_max, look(&state)).await;
    if view.store == "ok" {
        return json(StatusCode::OK, &view);
    }
    let detail = format!("the store does not serve ({}): keyherd's log says more", view.store);
    Problem::new(Code::StoreUnavailable, detail)
        .with("store", view.store)
        .with("coordinator", view.coordinator)
        .with("coordinator_trouble", view.coordinator_trouble)
        .with("journal", view.journal)
        .into_response()
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "status",
    responses(
        (status = 200, description = "Exposition format 0.0.4", body = String, content_type = "text/plain"),
        Problems
    )
)]
pub(super) async fn metrics(Extracted(state): Extracted<State>) -> Response {
    state.gauges.fresh(|| state.uptime(), state.limits.gauges_age_max, count(&state)).await;
    let mut response = state.metrics.render().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "describe",
    tag = "status",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn openapi(Extracted(state): Extracted<State>) -> Response {
    json_bytes(StatusCode::OK, state.openapi.clone())
}

async fn look(state: &State) -> ReadyView {
    let (ports, patience) = (state.broker.ports(), state.limits.readiness_timeout);
    let store = timeout(patience, ports.store.last_event()).await;
    let store = store.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())));
    let journal = timeout(patience, state.broker.pending()).await;
    let journal = journal.unwrap_or_else(|_| Err(JournalError::Io("no answer in time".into())));
    let troubles = coordinator_trouble(state).await;
    report(&state.spells, &store, &journal, &troubles);
    ReadyView {
        store: store.as_ref().map_or_else(store_word, |_| "ok").into(),
        coordinator: if troubles.is_empty() { "ok" } else { "trouble" }.into(),
        coordinator_trouble: troubles,
        journal: journal.as_ref().map_or_else(journal_word, |_| "ok").into(),
        journal_pending: journal.ok(),
    }
}

/// Whoever balances a load asks every second: what is wrong is logged when it begins, and when it ends.
fn report(
    spells: &Spells,
    store: &Result<i64, StoreError>,
    journal: &Result<usize, JournalError>,
    troubles: &[String],
) {
    match store {
        Err(error) if spells.store.failed() => tracing::warn!(%error, "not ready"),
        Err(_) => {}
        Ok(_) => told(spells.store.over(), "ready again"),
    }
    match journal {
        Err(error) if spells.journal.failed() => tracing::warn!(%error, "the journal cannot be read"),
        Err(_) => {}
        Ok(_) => told(spells.journal.over(), "the journal is read again"),
    }
    match troubles {
        [] => told(spells.coordinator.over(), "the coordinator is well again"),
        troubles if spells.coordinator.failed() => {
            tracing::warn!(trouble = troubles.join("; "), "the coordinator is in trouble");
        }
        _ => {}
    }
}

fn told(spell: Option<NonZeroU64>, end: &'static str) {
    if let Some(times) = spell {
        tracing::info!(times, "{end}");
    }
}

/// What is wrong with the coordinator, one line each. One that does not say in time is in trouble.
async fn coordinator_trouble(state: &State) -> Vec<String> {
    let asked = timeout(state.limits.readiness_timeout, state.broker.ports().coordinator.trouble());
    asked.await.unwrap_or_else(|_elapsed| vec!["it does not answer in time".into()])
}

/// Counts in the store what gauges show. Where it cannot be counted, they keep their last value.
async fn count(state: &State) {
    let ports = state.broker.ports();
    state.metrics.coordinated(coordinator_trouble(state).await.is_empty());
    let counted = timeout(state.limits.request_timeout, async {
        if let Ok(pending) = state.broker.pending().await {
            state.metrics.journaled(pending);
        }
        let census = ports.store.census(state.broker.now()).await?;
        let unresolved = ports.store.unresolved().await?;
        Ok::<_, StoreError>((census, unresolved))
    });
    match counted.await {
        Ok(Ok((census, unresolved))) => {
            state.metrics.counted(&census, unresolved);
            told(state.spells.census.over(), "credentials are counted again");
        }
        Ok(Err(error)) if state.spells.census.failed() => {
            tracing::warn!(%error, "credentials cannot be counted");
        }
        Err(_elapsed) if state.spells.census.failed() => {
            tracing::warn!("credentials cannot be counted in time");
        }
        Ok(Err(_)) | Err(_) => {}
    }
}
