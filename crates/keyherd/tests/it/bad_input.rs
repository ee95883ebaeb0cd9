//! Bad input: a clear line that names the thing and the way out, nothing lost, nothing leaked.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::provider::{Provider, access_token};
use crate::sandbox::{MARKER, Sandbox, in_seconds};

/// A good document, spoilt: the import fails and says these.
#[track_caller]
fn check(spoil: impl FnOnce(&mut Value), said: &[&str]) {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let mut document = provider.document("acme", &in_seconds(60));
    spoil(&mut document);
    sandbox.run_with(&["cred", "import", "-"], &document.to_string()).failed(1, said);
    assert_eq!(sandbox.run(&["--json", "cred", "list"]).ok().json(), json!({"items": []}));
}

#[test]
fn documents() {
    check(|document| document["refresh_tokn"] = json!(MARKER), &["refresh_tokn"]);
    check(|document| document["refresh_token"] = json!({"x": MARKER}), &["refresh_token", "string"]);
    check(|document| document["refresh_token"] = json!(""), &["'acme'", "refresh_token", "empty"]);
    check(
        |document| document["refresh_token"] = json!(format!("{MARKER}\n")),
        &["'acme'", "control character"],
    );
    check(|document| document["name"] = json!("a b"), &["'a b'", "letters"]);
    check(|document| document["expires_at"] = json!("tomorrow"), &["expires_at", "2026-11-20T10:00:00Z"]);
    check(|document| document["expires_at"] = json!(1_700_000_000), &["expires_at"]);
    check(|document| document["kind"] = json!("oauth3"), &["'acme'", "kind", "oauth2"]);
    check(|document| document["secret"] = json!(MARKER), &["'acme'", "secret", "static"]);
    check(
        |document| document["provider"] = json!("no-such"),
        &["'acme'", "no-such", "keyherd provider list"],
    );
    check(|document| document["scopes"] = json!("a b"), &["scopes", "list"]);
    check(
        |document| document["token_url"] = json!("http://auth.example/token"),
        &["'acme'", "token_url", "https"],
    );
    check(|document| document["token_url"] = json!("ftp://auth.example"), &["'acme'", "token_url"]);
    check(
        |document| document["token_url"] = json!("http://localhost.evil.example/t"),
        &["'acme'", "token_url", "https"],
    );
}

#[test]
fn what_is_no_document() {
    let sandbox = Sandbox::new();
    for (text, said) in [
        ("", "nothing here"),
        ("[", "line 1"),
        ("{\"name\": \"a\"", "line 1"),
        ("hello", "begin with '{'"),
        ("{} {}", "'name'"),
        (&format!("{{\"name\": \"{MARKER}\", }}"), "line 1"),
    ] {
        sandbox.run_with(&["cred", "import", "-"], text).failed(1, &["standard input"]);
        let ran = sandbox.run_with(&["cred", "import", "-"], text);
        assert!(ran.err.contains(said) || ran.err.contains("name"), "{text}: {}", ran.err);
    }
}

#[test]
fn too_much_input() {
    let sandbox = Sandbox::new();
    sandbox.configure("[command]\ninput_bytes_max = 1024\n");
    let long = format!("[{}]", " ".repeat(2_000));
    sandbox
        .run_with(&["cred", "import", "-"], &long)
        .failed(1, &["longer than 1024 bytes", "input_bytes_max"]);
}

#[test]
fn the_configuration_file() {
    let sandbox = Sandbox::new();
    sandbox.configure("\n[refresh]\nprovider_timeout = 3\n");
    sandbox.run(&["doctor"]).failed(2, &["keyherd.toml", "line 3", "provider_timeout"]);
    sandbox.configure("[refresh]\nprovider_timeout_seconds = 0\n");
    sandbox.run(&["doctor"]).failed(2, &["keyherd.toml", "line 2", "provider_timeout_seconds", "0.1 to 600"]);
}

