//! Provider profiles: how each provider behaves.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;

use super::extract::{Asked, NamePath, NoQuery};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{ListView, ProviderDocument, ProviderView};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// The provider profiles that this server knows
#[utoipa::path(
    get,
    path = "/v1/providers",
    operation_id = "listProviders",
    tag = "providers",
    responses((status = 200, description = "All of them", body = ListView<ProviderView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let profiles = &state.broker.ports().profiles;
    let mut views = Vec::new();
    for name in profiles.names() {
        let found = profiles.find(&name).map_err(|error| Problem::new(Code::Conflict, error.to_string()))?;
        views.extend(found.map(|profile| ProviderView::from(&*profile)));
    }
    Ok(json(StatusCode::OK, &ListView::whole(views)))
}

/// Imports a profile, for every process of the installation
///
/// Into the store of a fleet; into the data folder of a server that has its store to itself. It stands before a built-in one
/// of its name.
#[utoipa::path(
    post,
    path = "/v1/providers",
    operation_id = "importProvider",
    tag = "providers",
    request_body = ProviderDocument,
    responses(
        (status = 201, description = "It is there", body = ProviderView),
        (status = 200, description = "It is in the place of the one that was imported before", body = ProviderView),
        Problems
    )
)]
pub(super) async fn import(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<ProviderDocument>,
) -> Result<Response, Problem> {
    let shelved = state.shelf.import(&document.toml, &caller.actor()).await?;
    let status = if shelved.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &ProviderView::from(&shelved.profile)))
}

/// Takes an imported profile away again
///
/// A built-in one of that name is in force then. One that credentials use stays, where there is none.
#[utoipa::path(
    delete,
    path = "/v1/providers/{name}",
    operation_id = "removeProvider",
    tag = "providers",
    params(("name" = String, Path, description = "The profile's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    state.shelf.remove(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
