//! What an agent itself says to a token endpoint. A refresh by phantom is answered here, from the engine, in phantoms: no provider
//! is called for it but where the engine finds that it is due. A login passes, and what it is granted is kept here; the
//! agent gets phantoms. Nothing else passes: its answer would be a secret in the agent's hands.
//!
//! Owns which of these a request is. So too a revocation of a phantom, which is not the agent's to revoke.

mod login;
mod params;
mod shape;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use keyherd_core::broker::{Acquired, Token};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Place, hits};
use keyherd_core::policy::RequestPath;
use keyherd_core::provider::Profile;
use keyherd_core::refresh::Refusal;
use keyherd_core::secret::Secret;
use serde_json::{Value, json};

use self::params::{Params, Wanted};
use super::Swapper;
use super::line::Line;
use super::request::{place, whole};
use super::table::{Endpoint, Held};
use crate::body::Incoming;
use crate::fault::Fault;
use crate::forward::{Asked, ForwardBody, Leave};
use crate::percent;
use crate::swap::find_in_head;

/// How long a token is said to live that has no end.
const ENDLESS_SECONDS: i64 = 3_600;
/// What the last part of a revocation endpoint's path says: `revoke`, `revocation`, `revokeToken`, `auth.revoke`.
const REVOKING: &str = "revo";

/// What became of a request that may be about tokens.
pub(super) enum AtEndpoint {
    /// It has its answer.
    Answered(Response<ForwardBody>),
    /// It is about something else, and whole.
    Other(Request<Incoming>),
}

/// One agent's request at a token endpoint.
pub(super) struct TokenAsk<'a> {
    pub(super) asked: &'a Asked,
    pub(super) leave: Leave,
    pub(super) held: &'a Held,
}

/// A request that is all here.
struct Message {
    head: Parts,
    body: Bytes,
}

impl TokenAsk<'_> {
    /// Whether that request may be about tokens: most are not, and need not be read for it.
    pub(super) fn is_one(&self, method: &Method, path: &str) -> bool {
        if matches!(*method, Method::HEAD | Method::OPTIONS) {
            return false;
        }
        let path = RequestPath::read(path);
        is_revoking(&path) || self.held.endpoints(&self.asked.dialled, &path).next().is_some()
    }
}

impl Swapper {
    /// Answers what is about tokens, of what [`TokenAsk::is_one`].
    pub(super) async fn at_endpoint(
        &self,
        ask: &TokenAsk<'_>,
        request: Request<Incoming>,
        line: &mut Line,
    ) -> Result<AtEndpoint, Fault> {
        let path = RequestPath::read(request.uri().path());
        let owners: Vec<&Endpoint> = ask.held.endpoints(&ask.asked.dialled, &path).collect();
        let message = self.message(request).await?;
        if owners.is_empty() {
            return Ok(match is_revoked(&message, ask.held) {
                true => AtEndpoint::Answered(unrevoked()),
                false => AtEndpoint::Other(message.into_request()),
            });
        }
        let params = Params::of(&message.head, &message.body)
            .map_err(|unread| Fault::BadRequest(unread.to_string()))?;
        if params.is_empty() && message.head.method == Method::GET {
            return Ok(AtEndpoint::Other(message.into_request()));
        }
        self.token_answer(ask, &owners, &params, message, line).await.map(AtEndpoint::Answered)
    }

    async fn token_answer(
        &self,
        ask: &TokenAsk<'_>,
        owners: &[&Endpoint],
        params: &Params,
        message: Message,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        let profiles: Vec<&Profile> = owners.iter().map(|owner| &*owner.profile).collect();
        let wanted = params.wanted(&profiles);
        if let Wanted::Refresh(spent) = &wanted
            && let Some(owner) = self.owner_of(ask, owners, spent).await?
        {
            return self.granted(ask, &owner, line).await.inspect(|_| self.0.exchange.answered());
        }
        if has_phantom(&message, ask.held) || matches!(wanted, Wanted::Refresh(_)) {
            return Err(Fault::Denied(
                "at this token endpoint keyherd answers refreshes by phantom itself, and passes on no other refresh and nothing \
                 that has a phantom in it: use the phantom as the refresh token, or log in with 'keyherd cred login'"
                    .into(),
            ));
        }
        match wanted {
            Wanted::Login => self.logged_in(ask, params, message, line).await,
            _ => Err(Fault::Denied(
                "at this token endpoint keyherd passes logins on (by authorization code and by device code) and answers \
                 refreshes by phantom, nothing else: let keyherd have that account, by 'keyherd cred add'"
                    .into(),
            )),
        }
    }

