//! Upstream answers and what they prove, as a table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::fakes::PausedClock;

const NOW: Timestamp = Timestamp::from_millis(PausedClock::START_MS);

fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn profile() -> Profile {
    Profile {
        quota_pointers: ["/error/code", "/error/type", "/error", "/code", "/fault/reason"]
            .map(str::to_owned)
            .into(),
        quota_codes: vec!["out_of_tokens".into()],
        ..Profile::default()
    }
}

fn judged(status: u16, pairs: &[(&str, &str)], body: &Body) -> Evidence {
    let answer = Answer { status, headers: &headers(pairs), body };
    judge(&answer, &profile(), &CooldownBounds::default(), NOW)
}

/// The evidence in short: the rest in seconds, and where it was seen.
fn shown(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Works => "works".into(),
        Evidence::Nothing => "nothing".into(),
        Evidence::Rejected { seen } => format!("rejected {}", seen.status),
        Evidence::RateLimit { until, seen } => {
            let text = |part: Option<&str>| part.unwrap_or("-").to_owned();
            let (code, pointer) = (text(seen.code.as_deref()), text(seen.pointer.as_deref()));
            format!("limit {}s {code} {pointer} {}", NOW.until(*until).as_secs(), text(seen.header))
        }
    }
}

#[track_caller]
fn check(status: u16, pairs: &[(&str, &str)], body: &str, expected: &str) {
    assert_eq!(shown(&judged(status, pairs, &body.into())), expected, "{status} {pairs:?} {body}");
}

