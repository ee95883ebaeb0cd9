//! Tests of the rules for endpoints: one table for texts, one for a profile's hosts.

use super::*;

fn check(text: &str, expected: &str) {
    let shown = match check_endpoint("token_url", text) {
        Ok(url) => url.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(shown.contains(expected), "{text}: {shown}");
    assert!(!shown.contains("hunter2"), "{text}: {shown}");
}

#[test]
fn an_endpoint_is_https_or_on_this_machine() {
    for good in [
        "https://auth.example.com/token",
        "https://auth.example.com:8443/token?tenant=a",
        "http://127.0.0.1:9000/token",
        "http://127.8.9.10/token",
        "http://[::1]:9000/token",
        "http://localhost:9000/token",
    ] {
        check(good, good);
    }
    check("HTTPS://Auth.Example.COM/token", "https://auth.example.com/token");
    for plain in [
        "http://auth.example.com/hunter2",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "http://192.168.0.1/",
        "ftp://localhost/hunter2",
    ] {
        check(plain, "use https (http only to 127.0.0.0/8, ::1 or localhost)");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_by_its_fault() {
    check("https://me:hunter2@auth.example.com/", "has a user or password in it");
    check("https://hunter2@auth.example.com/", "has a user or password in it");
    check("https://auth.example.com/token#hunter2", "has a fragment");
    for unreadable in
        ["", "hunter2", "//auth.example.com/hunter2", "https://", "data:hunter2", "https://a b/hunter2"]
    {
        check(unreadable, "is not a URL");
    }
    check(&format!("https://auth.example.com/{}", "x".repeat(ENDPOINT_LEN_MAX)), "longer than 2048 bytes");
}

fn check_hosts(hosts: &[&str], text: &str, allowed: bool) {
    let profile = Profile {
        name: "acme".to_owned(),
        token_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        ..Profile::default()
    };
    let resolved = profile.resolve_token_url(Some(text));
    assert_eq!(resolved.is_ok(), allowed, "{hosts:?} {text}: {resolved:?}");
    if let Err(error) = resolved {
        assert!(error.to_string().contains("provider 'acme'"), "{error}");
    }
}

#[test]
fn a_credentials_own_url_stays_within_the_profiles_hosts() {
    check_hosts(&[], "https://anywhere.example.net/token", true);
    let hosts = ["login.example.com", "*.my.example.com", "127.0.0.1", "::1"];
    for good in [
        "https://login.example.com/token",
        "https://LOGIN.example.com:8443/token",
        "https://acme.my.example.com/token",
        "https://a.b.my.example.com/token",
        "http://127.0.0.1:9000/token",
        "http://[::1]:9000/token",
    ] {
        check_hosts(&hosts, good, true);
    }
    for bad in [
        "https://evil.example.com/token",
        "https://my.example.com/token",
        "https://notmy.example.com/token",
        "https://login.example.com.evil.net/token",
        "https://login.example.com./token",
        "http://localhost:9000/token",
        "http://127.0.0.2/token",
    ] {
        check_hosts(&hosts, bad, false);
    }
}

#[test]
fn the_profiles_own_url_serves_where_the_credential_has_none() {
    let missing = Profile::default().resolve_token_url(None).map_err(|error| error.to_string());
    assert_eq!(
        missing,
        Err("provider 'generic' has no token_url of its own: give the credential a token_url".to_owned())
    );
    let url = Url::parse("https://auth.example.com/token").ok();
    let profile = Profile {
        token_url: url.clone(),
        token_hosts: vec!["other.example.com".to_owned()],
        ..Profile::default()
    };
    assert_eq!(profile.resolve_token_url(None).ok(), url);
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    for (url, expected) in [
        ("https://auth.example.com/token?a=b", "https://auth.example.com"),
        ("https://auth.example.com:443/", "https://auth.example.com"),
        ("http://localhost:9000/token", "http://localhost:9000"),
        ("http://[::1]:9000/token", "http://[::1]:9000"),
    ] {
        assert_eq!(Url::parse(url).map(|url| origin(&url)).as_deref(), Ok(expected));
    }
}
