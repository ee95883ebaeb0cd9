//! `GET /v1/events`: what is committed on the store, by whichever process, as server-sent events.
//!
//! The outbox is the truth and the broker's broadcast the fast way: a listener that lags, or comes back with
//! `Last-Event-ID`, reads the outbox until it has caught up. Memory per listener is bounded by one batch.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::StoredEvent;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::extract::Asked;
use crate::documents::EventView;
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// Events read from the outbox at once.
const BATCH: usize = 500;
/// The first bytes: so that clients see that they are connected, and come back soon if they lose us.
const HELLO: &str = "retry: 1000\n\n";
const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// Where to begin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AfterQuery {
    /// Begin after this event; as the header `Last-Event-ID`, which wins. Without either: with what comes now.
    after: Option<i64>,
}

/// Events as they are committed
///
/// Server-sent events. `event` is the kind, `id` rises, `data` is one `EventView` in JSON. A listener that was too
/// slow gets `lagged` and then what it missed. Ends when the server stops.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "listenToEvents",
    tag = "events",
    params(
        AfterQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "Begin after this event")
    ),
    responses(
        (status = 200, description = "Until the server stops", body = EventView, content_type = "text/event-stream"),
        Problems
    )
)]
pub(super) async fn listen(
    Extracted(state): Extracted<State>,
    Asked(asked): Asked<AfterQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?.or(asked.after);
    let room = state.events_room.clone().try_acquire_owned().map_err(|_| busy(&state))?;
    // Subscribed before the outbox is read: what is committed in between comes twice, and is known by its number.
    let live = state.broker.events();
    let last = state.broker.ports().store.last_event().await?;
    let listener = Listener {
        state,
        live,
        after: after.unwrap_or(last).clamp(0, last),
        is_behind: after.is_some(),
        is_new: true,
        is_lost: after.is_some_and(|after| after > last),
        _room: room,
    };
    Ok(streaming(listener))
}

struct Listener {
    state: State,
    live: Receiver<Arc<StoredEvent>>,
    /// The last event that was sent, or that the listener knows.
    after: i64,
    /// There may be more in the outbox.
    is_behind: bool,
    is_new: bool,
    /// What the listener knew last is not in the outbox any more.
    is_lost: bool,
    _room: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let text = if std::mem::take(&mut self.is_new) { HELLO.to_owned() } else { self.more().await? };
        Some((Ok(text.into()), self))
    }

    /// The next piece of the stream; `None`: the server stops.
    async fn more(&mut self) -> Option<String> {
        loop {
            if std::mem::take(&mut self.is_lost) {
                return Some(lagged(None));
            }
            if std::mem::take(&mut self.is_behind)
                && let Some(text) = self.catch_up().await
            {
                return Some(text);
            }
            let closing = self.state.closing.clone();
            tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                received = self.live.recv() => {
                    if let Some(text) = self.received(received)? {
                        return Some(text);
                    }
                }
                () = tokio::time::sleep(self.state.limits.events_keep_alive) => {
                    self.is_behind = true;
                    return Some(KEEP_ALIVE.into());
                }
            }
        }
    }

    /// What was committed since: a batch of the outbox, if there is any.
    async fn catch_up(&mut self) -> Option<String> {
        let events = match self.state.broker.ports().store.events(self.after, BATCH).await {
            Ok(events) => events,
            Err(error) => return self.not_now(&error),
        };
        let (first, last) = (events.first()?.seq, events.last()?.seq);
        let mut text = if first > self.after + 1 { lagged(None) } else { String::new() };
        events.iter().for_each(|event| text.push_str(&line(event)));
        self.after = last;
        self.is_behind = events.len() == BATCH;
        Some(text)
    }

    /// The store does not answer: tried again after the next event or comment.
    fn not_now(&self, error: &StoreError) -> Option<String> {
        tracing::warn!(%error, "a listener to events cannot catch up");
        None
    }

    /// `None`: the broker is gone. `Some(None)`: nothing to send yet.
    fn received(&mut self, received: Result<Arc<StoredEvent>, RecvError>) -> Option<Option<String>> {
        match received {
            Ok(event) if event.seq <= self.after => Some(None),
            Ok(event) if event.seq == self.after + 1 => {
                self.after = event.seq;
                Some(Some(line(&event)))
            }
            Ok(_) => {
                self.is_behind = true;
                Some(None)
            }
            Err(RecvError::Lagged(missed)) => {
                self.is_behind = true;
                Some(Some(lagged(Some(missed))))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

fn line(event: &StoredEvent) -> String {
    let data = serde_json::to_string(&EventView::from(event)).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.kind)
}

/// Without an `id`: it is no event of the outbox.
fn lagged(missed: Option<u64>) -> String {
    format!("event: lagged\ndata: {}\n\n", json!({"event": "lagged", "missed": missed}))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| Problem::invalid("Last-Event-ID is no number: send the last event's 'id'"))
}

fn busy(state: &State) -> Problem {
    let detail = format!("{} listeners are connected, and no more are taken", state.limits.events_max);
    Problem::new(Code::Busy, detail).retry_after(state.limits.events_keep_alive)
}

fn streaming(listener: Listener) -> Response {
    let mut response = Response::new(Body::from_stream(stream::unfold(listener, Listener::next)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
