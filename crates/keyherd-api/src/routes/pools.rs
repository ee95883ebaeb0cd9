//! Pools: list, make, show, change, remove, rotate.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;
use keyherd_core::pool::Pool;

use super::extract::{Asked, NamePath, PageQuery};
use super::json;
use crate::body::{Document, DocumentOrNone};
use crate::caller::Caller;
use crate::documents::{ListView, PoolDocument, PoolPatchDocument, PoolView, RotateDocument};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// The pools, in order of names
#[utoipa::path(
    get,
    path = "/v1/pools",
    operation_id = "listPools",
    tag = "pools",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = ListView<PoolView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Problem> {
    let after = page.after()?;
    let found = state.broker.pools(after.as_ref(), page.limit()?).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for pool in found.items {
        items.push(seen(&state, pool).await?);
    }
    Ok(json(StatusCode::OK, &ListView { items, next: found.next }))
}

/// Makes a pool
///
/// Its first member is the active one. `POST /v1/token` takes its name from now on.
#[utoipa::path(
    post,
    path = "/v1/pools",
    operation_id = "createPool",
    tag = "pools",
    request_body = PoolDocument,
    responses((status = 201, description = "It is there", body = PoolView), Problems)
)]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<PoolDocument>,
) -> Result<Response, Problem> {
    let wish = document.into_wish()?;
    let pool = state.broker.create_pool(&wish.name, wish.members, wish.strategy, &caller.actor()).await?;
    Ok(json(StatusCode::CREATED, &seen(&state, pool).await?))
}

/// One pool: who is active, and how each member stands
#[utoipa::path(
    get,
    path = "/v1/pools/{name}",
    operation_id = "showPool",
    tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    responses((status = 200, description = "How it stands", body = PoolView), Problems)
)]
pub(super) async fn show(
    Extracted(state): Extracted<State>,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    let pool = state.broker.pool(&name).await?;
    Ok(json(StatusCode::OK, &seen(&state, pool).await?))
}

/// Changes a pool's members or strategy
///
/// In one step: where something forbids it, nothing is changed. The active member stays where it stays a member.
#[utoipa::path(
    patch,
    path = "/v1/pools/{name}",
    operation_id = "changePool",
    tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    request_body = PoolPatchDocument,
    responses((status = 200, description = "How it stands now", body = PoolView), Problems)
)]
pub(super) async fn amend(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    Document(patch): Document<PoolPatchDocument>,
) -> Result<Response, Problem> {
    let pool = state.broker.change_pool(&name, patch.into_change()?, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &seen(&state, pool).await?))
}

/// Removes a pool; its members stay as credentials
#[utoipa::path(
    delete,
    path = "/v1/pools/{name}",
    operation_id = "removePool",
    tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    state.broker.remove_pool(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a pool's pointer by hand
///
/// To the next member in order, or to the one that is named. It is the first choice also while all rest.
#[utoipa::path(
    post,
    path = "/v1/pools/{name}/rotate",
    operation_id = "rotatePool",
    tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    request_body(content = Option<RotateDocument>, description = "May be left out"),
    responses((status = 200, description = "How it stands now", body = PoolView), Problems)
)]
pub(super) async fn rotate(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
    DocumentOrNone(document): DocumentOrNone<RotateDocument>,
) -> Result<Response, Problem> {
    let to = document.into_member()?;
    let pool = state.broker.rotate_pool(&name, to.as_ref(), &caller.actor()).await?;
    Ok(json(StatusCode::OK, &seen(&state, pool).await?))
}

async fn seen(state: &State, pool: Pool) -> Result<PoolView, Problem> {
    let status = state.broker.status_of(pool).await?;
    Ok(PoolView::new(&status, state.broker.now()))
}
