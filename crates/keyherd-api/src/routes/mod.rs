//! The routes, in groups that share a bound on time.

mod agents;
mod audit;
mod bindings;
mod bounded;
mod clients;
mod cooldowns;
mod credentials;
mod events;
mod extract;
mod pools;
mod providers;
mod report;
mod status;
pub(crate) mod token;
// Rules and approvals.
mod approvals;
mod rules;
// Channels.
mod channels;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::dashboard;
use crate::documents::shown;
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::state::State;

/// Every route, and the description of all of them.
pub(crate) fn described() -> (OpenApiRouter<State>, Bytes) {
    let mut router = OpenApiRouter::with_openapi(openapi::base())
        .merge(quick())
        .merge(asking())
        .merge(waiting())
        .merge(OpenApiRouter::new().routes(routes!(audit::verify)));
    let text = router.to_openapi().to_json().unwrap_or_default();
    (router, text.into())
}

/// The router over its state.
pub(crate) fn router(described: OpenApiRouter<State>, state: &State) -> Router {
    let (router, _) = described.split_for_parts();
    router
        .merge(dashboard::router())
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route)
        .layer(from_fn_with_state(state.clone(), bounded::bounded))
        .with_state(state.clone())
}

/// Routes that ask the store, and no provider.
fn quick() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(dashboard::index))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(status::openapi))
        .routes(routes!(credentials::list, credentials::create))
        .routes(routes!(credentials::show, credentials::amend, credentials::remove))
        .routes(routes!(credentials::reconnect))
        .routes(routes!(cooldowns::set, cooldowns::clear))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::put, clients::remove))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::revoke))
        .routes(routes!(agents::env))
        .routes(routes!(bindings::list, bindings::add))
        .routes(routes!(bindings::remove))
        .routes(routes!(audit::entries))
        .routes(routes!(providers::list, providers::import))
        .routes(routes!(providers::remove))
        // Pools.
        .routes(routes!(pools::list, pools::create))
        .routes(routes!(pools::show, pools::amend, pools::remove))
        .routes(routes!(pools::rotate))
}

/// Rules and approvals.
fn asking() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(rules::set_default))
        .routes(routes!(rules::import))
        .routes(routes!(rules::test))
        .routes(routes!(rules::remove))
        .routes(routes!(approvals::list, approvals::create))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::answer))
        .routes(routes!(channels::list, channels::add))
        .routes(routes!(channels::remove))
}

/// Routes that keep their caller waiting, within a bound of their own.
fn waiting() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(token::by_router))
        .routes(routes!(credentials::refresh))
        .routes(routes!(report::tell))
        .routes(routes!(channels::test))
        .routes(routes!(events::listen))
}

/// An answer in JSON that nobody keeps.
pub(crate) fn json(status: StatusCode, view: &impl Serialize) -> Response {
    match serde_json::to_vec(view) {
        Ok(bytes) => json_bytes(status, bytes.into()),
        Err(_) => Problem::internal().into_response(),
    }
}

/// The same, of bytes that are JSON.
pub(crate) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is nothing at '{}': GET /openapi.json lists what there is", shown(uri.path())),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let (method, path) = (shown(method.as_str()), shown(uri.path()));
    Problem::new(Code::MethodNotAllowed, format!("{method} is not for '{path}': see the Allow header"))
}
