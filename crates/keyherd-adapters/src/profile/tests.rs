//! Tests of the built-in profiles against the quirks they encode.

mod documents;
mod folder;

use std::time::Duration;

use keyherd_core::provider::{
    BodyFormat, ClientApp, ClientAuth, Meaning, Method, Reply, Rotates, TokenPlace, classify, refresh_request,
};
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;

use super::*;

const DAY: u64 = 24 * 60 * 60;

fn builtin(name: &str) -> Arc<Profile> {
    match FolderProfiles::open(None).find(name) {
        Ok(Some(profile)) => profile,
        other => panic!("{name}: {other:?}"),
    }
}

/// A built-in profile's client authentication (B, P or N for none), rotation and a further quirk.
fn check(names: &str, auth: ClientAuth, rotates: Rotates, quirk: impl Fn(&Profile) -> bool) {
    for name in names.split_whitespace() {
        let profile = builtin(name);
        assert_eq!((profile.client_auth, profile.rotates), (auth, rotates), "{name}");
        assert!(quirk(&profile), "{name}: {profile:?}");
    }
}

#[test]
fn every_built_in_profile_is_one() {
    let profiles = FolderProfiles::open(None);
    let names = profiles.names().unwrap_or_default();
    assert_eq!(names.len(), 38);
    assert!(names.is_sorted());
    for name in names {
        let profile = builtin(&name);
        assert_eq!(profile.name, name);
        let own = profile.token_url.as_ref();
        assert_eq!(own.is_none(), ["generic", "shopify", "trello"].contains(&name.as_str()), "{name}");
        for url in [own, profile.authorize_url.as_ref(), profile.device_url.as_ref()].into_iter().flatten() {
            assert_eq!(url.scheme(), "https", "{name}");
        }
        let within = own.is_none_or(|url| profile.resolve_token_url(Some(url.as_str())).is_ok());
        assert!(within, "{name}: its own token_url is outside its token_hosts");
        let source = profiles.text(&name).ok().flatten().unwrap_or_default();
        assert!(name == "generic" || source.contains("Source: "), "{name} names no source");
    }
}

