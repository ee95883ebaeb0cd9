//! What handlers take from a request's path and query, refused in our own words.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use keyherd_core::broker::PAGE_MAX;
use keyherd_core::ids::Name;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::documents::plain;
use crate::problem::Problem;
use crate::state::State;

/// Items on a page where the caller does not say how many.
const PAGE_DEFAULT: usize = 100;

/// The `{name}` in a path.
pub(super) struct NamePath(pub(super) Name);

/// A query, unknown fields refused.
pub(super) struct Asked<T>(pub(super) T);

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the part before; absent: from the start.
    pub(super) after: Option<String>,
    /// The most items, 1 to 1000; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Of a route that takes no query: whoever gives one wants something that is not done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        limit(self.limit)
    }
}

/// How many items a page has.
pub(super) fn limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(limit) => Err(Problem::invalid(format!("'limit' is {limit}, and must be 1 to {PAGE_MAX}"))),
    }
}

impl FromRequestParts<State> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid("the name in the path is no UTF-8 text"))?;
        Ok(Self(Name::parse(&text)?))
    }
}

impl<T: DeserializeOwned> FromRequestParts<State> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let Query(asked) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let message = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::invalid(format!("in the query: {}", plain(message)))
        })?;
        Ok(Self(asked))
    }
}
