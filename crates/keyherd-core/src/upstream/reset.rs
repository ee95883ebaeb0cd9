//! When an answer asks to be left alone until: Retry-After, and the families of reset headers in use.
//!
//! Owns what each header means. Bounds are not applied here; what is no number, no date and no duration is not there.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use crate::time::Timestamp;

/// An answer's headers.
pub trait Headers: Sync {
    /// The first value of that name, which is in lower case, if it is text.
    fn value(&self, name: &str) -> Option<&str>;
}

impl Headers for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// How a value is to be read.
#[derive(Clone, Copy)]
enum Form {
    /// RFC 9110, section 10.2.3: seconds, or an HTTP date.
    SecondsOrDate,
    Millis,
    /// Seconds from now, seconds or milliseconds since the epoch, RFC 3339, or `1h2m3.5s`: told apart by their look.
    Any,
    /// `"policy";r=0;t=30`, the IETF's draft (draft-ietf-httpapi-ratelimit-headers).
    Structured,
}

/// What upstream asks outright comes first, and the more exact form of it before the other.
const ASKED: [(&str, Form); 2] = [("retry-after-ms", Form::Millis), ("retry-after", Form::SecondsOrDate)];

/// Limits that are counted one by one: the reset, and what remains. Only one that is used up counts.
const COUNTED: [(&str, &str); 12] = [
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("anthropic-ratelimit-unified-reset", "anthropic-ratelimit-unified-remaining"),
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-reset-after", "x-ratelimit-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("x-rate-limit-reset", "x-rate-limit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("x-ratelimit-retry-after", "x-ratelimit-remaining"),
];

/// Numbers from here on are seconds since the epoch (2001), and from [`EPOCH_MILLIS`] on milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// How long the answer asks to wait, and by which header.
pub(super) fn asked(headers: &dyn Headers, now: Timestamp) -> Option<(Duration, &'static str)> {
    let read = |name: &'static str, form| Some((read(headers.value(name)?, form, now)?, name));
    let outright = ASKED.into_iter().find_map(|(name, form)| read(name, form));
    outright.or_else(|| read("ratelimit", Form::Structured)).or_else(|| {
        // Of several that are used up, the last to come back.
        let used_up = COUNTED.into_iter().filter(|(_, left)| !has_left(headers.value(left)));
        used_up.filter_map(|(name, _)| read(name, Form::Any)).max_by_key(|(wait, _)| *wait)
    })
}

fn has_left(remaining: Option<&str>) -> bool {
    remaining.and_then(|text| text.trim().parse::<f64>().ok()).is_some_and(|left| left > 0.0)
}

fn read(text: &str, form: Form, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    match form {
        Form::Millis => seconds(text.parse::<f64>().ok()? / 1_000.0),
        Form::SecondsOrDate => text.parse().map_or_else(|_| http_date(text, now), seconds),
        Form::Structured => structured(text),
        Form::Any => match text.parse::<f64>() {
            Ok(number) if number >= EPOCH_MILLIS => since_epoch(number / 1_000.0, now),
            Ok(number) if number >= EPOCH_SECONDS => since_epoch(number, now),
            Ok(number) => seconds(number),
            Err(_) => rfc3339(text, now).or_else(|| go_duration(text)).or_else(|| http_date(text, now)),
        },
    }
}

/// Too large for a duration: as long as can be said. Negative and not a number: not there.
fn seconds(number: f64) -> Option<Duration> {
    if number.is_nan() || number < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX))
}

fn since_epoch(number: f64, now: Timestamp) -> Option<Duration> {
    Some(now.until(Timestamp::default() + seconds(number)?))
}

fn http_date(text: &str, now: Timestamp) -> Option<Duration> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(now.until(Timestamp::default() + since))
}

fn structured(text: &str) -> Option<Duration> {
    // Of several policies those that have nothing left; a comma inside a quoted name only costs that policy.
    let policies = text.split(',').filter(|policy| !has_left(parameter(policy, "r")));
    policies.filter_map(|policy| seconds(parameter(policy, "t")?.trim().parse().ok()?)).max()
}

fn parameter<'a>(policy: &'a str, name: &str) -> Option<&'a str> {
    policy.split(';').skip(1).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// `6m0s`, `1h2m3.5s`, `17ms`: as Go prints them.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let (unit, factor) = [
            ("ms", 0.001),
            ("us", 1e-6),
            ("ns", 1e-9),
            ("d", 86_400.0),
            ("h", 3_600.0),
            ("m", 60.0),
            ("s", 1.0),
        ]
        .into_iter()
        .find(|(unit, _)| after.starts_with(unit))?;
        total += number.parse::<f64>().ok()? * factor;
        rest = after.get(unit.len()..)?;
    }
    seconds(total)
}

/// RFC 3339: `2026-11-21T16:09:47Z`, with or without a fraction, in any offset.
fn rfc3339(text: &str, now: Timestamp) -> Option<Duration> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let separators = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")];
    let fits = separators.iter().all(|(at, byte)| text.as_bytes().get(*at) == byte.first());
    if !fits || !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let time = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60)
        }
    };
    let seconds = days(year, month, day) * 86_400 + time - offset;
    Some(now.until(Timestamp::from_millis(seconds.saturating_mul(1_000))))
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March: the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}
