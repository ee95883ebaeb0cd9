//! Client apps that credentials share by name.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::ids::Name;
use keyherd_core::ports::store::NamedClient;

use super::extract::{Asked, NamePath, NoQuery};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{ClientDocument, ClientSettingsDocument, ClientView, ListView, ambiguous_removal};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// The client apps, without their secrets
#[utoipa::path(
    get,
    path = "/v1/clients",
    operation_id = "listClients",
    tag = "clients",
    responses((status = 200, description = "All of them", body = ListView<ClientView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let clients = state.broker.clients().await?;
    Ok(json(StatusCode::OK, &ListView::whole(clients.iter().map(ClientView::new))))
}

/// Makes a client app
#[utoipa::path(
    post,
    path = "/v1/clients",
    operation_id = "createClient",
    tag = "clients",
    request_body = ClientDocument,
    responses((status = 201, description = "It is there", body = ClientView), Problems)
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<ClientDocument>,
) -> Result<Response, Problem> {
    let client = document.into_client()?;
    if find(&state, &client.provider, &client.name).await?.is_some() {
        let (name, provider) = (&client.name, &client.provider);
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "client '{name}' of provider '{provider}' exists already: PUT /v1/clients/{name} replaces it"
            ),
        ));
    }
    state.broker.put_client(client.clone(), &caller.actor()).await?;
    Ok(json(StatusCode::CREATED, &ClientView::new(&client)))
}

/// Makes or replaces a client app; a new configuration lifts its block
#[utoipa::path(
    put,
    path = "/v1/clients/{name}",
    operation_id = "putClient",
    tag = "clients",
    params(("name" = String, Path, description = "The client app's name")),
    request_body = ClientSettingsDocument,
    responses(
        (status = 201, description = "It is new", body = ClientView),
        (status = 200, description = "It was replaced", body = ClientView),
        Problems
    )
)]
pub(super) async fn put(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Document(settings): Document<ClientSettingsDocument>,
) -> Result<Response, Problem> {
    let client = settings.into_client(name)?;
    let is_new = state.broker.put_client(client.clone(), &caller.actor()).await?;
    let stored = find(&state, &client.provider, &client.name).await?.unwrap_or(client);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &ClientView::new(&stored)))
}

/// Removes a client app that no credential uses
#[utoipa::path(
    delete,
    path = "/v1/clients/{name}",
    operation_id = "removeClient",
    tag = "clients",
    params(("name" = String, Path, description = "The client app's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    if let Some(problem) = ambiguous_removal(&state.broker.clients().await?, &name) {
        return Err(Problem::new(Code::Conflict, problem));
    }
    state.broker.remove_client(None, &name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(state: &State, provider: &str, name: &Name) -> Result<Option<NamedClient>, Problem> {
    let clients = state.broker.clients().await?;
    Ok(clients.into_iter().find(|client| client.provider == provider && client.name == *name))
}
