//! A token endpoint's body as structure, and what a grant's fields are worth.
//!
//! Owns the reading of a body: one JSON object, or a form where the content type says so. Never searches text for a
//! code, and never weighs a status.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::classify::Grant;
use super::profile::{LIFETIME_MAX, Profile};
use super::reply::{Body, Reply};
use crate::secret::Secret;

/// A body that could be read: always a JSON object.
pub(super) struct Answer(Value);

impl Answer {
    /// The body's object. JSON is JSON whatever the content type says; else the reason why nothing was read.
    pub(super) fn read(reply: &Reply) -> Result<Self, &'static str> {
        let bytes = match &reply.body {
            Body::Bytes(bytes) => bytes,
            Body::Truncated => return Err("truncated"),
            Body::TooLarge => return Err("too_large"),
            Body::Undecodable => return Err("undecodable"),
        };
        // A stray byte in some other field must not cost a token that was received: read what can be read.
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let object = serde_json::from_str(text).ok().or_else(|| field_by_field(text));
        match object {
            Some(object @ Value::Object(_)) => Ok(Self(object)),
            _ if is_form(reply) => Ok(Self(form_object(text))),
            _ => Err("not_json"),
        }
    }

    /// The error code: at the first pointer that holds a string or a number other than zero.
    pub(super) fn error_code(&self, profile: &Profile) -> Option<Cow<'_, str>> {
        profile.error_pointers.iter().find_map(|pointer| code_at(self.at(pointer)?))
    }

    /// Whether the profile's `ok_pointer` holds false.
    pub(super) fn says_not_ok(&self, profile: &Profile) -> bool {
        self.at(&profile.ok_pointer) == Some(&Value::Bool(false))
    }

    /// The grant, if there is an access token that can be used. Takes the tokens out.
    pub(super) fn take_grant(self, profile: &Profile) -> Result<Grant, Self> {
        let is_usable = self.at("/access_token").and_then(Value::as_str).is_some_and(is_usable);
        if is_usable { self.take_rotation(profile) } else { Err(self) }
    }

    /// What was granted, if it is only the next refresh token: it must not be lost with a token that cannot be used.
    pub(super) fn take_rotation(mut self, profile: &Profile) -> Result<Grant, Self> {
        let refresh_expires_in = self.at(&profile.refresh_expires_pointer).and_then(seconds);
        let lifetime = self.at("/expires_in").and_then(seconds);
        let access_token = self.take_text("access_token").filter(|token| is_usable(token)).map(Secret::from);
        let own = self.take_text("refresh_token").filter(|token| !token.is_empty()).map(Secret::from);
        if access_token.is_none() && own.is_none() {
            return Err(self);
        }
        Ok(Grant {
            token_type: self.token_type(),
            expires_in: lifetime.unwrap_or(profile.default_expires_in),
            expires_assumed: lifetime.is_none(),
            refresh_token: own.or_else(|| access_token.clone().filter(|_| profile.access_token_refreshes)),
            refresh_expires_in,
            scopes: self.scopes(),
            access_token,
        })
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() { None } else { self.0.pointer(pointer) }
    }

    fn take_text(&mut self, key: &str) -> Option<String> {
        match self.0.get_mut(key)?.take() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn token_type(&self) -> String {
        match self.at("/token_type").and_then(Value::as_str) {
            Some(other) if !other.eq_ignore_ascii_case("bearer") && is_token_type(other) => other.to_owned(),
            _ => "Bearer".to_owned(),
        }
    }

    /// RFC 6749 separates scopes by spaces, several providers by commas, a few send a list.
    fn scopes(&self) -> Option<Vec<String>> {
        let scopes: Vec<String> = match self.at("/scope")? {
            Value::String(text) => split_scopes(text).map(str::to_owned).collect(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        (!scopes.is_empty()).then_some(scopes)
    }
}

/// An object with a field that has the form of JSON and stands for nothing: a number past all bounds, half a character, a
/// thousand brackets. Such a field is null; the others are what they are.
fn field_by_field(text: &str) -> Option<Value> {
    let fields: BTreeMap<FieldName, &RawValue> = serde_json::from_str(text).ok()?;
    let read = |field: &RawValue| serde_json::from_str(field.get()).unwrap_or(Value::Null);
    Some(Value::Object(fields.into_iter().map(|(name, field)| (name.0, read(field))).collect()))
}

/// A field's name, of which half a character may stand for nothing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct FieldName(String);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = FieldName;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<FieldName, E> {
                Ok(FieldName(String::from_utf8_lossy(name).into_owned()))
            }
        }
        // As a string it would have to be whole.
        deserializer.deserialize_bytes(Bytes)
    }
}

fn is_form(reply: &Reply) -> bool {
    let kind = reply.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn form_object(text: &str) -> Value {
    let pairs = form_urlencoded::parse(text.trim().as_bytes());
    Value::Object(
        pairs.map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect::<Map<_, _>>(),
    )
}

fn code_at(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(code) if !code.is_empty() => Some(Cow::Borrowed(code)),
        Value::Number(code) if code.as_f64() != Some(0.0) => Some(Cow::Owned(code.to_string())),
        _ => None,
    }
}

/// RFC 6749, appendix A.12: an access token is printable ASCII. Anything else could not stand in a header.
fn is_usable(token: &str) -> bool {
    !token.trim().is_empty() && token.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn is_token_type(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// A lifetime in seconds, as a number or a numeric string. None if it is not positive, or beyond belief.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let lifetime = Duration::try_from_secs_f64(seconds).ok()?;
    (!lifetime.is_zero() && lifetime <= LIFETIME_MAX).then_some(lifetime)
}

fn split_scopes(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t', '\n', '\r']).filter(|scope| !scope.is_empty())
}
