//! Agents: list, make, revoke.

use axum::extract::State as Extracted;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use zeroize::Zeroizing;

use super::extract::{Asked, NamePath, NoQuery};
use super::{json, json_bytes};
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{AgentDocument, AgentKeyView, AgentView, ListView, PhantomView};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// The agents, without their keys
#[utoipa::path(
    get,
    path = "/v1/agents",
    operation_id = "listAgents",
    tag = "agents",
    responses((status = 200, description = "All of them", body = ListView<AgentView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let agents = state.broker.agents().await?;
    Ok(json(StatusCode::OK, &ListView::whole(agents.iter().map(AgentView::new))))
}

/// Makes an agent
///
/// Its key is in the answer, and never shown again.
#[utoipa::path(
    post,
    path = "/v1/agents",
    operation_id = "createAgent",
    tag = "agents",
    request_body = AgentDocument,
    responses((status = 201, description = "It is there; `no-store`", body = AgentKeyView), Problems)
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<AgentDocument>,
) -> Result<Response, Problem> {
    let (agent, key) = state.broker.create_agent(document.into_new()?, &caller.actor()).await?;
    let view = AgentKeyView::new(&agent, &key);
    // Large enough from the start: a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(
        ANSWER_LEN + 2 * agent.allowed.iter().map(|name| name.as_str().len() + 2).sum::<usize>(),
    );
    serde_json::to_writer(&mut bytes, &view).map_err(|_| Problem::internal())?;
    Ok(json_bytes(StatusCode::CREATED, Bytes::from_owner(Zeroizing::new(bytes))))
}

/// More than an answer has beside the names that are allowed.
const ANSWER_LEN: usize = 1_024;

/// Revokes an agent
///
/// From the answer on its key opens nothing here, and nothing on other hosts as soon as they are told.
#[utoipa::path(
    delete,
    path = "/v1/agents/{name}",
    operation_id = "revokeAgent",
    tag = "agents",
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 204, description = "Its key is worthless"), Problems)
)]
pub(super) async fn revoke(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    state.broker.revoke_agent(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An agent's phantoms
///
/// What it puts where a secret would stand, each with the name of a variable for it. They are worth something behind the
/// proxy only, and the same as long as the agent lives.
#[utoipa::path(
    get,
    path = "/v1/agents/{name}/env",
    operation_id = "agentEnv",
    tag = "agents",
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, description = "All of them; `no-store`", body = ListView<PhantomView>), Problems)
)]
pub(super) async fn env(
    Extracted(state): Extracted<State>,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    let phantoms = state.broker.phantoms_of(&name, &*state.signer).await?;
    let view = ListView::whole(PhantomView::all(&phantoms));
    let bytes = serde_json::to_vec(&view).map_err(|_| Problem::internal())?;
    Ok(json_bytes(StatusCode::OK, Bytes::from_owner(Zeroizing::new(bytes))))
}
