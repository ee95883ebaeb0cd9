//! Documents as they come in and go out.

use keyherd_core::credential::ClientChoice;
use keyherd_core::time::Timestamp;

use super::*;

#[track_caller]
fn refused<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str, expected: &str) {
    let error = parse::<T>(json.as_bytes()).expect_err("must be refused").to_string();
    assert_eq!(error, expected);
    assert!(!error.contains("planted"), "a value is repeated: {error}");
}

#[test]
fn errors_name_the_field_and_repeat_no_value() {
    refused::<TokenAsk>("", "there is nothing here: a JSON object is needed");
    refused::<TokenAsk>("[\"a\"]", "this is no JSON object: it must begin with '{'");
    refused::<TokenAsk>("{\"name\"", "the text ends too early, within an object (line 1, column 7)");
    refused::<TokenAsk>(
        "{\"name\": \"a",
        "'name': the text ends too early, within a string (line 1, column 11)",
    );
    refused::<TokenAsk>("{\"name\": ", "'name': the text ends too early, within a value (line 1, column 9)");
    refused::<TokenAsk>("{}", "missing field `name` (line 1, column 2)");
    refused::<TokenAsk>("{\"name\":\"a\"} x", "trailing characters (line 1, column 14)");
    refused::<TokenAsk>(
        "{\"name\":\"a\",\n\"wait\":1}",
        "unknown field `wait`, expected one of `name`, `min_valid_seconds`, `rejected`, `wait_seconds`, `scope` (line 2, column 6)",
    );
    refused::<TokenAsk>("{\"name\":\"a\",\"name\":\"b\"}", "duplicate field `name` (line 1, column 18)");
    refused::<TokenAsk>(
        "{\"name\":\"a\",\"wait_seconds\":\"planted, expected u64\"}",
        "'wait_seconds': invalid type: string, expected a whole number from 0 (line 1, column 50)",
    );
    refused::<TokenAsk>(
        "{\"name\":\"a\",\"wait_seconds\":-1}",
        "'wait_seconds': invalid value: integer, expected a whole number from 0 (line 1, column 29)",
    );
    refused::<CredentialDocument>(
        "{\"name\":\"a\",\"scopes\":\"planted\"}",
        "'scopes': invalid type: string, expected a list (line 1, column 30)",
    );
    refused::<CredentialDocument>(
        "{\"name\":\"a\",\"expires_at\":\"planted\"}",
        "'expires_at': this is no RFC 3339 time: write it like 2026-11-20T10:00:00Z or 2026-11-20T11:00:00+01:00 (line 1, column 34)",
    );
    refused::<CredentialDocument>(
        "{\"name\":\"a\",\"refresh_token\":12345}",
        "'refresh_token': invalid type: integer, expected a string (line 1, column 33)",
    );
}

#[test]
fn the_last_days_of_9999_stand_for_never() {
    let read = |text| Moment::parse(text).map(|moment| moment.to_string());
    assert_eq!(read("9999-12-31T23:59:59Z").as_deref(), Some("9999-12-30T22:00:00.999Z"));
    assert_eq!(read("9999-12-31T23:59:59.999+01:00").as_deref(), Some("9999-12-30T22:00:00.999Z"));
    assert_eq!(read("9999-12-29T00:00:00Z").as_deref(), Some("9999-12-29T00:00:00Z"));
    assert_eq!(
        (read("9999-12-31T25:00:00Z"), read("9999-12-32T00:00:00Z"), read("9999-12-31")),
        (None, None, None)
    );
}

#[test]
fn one_credential_or_many() {
    let one = "{\"name\":\"a\",\"provider\":\"generic\",\"refresh_token\":\"r\"}";
    assert_eq!(parse_credentials(one.as_bytes()).map(|all| all.len()), Ok(1));
    assert_eq!(parse_credentials(format!(" [{one},{one}]").as_bytes()).map(|all| all.len()), Ok(2));
    let error =
        parse_credentials(format!("[{one},{{\"name\":5}}]").as_bytes()).expect_err("a number is no name");
    assert_eq!(error.field.as_deref(), Some("[1].name"));
}

#[test]
fn a_credential_document_becomes_a_draft() {
    let json = r#"{"name": "acme-1", "provider": "generic", "kind": "oauth2",
        "access_token": "at", "refresh_token": "rt", "expires_at": "2026-11-20T12:00:00+02:00",
        "client_id": "id", "client_secret": "cs", "token_url": "https://a.example/token", "scopes": ["s"],
        "chain": "shared", "resource": "https://r.example", "attributes": {"any": "json"}}"#;
    let document: CredentialDocument = parse(json.as_bytes()).expect("is one");
    assert!(!format!("{document:?}").contains("\"rt\""));
    let draft = document.into_draft().expect("fits");
    assert_eq!(draft.expires_at, Some(Timestamp::from_millis(1_795_168_800_000)));
    assert_eq!(draft.client, ClientChoice::Own { id: "id".into(), secret: Some("cs".into()) });
    let problem =
        parse::<CredentialDocument>(b"{\"name\":\"a\",\"refresh_token\":\"r\"}").expect("reads").into_draft();
    assert!(problem.expect_err("no provider").to_string().contains("'provider' is missing"));
}

