//! Tests of the request, as text: method, URL, headers, body.

use super::*;

const URL: &str = "https://auth.example.com/token";

fn url() -> Url {
    let Ok(url) = Url::parse(URL) else { unreachable!("{URL} is a URL") };
    url
}

fn shown(request: &TokenRequest) -> String {
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
    format!(
        "{:?} {} [{}] {} {}",
        request.method,
        request.url,
        headers.join("; "),
        request.content_type.unwrap_or("-"),
        request.body.as_ref().map_or("-", Secret::expose),
    )
}

fn check(profile: &Profile, client: (&str, &str), scopes: &str, resource: Option<&str>, expected: &str) {
    let secret = Secret::from(client.1);
    let client = ClientApp {
        id: Some(client.0).filter(|id| !id.is_empty()),
        secret: Some(&secret).filter(|secret| !secret.is_empty()),
    };
    let url = url();
    let scopes: Vec<String> = scopes.split_whitespace().map(str::to_owned).collect();
    let request = refresh_request(profile, &url, &client, &Secret::from("r&1"), &scopes, resource);
    assert_eq!(shown(&request), expected);
    assert_eq!(
        format!("{request:?}"),
        format!("TokenRequest {{ method: {:?}, url: \"{URL}\", .. }}", request.method)
    );
}

fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_client_proves_itself_as_the_profile_says() {
    let with = |client_auth| Profile { client_auth, ..Profile::default() };
    let post =
        "Post https://auth.example.com/token [accept: application/json] application/x-www-form-urlencoded";
    let public = format!("{post} client_id=id&grant_type=refresh_token&refresh_token=r%261");
    check(&with(ClientAuth::Basic), ("id", ""), "a b", None, &public);
    check(&with(ClientAuth::Post), ("id", ""), "a b", None, &public);
    check(&with(ClientAuth::None), ("id", "s"), "a b", None, &public);
    let body = "client_id=id&client_secret=s%2B%2F&grant_type=refresh_token&refresh_token=r%261";
    check(&with(ClientAuth::Post), ("id", "s+/"), "", None, &format!("{post} {body}"));
    check(
        &with(ClientAuth::Basic),
        ("", ""),
        "",
        None,
        &format!("{post} grant_type=refresh_token&refresh_token=r%261"),
    );
}

#[test]
fn basic_encodes_both_parts_first() {
    // "a%3Ab:p+%C3%A4%25" in Base64.
    check(
        &Profile::default(),
        ("a:b", "p ä%"),
        "",
        None,
        "Post https://auth.example.com/token [accept: application/json; authorization: Basic YSUzQWI6cCslQzMlQTQlMjU=] \
         application/x-www-form-urlencoded grant_type=refresh_token&refresh_token=r%261",
    );
}

#[test]
fn quirks_are_fields() {
    let headers = names(&[("Notion-Version", "2022-06-28"), ("Accept", "text/plain")]);
    let json =
        Profile { body: BodyFormat::Json, client_auth: ClientAuth::Post, headers, ..Profile::default() };
    check(
        &json,
        ("i\"d", "s"),
        "",
        Some("https://api.example.com/"),
        "Post https://auth.example.com/token [accept: text/plain; notion-version: 2022-06-28] application/json \
         {\"client_id\":\"i\\\"d\",\"client_secret\":\"s\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"r&1\",\
         \"resource\":\"https://api.example.com/\"}",
    );
    let bearer =
        Profile { refresh_token_in: TokenPlace::Bearer, client_auth: ClientAuth::Post, ..Profile::default() };
    check(
        &bearer,
        ("id", "s"),
        "",
        None,
        "Post https://auth.example.com/token [accept: application/json; authorization: Bearer r&1] \
         application/x-www-form-urlencoded client_id=id&client_secret=s&grant_type=refresh_token",
    );
    let instagram = Profile {
        method: Method::Get,
        grant: "ig_refresh_token".to_owned(),
        client_auth: ClientAuth::None,
        params: names(&[("refresh_token", "access_token"), ("client_id", "")]),
        ..Profile::default()
    };
    check(
        &instagram,
        ("id", "s"),
        "",
        None,
        "Get https://auth.example.com/token?access_token=r%261&grant_type=ig_refresh_token [accept: application/json] - -",
    );
    let tiktok = Profile {
        client_auth: ClientAuth::Post,
        params: names(&[("client_id", "client_key")]),
        send_scope: true,
        ..Profile::default()
    };
    check(
        &tiktok,
        ("id", "s"),
        "a b",
        None,
        "Post https://auth.example.com/token [accept: application/json] application/x-www-form-urlencoded \
         client_key=id&client_secret=s&grant_type=refresh_token&refresh_token=r%261&scope=a+b",
    );
}

#[test]
fn client_credentials_always_name_their_scopes() {
    let secret = Secret::from("s");
    let client = ClientApp { id: Some("id"), secret: Some(&secret) };
    let url = url();
    let scopes = ["a".to_owned(), "b".to_owned()];
    let request = client_credentials_request(&Profile::default(), &url, &client, &scopes, Some("r"));
    assert_eq!(
        shown(&request),
        "Post https://auth.example.com/token [accept: application/json; authorization: Basic aWQ6cw==] \
         application/x-www-form-urlencoded grant_type=client_credentials&resource=r&scope=a+b"
    );
    assert!(!format!("{request:?} {client:?}").contains("aWQ6cw"));
}
