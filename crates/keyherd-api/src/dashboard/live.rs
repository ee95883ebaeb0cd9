//! `GET /ui/live`: tells a page that something has changed; the page then asks for itself anew.
//!
//! Carries no more than the kind of what happened. A stream ends now and then, so that a session's end reaches it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use super::session::Signed;
use crate::state::State;

/// How long one stream lasts; browsers come back by themselves.
const LASTS: Duration = Duration::from_secs(60);
/// The first bytes.
const HELLO: &str = "retry: 1000\n\n";

/// The stream.
pub(super) async fn listen(Extracted(state): Extracted<State>, _signed: Signed) -> Response {
    let Ok(room) = state.events_room.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (events, over) = (state.broker.events(), Box::pin(sleep(LASTS)));
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(HELLO.as_bytes()))]);
    let rest =
        stream::unfold((events, over, state, room), |(mut events, mut over, state, room)| async move {
            let text = tokio::select! {
                () = state.closing.cancelled() => return None,
                () = &mut over => return None,
                received = events.recv() => match received {
                    Ok(event) => format!("data: {}\n\n", event.kind),
                    Err(RecvError::Lagged(_)) => "data: lagged\n\n".to_owned(),
                    Err(RecvError::Closed) => return None,
                },
            };
            Some((Ok(Bytes::from(text)), (events, over, state, room)))
        });
    let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}
