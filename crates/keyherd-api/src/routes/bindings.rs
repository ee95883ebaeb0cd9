//! Bindings: list, add, remove.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::ids::BindingId;

use super::extract::{Asked, NamePath, NoQuery};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{BindingDocument, BindingView, ListView};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// The bindings, in the order of their making
#[utoipa::path(
    get,
    path = "/v1/bindings",
    operation_id = "listBindings",
    tag = "bindings",
    responses((status = 200, description = "All of them", body = ListView<BindingView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let bindings = state.broker.bindings().await?;
    Ok(json(StatusCode::OK, &ListView::whole(bindings.iter().map(BindingView::new))))
}

/// Adds a binding: lets a credential or pool go to a host
#[utoipa::path(
    post,
    path = "/v1/bindings",
    operation_id = "addBinding",
    tag = "bindings",
    request_body = BindingDocument,
    responses((status = 201, description = "It is there", body = BindingView), Problems)
)]
pub(super) async fn add(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<BindingDocument>,
) -> Result<Response, Problem> {
    let binding = state.broker.add_binding(document.into_draft()?, &caller.actor()).await?;
    Ok(json(StatusCode::CREATED, &BindingView::new(&binding)))
}

/// Removes a binding
#[utoipa::path(
    delete,
    path = "/v1/bindings/{id}",
    operation_id = "removeBinding",
    tag = "bindings",
    params(("id" = String, Path, description = "The binding's id")),
    responses((status = 204, description = "Nothing is injected by it any more"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(text): NamePath,
) -> Result<StatusCode, Problem> {
    let Some(id) = BindingId::parse(text.as_str()) else {
        let detail = format!("no binding is '{text}': GET /v1/bindings lists them");
        return Err(Problem::new(Code::NotFound, detail));
    };
    state.broker.remove_binding(id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