#[test]
fn a_token_ask_keeps_its_bounds() {
    let wait_max = std::time::Duration::from_secs(300);
    let ask = |json: &str| parse::<TokenAsk>(json.as_bytes()).and_then(|ask| ask.into_ask(wait_max));
    let (name, plain) = ask("{\"name\":\"a\"}").expect("is one");
    assert_eq!((name.as_str(), plain.wait.as_secs(), plain.min_valid), ("a", 30, None));
    let (_, full) = ask("{\"name\":\"a\",\"min_valid_seconds\":60,\"rejected\":\"t\",\"wait_seconds\":0}")
        .expect("is one");
    assert_eq!((full.wait.as_secs(), full.min_valid.map(|w| w.as_secs())), (0, Some(60)));
    assert_eq!(full.rejected, Some("t".into()));
    let error = ask("{\"name\":\"a\",\"wait_seconds\":301}").expect_err("too long").to_string();
    assert_eq!(error, "'wait_seconds': is 301, and at most 300 is possible");
    assert!(ask("{\"name\":\"a\",\"min_valid_seconds\":2592001}").is_err());
}

#[test]
fn moments_survive_the_far_future() {
    assert_eq!(Moment::from(Timestamp::from_millis(0)).to_string(), "1970-01-01T00:00:00Z");
    assert_eq!(Moment::from(Timestamp::from_millis(1)).to_string(), "1970-01-01T00:00:00.001Z");
    assert_eq!(Moment::from(Timestamp::from_millis(1_120)).to_string(), "1970-01-01T00:00:01.120Z");
    assert!(Moment::from(Timestamp::NEVER).to_string().starts_with("9999-12-3"));
    assert_eq!(Moment::parse("yesterday"), None);
}

#[test]
fn changes_keep_their_bounds() {
    let patch = |json: &str| parse::<PatchDocument>(json.as_bytes()).and_then(PatchDocument::into_amendment);
    assert_eq!(patch("{\"disabled\":true}").map(|a| a.disabled), Ok(Some(true)));
    for bad in [
        "{}",
        "{\"client\":\"a\",\"client_id\":\"b\"}",
        "{\"client_secret\":\"x\"}",
        "{\"client_id\":\"\"}",
        "{\"attributes\":[]}",
        "{\"scopes\":[\"\"]}",
        "{\"client_id\":\"a\",\"client_secret\":\"x\\n\"}",
    ] {
        assert!(patch(bad).is_err(), "{bad}");
    }
    let tokens =
        |json: &str| parse::<NewTokensDocument>(json.as_bytes()).and_then(NewTokensDocument::into_tokens);
    assert_eq!(tokens("{\"secret\":\"s\"}").map(|t| t.secret), Ok(Some("s".into())));
    assert!(tokens("{\"secret\":\"s\",\"refresh_token\":\"r\"}").is_err());
    assert!(tokens("{\"refresh_token\":\"r\\n\"}").is_err());
}

#[test]
fn cooldowns_keep_their_bounds() {
    let now = Timestamp::from_millis(1_000_000);
    let cool = |json: &str| parse::<CooldownDocument>(json.as_bytes()).and_then(|c| c.into_cooldown(now));
    let ten = cool("{\"for_seconds\":600,\"reason\":\"manual\"}").expect("is one");
    assert_eq!(ten.until, Timestamp::from_millis(1_600_000));
    for bad in [
        "{\"for_seconds\":600}",
        "{\"reason\":\"manual\"}",
        "{\"for_seconds\":1,\"until\":\"2026-11-20T10:00:00Z\",\"reason\":\"manual\"}",
        "{\"until\":\"1970-01-01T00:00:01Z\",\"reason\":\"manual\"}",
        "{\"until\":\"2970-01-01T00:00:01Z\",\"reason\":\"manual\"}",
        "{\"for_seconds\":1,\"reason\":\"\"}",
        "{\"for_seconds\":1,\"reason\":\"manual\",\"scope\":\"\"}",
        "{\"for_seconds\":99999999999,\"reason\":\"manual\"}",
    ] {
        assert!(cool(bad).is_err(), "{bad}");
    }
}
