//! Times, counts and states in words and marks that a person reads at a glance.

use std::time::Duration;

use keyherd_core::time::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::documents::Moment;

/// Numbers that the log has as times, in milliseconds: from 2001 on. Nothing else that is counted is as large.
const MILLIS: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// A time that is ahead, counted down by the page from what is left of it here; or one that is past.
pub(super) fn countdown(at: Moment, now: Timestamp) -> Markup {
    let left = at.timestamp().as_millis().saturating_sub(now.as_millis());
    html! { time datetime=(at) title=(at) data-left=(left) { (relative(at.timestamp(), now)) } }
}

/// A time that is past.
pub(super) fn ago(at: Moment, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(at) { (relative(at.timestamp(), now)) } }
}

/// `in 4 min`, `2 h ago`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (ahead, behind) = (now.until(at), at.until(now));
    if ahead >= Duration::from_secs(1) {
        return format!("in {}", span(ahead));
    }
    if behind >= Duration::from_secs(1) { format!("{} ago", span(behind)) } else { "now".into() }
}

/// The largest unit that fits, and the next one where it says something.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        600..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        86_400..8_640_000 => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `20 requests`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(number))
}

/// A state, as a coloured mark and its word.
pub(super) fn pill(state: &str) -> Markup {
    html! { span.pill.(tone(state)) { (state.replace('_', " ")) } }
}

/// How grave a state is: the class that colours it.
pub(super) fn tone(state: &str) -> &'static str {
    match state {
        "active" | "allow" | "allow_once" | "allow_for" | "always_allow" | "well" => "good",
        "cooling" | "uncertain" | "unavailable" | "ask" | "open" => "warn",
        "reauth_required" | "blocked" | "deny" | "always_deny" | "timed_out" | "withdrawn" | "failing" => {
            "bad"
        }
        _ => "calm",
    }
}

/// A decision in words.
pub(super) fn decision(word: &str) -> &'static str {
    match word {
        "allow_once" => "allowed once",
        "allow_for" => "allowed for a time",
        "always_allow" => "allowed for ever",
        "deny" => "denied",
        "always_deny" => "denied for ever",
        "withdrawn" => "the agent was revoked",
        _ => "not answered in time",
    }
}

/// How it goes on a channel, in words.
pub(super) fn health(word: &str) -> &'static str {
    match word {
        "well" => "delivers",
        "failing" => "failing",
        _ => "not used yet",
    }
}

/// JSON in short, for a line.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let told = fields.iter().filter(|(_, value)| !value.is_null());
            told.map(pair).collect::<Vec<_>>().join(" · ")
        }
        other => plain(other),
    }
}

/// A value within a line: what it is made of, without JSON's marks.
fn inner(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Object(fields) => fields.iter().map(pair).collect::<Vec<_>>().join(", "),
        other => plain(other),
    }
}

/// What is told under a name. A time is read as one, whatever unit its name says.
fn pair((name, value): (&String, &Value)) -> String {
    let name = if moment(value).is_some() { name.strip_suffix("_ms").unwrap_or(name) } else { name };
    format!("{name} {}", inner(value))
}

/// The time that it is, in milliseconds as the log has them.
fn moment(value: &Value) -> Option<Moment> {
    let millis = value.as_i64().filter(|millis| MILLIS.contains(millis))?;
    Some(Timestamp::from_millis(millis).into())
}

/// One value, without quotes; what is made of several stays JSON, which leaves no doubt.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => moment(other).map_or_else(|| other.to_string(), |at| at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_as_people_say_them() {
        let check = |seconds, expected: &str| assert_eq!(span(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(61, "1 min 01 s");
        check(1_800, "30 min");
        check(3_660, "1 h 01 min");
        check(90_000, "1 d 1 h");
        check(40_000_000, "462 d");
        let at = Timestamp::from_millis;
        assert_eq!(relative(at(61_000), at(0)), "in 1 min 01 s");
        assert_eq!(relative(at(0), at(5_000)), "5 s ago");
        assert_eq!(relative(at(0), at(500)), "now");
        assert_eq!((count(0), count(999), count(1_000)), ("0".into(), "999".into(), "1,000".into()));
        let told = serde_json::json!({"to": "b", "until_ms": 1_795_303_034_000_i64, "of": ["a", "b"], "no": null, "n": 3,
            "by": {"rule": "r1", "at": 4}, "may": []});
        assert_eq!(
            short(&told),
            "by at 4, rule r1 · may nothing · n 3 · of a, b · to b · until 2026-11-21T23:17:14Z"
        );
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(
            (counted(1, "request"), counted(1_000, "request")),
            ("1 request".into(), "1,000 requests".into())
        );
    }
}
