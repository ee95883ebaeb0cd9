//! What forms send: read within a bound, from pages of this server alone.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use url::form_urlencoded;

use super::layout;
use super::session::Signed;
use crate::state::State;

/// The largest form, in bytes.
const LEN_MAX: usize = 64 * 1024;
/// What a page that asks by itself sends along.
const BY_ITSELF: &str = "keyherd-live";
/// The field that says whose form it is.
pub(super) const CSRF: &str = "csrf";

/// A form's fields, in order.
pub(crate) struct Fields(Vec<(String, String)>);

/// A form of a session: sent from one of its own pages.
pub(super) struct Form {
    pub(super) signed: Signed,
    pub(super) fields: Fields,
}

/// A form of somebody who is not logged in, from a page of ours.
pub(super) struct OpenForm(pub(super) Fields);

impl Fields {
    /// A field that is filled in.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim());
        found.find(|value| !value.is_empty())
    }

    /// Of a query.
    pub(super) fn of(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }
}

impl FromRequestParts<State> for Signed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let touches = !parts.headers.contains_key(BY_ITSELF);
        signed(&parts.headers, state, touches).ok_or_else(|| {
            if parts.method == Method::GET && touches { login_first(parts) } else { logged_out() }
        })
    }
}

impl FromRequestParts<State> for Fields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl FromRequest<State> for OpenForm {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Response> {
        if !is_from_here(request.headers()) {
            return Err(strange());
        }
        read(request, state).await.map(Self)
    }
}

impl FromRequest<State> for Form {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Response> {
        let signed = signed(request.headers(), state, true).ok_or_else(logged_out)?;
        if !is_from_here(request.headers()) {
            return Err(strange());
        }
        let fields = read(request, state).await?;
        if !signed.wrote(fields.text(CSRF).unwrap_or_default()) {
            return Err(strange());
        }
        Ok(Self { signed, fields })
    }
}

fn signed(headers: &HeaderMap, state: &State, touches: bool) -> Option<Signed> {
    state.sessions.of(headers, state.uptime(), &state.limits, touches)
}

/// Browsers say where a form was sent from. One that says nothing has shown what only our pages know.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_same_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_ours = text(ORIGIN.as_str()).is_none_or(|origin| {
        let named = origin.split_once("://").map(|(_, authority)| authority);
        named.is_some() && named == text(HOST.as_str())
    });
    is_same_site && is_ours
}

async fn read(request: Request<Body>, state: &State) -> Result<Fields, Response> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(strange());
    }
    let bytes = crate::body::read(request.into_body(), LEN_MAX, state.limits.request_timeout).await;
    let bytes = bytes.map_err(IntoResponse::into_response)?;
    Ok(Fields(form_urlencoded::parse(&bytes).into_owned().collect()))
}

fn login_first(parts: &Parts) -> Response {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    Redirect::to(&format!("/?next={next}")).into_response()
}

fn logged_out() -> Response {
    layout::notice(StatusCode::UNAUTHORIZED, "Your session has ended", "Log in again to go on.")
}

fn strange() -> Response {
    layout::notice(
        StatusCode::FORBIDDEN,
        "This was not sent from this page",
        "Go back, load the page anew and try again: what is sent here must come from a page of this server.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: Option<&str>, site: Option<&str>, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost:8484".parse().expect("is a value"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("is a value"));
        }
        if let Some(site) = site {
            headers.insert("sec-fetch-site", site.parse().expect("is a value"));
        }
        assert_eq!(is_from_here(&headers), expected, "{origin:?} {site:?}");
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        check(None, None, true);
        check(Some("http://localhost:8484"), Some("same-origin"), true);
        check(Some("http://localhost:8485"), Some("same-site"), false);
        check(Some("http://localhost:8485"), None, false);
        check(Some("null"), None, false);
        check(None, Some("cross-site"), false);
        check(None, Some("same-site"), false);
    }

    #[test]
    fn fields_are_read_as_they_were_meant() {
        let fields = Fields::of("q=a+b%26c&empty=&q=later");
        assert_eq!((fields.text("q"), fields.text("empty"), fields.text("x")), (Some("a b&c"), None, None));
    }
}
