//! Provider profiles: how each provider behaves.

use axum::extract::State as Extracted;
use axum::response::Response;
use http::StatusCode;

use super::extract::{Asked, NoQuery};
use super::json;
use crate::documents::{ListView, ProviderView};
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
