//! The token request, built as the profile wants it.
//!
//! Owns what goes over the wire to a token endpoint, to the byte. Never sends it, and never prints a secret of it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::endpoint::origin;
use super::profile::{BodyFormat, ClientAuth, Method, Profile, TokenPlace};
use crate::secret::Secret;

/// The client app that asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientApp<'a> {
    /// The client id.
    pub id: Option<&'a str>,
    /// The client secret; a public client has none.
    pub secret: Option<&'a Secret>,
}

/// One HTTP request to a token endpoint. `Debug` shows its origin and path only.
#[derive(Clone)]
pub struct TokenRequest {
    /// The method.
    pub method: Method,
    /// Where to. With [`Method::Get`] its query holds secrets.
    pub url: Url,
    /// All headers but `Host`, `Content-Type` and `Content-Length`. No content coding is asked for.
    pub headers: Vec<(String, Secret)>,
    /// The `Content-Type` of the body; `None` with [`Method::Get`].
    pub content_type: Option<&'static str>,
    /// The body; `None` with [`Method::Get`].
    pub body: Option<Secret>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = format!("{}{}", origin(&self.url), self.url.path());
        f.debug_struct("TokenRequest")
            .field("method", &self.method)
            .field("url", &target)
            .finish_non_exhaustive()
    }
}

/// A refresh (RFC 6749, section 6): spends `refresh_token`. Scopes are named only where the profile wants it;
/// `resource` is RFC 8707's.
pub fn refresh_request(
    profile: &Profile,
    token_url: &Url,
    client: &ClientApp<'_>,
    refresh_token: &Secret,
    scopes: &[String],
    resource: Option<&str>,
) -> TokenRequest {
    let mut draft = Draft::new(profile, &profile.grant);
    match profile.refresh_token_in {
        TokenPlace::Params => draft.param("refresh_token", refresh_token.expose()),
        TokenPlace::Bearer => draft.authorize(&["Bearer ", refresh_token.expose()]),
    }
    let scope = scopes.join(" ");
    if profile.send_scope {
        draft.param("scope", &scope);
    }
    draft.param("resource", resource.unwrap_or_default());
    draft.finish(token_url, client)
}

/// A client's own grant (RFC 6749, section 4.4): there is no refresh token, and scopes are always named.
pub fn client_credentials_request(
    profile: &Profile,
    token_url: &Url,
    client: &ClientApp<'_>,
    scopes: &[String],
    resource: Option<&str>,
) -> TokenRequest {
    let scope = scopes.join(" ");
    let mut draft = Draft::new(profile, "client_credentials");
    draft.param("scope", &scope);
    draft.param("resource", resource.unwrap_or_default());
    draft.finish(token_url, client)
}

/// A request in the making: parameters under their standard names, then headers.
pub(super) struct Draft<'a> {
    profile: &'a Profile,
    params: BTreeMap<&'a str, &'a str>,
    authorization: Option<Secret>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(profile: &'a Profile, grant: &'a str) -> Self {
        let mut draft = Self::bare(profile);
        draft.param("grant_type", grant);
        draft
    }

    /// Of no grant yet.
    pub(super) fn bare(profile: &'a Profile) -> Self {
        Self { profile, params: BTreeMap::new(), authorization: None }
    }

    /// Adds a parameter under the profile's name for it. Without a value, or where the profile leaves it out: nothing.
    pub(super) fn param(&mut self, name: &'a str, value: &'a str) {
        let name = self.profile.params.get(name).map_or(name, String::as_str);
        if !name.is_empty() && !value.is_empty() {
            self.params.insert(name, value);
        }
    }

    fn authorize(&mut self, parts: &[&str]) {
        self.authorization = Some(Secret::from(parts.concat()));
    }

    pub(super) fn finish(mut self, token_url: &Url, client: &ClientApp<'a>) -> TokenRequest {
        self.authenticate(client);
        let (content_type, body, url) = match self.profile.method {
            Method::Get => (None, None, self.with_query(token_url)),
            Method::Post => {
                let (content_type, body) = self.body();
                (Some(content_type), Some(body), token_url.clone())
            }
        };
        TokenRequest { method: self.profile.method, url, headers: self.headers(), content_type, body }
    }

    fn authenticate(&mut self, client: &ClientApp<'a>) {
        match (self.profile.client_auth, client.id, client.secret) {
            (ClientAuth::Basic, Some(id), Some(secret)) => {
                self.authorize(&["Basic ", basic(id, secret).expose()]);
            }
            (ClientAuth::Post, Some(id), Some(secret)) => {
                self.param("client_id", id);
                self.param("client_secret", secret.expose());
            }
            (_, id, _) => self.param("client_id", id.unwrap_or_default()),
        }
    }

    fn with_query(&self, token_url: &Url) -> Url {
        let mut url = token_url.clone();
        url.query_pairs_mut().extend_pairs(&self.params);
        url
    }

    fn body(&self) -> (&'static str, Secret) {
        match self.profile.body {
            BodyFormat::Form => ("application/x-www-form-urlencoded", form(&self.params)),
            BodyFormat::Json => ("application/json", json(&self.params)),
        }
    }

    /// The profile's headers come last, so that it may ask for another answer format.
    fn headers(self) -> Vec<(String, Secret)> {
        let mut headers = BTreeMap::from([("accept".to_owned(), Secret::from("application/json"))]);
        headers.extend(self.authorization.map(|value| ("authorization".to_owned(), value)));
        let own = self.profile.headers.iter();
        headers.extend(own.map(|(name, value)| (name.to_ascii_lowercase(), Secret::from(value.as_str()))));
        headers.into_iter().collect()
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded first, so that a colon in the id cannot be taken for the one
/// between them.
fn basic(id: &str, secret: &Secret) -> Secret {
    let mut pair = wiped((id.len() + secret.expose().len()) * ENCODED_LEN_MAX + 1);
    pair.extend(form_urlencoded::byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(secret.expose().as_bytes()));
    STANDARD.encode(pair.as_bytes()).into()
}

/// One byte is at most so many where it is percent-encoded, and `\u00XX` in JSON.
const ENCODED_LEN_MAX: usize = 3;
const ESCAPED_LEN_MAX: usize = 6;
/// What stands around a parameter: `"":"",`.
const AROUND: usize = 6;

/// Text that is wiped when dropped, with room for so much: growing would leave copies behind.
fn wiped(room: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(room))
}

fn room(params: &BTreeMap<&str, &str>, each: usize) -> usize {
    params.iter().map(|(name, value)| (name.len() + value.len()) * each + AROUND).sum()
}

fn form(params: &BTreeMap<&str, &str>) -> Secret {
    let mut text = wiped(room(params, ENCODED_LEN_MAX));
    form_urlencoded::Serializer::new(&mut *text).extend_pairs(params).finish();
    Secret::from(text.as_str())
}

fn json(params: &BTreeMap<&str, &str>) -> Secret {
    let mut text = Zeroizing::new(Vec::with_capacity(room(params, ESCAPED_LEN_MAX) + AROUND));
    // Strings under string keys always serialize, as UTF-8.
    let _ = serde_json::to_writer(&mut *text, params);
    Secret::from(std::str::from_utf8(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
