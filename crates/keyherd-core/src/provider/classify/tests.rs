//! Tests of the judgement: every row of the failure table, every form of an answer, and bytes of no form at all.

use super::*;

/// 2026-11-20T10:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_168_800_000);

const SECRET: &str = "planted-Secret_1a2b3c4d5e";

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn reply(status: u16, body: impl Into<Body>) -> Reply {
    Reply { status, content_type: Some("application/json".to_owned()), retry_after: None, body: body.into() }
}

fn judged(profile: &Profile, reply: &Reply) -> String {
    let meaning = classify(profile, reply, NOW);
    let debug = format!("{meaning:?} {reply:?}");
    assert!(!debug.contains(SECRET), "{debug}");
    match meaning {
        Meaning::Granted(grant) => {
            let assumed = if grant.expires_assumed { " assumed" } else { "" };
            let refresh = grant.refresh_token.as_ref().map_or("-", Secret::expose);
            format!(
                "granted {} {refresh} {}s{assumed}",
                grant.access_token.as_ref().map_or("", |token| token.expose()),
                grant.expires_in.as_secs_f64()
            )
        }
        Meaning::Terminal { code, reuse: true } => format!("reuse {code}"),
        Meaning::Terminal { code, reuse: false } => format!("terminal {code}"),
        Meaning::ClientApp { code } => format!("client {code}"),
        Meaning::Transient { code, retry_after: None } => format!("transient {code}"),
        Meaning::Transient { code, retry_after: Some(wait) } => {
            format!("transient {code} {}s", wait.as_secs())
        }
        Meaning::Unknown { code } => format!("unknown {code}"),
    }
}

fn check(status: u16, body: &str, expected: &str) {
    assert_eq!(judged(&Profile::default(), &reply(status, body)), expected, "{status} {body}");
}

