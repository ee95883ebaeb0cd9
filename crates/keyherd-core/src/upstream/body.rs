//! The code in an upstream's body: a JSON value at a pointer, in a document or in a stream's first event.

use serde_json::Value;

use crate::provider::{Body, Profile};

/// The most of a stream that is held back to see its first event, in bytes.
pub const FIRST_EVENT_LEN_MAX: usize = 16 * 1024;

/// A code and where it stood.
pub(super) struct Found {
    pub(super) code: String,
    pub(super) pointer: String,
}

/// The quota code, at whichever of the profile's pointers holds one.
pub(super) fn quota_code(body: &Body, profile: &Profile) -> Option<Found> {
    codes(&document(body)?, profile).find(|found| profile.is_quota_code(&found.code))
}

/// The quota code, or else the first code there is.
pub(super) fn any_code(body: &Body, profile: &Profile) -> Option<Found> {
    let document = document(body)?;
    let quota = codes(&document, profile).find(|found| profile.is_quota_code(&found.code));
    quota.or_else(|| codes(&document, profile).next())
}

/// The limit that a stream's first event says is used up. Streams have no status of their own to say so with: beside the
/// quota codes those names count that stand for one.
pub(super) fn error_event(body: &Body, profile: &Profile) -> Option<Found> {
    let Body::Bytes(bytes) = body else { return None };
    let document: Value = serde_json::from_str(&event_data(first_event(bytes)?)?).ok()?;
    let is_limit = |code: &str| profile.is_quota_code(code) || ["rate_limit_error", "429"].contains(&code);
    codes(&document, profile).find(|found| is_limit(&found.code))
}

/// The stream's first event that carries data, without what follows it; `None`: it is not complete yet. Comments and
/// empty events come before it in some streams.
pub fn first_event(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).or_else(|error| {
        // A character may be cut in two at the end.
        std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default())
    });
    let text = text.ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut begun, mut at, mut has_data) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        if !line.ends_with('\n') {
            return None;
        }
        at += line.len();
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() && has_data {
            return text.get(begun..at);
        }
        if line.is_empty() {
            begun = at;
        }
        has_data |= line == "data" || line.starts_with("data:");
    }
    None
}

fn event_data(event: &str) -> Option<String> {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!data.is_empty()).then(|| data.join("\n"))
}

/// Whatever the content type says: JSON is JSON.
fn document(body: &Body) -> Option<Value> {
    match body {
        Body::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
        Body::Truncated | Body::TooLarge | Body::Undecodable => None,
    }
}

fn codes<'a>(document: &'a Value, profile: &'a Profile) -> impl Iterator<Item = Found> + 'a {
    profile.quota_pointers.iter().filter_map(|pointer| {
        let code = match document.pointer(pointer)? {
            Value::String(code) if !code.is_empty() => code.clone(),
            Value::Number(code) => code.to_string(),
            _ => return None,
        };
        Some(Found { code, pointer: pointer.clone() })
    })
}
