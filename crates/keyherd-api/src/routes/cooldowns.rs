//! Cooldowns of a credential: set, and clear by reason.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::credentials::view;
use super::extract::{Asked, NamePath};
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{CooldownDocument, CredentialView};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::state::State;

/// Which cooldown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReasonQuery {
    /// The reason it was set for.
    reason: String,
    /// The part of the account; without it the whole account's rest is meant.
    scope: Option<String>,
}

/// Lets a credential rest, or a part of it; only ever extends
#[utoipa::path(
    post,
    path = "/v1/credentials/{name}/cooldown",
    operation_id = "setCooldown",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    request_body = CooldownDocument,
    responses((status = 200, description = "How it stands now", body = CredentialView), Problems)
)]
pub(super) async fn set(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Document(document): Document<CooldownDocument>,
) -> Result<Response, Problem> {
    let cooldown = document.into_cooldown(state.broker.now())?;
    state.broker.cool(&name, &cooldown, &caller.actor()).await?;
    Ok(view(&state, StatusCode::OK, &state.broker.show(&name).await?))
}

/// Ends a rest of that reason
#[utoipa::path(
    delete,
    path = "/v1/credentials/{name}/cooldown",
    operation_id = "clearCooldown",
    tag = "credentials",
    params(("name" = String, Path, description = "The credential's name"), ReasonQuery),
    responses((status = 204, description = "It is ended"), Problems)
)]
pub(super) async fn clear(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Asked(asked): Asked<ReasonQuery>,
) -> Result<StatusCode, Problem> {
    if state.broker.clear(&name, asked.scope.as_deref(), &asked.reason, &caller.actor()).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::NotFound, format!("credential '{name}' does not rest for that reason")))
}