#[test]
fn a_success_with_a_token_is_a_grant() {
    check(200, r#"{"access_token":"a","expires_in":60,"refresh_token":"r"}"#, "granted a r 60s");
    check(201, r#"{"access_token":"a","expires_in":60,"refresh_token":""}"#, "granted a - 60s");
    check(
        200,
        r#"{"access_token":"a","expires_in":60,"refresh_token":null,"id_token":"x"}"#,
        "granted a - 60s",
    );
    check(200, r#"{"access_token":"a","expires_in":60,"error":"","ok":false}"#, "granted a - 60s");
    check(200, "\u{feff}{\"access_token\":\"a\",\"expires_in\":60}", "granted a - 60s");
    let brackets = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for odd in ["-1e400", r#""\ud800""#, &brackets] {
        let body = format!(r#"{{"odd":{odd},"access_token":"a","expires_in":60,"refresh_token":"r"}}"#);
        check(200, &body, "granted a r 60s");
    }
    check(200, r#"{"access_token":"a","\udc00":1,"expires_in":60,"refresh_token":"r"}"#, "granted a r 60s");
    let mut odd = br#"{"name":"caf"#.to_vec();
    odd.extend([0xe9]);
    odd.extend(br#"","access_token":"a","expires_in":60}"#);
    assert_eq!(judged(&Profile::default(), &reply(200, odd)), "granted a - 60s");
}

#[test]
fn a_lifetime_is_believed_or_assumed() {
    for (value, expected) in [
        ("60", "60s"),
        ("60.5", "60.5s"),
        ("\"60\"", "60s"),
        ("\" 60.0 \"", "60s"),
        ("6e1", "60s"),
        ("315705599", "315705599s"),
        ("null", "3600s assumed"),
        ("0", "3600s assumed"),
        ("-60", "3600s assumed"),
        ("\"-60\"", "3600s assumed"),
        ("\"soon\"", "3600s assumed"),
        ("\"inf\"", "3600s assumed"),
        ("\"NaN\"", "3600s assumed"),
        ("true", "3600s assumed"),
        ("[60]", "3600s assumed"),
        ("1795168800", "3600s assumed"),
        ("1e300", "3600s assumed"),
        ("1e400", "3600s assumed"),
        ("18446744073709551616", "3600s assumed"),
    ] {
        let body = format!(r#"{{"access_token":"a","expires_in":{value}}}"#);
        check(200, &body, &format!("granted a - {expected}"));
    }
    check(200, r#"{"access_token":"a"}"#, "granted a - 3600s assumed");
}

#[test]
fn a_success_without_a_token_may_have_rotated() {
    for (body, why) in [
        ("", "not_json"),
        ("<html>access_denied invalid_grant</html>", "not_json"),
        ("[]", "not_json"),
        ("\"invalid_grant\"", "not_json"),
        ("{\"access_token\":\"a\"", "not_json"),
        ("access_token=a", "not_json"),
        ("{}", "no_token"),
        ("{\"access_token\":\"\"}", "no_token"),
        ("{\"access_token\":\" \"}", "no_token"),
        ("{\"access_token\":7}", "no_token"),
        ("{\"access_token\":null,\"error\":null}", "no_token"),
        ("{\"access_token\":\"a\\nb\"}", "no_token"),
        ("{\"access_token\":\"ä\"}", "no_token"),
        ("{\"error\":0}", "no_token"),
        ("{\"error_description\":\"invalid_grant\"}", "no_token"),
    ] {
        check(200, body, &format!("unknown {why}"));
    }
    check(204, "", "unknown not_json");
    for (body, why) in
        [(Body::Truncated, "truncated"), (Body::TooLarge, "too_large"), (Body::Undecodable, "undecodable")]
    {
        assert_eq!(judged(&Profile::default(), &reply(200, body)), format!("unknown {why}"));
    }
}

#[test]
fn a_gateway_does_not_know_what_the_provider_did() {
    for status in [502, 504] {
        check(status, r#"{"error":"invalid_grant"}"#, &format!("unknown http_{status}"));
        check(status, r#"{"access_token":"a"}"#, &format!("unknown http_{status}"));
        check(status, "<html>", &format!("unknown http_{status}"));
    }
    for status in [0, 101, 199, 600, 999] {
        check(status, "{}", &format!("unknown http_{status}"));
    }
}

#[test]
fn standard_codes_are_verdicts_on_4xx_and_2xx_only() {
    for code in codes::standard_terminal_codes() {
        let word = if codes::is_reuse_code(code) { "reuse" } else { "terminal" };
        let body = format!(r#"{{"error":"{code}"}}"#);
        for status in [200, 400, 401, 403] {
            check(status, &body, &format!("{word} {code}"));
        }
        for status in [302, 429, 500, 503] {
            check(status, &body, &format!("transient {code}"));
        }
    }
    for code in codes::standard_client_codes() {
        let body = format!(r#"{{"error":"{code}","access_token":null}}"#);
        check(200, &body, &format!("client {code}"));
        check(401, &body, &format!("client {code}"));
        check(500, &body, &format!("transient {code}"));
    }
}

#[test]
fn what_is_no_verdict_is_transient() {
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_request"}"#, "transient invalid_request"),
        (400, r#"{"error":"slow_down"}"#, "transient slow_down"),
        (400, r#"{"error":{"code":"invalid_grant"}}"#, "transient http_400"),
        (400, r#"{"error":"Invalid_Grant"}"#, "transient Invalid_Grant"),
        (400, r#"{"error":["invalid_grant"]}"#, "transient http_400"),
        (400, r#"{"message":"invalid_grant"}"#, "transient http_400"),
        (400, "error=invalid_grant", "transient http_400"),
        (400, r#"{"access_token":"a"}"#, "transient http_400"),
        (401, "", "transient http_401"),
        (403, "<html>access_denied</html>", "transient http_403"),
        (403, "access_denied", "transient http_403"),
        (404, "not found", "transient http_404"),
        (429, r#"{"error":"invalid_grant"}"#, "transient invalid_grant"),
        (429, "slow down", "transient http_429"),
        (500, r#"{"error":"server_error"}"#, "transient server_error"),
        (503, "<html>", "transient http_503"),
        (302, "", "transient http_302"),
        (200, r#"{"error":"temporarily_unavailable"}"#, "transient temporarily_unavailable"),
    ] {
        check(status, body, expected);
    }
    for body in [Body::Truncated, Body::TooLarge, Body::Undecodable] {
        assert_eq!(judged(&Profile::default(), &reply(400, body.clone())), "transient http_400");
        let expected =
            if matches!(body, Body::Truncated) { "unknown truncated" } else { "transient http_500" };
        assert_eq!(judged(&Profile::default(), &reply(500, body)), expected);
    }
}

#[test]
fn a_code_that_does_not_look_like_one_is_not_repeated() {
    for code in [SECRET, "the token planted-Secret_1a2b3c4d5e is bad", "<b>", &"x".repeat(65)] {
        check(400, &format!(r#"{{"error":"{code}"}}"#), "transient unprintable_code");
        check(200, &format!(r#"{{"error":"{code}"}}"#), "transient unprintable_code");
    }
    // A rotation is kept although the access token beside it cannot be used.
    check(
        200,
        &format!(r#"{{"access_token":"","refresh_token":"{SECRET}"}}"#),
        &format!("granted  {SECRET} 3600s assumed"),
    );
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (text, expected) in [
        ("7", " 7s"),
        (" 0 ", " 0s"),
        ("999999999", " 31622400s"),
        ("99999999999999999999999999", " 31622400s"),
        ("Fri, 20 Nov 2026 10:01:00 GMT", " 60s"),
        ("Fri, 20 Nov 2026 09:00:00 GMT", " 0s"),
        ("Friday, 20-Nov-26 10:01:00 GMT", " 60s"),
        ("Fri Nov 20 10:01:00 2026", " 60s"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", " 31622400s"),
        ("-1", ""),
        ("1.5", ""),
        ("soon", ""),
        ("", ""),
    ] {
        let reply = Reply { retry_after: Some(text.to_owned()), ..reply(429, "") };
        assert_eq!(judged(&Profile::default(), &reply), format!("transient http_429{expected}"), "{text}");
    }
}

fn check_form(status: u16, content_type: &str, body: &str, expected: &str) {
    let reply = Reply { content_type: Some(content_type.to_owned()), ..reply(status, body) };
    assert_eq!(judged(&Profile::default(), &reply), expected, "{content_type} {body}");
}

#[test]
fn a_form_is_read_where_the_content_type_says_so() {
    let form = "application/x-www-form-urlencoded";
    check_form(200, form, "access_token=a%2B&expires_in=60&refresh_token=r", "granted a+ r 60s");
    check_form(
        200,
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        "access_token=a",
        "granted a - 3600s assumed",
    );
    check_form(200, form, "error=bad_refresh_token&error_description=x", "terminal bad_refresh_token");
    check_form(400, form, "error=invalid_client", "client invalid_client");
    check_form(200, form, "<html>", "unknown no_token");
    check_form(200, form, r#"{"access_token":"a","expires_in":60}"#, "granted a - 60s");
    check_form(200, "text/plain", "access_token=a", "unknown not_json");
    check_form(200, "text/html", r#"{"access_token":"a","expires_in":60}"#, "granted a - 60s");
}

#[test]
fn profiles_say_where_codes_stand_and_what_they_mean() {
    let slack =
        Profile { ok_pointer: "/ok".to_owned(), unknown_codes: list(&["fatal_error"]), ..Profile::default() };
    for (status, body, expected) in [
        (200, r#"{"ok":true,"access_token":"a","expires_in":60}"#, "granted a - 60s"),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, "terminal invalid_refresh_token"),
        (200, r#"{"ok":false,"error":"bad_client_secret"}"#, "client bad_client_secret"),
        (200, r#"{"ok":false,"error":"ratelimited"}"#, "transient ratelimited"),
        (200, r#"{"ok":false,"error":"fatal_error"}"#, "unknown fatal_error"),
        (500, r#"{"ok":false,"error":"fatal_error"}"#, "unknown fatal_error"),
        (200, r#"{"ok":false,"access_token":"a"}"#, "transient not_ok"),
        (400, r#"{"ok":false,"error":"token_revoked"}"#, "terminal token_revoked"),
    ] {
        assert_eq!(judged(&slack, &reply(status, body)), expected, "{body}");
    }
    let moved = Profile {
        error_pointers: list(&["/error/code", "/error", "/status"]),
        terminal_codes: list(&["unauthorized_client", "190", "BAD_REFRESH_TOKEN"]),
        client_codes: list(&["access_denied"]),
        ..Profile::default()
    };
    for (body, expected) in [
        (r#"{"error":"unauthorized_client"}"#, "terminal unauthorized_client"),
        (r#"{"error":"access_denied"}"#, "client access_denied"),
        (r#"{"error":{"code":190,"type":"OAuthException"}}"#, "terminal 190"),
        (r#"{"error":{"code":"refresh_token_reused"}}"#, "reuse refresh_token_reused"),
        (r#"{"status":"BAD_REFRESH_TOKEN"}"#, "terminal BAD_REFRESH_TOKEN"),
        (r#"{"status":"error"}"#, "transient error"),
    ] {
        assert_eq!(judged(&moved, &reply(400, body)), expected, "{body}");
    }
}

#[test]
fn the_rest_of_a_grant() {
    let profile = Profile {
        access_token_refreshes: true,
        refresh_expires_pointer: "/x_refresh_token_expires_in".to_owned(),
        ..Profile::default()
    };
    let granted = |body: &str| match classify(&profile, &reply(200, body), NOW) {
        Meaning::Granted(grant) => *grant,
        other => panic!("{body}: {other:?}"),
    };
    let grant = granted(
        r#"{"access_token":"a","scope":"x y,z ","token_type":"bearer","x_refresh_token_expires_in":"90"}"#,
    );
    assert_eq!(grant.refresh_token, Some(Secret::from("a")));
    assert_eq!(grant.refresh_expires_in, Some(Duration::from_secs(90)));
    assert_eq!(grant.scopes, Some(list(&["x", "y", "z"])));
    assert_eq!(grant.token_type, "Bearer");
    let grant = granted(r#"{"access_token":"a","refresh_token":"r","scope":["x","y"],"token_type":"DPoP"}"#);
    assert_eq!(grant.refresh_token, Some(Secret::from("r")));
    assert_eq!((grant.scopes, grant.token_type.as_str()), (Some(list(&["x", "y"])), "DPoP"));
    assert_eq!(grant.refresh_expires_in, None);
    for odd in [r#""scope":"","token_type":"a b""#, r#""scope":null,"token_type":7"#, r#""scope":7"#] {
        let grant = granted(&format!(r#"{{"access_token":"a",{odd}}}"#));
        assert_eq!((grant.scopes, grant.token_type.as_str()), (None, "Bearer"), "{odd}");
    }
}

#[test]
fn nothing_of_an_answer_is_printed() {
    let body = format!(r#"{{"access_token":"{SECRET}","refresh_token":"{SECRET}","expires_in":60}}"#);
    let reply = reply(200, body.as_str());
    let meaning = classify(&Profile::default(), &reply, NOW);
    assert!(matches!(meaning, Meaning::Granted(_)));
    assert!(!format!("{meaning:?} {reply:?} {:?}", Answer::read(&reply).is_ok()).contains(SECRET));
}

/// Deterministic noise (xorshift), bent towards bytes that JSON, forms and pointers are made of.
#[test]
fn no_bytes_make_it_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces: [&[u8]; 14] = [
        b"{",
        b"}",
        b"\"",
        b":",
        b",",
        b"\"access_token\"",
        b"\"expires_in\"",
        b"\"error\"",
        b"\\u",
        b"1e9",
        b"-",
        b"[",
        b"\xff",
        b"=&%",
    ];
    let profile = Profile {
        ok_pointer: "/".to_owned(),
        error_pointers: list(&["/error/0", "~", "/"]),
        ..Profile::default()
    };
    for _ in 0..20_000 {
        let mut body = Vec::new();
        for _ in 0..next() % 24 {
            let pick = next().to_le_bytes();
            match pieces.get(usize::from(pick[0] % 20)) {
                Some(piece) => body.extend(*piece),
                None => body.push(pick[1]),
            }
        }
        let pick = next().to_le_bytes();
        let status = 195 + u16::from(pick[0]) * 2;
        let kind = if pick[1] % 2 == 0 { "application/json" } else { "application/x-www-form-urlencoded" };
        let retry_after = String::from_utf8_lossy(&body).into_owned();
        let reply = Reply {
            status,
            content_type: Some(kind.to_owned()),
            retry_after: Some(retry_after),
            body: body.into(),
        };
        let _ = classify(&Profile::default(), &reply, NOW);
        let _ = classify(&profile, &reply, NOW);
    }
}
