//! What agents see of token answers, as tables.

use serde_json::json;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

fn stand() -> Stand {
    Stand {
        phantom: "PHANTOM".into(),
        id_token: Some("SYNTHETIC".into()),
        secrets: vec!["at-real".into(), "rt-real".into()],
    }
}

#[track_caller]
fn check(stand: Option<&Stand>, said: &Value, expected: &Value) {
    let answer = TokenAnswer::read(Some("application/json"), said.to_string().as_bytes()).expect("is read");
    let (media_type, text) = answer.for_agents(stand).written();
    assert_eq!(media_type, "application/json");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("is JSON"), *expected, "{said}");
}

#[test]
fn phantoms_stand_in_the_places_of_tokens() {
    check(
        Some(&stand()),
        &json!({"access_token": "at-real", "refresh_token": "rt-real", "id_token": "eyJ.real.x", "token_type": "bearer",
                "expires_in": "3600", "scope": "a b", "refresh_token_expires_in": "60"}),
        &json!({"access_token": "PHANTOM", "refresh_token": "PHANTOM", "id_token": "SYNTHETIC", "token_type": "bearer",
                "expires_in": "3600", "scope": "a b", "refresh_token_expires_in": "60"}),
    );
    check(Some(&stand()), &json!({"access_token": "at-real"}), &json!({"access_token": "PHANTOM"}));
    check(
        Some(&stand()),
        &json!({"access_token": "at-real", "refresh_token": null, "id_token": ""}),
        &json!({"access_token": "PHANTOM", "refresh_token": null, "id_token": ""}),
    );
}

#[test]
fn what_may_be_secret_is_left_out() {
    check(
        Some(&stand()),
        &json!({"ok": true, "access_token": "at-real", "team": {"id": "T1"},
                "authed_user": {"id": "U1", "access_token": "xoxp-other", "refresh_token": "rt-real", "scope": "c"},
                "deep": [{"secret": "s", "n": 1}, "Bearer at-real"], "raw": "x at-real y", "apiKey": "k", "session_token": "s",
                "assertion": "eyJhbGciOiJub25lIn0.e30.", "x": "eyJhbGciOiJub25lIn0.e30.c2ln",
                "issued_token_type": "urn:x", "token_uri": "https://id.example/token"}),
        &json!({"ok": true, "access_token": "PHANTOM", "team": {"id": "T1"},
                "authed_user": {"id": "U1", "scope": "c"}, "deep": [{"n": 1}],
                "issued_token_type": "urn:x", "token_uri": "https://id.example/token"}),
    );
}

#[test]
fn a_refusal_has_no_tokens() {
    check(
        None,
        &json!({"error": "authorization_pending", "interval": 5, "access_token": "at", "id_token": "it"}),
        &json!({"error": "authorization_pending", "interval": 5}),
    );
}

#[test]
fn forms_stay_forms() {
    let said = b"access_token=at-real&scope=a%20b&token_type=bearer&refresh_token=rt-real&other=rt-real";
    let answer = TokenAnswer::read(Some(FORM), said).expect("is read").for_agents(Some(&stand()));
    let (media_type, text) = answer.written();
    assert_eq!(media_type, "application/x-www-form-urlencoded");
    assert_eq!(text, "access_token=PHANTOM&refresh_token=PHANTOM&scope=a+b&token_type=bearer");
}

#[test]
fn what_is_not_read() {
    for (media_type, body) in [
        (None, "access_token=a"),
        (Some("text/html"), "<html>access_token"),
        (Some("application/json"), "[]"),
        (Some("application/json"), "\"a\""),
        (Some("application/json"), ""),
    ] {
        assert!(TokenAnswer::read(media_type, body.as_bytes()).is_none(), "{body}");
    }
    assert!(TokenAnswer::read(None, b"{\"a\":\"\xff\"}").is_some(), "a stray byte costs no login");
}
