//! What an upstream's answer proves about the credential that was really used.
//!
//! Owns the one judgement: status, headers, the code where the profile says it stands, the first event of a stream.
//! Never searches a body for words, never decides what follows, and repeats nothing of an answer but a clipped code.

mod body;
mod bounds;
mod reset;

pub use self::body::{FIRST_EVENT_LEN_MAX, first_event};
pub use self::bounds::CooldownBounds;
pub use self::reset::Headers;
use crate::provider::{Body, Profile, clip_code};
use crate::time::Timestamp;

/// Server-sent events (WHATWG HTML, section 9.2).
const EVENT_STREAM: &str = "text/event-stream";

/// An upstream's answer, as far as it is needed.
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The headers, by lower-case names.
    pub headers: &'a dyn Headers,
    /// What [`needs`] said is needed, decoded. [`Body::Bytes`] of nothing where nothing was.
    pub body: &'a Body,
}

/// What must be read of an answer before it can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Status and headers will do.
    Head,
    /// The body, decoded, up to the judge's bound.
    Body,
    /// A stream's first event, decoded: see [`first_event`].
    FirstEvent,
}

/// Where the evidence stood. Kept with the cooldown's audit entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The status.
    pub status: u16,
    /// The code, if there was one: see [`clip_code`].
    pub code: Option<String>,
    /// The JSON pointer at which the code stood.
    pub pointer: Option<String>,
    /// The header that said when to come back; `None`: it is the default.
    pub header: Option<&'static str>,
}

/// What an answer proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing, and so that the credential works: statuses below 400.
    Works,
    /// Nothing either way.
    Nothing,
    /// A limit is used up until then.
    RateLimit {
        /// Within the bounds.
        until: Timestamp,
        /// Where it was seen.
        seen: Seen,
    },
    /// The token was refused. Where refreshing can cure that, it is tried first.
    Rejected {
        /// Where it was seen.
        seen: Seen,
    },
}

/// What has to be read of an answer of that media type. Most answers prove nothing, and are not read.
pub fn needs(status: u16, media_type: &str) -> Needs {
    match status {
        200..=299 if is_event_stream(media_type) => Needs::FirstEvent,
        403 | 429 => Needs::Body,
        _ => Needs::Head,
    }
}

/// Judges an answer. `now` is the moment it came.
pub fn judge(answer: &Answer<'_>, profile: &Profile, bounds: &CooldownBounds, now: Timestamp) -> Evidence {
    let quota = || body::quota_code(answer.body, profile);
    match answer.status {
        // The code is kept where there is one, but the status alone says enough.
        429 => limited(answer, body::any_code(answer.body, profile), bounds, now),
        401 => Evidence::Rejected { seen: seen(401, None, None) },
        403 => quota().map_or(Evidence::Nothing, |found| limited(answer, Some(found), bounds, now)),
        200..=299 if is_event_stream(answer.headers.value("content-type").unwrap_or_default()) => {
            match body::error_event(answer.body, profile) {
                Some(found) => limited(answer, Some(found), bounds, now),
                None => Evidence::Works,
            }
        }
        200..=399 => Evidence::Works,
        _ => Evidence::Nothing,
    }
}

fn limited(
    answer: &Answer<'_>,
    found: Option<body::Found>,
    bounds: &CooldownBounds,
    now: Timestamp,
) -> Evidence {
    let (asked, header) = reset::asked(answer.headers, now).unzip();
    let rest = asked.unwrap_or(bounds.rate_limit);
    Evidence::RateLimit { until: bounds.end(rest, now), seen: seen(answer.status, found, header) }
}

fn seen(status: u16, found: Option<body::Found>, header: Option<&'static str>) -> Seen {
    let (code, pointer) = found.map(|found| (clip_code(&found.code), found.pointer)).unzip();
    Seen { status, code, pointer, header }
}

fn is_event_stream(media_type: &str) -> bool {
    // Asked of every answer: it ends at the first letter, mostly.
    let Some((kind, rest)) = media_type.trim_start().split_at_checked(EVENT_STREAM.len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(EVENT_STREAM)
        && matches!(rest.trim_start().as_bytes().first(), None | Some(b';'))
}

#[cfg(test)]
mod tests;
