//! Profiles as people write them: every key is read, and what is none is refused.

use std::time::Duration;

use super::FolderProfiles;

fn refused(text: &str, expected: &str) {
    let error = FolderProfiles::parse("acme", &format!("name = \"acme\"\n{text}\n"))
        .map_err(|error| error.to_string());
    let Err(error) = error else { panic!("{text}: accepted") };
    assert!(error.starts_with("provider profile 'acme'"), "{error}");
    assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
}

#[test]
fn what_is_no_profile_is_refused_with_line_and_key() {
    for (text, expected) in [
        ("tokn_url = \"x\"", "line 2: unknown field `tokn_url`"),
        ("rotates = \"maybe\"", "line 2: unknown variant `maybe`"),
        ("refreshable = \"yes\"", "line 2: invalid type"),
        ("reuse_grace_seconds = -1", "line 2: "),
        ("reuse_grace_seconds = 1.5", "line 2: "),
        ("reuse_grace_seconds = 99999999", "line 2: reuse_grace_seconds must be 0 to 2592000 seconds"),
        ("# a comment\ndefault_expires_in = 0", "line 3: default_expires_in must be 1 to "),
        ("concurrency = 0", "line 2: concurrency must be 1 to 10000"),
        ("token_url = \"http://auth.example.com/\"", "line 2: token_url would send secrets over http"),
        ("authorize_url = \"nowhere\"", "line 2: authorize_url is not a URL"),
        ("token_hosts = [\"https://example.com\"]", "line 2: token_hosts must be host names"),
        ("error_pointer = 7", "line 2: expected a JSON pointer or a list of JSON pointers"),
        ("error_pointer = \"error\"", "line 2: error_pointer must be a JSON pointer"),
        ("terminal_codes = [\"a b\"]", "line 2: terminal_codes must be codes"),
        (
            "terminal_codes = [\"a\"]\nclient_codes = [\"a\"]",
            "line 3: client_codes and terminal_codes both name 'a'",
        ),
        ("[headers]\nAuthorization = \"Basic x\"", "line 2: headers may not set 'Authorization'"),
        ("[headers]\nX-A = \"a\\nb\"", "line 2: headers gives 'X-A' a value"),
        ("refresh_token_in = \"bearer\"", "line 2: refresh_token_in \"bearer\" needs client_auth"),
        ("phantom_prefix = \"1//\"", "line 2: phantom_prefix must be letters"),
        (
            "phantom_prefix = \"a\"\nstatic_phantom_prefix = \"b!\"",
            "line 3: static_phantom_prefix must be letters",
        ),
        (
            &format!("static_phantom_prefix = \"{}\"", "x".repeat(193)),
            "line 2: static_phantom_prefix must be letters, digits and - . _ ~, which nothing escapes, at most 192",
        ),
        ("rotates = ", "line 2: "),
        ("name = \"other\"", "line 2: "),
        (&format!("# {}", "x".repeat(64 * 1024)), "longer than 65536 bytes"),
    ] {
        refused(text, expected);
    }
    let other = FolderProfiles::parse("acme", "name = \"other\"\n").map_err(|error| error.to_string());
    let expected = "provider profile 'acme', line 1: name must be \"acme\", as the file is called";
    assert_eq!(other.err().as_deref(), Some(expected));
}

#[test]
fn every_documented_key_is_read() {
    let text = r#"
        name = "acme"
        token_url = "http://127.0.0.1:9000/token"
        token_hosts = ["AUTH.example.com", "[::1]"]
        authorize_url = "https://auth.example.com/authorize"
        device_url = ""
        grant = "refresh_token"
        method = "POST"
        client_auth = "none"
        body = "json"
        params = { client_id = "app" }
        rotates = "never"
        reuse_grace_seconds = 30
        default_expires_in = 60
        refresh_expires_pointer = "/r"
        ok_pointer = "/ok"
        error_pointer = "/e"
        terminal_codes = ["t"]
        client_codes = ["c"]
        quota_pointers = ["/q"]
        quota_codes = ["used_up"]
        phantom_prefix = "acme_"
        static_phantom_prefix = "acme_key_"
        refresh_ahead_seconds = 120
        min_valid_seconds = 10
        concurrency = 2
        rate_per_second = 5
        [headers]
        X-A = "a"
    "#;
    let profile = match FolderProfiles::parse("acme", text) {
        Ok(profile) => profile,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(profile.token_hosts, ["auth.example.com", "::1"]);
    assert_eq!(profile.error_pointers, ["/e"]);
    assert_eq!((profile.concurrency, profile.rate_per_second), (Some(2), Some(5)));
    assert_eq!(profile.refresh_ahead, Some(Duration::from_secs(120)));
    assert_eq!(profile.device_url, None);
    assert_eq!(profile.phantom_prefix, "acme_");
    assert_eq!(profile.static_phantom_prefix.as_deref(), Some("acme_key_"));
    assert!(profile.is_quota_code("used_up") && profile.is_quota_code("quota_exceeded"));
}
