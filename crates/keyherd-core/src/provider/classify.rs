//! What a token endpoint's answer means.
//!
//! Owns the one judgement of an answer: status, structure, the code where the profile says it stands, the tables.
//! Never searches a body for words, never decides what follows, and repeats nothing of a body but a clipped code.

use std::time::{Duration, UNIX_EPOCH};

use super::answer::Answer;
use super::codes;
use super::profile::Profile;
use super::reply::{Body, Reply};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest `Retry-After` that is repeated; whoever waits has bounds of its own.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What an answer means. Codes are safe to log: see [`codes::clip_code`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Tokens were granted.
    Granted(Box<Grant>),
    /// This credential is at its end: log in again.
    Terminal {
        /// The provider's code.
        code: String,
        /// Whether the provider saw a spent refresh token again. Then it must never be tried again.
        reuse: bool,
    },
    /// The client app is at fault, and so no single credential.
    ClientApp {
        /// The provider's code.
        code: String,
    },
    /// Refused for now, certainly without effect: try again later.
    Transient {
        /// The provider's code, or `http_<status>`, or `not_ok`.
        code: String,
        /// How long the provider asks to wait. Not yet bounded, except to a year.
        retry_after: Option<Duration>,
    },
    /// The refresh token may have been spent, and nobody can say: never blindly try again.
    Unknown {
        /// The provider's code, or `http_<status>`, or what is wrong with the body: `truncated`, `too_large`,
        /// `undecodable`, `not_json`, `no_token`.
        code: String,
    },
}

/// What was granted (RFC 6749, section 5.1). An `id_token` is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The access token: printable ASCII, never empty.
    pub access_token: Option<Secret>,
    /// How to present it; `Bearer` where the answer does not say.
    pub token_type: String,
    /// How long it lives from now. Positive, at most [`super::LIFETIME_MAX`].
    pub expires_in: Duration,
    /// Whether `expires_in` is the profile's default, because the answer has no believable one.
    pub expires_assumed: bool,
    /// The next refresh token. `None`: keep the one that was spent.
    pub refresh_token: Option<Secret>,
    /// How long the refresh token lives from now, where the answer says so.
    pub refresh_expires_in: Option<Duration>,
    /// The granted scopes. `None`: as before.
    pub scopes: Option<Vec<String>>,
}

/// Judges one complete or broken-off answer. `now` is the moment it came, for a `Retry-After` that is a date.
pub fn classify(profile: &Profile, reply: &Reply, now: Timestamp) -> Meaning {
    match reply.status {
        // A gateway speaks, not the provider: what the provider did behind it is not known.
        502 | 504 => unknown(http_code(reply.status)),
        200..=299 => accepted(profile, reply, now),
        300..=599 => refused(profile, reply, now),
        status => unknown(http_code(status)),
    }
}

fn accepted(profile: &Profile, reply: &Reply, now: Timestamp) -> Meaning {
    let answer = match Answer::read(reply) {
        Ok(answer) => answer,
        Err(why) => return unknown(why.to_owned()),
    };
    if answer.says_not_ok(profile) {
        return match answer.error_code(profile) {
            Some(code) => by_tables(profile, &code, reply, now),
            None => transient("not_ok".to_owned(), reply, now),
        };
    }
    match answer.take_grant(profile) {
        Ok(grant) => Meaning::Granted(Box::new(grant)),
        Err(answer) => match answer.error_code(profile) {
            Some(code) => by_tables(profile, &code, reply, now),
            None => match answer.take_rotation(profile) {
                Ok(rotation) => Meaning::Granted(Box::new(rotation)),
                Err(_) => unknown("no_token".to_owned()),
            },
        },
    }
}

fn refused(profile: &Profile, reply: &Reply, now: Timestamp) -> Meaning {
    if reply.status >= 500 && matches!(reply.body, Body::Truncated) {
        return unknown("truncated".to_owned());
    }
    let answer = Answer::read(reply).ok();
    let Some(code) = answer.as_ref().and_then(|answer| answer.error_code(profile)) else {
        return transient(http_code(reply.status), reply, now);
    };
    // Only a plain refusal is a verdict: a limit, an outage or a redirect says nothing of the credential.
    let judges = matches!(reply.status, 400..=499) && reply.status != 429;
    if judges || listed(&profile.unknown_codes, &code) {
        by_tables(profile, &code, reply, now)
    } else {
        transient(codes::clip_code(&code), reply, now)
    }
}

/// The tables, the profile's own first: it may move a standard code from one to the other.
fn by_tables(profile: &Profile, code: &str, reply: &Reply, now: Timestamp) -> Meaning {
    let terminal = || Meaning::Terminal { code: code.to_owned(), reuse: codes::is_reuse_code(code) };
    let client = || Meaning::ClientApp { code: code.to_owned() };
    if listed(&profile.unknown_codes, code) {
        unknown(code.to_owned())
    } else if listed(&profile.terminal_codes, code) {
        terminal()
    } else if listed(&profile.client_codes, code) {
        client()
    } else if codes::standard_terminal_codes().contains(&code) {
        terminal()
    } else if codes::standard_client_codes().contains(&code) {
        client()
    } else {
        transient(codes::clip_code(code), reply, now)
    }
}

fn listed(codes: &[String], code: &str) -> bool {
    codes.iter().any(|own| own == code)
}

fn transient(code: String, reply: &Reply, now: Timestamp) -> Meaning {
    Meaning::Transient { code, retry_after: retry_after(reply, now) }
}

fn unknown(code: String) -> Meaning {
    Meaning::Unknown { code }
}

fn http_code(status: u16) -> String {
    format!("http_{status}")
}

/// RFC 9110, section 10.2.3: seconds, or a date. A date that is past asks for no wait.
fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let text = reply.retry_after.as_deref()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits for a number: as long as can be said.
        return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs).min(RETRY_AFTER_MAX));
    }
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let date = Timestamp::default() + since_epoch;
    Some(now.until(date).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
