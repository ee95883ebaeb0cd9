//! Channels: list, add, remove, test.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;

use super::extract::{Asked, NamePath, NoQuery};
use super::json;
use crate::body::Document;
use crate::caller::Caller;
use crate::documents::{ChannelDocument, ChannelKeyView, ChannelView, ListView, TestedView};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::state::State;

/// The channels, without their secrets, and how it went there last
#[utoipa::path(
    get,
    path = "/v1/channels",
    operation_id = "listChannels",
    tag = "channels",
    responses((status = 200, description = "All of them", body = ListView<ChannelView>), Problems)
)]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Asked(NoQuery {}): Asked<NoQuery>,
) -> Result<Response, Problem> {
    let channels = state.broker.channels().await?;
    Ok(json(StatusCode::OK, &ListView::whole(channels.iter().map(ChannelView::new))))
}

/// Adds a channel: from now on approvals are announced there
#[utoipa::path(
    post,
    path = "/v1/channels",
    operation_id = "addChannel",
    tag = "channels",
    request_body = ChannelDocument,
    responses(
        (status = 201, description = "It is there; a signing key that was made is shown this once", body = ChannelKeyView),
        Problems
    )
)]
pub(super) async fn add(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Document(document): Document<ChannelDocument>,
) -> Result<Response, Problem> {
    let (name, draft) = document.into_draft()?;
    let (channel, made) = state.broker.add_channel(name, draft, &caller.actor()).await?;
    Ok(json(StatusCode::CREATED, &ChannelKeyView::new(&channel, made.as_ref())))
}

/// Removes a channel: nothing is announced there any more, and nobody answers through it
#[utoipa::path(
    delete,
    path = "/v1/channels/{name}",
    operation_id = "removeChannel",
    tag = "channels",
    params(("name" = String, Path, description = "The channel's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<StatusCode, Problem> {
    state.broker.remove_channel(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message that asks nothing, once
#[utoipa::path(
    post,
    path = "/v1/channels/{name}/test",
    operation_id = "testChannel",
    tag = "channels",
    params(("name" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "Whether it was delivered, or what went wrong", body = TestedView), Problems)
)]
pub(super) async fn test(
    Extracted(state): Extracted<State>,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    let tested = state.broker.test_channel(&name).await?;
    Ok(json(StatusCode::OK, &TestedView::new(&name, &tested)))
}
