//! Bounds on a request's time, and changes that outlive their callers.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use tokio::time::timeout;

use crate::problem::{Code, Problem};
use crate::state::State;

/// Holds a request to its bound. A change runs to its end although its caller may leave: half of it is never left out.
pub(super) async fn bounded(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    let Some(patience) = patience(&state, &request) else { return next.run(request).await };
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return within(patience, next.run(request)).await;
    }
    let room = timeout(state.limits.request_timeout, state.changes_room.clone().acquire_owned()).await;
    let Ok(Ok(room)) = room else { return busy(&state).into_response() };
    let work = async move {
        let response = within(patience, next.run(request)).await;
        drop(room);
        response
    };
    state.changes.spawn(work).await.unwrap_or_else(|lost| {
        tracing::error!(panicked = lost.is_panic(), "a change ended without an answer");
        Problem::internal().into_response()
    })
}

/// How long it may take; `None`: the handler holds a bound of its own.
fn patience(state: &State, request: &Request) -> Option<Duration> {
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        Some("/v1/token" | "/v1/report" | "/v1/events" | "/v1/credentials/{name}/refresh") => None,
        // Waits for a human, as long as the caller says.
        Some("/v1/approvals/{id}") => None,
        Some("/ui/live") => None,
        Some("/v1/audit/verify" | "/ui/audit/verify") => Some(state.limits.verify_timeout),
        _ => Some(state.limits.request_timeout * 2),
    }
}

async fn within(patience: Duration, work: impl Future<Output = Response>) -> Response {
    timeout(patience, work).await.unwrap_or_else(|_elapsed| {
        let detail = format!("this took longer than {} s: the store may be overloaded", patience.as_secs());
        Problem::new(Code::Timeout, detail).into_response()
    })
}

fn busy(state: &State) -> Problem {
    let detail =
        format!("{} changes are under way, and none of them ended in time", state.limits.changes_max);
    Problem::new(Code::Busy, detail).retry_after(Duration::from_secs(1))
}
