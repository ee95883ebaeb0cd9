//! Credentials: list, make, show, change, remove, reconnect, refresh.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::broker::{Acquired, ConnectMode, Connected};
use keyherd_core::credential::Loaded;
use serde::Deserialize;

use super::extract::{Asked, NamePath, PageQuery};
use super::json;
use crate::body::{Document, DocumentOrNone};
use crate::caller::Caller;
use crate::documents::{
    ConnectedView, CredentialDocument, CredentialView, ListView, NewTokensDocument, PatchDocument, RefreshAsk,
};
use crate::metrics::Path;
use crate::openapi::{EngineProblems, Problems};
use crate::problem::Problem;
use crate::state::State;

/// What to do where the name is taken.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ModeQuery {
    /// `replace` reconnects a credential that exists, `if_absent` leaves it as it is; without it, it is a conflict.
    #[param(example = "if_absent")]
    mode: Option<String>,
}

/// The credentials, in order of names
#[utoipa::path(
    get,
    path = "/v1/credentials",
    operation_id = "listCredentials",
    tag = "credentials",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = ListView<CredentialView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Problem> {
    let after = page.after()?;
    let found = state.broker.list(after.as_ref(), page.limit()?).await?;
    let now = state.broker.now();
    let items = found.items.iter().map(|loaded| CredentialView::new(loaded, now)).collect();
    Ok(json(StatusCode::OK, &ListView { items, next: found.next }))
}

/// Makes a credential
///
/// One that joins an existing chain leaves the chain's tokens as they are; `note` says so where the document has others.
#[utoipa::path(
    post,
    path = "/v1/credentials",
    operation_id = "createCredential",
    tag = "credentials",
    params(ModeQuery),
    request_body = CredentialDocument,
    responses(
        (status = 201, description = "It is there", body = ConnectedView),
        (status = 200, description = "It was there, and was reconnected or left as it is", body = ConnectedView),
        Problems
    )
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Asked(asked): Asked<ModeQuery>,
    Document(document): Document<CredentialDocument>,
) -> Result<Response, Problem> {
    let mode = mode(asked.mode.as_deref())?;
    let draft = document.into_draft()?;
    let handed_in = draft.refresh_token.clone();
    let connected = state.broker.connect(draft, mode, &caller.actor()).await?;
    let status = match &connected {
        Connected::Created(_) | Connected::Joined(_) => StatusCode::CREATED,
        Connected::Replaced(_) | Connected::Kept(_) => StatusCode::OK,
    };
    Ok(json(status, &ConnectedView::new(&connected, handed_in.as_ref(), state.broker.now())))
}

/// One credential, without its secrets
#[utoipa::path(
    get,
    path = "/v1/credentials/{name}",
    operation_id = "showCredential",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 200, description = "How it stands", body = CredentialView), Problems)
)]
pub(super) async fn show(
    Extracted(state): Extracted<State>,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    Ok(view(&state, StatusCode::OK, &state.broker.show(&name).await?))
}

/// Changes a credential; its tokens stay
///
/// Client, token URL and scopes belong to the token chain: where several credentials share it, all of them change.
#[utoipa::path(
    patch,
    path = "/v1/credentials/{name}",
    operation_id = "amendCredential",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    request_body = PatchDocument,
    responses((status = 200, description = "How it stands now", body = CredentialView), Problems)
)]
pub(super) async fn amend(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Document(patch): Document<PatchDocument>,
) -> Result<Response, Problem> {
    let loaded = state.broker.amend(&name, patch.into_amendment()?, &caller.actor()).await?;
    Ok(view(&state, StatusCode::OK, &loaded))
}

/// Removes a credential; its chain goes with its last member
#[utoipa::path(
    delete,
    path = "/v1/credentials/{name}",
    operation_id = "removeCredential",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    state.broker.remove(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reconnects a credential: new tokens, all else as it is
#[utoipa::path(
    put,
    path = "/v1/credentials/{name}/tokens",
    operation_id = "reconnectCredential",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    request_body = NewTokensDocument,
    responses((status = 200, description = "How it stands now", body = CredentialView), Problems)
)]
pub(super) async fn reconnect(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Document(document): Document<NewTokensDocument>,
) -> Result<Response, Problem> {
    let loaded = state.broker.reconnect(&name, document.into_tokens()?, &caller.actor()).await?;
    Ok(view(&state, StatusCode::OK, &loaded))
}

/// Refreshes a credential now
///
/// Although its token may be valid. Coalesced: within a few seconds, all who ask share one refresh.
#[utoipa::path(
    post,
    path = "/v1/credentials/{name}/refresh",
    operation_id = "refreshCredential",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    request_body(content = Option<RefreshAsk>, description = "May be left out"),
    responses((status = 200, description = "How it stands now", body = CredentialView), EngineProblems)
)]
pub(super) async fn refresh(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    DocumentOrNone(ask): DocumentOrNone<RefreshAsk>,
) -> Result<Response, Problem> {
    let wait = ask.wait(state.limits.wait_max)?;
    let begun = state.uptime();
    let outcome = state.broker.refresh(name.as_str(), wait, &caller.actor()).await;
    state.metrics.acquired(Path::Flight, state.uptime().saturating_sub(begun));
    match outcome? {
        Acquired::Token(_) => Ok(view(&state, StatusCode::OK, &state.broker.show(&name).await?)),
        Acquired::Refused(refusal) => Err(Problem::refused(name.as_str(), &refusal, state.broker.now())),
    }
}

fn mode(word: Option<&str>) -> Result<ConnectMode, Problem> {
    match word {
        None => Ok(ConnectMode::Create),
        Some("replace") => Ok(ConnectMode::Replace),
        Some("if_absent") => Ok(ConnectMode::IfAbsent),
        Some(_) => Err(Problem::invalid("in the query: 'mode' is replace or if_absent, or is left out")),
    }
}

pub(super) fn view(state: &State, status: StatusCode, loaded: &Loaded) -> Response {
    json(status, &CredentialView::new(loaded, state.broker.now()))
}
