//! A token request's parameters: of its query and its body, a form or JSON (RFC 6749, sections 4 and 6).
//!
//! Owns what a request means. What could be read in two ways is not read: the provider might read it in the other one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use keyherd_core::phantom::Place;
use keyherd_core::provider::{Profile, TokenPlace};
use keyherd_core::secret::Secret;
use serde_json::Value;
use url::form_urlencoded;

/// RFC 8628, section 3.4, and what it was before it was one.
const DEVICE_GRANTS: [&str; 2] =
    ["urn:ietf:params:oauth:grant-type:device_code", "http://oauth.net/grant_type/device/1.0"];
/// Parameters that may well be there more than once (RFC 8707, section 2; RFC 8693, section 2.1).
const REPEATED: [&str; 2] = ["resource", "audience"];

/// What stands in a request, by name.
pub(super) struct Params {
    pairs: Vec<(String, Secret)>,
    /// Basic credentials' user: a client id (RFC 6749, section 2.3.1).
    user: Option<String>,
    bearer: Option<Secret>,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A refresh, with that.
    Refresh(Secret),
    /// What a person granted: by a code, or at a device.
    Login,
    /// Something else, or nothing that is known.
    Other,
}

/// Why parameters are not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("a token request is a form or a JSON object, in no content coding: this one cannot be read")]
    Form,
    #[error("'{0}' stands twice in the token request")]
    Twice(String),
}

impl Params {
    pub(super) fn of(head: &Parts, body: &[u8]) -> Result<Self, Unread> {
        let query = head.uri.query().unwrap_or_default();
        let mut pairs = form(query.as_bytes());
        pairs.extend(of_body(head, body)?);
        let mut names: Vec<&str> =
            pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !REPEATED.contains(name)).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let shown = name.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(Unread::Twice(shown));
        }
        let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let by = |scheme: &str| {
            let (said, rest) = authorization?.split_once(' ')?;
            said.eq_ignore_ascii_case(scheme).then(|| rest.trim())
        };
        let (user, bearer) = (by("basic").and_then(user_of), by("bearer").map(Secret::from));
        Ok(Self { pairs, user, bearer })
    }

    /// What is asked for, by the words of any of these providers.
    pub(super) fn wanted(&self, profiles: &[&Profile]) -> Wanted {
        let spent = || self.spent(profiles);
        let is_refresh =
            |grant: &str| grant == "refresh_token" || profiles.iter().any(|profile| profile.grant == grant);
        match self.text("grant_type") {
            Some(grant) if is_refresh(grant) => spent().map_or(Wanted::Other, Wanted::Refresh),
            Some("authorization_code") => Wanted::Login,
            Some(grant) if DEVICE_GRANTS.contains(&grant) => Wanted::Login,
            Some(_) => Wanted::Other,
            // Some providers take a code or a refresh token without a word on what it is.
            None if self.text("code").is_some() => Wanted::Login,
            None => spent().map_or(Wanted::Other, Wanted::Refresh),
        }
    }

    /// The client app that asks.
    pub(super) fn client_id(&self, profiles: &[&Profile]) -> Option<&str> {
        let named = || profiles.iter().find_map(|profile| self.text(profile.params.get("client_id")?));
        self.text("client_id").or_else(named).or(self.user.as_deref())
    }

    /// Whether one of them is just that.
    pub(super) fn has_value(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.pairs.iter().any(|(_, value)| is_it(value.expose()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn spent(&self, profiles: &[&Profile]) -> Option<Secret> {
        if let Some(token) = self.text("refresh_token") {
            return Some(Secret::from(token));
        }
        profiles.iter().find_map(|profile| match profile.refresh_token_in {
            TokenPlace::Bearer => self.bearer.clone(),
            TokenPlace::Params => self.text(profile.params.get("refresh_token")?).map(Secret::from),
        })
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.expose()).filter(|value| !value.is_empty())
    }
}

fn of_body(head: &Parts, body: &[u8]) -> Result<Vec<(String, Secret)>, Unread> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let kind = match head.headers.get(CONTENT_TYPE) {
        // So it is meant, where nothing is said.
        None => Some(Place::Form),
        Some(kind) => kind.to_str().ok().and_then(Place::of_media_type),
    };
    match kind.filter(|_| !head.headers.contains_key(CONTENT_ENCODING)) {
        Some(Place::Form) => Ok(form(body)),
        Some(Place::Json) => json(body).ok_or(Unread::Form),
        _ => Err(Unread::Form),
    }
}

fn form(text: &[u8]) -> Vec<(String, Secret)> {
    let pairs = form_urlencoded::parse(text);
    pairs.map(|(name, value)| (name.into_owned(), Secret::from(value.into_owned()))).collect()
}

/// What is no text is no parameter of any grant.
fn json(body: &[u8]) -> Option<Vec<(String, Secret)>> {
    let object: Pairs = serde_json::from_slice(body).ok()?;
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, Secret::from(text))),
        _ => None,
    };
    Some(object.0.into_iter().filter_map(text).collect())
}

/// A JSON object with all of its members: also those whose names it has twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> serde::de::Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// Form-encoded within Basic, as RFC 6749 wants it; where it is not, it is mostly the same.
fn user_of(credentials: &str) -> Option<String> {
    let text = BASE64.decode(credentials).ok()?;
    let user = text.split(|byte| *byte == b':').next()?;
    let (decoded, _) = form_urlencoded::parse(user).next()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests;
