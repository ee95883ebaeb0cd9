//! `POST /v1/token`: the hot path of the door. No span, no layer; the answer's bytes are wiped when they were sent.

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use keyherd_core::broker::{Acquired, Token};
use zeroize::Zeroizing;

use super::json_bytes;
use crate::body;
use crate::caller::Caller;
use crate::documents::{self, TokenAsk, TokenView};
use crate::metrics::Path;
use crate::openapi::EngineProblems;
use crate::problem::Problem;
use crate::state::State;

/// A token's answer, without the token and the name, in bytes.
const FRAME_LEN: usize = 288;

/// A valid access token
///
/// From memory where it is valid; otherwise it is refreshed, once for all who ask. A caller that leaves takes only
/// itself away. `rejected` names an access token that upstream refused.
#[utoipa::path(
    post,
    path = "/v1/token",
    operation_id = "getToken",
    tag = "tokens",
    request_body = TokenAsk,
    responses((status = 200, description = "A valid access token; `no-store`", body = TokenView), EngineProblems)
)]
pub(crate) async fn by_router(
    Extracted(state): Extracted<State>,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    answer(&state, caller, body).await
}

/// The same, for whoever knows already that it is this route.
pub(crate) async fn answer<B>(state: &State, caller: Caller, body: B) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let bytes = body::read(body, state.limits.body_len_max, state.limits.request_timeout).await?;
    let (name, ask) = documents::parse::<TokenAsk>(&bytes)?.into_ask(state.limits.wait_max)?;
    caller.may_fetch(&name)?;
    let begun = state.uptime();
    if let Some(token) = state.broker.hot(&name, &ask) {
        let response = show(&token);
        state.metrics.acquired(Path::Hot, state.uptime().saturating_sub(begun));
        return response;
    }
    let outcome = state.broker.acquire(&name, &ask, &caller.actor()).await;
    state.metrics.acquired(Path::Flight, state.uptime().saturating_sub(begun));
    match outcome? {
        Acquired::Token(token) => {
            caller.is_still(&state.broker).await?;
            show(&token)
        }
        Acquired::Refused(refusal) if state.broker.knows_pool(&name) => {
            Err(Problem::refused_pool(&name, &refusal, state.broker.now()))
        }
        Acquired::Refused(refusal) => Err(Problem::refused(&name, &refusal, state.broker.now())),
    }
}

fn show(token: &Token) -> Result<Response, Problem> {
    let mut bytes = Vec::with_capacity(token.expose().len() + token.credential().len() + FRAME_LEN);
    serde_json::to_writer(&mut bytes, &TokenView::new(token)).map_err(|_| Problem::internal())?;
    Ok(json_bytes(StatusCode::OK, Bytes::from_owner(Zeroizing::new(bytes))))
}
