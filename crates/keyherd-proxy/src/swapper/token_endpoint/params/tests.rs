//! What is read of token requests, as tables.

use http::Request;

use super::*;

fn head(content_type: &str, headers: &[(&str, &str)], uri: &str) -> Parts {
    let mut request = Request::builder().method("POST").uri(uri);
    if !content_type.is_empty() {
        request = request.header(CONTENT_TYPE, content_type);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("is a request").into_parts().0
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json; charset=utf-8";

/// One that renames, asks by another grant, and takes a refresh token in a header.
fn peculiar() -> Profile {
    let params = [("client_id", "client_key"), ("refresh_token", "access_token")];
    Profile {
        params: params.map(|(name, own)| (name.to_owned(), own.to_owned())).into_iter().collect(),
        grant: "ig_refresh_token".into(),
        ..Profile::default()
    }
}

fn read(content_type: &str, body: &str) -> Result<Params, Unread> {
    Params::of(&head(content_type, &[], "/token"), body.as_bytes())
}

#[track_caller]
fn wants(content_type: &str, body: &str, expected: &Wanted) {
    let profiles = [&Profile::default(), &peculiar()];
    let params = read(content_type, body).expect("is read");
    assert_eq!(params.wanted(&profiles), *expected, "{body}");
}

#[test]
fn what_is_asked_for() {
    let refresh = |token: &str| Wanted::Refresh(token.into());
    wants(FORM, "grant_type=refresh_token&refresh_token=a%2Bb", &refresh("a+b"));
    wants("", "grant_type=refresh_token&refresh_token=a", &refresh("a"));
    wants(JSON, r#"{"grant_type":"refresh_token","refresh_token":"a","n":1}"#, &refresh("a"));
    wants(FORM, "refresh_token=a", &refresh("a"));
    wants(FORM, "grant_type=ig_refresh_token&access_token=a", &refresh("a"));
    wants(FORM, "grant_type=authorization_code&code=a&redirect_uri=b", &Wanted::Login);
    wants(JSON, r#"{"code":"a","client_id":"b"}"#, &Wanted::Login);
    for device in DEVICE_GRANTS {
        wants(FORM, &format!("grant_type={device}&device_code=a"), &Wanted::Login);
    }
    for other in [
        "grant_type=client_credentials",
        "grant_type=password&username=a&password=b",
        "grant_type=refresh_token",
        "grant_type=Refresh_Token&refresh_token=a",
        "a=b",
        "",
    ] {
        wants(FORM, other, &Wanted::Other);
    }
}

#[test]
fn what_is_not_read() {
    let refused = |content_type: &str, body: &str, expected: Unread| {
        assert_eq!(read(content_type, body).err(), Some(expected), "{body}");
    };
    refused("text/plain", "grant_type=refresh_token", Unread::Form);
    refused("multipart/form-data; boundary=a", "--a", Unread::Form);
    refused(JSON, "[1]", Unread::Form);
    refused(JSON, "grant_type=refresh_token", Unread::Form);
    refused(FORM, "code=a&grant_type=x&code=b", Unread::Twice("code".into()));
    refused(JSON, r#"{"grant_type":"x","grant_type":"y"}"#, Unread::Twice("grant_type".into()));
    assert!(read(FORM, "resource=a&resource=b&code=c").is_ok());
    let coded = head(FORM, &[("content-encoding", "gzip")], "/token");
    assert_eq!(Params::of(&coded, b"x").err(), Some(Unread::Form));
    let both = head(FORM, &[], "/token?code=a");
    assert_eq!(Params::of(&both, b"code=b").err(), Some(Unread::Twice("code".into())));
}

#[test]
fn who_asks() {
    let profiles = [&Profile::default(), &peculiar()];
    let check = |headers: &[(&str, &str)], body: &str, expected: Option<&str>| {
        let params = Params::of(&head(FORM, headers, "/token"), body.as_bytes()).expect("is read");
        assert_eq!(params.client_id(&profiles), expected, "{headers:?} {body}");
    };
    let basic = format!("Basic {}", BASE64.encode("my%3Aapp:secret"));
    check(&[], "client_id=app", Some("app"));
    check(&[], "client_key=app", Some("app"));
    check(&[("authorization", &basic)], "code=a", Some("my:app"));
    check(&[("authorization", "Bearer x")], "code=a", None);
    check(&[], "", None);
}

#[test]
fn a_refresh_token_in_a_header() {
    let profile = Profile { refresh_token_in: TokenPlace::Bearer, ..Profile::default() };
    let params =
        Params::of(&head("", &[("authorization", "Bearer a")], "/refreshToken"), b"").expect("is read");
    assert_eq!(params.wanted(&[&profile]), Wanted::Refresh("a".into()));
    assert_eq!(params.wanted(&[&Profile::default()]), Wanted::Other);
}
