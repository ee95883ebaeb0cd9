//! A token endpoint's answer as an agent may see it: the same shape, with phantoms in the places of tokens.
//!
//! Owns what of an answer passes: what is known to be no secret, by its name or by what it is. Never passes a text that it could
//! not take apart.

use std::sync::Arc;

use keyherd_core::phantom::Place;
use keyherd_core::secret::Secret;
use serde_json::{Map, Value};
use url::form_urlencoded;

/// Words in the name of a field that is not passed where it holds a text. What such a field is for is another
/// provider's matter each; what it may hold is not.
const SECRETIVE: [&str; 11] = [
    "token",
    "secret",
    "key",
    "password",
    "assertion",
    "jwt",
    "cookie",
    "session",
    "credential",
    "ticket",
    "bearer",
];
/// Ends of names that tell of a secret's kind or life, not the secret.
const HARMLESS: [&str; 5] = ["_type", "_uri", "_url", "_in", "_at"];

/// What stands for what.
pub(super) struct Stand {
    /// For the access token and the refresh token.
    pub(super) phantom: Arc<str>,
    /// For the identity's.
    pub(super) id_token: Option<Arc<str>>,
    /// The tokens themselves: what repeats them is not passed, whatever it is called.
    pub(super) secrets: Vec<Secret>,
}

/// An answer that was read.
pub(super) struct TokenAnswer {
    place: Place,
    fields: Map<String, Value>,
}

impl TokenAnswer {
    /// JSON is JSON whatever the media type says; a form only where it says so. `None`: it is neither.
    pub(super) fn read(media_type: Option<&str>, body: &[u8]) -> Option<Self> {
        // A stray byte in some other field must not cost a login.
        let text = String::from_utf8_lossy(body);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if let Ok(fields) = serde_json::from_str(text) {
            return Some(Self { place: Place::Json, fields });
        }
        if media_type.and_then(Place::of_media_type) != Some(Place::Form) {
            return None;
        }
        let pairs = form_urlencoded::parse(text.trim().as_bytes());
        let fields =
            pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect();
        Some(Self { place: Place::Form, fields })
    }

    /// The same with phantoms for tokens. `None` stands for nobody: tokens go, as everything that may be secret does.
    pub(super) fn for_agents(mut self, stand: Option<&Stand>) -> Self {
        let secrets = stand.map_or(&[][..], |stand| &stand.secrets);
        let fields = std::mem::take(&mut self.fields);
        self.fields = fields
            .into_iter()
            .filter_map(|(name, value)| {
                let new = match (name.as_str(), &value, stand) {
                    ("access_token" | "refresh_token", Value::String(text), Some(stand))
                        if !text.is_empty() =>
                    {
                        Some(Value::from(&*stand.phantom))
                    }
                    ("id_token", Value::String(text), Some(stand)) if !text.is_empty() => {
                        stand.id_token.as_deref().map(Value::from)
                    }
                    _ => passed(&name, value, secrets),
                };
                Some((name, new?))
            })
            .collect();
        self
    }

    /// Its media type and text.
    pub(super) fn written(&self) -> (&'static str, String) {
        match self.place {
            Place::Form => {
                let mut text = form_urlencoded::Serializer::new(String::new());
                for (name, value) in &self.fields {
                    text.append_pair(name, value.as_str().unwrap_or_default());
                }
                ("application/x-www-form-urlencoded", text.finish())
            }
            _ => ("application/json", Value::Object(self.fields.clone()).to_string()),
        }
    }
}

/// A field's value, without what may be secret in it. `None`: nothing of it.
fn passed(name: &str, value: Value, secrets: &[Secret]) -> Option<Value> {
    let repeats = |text: &str| secrets.iter().any(|secret| text.contains(secret.expose()));
    match value {
        Value::String(text) if is_secretive(name, &text) || repeats(&text) => None,
        Value::Array(items) => {
            let kept = items.into_iter().filter_map(|item| passed(name, item, secrets));
            Some(Value::Array(kept.collect()))
        }
        Value::Object(fields) => {
            let kept = fields
                .into_iter()
                .filter_map(|(name, value)| passed(&name, value, secrets).map(|value| (name, value)));
            Some(Value::Object(kept.collect()))
        }
        other => Some(other),
    }
}

fn is_secretive(name: &str, text: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_named =
        SECRETIVE.iter().any(|word| name.contains(word)) && !HARMLESS.iter().any(|end| name.ends_with(end));
    (is_named && !is_number) || is_jwt(text)
}

/// Three parts, of which the first is the base64 of an object (RFC 7515, section 7.1).
fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() >= 2
}

#[cfg(test)]
mod tests;