/// A credential must not be able to send a refresh token to a host of its own choice.
#[test]
fn every_built_in_profile_but_the_generic_one_names_its_hosts() {
    for name in FolderProfiles::open(None).names().unwrap() {
        let profile = builtin(&name);
        let foreign = profile.resolve_token_url(Some("https://elsewhere.example/token"));
        match (name.as_str(), foreign) {
            ("generic", allowed) => assert!(allowed.is_ok()),
            ("trello", _) => assert!(!profile.refreshable, "it has no endpoint at all"),
            (_, Ok(url)) => panic!("{name} sends tokens to {url}"),
            (_, Err(error)) => {
                let said = error.to_string();
                assert!(profile.token_hosts.iter().all(|host| said.contains(host)), "{said}");
            }
        }
        if profile.token_url.is_some() {
            profile.resolve_token_url(None).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn the_generic_profile_is_the_default() {
    assert_eq!(*builtin("generic"), Profile::default());
}

#[test]
fn client_authentication_and_rotation() {
    use ClientAuth::{Basic, None as Public, Post};
    use Rotates::{Always, Never, Sometimes};
    check(
        "airtable asana bitbucket linear x zoom atlassian docusign notion quickbooks",
        Basic,
        Always,
        |_| true,
    );
    check("reddit", Basic, Never, |p| {
        p.headers.get("User-Agent").is_some_and(|agent| agent.contains("(by /u/"))
    });
    check("spotify generic", Basic, Sometimes, |_| true);
    check("microsoft box slack hubspot pipedrive wealthbox github tiktok calcom", Post, Always, |_| true);
    check("monday shopify openai anthropic", Post, Always, |p| p.reuse_grace.is_zero());
    check("google attio clickup dropbox webflow linkedin zoho", Post, Never, |_| true);
    check("salesforce salesforce-sandbox", Post, Sometimes, |p| {
        p.default_expires_in == Duration::from_secs(7_200)
    });
    check("instagram", Public, Always, |p| p.method == Method::Get && p.access_token_refreshes);
    check("wordpress", Post, Never, |p| !p.refreshable);
    check("trello", Basic, Never, |p| !p.refreshable);
}

#[test]
fn lifetimes_and_other_quirks() {
    let days = |count: u64| Some(Duration::from_secs(count * DAY));
    for (name, lifetime) in
        [("microsoft", days(90)), ("box", days(60)), ("instagram", days(60)), ("asana", None)]
    {
        assert_eq!(builtin(name).refresh_lifetime, lifetime, "{name}");
    }
    for (name, pointer) in [
        ("quickbooks", "/x_refresh_token_expires_in"),
        ("github", "/refresh_token_expires_in"),
        ("tiktok", "/refresh_expires_in"),
        ("slack", ""),
    ] {
        assert_eq!(builtin(name).refresh_expires_pointer, pointer, "{name}");
    }
    assert_eq!(builtin("notion").body, BodyFormat::Json);
    assert_eq!(builtin("calcom").refresh_token_in, TokenPlace::Bearer);
    assert_eq!(builtin("bitbucket").default_expires_in, Duration::from_secs(7_200));
    assert_eq!(builtin("atlassian").reuse_grace, Duration::from_secs(600));
    assert_eq!(builtin("instagram").min_age, Duration::from_secs(DAY));
    for (name, url, allowed) in [
        ("docusign", "https://account-d.docusign.com/oauth/token", true),
        ("docusign", "https://account.example.com/oauth/token", false),
        ("salesforce", "https://acme.my.salesforce.com/services/oauth2/token", true),
        ("salesforce", "https://test.salesforce.com/services/oauth2/token", false),
        ("salesforce-sandbox", "https://acme--dev.sandbox.my.salesforce.com/services/oauth2/token", true),
        ("zoho", "https://accounts.zoho.eu/oauth/v2/token", true),
        ("shopify", "https://acme.myshopify.com/admin/oauth/access_token", true),
        ("shopify", "https://myshopify.com/admin/oauth/access_token", false),
    ] {
        assert_eq!(builtin(name).resolve_token_url(Some(url)).is_ok(), allowed, "{name} {url}");
    }
}

fn request(name: &str) -> String {
    let profile = builtin(name);
    let Ok(url) = profile.resolve_token_url(None) else { panic!("{name} has no token_url") };
    let secret = Secret::from("s");
    let client = ClientApp { id: Some("id"), secret: Some(&secret) };
    let request = refresh_request(&profile, &url, &client, &Secret::from("r"), &[], None);
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
    format!(
        "{} | {} | {}",
        request.url,
        headers.join(", "),
        request.body.as_ref().map_or("-", Secret::expose)
    )
}

#[test]
fn requests_that_differ() {
    for (name, expected) in [
        (
            "tiktok",
            "https://open.tiktokapis.com/v2/oauth/token/ | accept: application/json | \
             client_key=id&client_secret=s&grant_type=refresh_token&refresh_token=r",
        ),
        (
            "calcom",
            "https://app.cal.com/api/auth/oauth/refreshToken | accept: application/json, authorization: Bearer r | \
             client_id=id&client_secret=s&grant_type=refresh_token",
        ),
        (
            "instagram",
            "https://graph.instagram.com/refresh_access_token?access_token=r&grant_type=ig_refresh_token | \
             accept: application/json | -",
        ),
        (
            "notion",
            "https://api.notion.com/v1/oauth/token | accept: application/json, authorization: Basic aWQ6cw==, \
             notion-version: 2022-06-28 | {\"grant_type\":\"refresh_token\",\"refresh_token\":\"r\"}",
        ),
    ] {
        assert_eq!(request(name), expected, "{name}");
    }
}

/// Tokens and keys, as their clients expect them; all others have no prefix.
#[test]
fn what_phantoms_begin_with() {
    let expected = [
        ("airtable", "", "pat"),
        ("anthropic", "sk-ant-oat01-", "sk-ant-api03-"),
        ("calcom", "", "cal_live_"),
        ("clickup", "", "pk_"),
        ("github", "ghu_", "ghp_"),
        ("google", "ya29.", "AIza"),
        ("hubspot", "", "pat-na1-"),
        ("linear", "lin_oauth_", "lin_api_"),
        ("microsoft", "eyJ", ""),
        ("notion", "ntn_", "ntn_"),
        ("openai", "eyJ", "sk-"),
        ("shopify", "shpat_", "shpat_"),
        ("slack", "xoxb-", "xoxb-"),
    ];
    let all = FolderProfiles::open(None).names().unwrap_or_default();
    let shaped = all.iter().filter_map(|name| {
        let profile = builtin(name);
        let of_tokens = profile.phantom_prefix.clone();
        let of_keys = profile.static_phantom_prefix.clone().unwrap_or_else(|| of_tokens.clone());
        (!of_tokens.is_empty() || !of_keys.is_empty()).then(|| (name.clone(), of_tokens, of_keys))
    });
    let expected = expected.map(|(name, token, key)| (name.to_owned(), token.to_owned(), key.to_owned()));
    assert_eq!(shaped.collect::<Vec<_>>(), expected);
}

#[test]
fn answers_that_differ() {
    for (name, status, body, expected) in [
        ("atlassian", 403, r#"{"error":"unauthorized_client"}"#, "Terminal"),
        ("generic", 403, r#"{"error":"unauthorized_client"}"#, "ClientApp"),
        ("slack", 200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, "Terminal"),
        ("slack", 200, r#"{"ok":false,"error":"token_revoked"}"#, "Terminal"),
        ("slack", 200, r#"{"ok":false,"error":"internal_error"}"#, "Unknown"),
        ("github", 200, r#"{"error":"bad_refresh_token"}"#, "Terminal"),
        ("github", 200, r#"{"error":"incorrect_client_credentials"}"#, "ClientApp"),
        ("hubspot", 400, r#"{"status":"BAD_REFRESH_TOKEN"}"#, "Terminal"),
        ("instagram", 400, r#"{"error":{"type":"OAuthException","code":190}}"#, "Terminal"),
        ("instagram", 400, r#"{"error":{"type":"OAuthException","code":4}}"#, "Transient"),
        ("instagram", 200, r#"{"access_token":"n","expires_in":5183944}"#, "Granted"),
        ("zoho", 200, r#"{"error":"invalid_code"}"#, "Terminal"),
        (
            "openai",
            401,
            r#"{"error":{"code":"refresh_token_reused"}}"#,
            "Terminal { code: \"refresh_token_reused\", reuse: true",
        ),
        ("openai", 401, r#"{"error":"invalid_grant"}"#, "Terminal"),
        ("anthropic", 400, r#"{"error":{"type":"invalid_request_error"}}"#, "Transient"),
        ("microsoft", 400, r#"{"error":"interaction_required"}"#, "Terminal"),
        ("google", 400, r#"{"error":"invalid_grant"}"#, "Terminal"),
    ] {
        let reply = Reply { status, content_type: None, retry_after: None, body: body.into() };
        let meaning = classify(&builtin(name), &reply, Timestamp::default());
        assert!(format!("{meaning:?}").starts_with(expected), "{name} {body}: {meaning:?}");
        if let (Meaning::Granted(grant), "instagram") = (meaning, name) {
            assert_eq!(grant.refresh_token, Some(Secret::from("n")));
        }
    }
}