    /// Whose refresh token that is: a name's, by its phantom; or of a credential behind a name, whose real one the agent has.
    async fn owner_of(
        &self,
        ask: &TokenAsk<'_>,
        owners: &[&Endpoint],
        spent: &Secret,
    ) -> Result<Option<Owner>, Fault> {
        let is_phantom =
            |name: &Name| ask.held.texts.get(name).is_some_and(|phantom| **phantom == *spent.expose());
        if let Some(owner) = owners.iter().find(|owner| is_phantom(&owner.name)) {
            return Ok(Some(Owner { name: owner.name.clone(), account: owner.name.clone() }));
        }
        let endpoints = self.token_endpoints(&ask.asked.agent).await?;
        let found = endpoints.into_iter().find(|endpoint| self.0.broker.would_spend(endpoint, spent));
        Ok(found.map(|found| Owner { name: found.name, account: found.credential }))
    }

    async fn granted(
        &self,
        ask: &TokenAsk<'_>,
        owner: &Owner,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        line.with(std::iter::once(&owner.name));
        match self.secret(&ask.asked.agent, &owner.account).await? {
            Acquired::Token(token) => {
                line.say("credential", token.credential());
                let phantom = ask.held.texts.get(&owner.name).ok_or(Fault::Internal)?;
                Ok(answer(StatusCode::OK, &self.grant(&token, phantom)))
            }
            Acquired::Refused(refusal) => {
                let (status, error) = refused(&refusal);
                let why = Fault::Refused { name: owner.name.to_string(), refusal }.to_string();
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

    async fn message(&self, request: Request<Incoming>) -> Result<Message, Fault> {
        let (head, body) = request.into_parts();
        let len_max = self.0.limits.token_request_len_max;
        let body = whole(body, len_max, self.0.limits.buffer_timeout).await?;
        let too_long = || Fault::BadRequest(format!("a token request has {len_max} bytes at most"));
        Ok(Message { head, body: body.ok_or_else(too_long)? })
    }
}

/// Whose token a refresh is about.
struct Owner {
    /// What the agent is allowed, and has a phantom of.
    name: Name,
    /// Whose token is taken.
    account: Name,
}

impl Message {
    fn into_request(self) -> Request<Incoming> {
        let body = Full::new(self.body).map_err(|never| match never {}).boxed_unsync();
        Request::from_parts(self.head, body)
    }
}

/// Whether there is a phantom in it, the agent's own or any.
fn has_phantom(message: &Message, held: &Held) -> bool {
    let finds = find_in_head(&message.head, &held.table);
    let place = place(&message.head.headers).unwrap_or(Place::Text);
    finds.has_foreign || !finds.own.is_empty() || !hits(&*held.table, place, &message.body).is_empty()
}

fn is_revoking(path: &RequestPath) -> bool {
    // Most paths need not be taken apart for this.
    let plain = percent::decoded(path.as_str().as_bytes());
    plain.windows(REVOKING.len()).any(|part| part.eq_ignore_ascii_case(REVOKING.as_bytes()))
        && path.lasts().any(|last| last.to_ascii_lowercase().contains(REVOKING))
}

/// Whether a phantom is to be revoked (RFC 7009, section 2.1). One in a header is how the agent shows who it is.
fn is_revoked(message: &Message, held: &Held) -> bool {
    let is_phantom = |text: &str| {
        let found = hits(&*held.table, Place::Text, text.as_bytes());
        found.iter().any(|hit| matches!(hit.what, Found::Own(_)) && hit.span == (0..text.len()))
    };
    Params::of(&message.head, &message.body).is_ok_and(|params| params.has_value(is_phantom))
}

/// RFC 7009, section 2.2.1. What stands behind a phantom is others' too.
fn unrevoked() -> Response<ForwardBody> {
    let why = "this is a phantom, and what it stands for is not the agent's to revoke: 'keyherd agent revoke' ends \
               the phantom, 'keyherd cred remove' the account";
    let told = json!({"error": "unsupported_token_type", "error_description": why});
    answer(StatusCode::BAD_REQUEST, &told)
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
    told(status, "application/json", document.to_string())
}

fn told(status: StatusCode, media_type: &'static str, text: String) -> Response<ForwardBody> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
