//! An agent's own refresh by phantom, at a token endpoint: answered here, from the engine, in phantoms. No provider is called for
//! it but where the engine finds that it is due.
//!
//! Whatever else has a phantom in it is not passed on: its answer would be the agent's. What has none is the agent's own
//! business with that provider.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use keyherd_core::broker::{Acquired, Token};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Place, hits};
use keyherd_core::refresh::Refusal;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Swapper;
use super::line::Line;
use super::request::{place, whole};
use super::table::Held;
use crate::body::Incoming;
use crate::fault::Fault;
use crate::forward::{Asked, ForwardBody};
use crate::swap::find_in_head;

/// The longest token request, in bytes.
const REQUEST_LEN_MAX: usize = 64 * 1024;
/// How long a token is said to live that has no end.
const ENDLESS_SECONDS: i64 = 3_600;

/// What became of a request to a token endpoint.
pub(super) enum Refreshed {
    /// It was a refresh by phantom.
    Answered(Response<ForwardBody>),
    /// It was not, and is whole.
    Other(Request<Incoming>),
}

impl Swapper {
    /// Answers a refresh by phantom.
    pub(super) async fn refreshed(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
        held: &Held,
        line: &mut Line,
    ) -> Result<Refreshed, Fault> {
        let path = request.uri().path().to_owned();
        let mut owners = held.endpoint(&asked.dialled, &path).peekable();
        if request.method() != Method::POST || owners.peek().is_none() {
            return Ok(Refreshed::Other(request));
        }
        let (head, body) = request.into_parts();
        let body = whole(body, REQUEST_LEN_MAX, &self.0.limits).await?;
        let body = body.ok_or_else(|| {
            Fault::BadRequest(format!("a token request has {REQUEST_LEN_MAX} bytes at most"))
        })?;
        let mut named = find_in_head(&head, &held.table).own;
        let place = place(&head.headers);
        let found = hits(&*held.table, place.unwrap_or(Place::Text), &body);
        named.extend(found.into_iter().filter_map(|hit| match hit.what {
            Found::Own(name) => Some(name),
            Found::Foreign => None,
        }));
        if named.is_empty() {
            let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
            return Ok(Refreshed::Other(Request::from_parts(head, body)));
        }
        let spent = place.and_then(|place| spent(place, &body));
        let is_meant =
            |name: &&Name| held.texts.get(*name).is_some_and(|text| spent.as_deref() == Some(&**text));
        match owners.find(is_meant) {
            Some(name) => self.granted(asked, name, held, line).await.map(Refreshed::Answered),
            None => Err(Fault::Denied(
                "at this token endpoint keyherd answers refreshes by phantom itself, and passes nothing else on that has a \
                 phantom in it: log in with 'keyherd cred login'"
                    .into(),
            )),
        }
    }

    async fn granted(
        &self,
        asked: &Asked,
        name: &Name,
        held: &Held,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        line.with(std::iter::once(name));
        match self.secret(&asked.agent, name).await? {
            Acquired::Token(token) => {
                line.note("credential", token.credential());
                let phantom = held.texts.get(name).ok_or(Fault::Internal)?;
                Ok(answer(StatusCode::OK, &self.grant(&token, phantom)))
            }
            Acquired::Refused(refusal) => {
                let (status, error) = refused(&refusal);
                let why = Fault::Refused { name: name.to_string(), refusal }.to_string();
                Ok(answer(status, &json!({"error": error, "error_description": why})))
            }
        }
    }

    /// RFC 6749, section 5.1, in phantoms.
    fn grant(&self, token: &Token, phantom: &str) -> Value {
        let now = self.0.broker.now();
        let left = token.expires_at().map(|end| (end.as_millis() - now.as_millis()).max(0) / 1_000);
        json!({
            "access_token": phantom,
            "refresh_token": phantom,
            "token_type": token.token_type(),
            "expires_in": left.unwrap_or(ENDLESS_SECONDS),
        })
    }
}

/// The refresh token of a refresh: of a form or of JSON.
fn spent(place: Place, body: &[u8]) -> Option<String> {
    let field = |wanted: &str| match place {
        Place::Form => {
            let mut pairs = form_urlencoded::parse(body);
            pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        }
        Place::Json => {
            let object: Value = serde_json::from_slice(body).ok()?;
            object.get(wanted)?.as_str().map(str::to_owned)
        }
        _ => None,
    };
    let grant = field("grant_type")?;
    (grant == "refresh_token").then(|| field("refresh_token")).flatten()
}

/// As RFC 6749, section 5.2, and what clients take for "later".
fn refused(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::ReauthRequired { .. } | Refusal::Removed => (StatusCode::BAD_REQUEST, "invalid_grant"),
        Refusal::Disabled => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
    }
}

fn answer(status: StatusCode, document: &Value) -> Response<ForwardBody> {
    let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
