//! A user's own profiles, and the credentials that depend on them.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::provider::Provider;
use crate::sandbox::{Sandbox, in_seconds};

const ACME: &str = "name = \"acme\"\n";

#[test]
fn a_profile_in_use_is_not_removed_and_a_valid_token_outlives_it() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.run_with(&["provider", "import", "-"], ACME).ok();
    let mut document = provider.document("a", &in_seconds(3_600));
    document["provider"] = json!("acme");
    sandbox.run_with(&["cred", "import", "-"], &document.to_string()).ok();
    let token = sandbox.token(&["a"]).ok().out;
    sandbox
        .run(&["provider", "remove", "acme"])
        .failed(1, &["'acme'", "in use by 1 credential", "cred list"]);
    sandbox.run(&["provider", "show", "acme"]).ok();

    // Taken away by hand, it is missed when it is needed and not before.
    let file = sandbox.data().join("providers/acme.toml");
    fs::rename(&file, sandbox.path("aside.toml")).unwrap();
    assert_eq!(sandbox.token(&["a"]).ok().out, token);
    sandbox.run(&["cred", "refresh", "a"]).failed(1, &["'acme'", "has no profile"]);
    fs::rename(sandbox.path("aside.toml"), &file).unwrap();

    sandbox.run(&["cred", "remove", "a"]).ok();
    let removed = sandbox.run(&["provider", "remove", "acme"]).ok().out;
    assert!(removed.contains("profile acme is removed") && !removed.contains("built-in"), "{removed}");
    sandbox.run(&["provider", "show", "acme"]).failed(1, &["'acme'"]);
}

#[test]
fn a_profile_before_a_built_in_one_is_said_to_be_and_may_go() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    let own = ACME.replace("acme", "generic");
    let imported = sandbox.run_with(&["provider", "import", "-"], &own).ok();
    assert!(imported.out.contains("before the built-in one"), "{}", imported.out);
    let removed = sandbox.run(&["provider", "remove", "generic"]).ok().out;
    assert!(removed.contains("the built-in one"), "{removed}");
    sandbox.token(&["a"]).ok();
    let imported = sandbox.run_with(&["provider", "import", "-"], ACME).ok();
    assert!(!imported.out.contains("built-in"), "{}", imported.out);
}

#[test]
fn a_key_that_stands_twice_is_named_with_its_line() {
    let twice = format!("{ACME}token_hosts = []\ntoken_hosts = []\n");
    Sandbox::new().run_with(&["provider", "import", "-"], &twice).failed(1, &["line 3", "token_hosts"]);
}

#[test]
fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.path("pipe.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    sandbox.run(&["provider", "import", pipe.to_str().unwrap()]).failed(1, &["pipe.toml", "no regular file"]);
}
