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
    after: Option<String>,
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

    /// Of a list in order of names.
    pub(super) fn after(&self) -> Result<Option<Name>, Problem> {
        self.after.as_deref().map(|text| Name::parse(text).map_err(|_| no_cursor())).transpose()
    }
}

/// How many items a page has.
pub(super) fn limit(limit: Option<usize>) -> Result<usize, Problem> {
    within("limit", limit.unwrap_or(PAGE_DEFAULT), PAGE_MAX)
}

/// A count from 1 on.
pub(super) fn within(field: &str, count: usize, max: usize) -> Result<usize, Problem> {
    if (1..=max).contains(&count) {
        return Ok(count);
    }
    Err(Problem::invalid(format!("in the query: '{field}' is {count}, and must be 1 to {max}")))
}

/// Nothing of ours leads there.
pub(super) fn no_cursor() -> Problem {
    Problem::invalid("in the query: 'after' is not the 'next' of a list")
}

/// What is wrong with a query, by the field's name: what a number's reader says names neither it nor what is wanted.
fn worded(message: &str) -> String {
    match message.split_once(": ") {
        Some((field, "invalid digit found in string" | "cannot parse integer from empty string")) => {
            format!("'{field}' must be a whole number, 0 or more")
        }
        Some((
            field,
            "number too large to fit in target type" | "number too small to fit in target type",
        )) => {
            format!("'{field}' is beyond all bounds")
        }
        _ => plain(message),
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
            Problem::invalid(format!("in the query: {}", worded(message)))
        })?;
        Ok(Self(asked))
    }
}
