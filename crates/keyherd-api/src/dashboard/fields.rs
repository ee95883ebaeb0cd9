//! What forms send: read within a bound, from pages of this server alone.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use keyherd_core::ids::Name;
use url::form_urlencoded;

use super::session::Signed;
use super::{LIVE, layout};
use crate::documents::shown;
use crate::problem::Problem;
use crate::state::State;

/// The largest form, in bytes.
const LEN_MAX: usize = 64 * 1024;
/// What a page that asks by itself sends along, where it can: browsers open a stream of events without it.
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

    /// A field that is a name, where it is filled in.
    pub(super) fn name(&self, field: &str) -> Result<Option<Name>, Problem> {
        self.read(field, "a name", |text| Name::parse(text).ok())
    }

    /// A field that reads as `what`, where it is filled in.
    pub(super) fn read<T>(
        &self,
        field: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let refused = |text| Problem::invalid(format!("'{field}' is '{}', which is not {what}", shown(text)));
        self.text(field).map(|text| read(text).ok_or_else(|| refused(text))).transpose()
    }

    /// Of a query.
    pub(super) fn of(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }
}

impl FromRequestParts<State> for Signed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let touches = is_a_persons(&parts.headers, &parts.uri);
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
        if !is_from_here(request.uri(), request.headers()) {
            return Err(strange());
        }
        read(request, state).await.map(Self)
    }
}

impl FromRequest<State> for Form {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Response> {
        let signed = signed(request.headers(), state, true).ok_or_else(logged_out)?;
        if !is_from_here(request.uri(), request.headers()) {
            return Err(strange());
        }
        let fields = read(request, state).await?;
        if !signed.wrote(fields.text(CSRF).unwrap_or_default()) {
            return Err(strange());
        }
        Ok(Self { signed, fields })
    }
}

/// Whether a person asks: their session lasts on, and what is to be said is said to them.
pub(super) fn is_a_persons(headers: &HeaderMap, uri: &Uri) -> bool {
    !headers.contains_key(BY_ITSELF) && uri.path() != LIVE
}

fn signed(headers: &HeaderMap, state: &State, touches: bool) -> Option<Signed> {
    state.sessions.of(headers, state.uptime(), &state.limits, touches)
}

/// Browsers say where a form was sent from. One that says nothing has shown what only our pages know.
///
/// Over HTTP/2 our own name stands in `:authority`, and there is no Host (RFC 9113, section 8.3.1).
fn is_from_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_same_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_ours = text(ORIGIN.as_str()).is_none_or(|origin| {
        let named = origin.split_once("://").map(|(_, authority)| authority);
        let ours = text(HOST.as_str()).or_else(|| uri.authority().map(http::uri::Authority::as_str));
        named.is_some() && named == ours
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
    fn check(uri: &str, host: Option<&str>, origin: Option<&str>, site: Option<&str>, expected: bool) {
        let lines = [("host", host), ("origin", origin), ("sec-fetch-site", site)];
        let lines = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let headers: HeaderMap = lines
            .map(|(name, value)| (name.parse().expect("is a name"), value.parse().expect("is a value")))
            .collect();
        let got = is_from_here(&uri.parse().expect("is a target"), &headers);
        assert_eq!(got, expected, "{uri} {host:?} {origin:?} {site:?}");
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        let host = Some("localhost:8484");
        check("/", host, None, None, true);
        check("/", host, Some("http://localhost:8484"), Some("same-origin"), true);
        check("/", host, Some("http://localhost:8485"), Some("same-site"), false);
        check("/", host, Some("http://localhost:8485"), None, false);
        check("/", host, Some("null"), None, false);
        check("/", host, None, Some("cross-site"), false);
        check("/", host, None, Some("same-site"), false);
        // HTTP/2.
        check("https://keyherd.example/ui/login", None, Some("https://keyherd.example"), None, true);
        check("https://keyherd.example/ui/login", None, Some("https://evil.example"), None, false);
        check("/ui/login", None, Some("https://evil.example"), None, false);
    }

    #[test]
    fn fields_are_read_as_they_were_meant() {
        let fields = Fields::of("q=a+b%26c&empty=&q=later");
        assert_eq!((fields.text("q"), fields.text("empty"), fields.text("x")), (Some("a b&c"), None, None));
        assert_eq!((fields.name("empty"), fields.name("x")), (Ok(None), Ok(None)));
        let refused = fields.name("q").expect_err("is no name");
        assert_eq!(refused.detail(), "'q' is 'a b&c', which is not a name");
    }
}