#[test]
fn other_settings() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--ca-bundle", "/nowhere/roots.pem", "migrate"]).failed(1, &["/nowhere/roots.pem"]);
    let elsewhere = sandbox.path("elsewhere");
    let url = format!("sqlite:{}", elsewhere.join("x.db").display());
    sandbox.run(&["--database-url", &url, "migrate"]).failed(1, &["--database-url", "elsewhere", "missing"]);
    assert!(!elsewhere.exists(), "only the data folder is made");
    fs::create_dir(&elsewhere).unwrap();
    sandbox.run(&["--database-url", &url, "migrate"]).ok();
    sandbox.set("KEYHERD_LOG", "keyherd=loud");
    sandbox.run(&["migrate"]).failed(2, &["keyherd=loud", "warn"]);
}

#[test]
fn permissions() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    let mode = |name: &str, mode| {
        fs::set_permissions(sandbox.data().join(name), Permissions::from_mode(mode)).unwrap();
    };
    mode("master.key", 0o644);
    sandbox.run(&["token", "a"]).failed(1, &["master.key", "0644", "chmod 600"]);
    mode("master.key", 0o600);
    mode("keyherd.db", 0o640);
    sandbox.run(&["token", "a"]).failed(1, &["keyherd.db", "chmod 600"]);
    mode("keyherd.db", 0o600);
    fs::write(sandbox.data().join("admin.token"), "0123456789abcdef0123456789abcdef").unwrap();
    mode("admin.token", 0o644);
    sandbox.run(&["serve", "--api", "127.0.0.1:0"]).failed(1, &["admin.token", "chmod 600"]);
    sandbox.run(&["doctor"]).failed(1, &["admin token", "chmod 600"]);
    mode("admin.token", 0o600);
    sandbox.token(&["a"]).ok();
}

#[test]
fn the_wrong_key_and_the_missing_one() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    let (key, kept) = (sandbox.data().join("master.key"), sandbox.path("kept.key"));
    fs::rename(&key, &kept).unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["master.key", "missing", "bring back"]);
    assert!(!key.exists(), "no key is made for a store that is not empty");
    let other = Sandbox::new();
    other.run(&["migrate"]).ok();
    fs::copy(other.data().join("master.key"), &key).unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["keyherd.db", "sealed under master key", "bring back"]);
    fs::write(&key, "not a key\n").unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["master.key", "base64"]);
    fs::rename(&kept, &key).unwrap();
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 0));
}

#[test]
fn a_key_from_the_environment() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.set("KEYHERD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    sandbox.import("a", &provider, &in_seconds(60));
    sandbox.token(&["a"]).ok();
    assert!(!sandbox.data().join("master.key").exists());
    sandbox.run(&["key", "rotate"]).failed(1, &["in front of it", "comma"]);
    sandbox.set("KEYHERD_MASTER_KEY", "AAAA");
    sandbox.run(&["token", "a"]).failed(1, &["KEYHERD_MASTER_KEY", "too short"]);
}

#[test]
fn a_corrupt_store() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    let path = sandbox.data().join("keyherd.db");
    let whole = fs::read(&path).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&[0xa5; 40_960]).unwrap();
    drop(file);
    sandbox.run(&["token", "a"]).failed(1, &["keyherd.db", "keep a copy"]);
    sandbox.run(&["doctor"]).failed(1, &["store"]);
    fs::write(&path, "this is no database, but it is long enough to be taken for one by who does not look")
        .unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["keyherd.db"]);
    fs::write(&path, &whole).unwrap();
    sandbox.token(&["a"]).ok();
}

#[test]
fn a_profile_of_ones_own_that_is_wrong() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.data().join("providers")).unwrap();
    fs::write(sandbox.data().join("providers/mine.toml"), "name = \"mine\"\nrotats = \"always\"\n").unwrap();
    let list = sandbox.run(&["provider", "list"]);
    list.failed(1, &["mine.toml", "line 2", "rotats"]);
    assert!(list.out.contains("slack"), "{}", list.out);
    sandbox.run(&["migrate"]).ok();
    sandbox.run(&["doctor"]).failed(1, &["profiles", "mine.toml"]);
}