#[test]
fn statuses_and_codes() {
    check(429, &[], "", "limit 60s - - -");
    check(429, &[], "<html>slow down</html>", "limit 60s - - -");
    check(429, &[], r#"{"error":{"code":"tokens_used"}}"#, "limit 60s tokens_used /error/code -");
    check(
        429,
        &[],
        r#"{"error":{"code":"x","type":"insufficient_quota"}}"#,
        "limit 60s insufficient_quota /error/type -",
    );
    check(401, &[], r#"{"error":{"code":"insufficient_quota"}}"#, "rejected 401");
    for code in ["insufficient_quota", "quota_exceeded", "rate_limit_exceeded", "out_of_tokens"] {
        check(
            403,
            &[],
            &format!(r#"{{"error":{{"code":"{code}"}}}}"#),
            &format!("limit 60s {code} /error/code -"),
        );
        check(
            403,
            &[],
            &format!(r#"{{"error":{{"type":"{code}"}}}}"#),
            &format!("limit 60s {code} /error/type -"),
        );
        check(403, &[], &format!(r#"{{"error":"{code}"}}"#), &format!("limit 60s {code} /error -"));
        check(403, &[], &format!(r#"{{"code":"{code}"}}"#), &format!("limit 60s {code} /code -"));
        check(
            403,
            &[],
            &format!(r#"{{"fault":{{"reason":"{code}"}}}}"#),
            &format!("limit 60s {code} /fault/reason -"),
        );
    }
    check(
        403,
        &[("retry-after", "7")],
        r#"{"code":"quota_exceeded"}"#,
        "limit 7s quota_exceeded /code retry-after",
    );
    for plain in [
        "",
        "quota_exceeded",
        r#"{"message":"quota_exceeded"}"#,
        r#"{"error":{"message":"rate_limit_exceeded"}}"#,
        r#"{"error":{"code":"forbidden"}}"#,
        r#"["quota_exceeded"]"#,
        "<html>quota_exceeded</html>",
    ] {
        check(403, &[], plain, "nothing");
    }
    for status in [400, 402, 404, 408, 409, 413, 422, 500, 502, 503, 504, 529] {
        check(status, &[("retry-after", "7")], r#"{"code":"quota_exceeded"}"#, "nothing");
    }
    for status in [200, 201, 204, 206, 301, 304] {
        check(status, &[], r#"{"code":"quota_exceeded"}"#, "works");
    }
}

#[test]
fn a_body_that_could_not_be_read_proves_nothing_of_a_403() {
    for body in [Body::Truncated, Body::TooLarge, Body::Undecodable] {
        assert_eq!(judged(403, &[], &body), Evidence::Nothing);
        assert_eq!(shown(&judged(429, &[], &body)), "limit 60s - - -", "the status is enough");
    }
}

#[test]
fn a_code_is_repeated_only_where_it_looks_like_one() {
    check(429, &[], r#"{"code":"rt_1a2b3c4d your token"}"#, "limit 60s unprintable_code /code -");
    check(429, &[], r#"{"error":{"code":429}}"#, "limit 60s 429 /error/code -");
}

#[test]
fn retry_after_within_its_bounds() {
    let check = |value: &str, expected: u64| {
        let named = if expected == 60 { "-" } else { "retry-after" };
        check(429, &[("retry-after", value)], "", &format!("limit {expected}s - - {named}"));
    };
    check("7", 7);
    check(" 7 ", 7);
    check("1.2", 2);
    check("Thu, 01 Jan 2026 00:02:00 GMT", 120);
    check("0", 1);
    check("Mon, 01 Jan 2024 00:00:00 GMT", 1);
    check("86400", 3_600);
    check("99999999999999999999999999", 3_600);
    check("inf", 3_600);
    check("Sat, 01 Jan 2056 00:00:00 GMT", 3_600);
    for absurd in ["", "-5", "NaN", "soon", "7 seconds", "\u{0661}"] {
        check(absurd, 60);
    }
}

#[test]
fn the_families_of_reset_headers() {
    let check = |pairs: &[(&str, &str)], expected: &str| check(429, pairs, "", &format!("limit {expected}"));
    check(&[("retry-after-ms", "1500"), ("retry-after", "2")], "2s - - retry-after-ms");
    check(&[("retry-after", "9"), ("x-ratelimit-reset", "100")], "9s - - retry-after");
    check(&[("retry-after", "soon"), ("x-ratelimit-reset", "100")], "100s - - x-ratelimit-reset");
    check(&[("x-ratelimit-reset", "1767225630")], "30s - - x-ratelimit-reset");
    check(&[("x-rate-limit-reset", "1767225630000")], "30s - - x-rate-limit-reset");
    check(&[("ratelimit-reset", "12")], "12s - - ratelimit-reset");
    check(&[("ratelimit", "\"burst\";r=5;t=50, \"day\";r=0;t=31")], "31s - - ratelimit");
    check(
        &[("x-ratelimit-reset-after", "1.5"), ("x-ratelimit-remaining", "0")],
        "2s - - x-ratelimit-reset-after",
    );
    check(&[("x-ratelimit-reset-requests", "6m0s")], "360s - - x-ratelimit-reset-requests");
    check(&[("x-ratelimit-reset-tokens", "1h2m3.5s")], "3600s - - x-ratelimit-reset-tokens");
    check(&[("x-ratelimit-reset-tokens", "17ms")], "1s - - x-ratelimit-reset-tokens");
    check(
        &[
            ("x-ratelimit-reset-requests", "5m"),
            ("x-ratelimit-remaining-requests", "10"),
            ("x-ratelimit-reset-tokens", "20s"),
            ("x-ratelimit-remaining-tokens", "0"),
        ],
        "20s - - x-ratelimit-reset-tokens",
    );
    let anthropic = "anthropic-ratelimit-input-tokens-reset";
    check(&[(anthropic, "2026-01-01T00:00:40Z")], &format!("40s - - {anthropic}"));
    check(&[(anthropic, "2026-01-01T02:00:40.25+02:00")], &format!("40s - - {anthropic}"));
    check(&[(anthropic, "2024-02-29T23:59:59Z")], &format!("1s - - {anthropic}"));
    for absurd in ["", "-3", "NaN", "5x", "m", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:40"] {
        check(&[(anthropic, absurd)], "60s - - -");
    }
    check(&[(anthropic, "99999999999999999999")], &format!("3600s - - {anthropic}"));
}

#[test]
fn a_stream_that_begins_with_an_error() {
    let stream = [("content-type", "text/event-stream; charset=utf-8")];
    let check = |body: &str, expected: &str| check(200, &stream, body, expected);
    let limit = "limit 60s rate_limit_error /error/type -";
    check("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}\n\n", limit);
    check(
        "\u{feff}: hello\n\nevent: error\r\ndata: {\"error\":\r\ndata: {\"type\":\"rate_limit_error\"}}\r\n\r\n",
        limit,
    );
    check(
        "data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n",
        "limit 60s insufficient_quota /error/code -",
    );
    check("data: {\"error\":{\"code\":429}}\n\ndata: x\n\n", "limit 60s 429 /error/code -");
    check("data: {\"error\":{\"type\":\"overloaded_error\"}}\n\n", "works");
    check("data: {\"choices\":[]}\n\ndata: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n", "works");
    check("data: rate_limit_error\n\n", "works");
    check("data: {\"error\":{\"type\":\"rate_limit_error\"}}", "works");
    check("", "works");
}

#[test]
fn a_streams_first_event_is_complete_or_not_there() {
    assert_eq!(first_event(b"data: a\n\ndata: b\n\n"), Some("data: a\n\n"));
    assert_eq!(first_event(b": keep\n\ndata: a\n\n"), Some("data: a\n\n"));
    assert_eq!(first_event(b"data: a\r\n\r\n"), Some("data: a\r\n\r\n"));
    for part in [&b"data: a\n"[..], b"data: a", b": keep\n\n", b"", b"data: \xc3", b"\xff\xff"] {
        assert_eq!(first_event(part), None, "{part:?}");
    }
}

#[test]
fn what_must_be_read() {
    assert_eq!([200, 401, 500].map(|status| needs(status, "")), [Needs::Head; 3]);
    assert_eq!([403, 429].map(|status| needs(status, "")), [Needs::Body; 2]);
    for stream in ["Text/Event-Stream", " text/event-stream ; charset=utf-8", "text/event-stream;"] {
        assert_eq!([needs(200, stream), needs(500, stream)], [Needs::FirstEvent, Needs::Head], "{stream}");
    }
    for other in [
        "text/event-streams",
        "text/event-stream x",
        "text/event",
        "application/json",
        "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
    ] {
        assert_eq!(needs(200, other), Needs::Head, "{other}");
    }
}

#[test]
fn ends_are_rounded_up_to_the_grain() {
    let bounds = CooldownBounds::default();
    let end = |millis| bounds.end(Duration::from_millis(millis), NOW).as_millis() - NOW.as_millis();
    assert_eq!([end(7_000), end(7_001), end(7_999)], [7_000, 8_000, 8_000]);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut seed = 1_u64;
    for _ in 0..2_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bytes: Vec<u8> =
            seed.to_le_bytes().into_iter().chain(seed.rotate_left(13).to_le_bytes()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for name in ["retry-after", "ratelimit", "x-ratelimit-reset"] {
            judged(429, &[(name, &text), ("content-type", "text/event-stream")], &bytes.clone().into());
        }
        judged(200, &[("content-type", "text/event-stream")], &bytes.into());
    }
}
