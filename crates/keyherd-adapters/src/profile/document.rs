//! A profile's TOML document: its keys, their types and their bounds.
//!
//! Owns the text form of a profile and the words in which it is refused, with file, line and key. Never opens a file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use keyherd_core::ports::ProfileError;
use keyherd_core::provider::{BodyFormat, ClientAuth, Method, Profile, Rotates, TokenPlace, check_endpoint};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::bounds;

/// The largest profile text, in bytes.
pub(super) const TEXT_LEN_MAX: usize = 64 * 1024;

/// Reads the profile `name` from its text; `place` is what errors call that text.
///
/// # Errors
/// [`ProfileError::Invalid`] in one line: place, line, key, what is wrong.
pub(super) fn parse(name: &str, text: &str, place: &str) -> Result<Profile, ProfileError> {
    let invalid = |line: Option<usize>, why: &dyn Display| {
        let line = line.map_or_else(String::new, |line| format!(", line {line}"));
        ProfileError::Invalid(format!("provider profile {place}{line}: {why}"))
    };
    if text.len() > TEXT_LEN_MAX {
        return Err(invalid(None, &format_args!("longer than {TEXT_LEN_MAX} bytes")));
    }
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        invalid(line, &error.message().lines().collect::<Vec<_>>().join("; "))
    })?;
    bounds::check(name, &document.0)
        .map_err(|(key, why)| invalid(line_of(text, key), &format_args!("{key} {why}")))?;
    Ok(document.0)
}

/// The line, from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// The line on which `key` is given its value.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let gives = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let table = format!("[{key}]");
    text.lines().position(|line| gives(line) || line.trim() == table).map(|index| index + 1)
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Document(#[serde(with = "ProfileKeys")] Profile);

/// [`Profile`]'s keys. What is left out is as in [`Profile::default`].
#[derive(Deserialize)]
#[serde(remote = "Profile", default = "Profile::default", deny_unknown_fields)]
struct ProfileKeys {
    name: String,
    #[serde(deserialize_with = "token_url")]
    token_url: Option<Url>,
    #[serde(deserialize_with = "hosts")]
    token_hosts: Vec<String>,
    #[serde(deserialize_with = "authorize_url")]
    authorize_url: Option<Url>,
    #[serde(deserialize_with = "device_url")]
    device_url: Option<Url>,
    refreshable: bool,
    grant: String,
    #[serde(with = "MethodWord")]
    method: Method,
    #[serde(with = "ClientAuthWord")]
    client_auth: ClientAuth,
    #[serde(with = "BodyFormatWord")]
    body: BodyFormat,
    #[serde(with = "TokenPlaceWord")]
    refresh_token_in: TokenPlace,
    access_token_refreshes: bool,
    send_scope: bool,
    params: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    #[serde(with = "RotatesWord")]
    rotates: Rotates,
    #[serde(rename = "reuse_grace_seconds", deserialize_with = "seconds")]
    reuse_grace: Duration,
    #[serde(rename = "refresh_lifetime_seconds", deserialize_with = "seconds_if_any")]
    refresh_lifetime: Option<Duration>,
    #[serde(rename = "min_age_seconds", deserialize_with = "seconds")]
    min_age: Duration,
    #[serde(deserialize_with = "seconds")]
    default_expires_in: Duration,
    refresh_expires_pointer: String,
    ok_pointer: String,
    #[serde(rename = "error_pointer", deserialize_with = "one_or_more")]
    error_pointers: Vec<String>,
    terminal_codes: Vec<String>,
    client_codes: Vec<String>,
    unknown_codes: Vec<String>,
    quota_pointers: Vec<String>,
    quota_codes: Vec<String>,
    phantom_prefix: String,
    static_phantom_prefix: Option<String>,
    #[serde(rename = "refresh_ahead_seconds", deserialize_with = "seconds_if_any")]
    refresh_ahead: Option<Duration>,
    #[serde(rename = "min_valid_seconds", deserialize_with = "seconds_if_any")]
    min_valid: Option<Duration>,
    concurrency: Option<u32>,
    rate_per_second: Option<u32>,
}

#[derive(Deserialize)]
#[serde(remote = "Method")]
enum MethodWord {
    #[serde(rename = "POST", alias = "post")]
    Post,
    #[serde(rename = "GET", alias = "get")]
    Get,
}

#[derive(Deserialize)]
#[serde(remote = "ClientAuth", rename_all = "lowercase")]
enum ClientAuthWord {
    Basic,
    Post,
    None,
}

#[derive(Deserialize)]
#[serde(remote = "BodyFormat", rename_all = "lowercase")]
enum BodyFormatWord {
    Form,
    Json,
}

#[derive(Deserialize)]
#[serde(remote = "TokenPlace", rename_all = "lowercase")]
enum TokenPlaceWord {
    Params,
    Bearer,
}

#[derive(Deserialize)]
#[serde(remote = "Rotates", rename_all = "lowercase")]
enum RotatesWord {
    Always,
    Sometimes,
    Never,
}

/// One pointer, or several to try in turn.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a JSON pointer or a list of JSON pointers")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMore::deserialize(from)? {
        OneOrMore::One(pointer) => vec![pointer],
        OneOrMore::More(pointers) => pointers,
    })
}

fn token_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    endpoint("token_url", from)
}

fn authorize_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    endpoint("authorize_url", from)
}

fn device_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    endpoint("device_url", from)
}

/// An empty text is no endpoint, as if the key were not there.
fn endpoint<'de, D: Deserializer<'de>>(key: &'static str, from: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    check_endpoint(key, &text).map(Some).map_err(D::Error::custom)
}

fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(from)?;
    Ok(hosts.iter().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase()).collect())
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_secs)
}

fn seconds_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    seconds(from).map(Some)
}
