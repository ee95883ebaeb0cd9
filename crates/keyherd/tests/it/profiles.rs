//! A user's own profiles, and the credentials that depend on them.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::place::{Place, everywhere};
use crate::provider::{Provider, access_token};
use crate::sandbox::{Sandbox, in_seconds};
use crate::server::Server;

everywhere!(a_profile_comes_and_goes_through_a_server);

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

fn a_profile_comes_and_goes_through_a_server(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    let server = Server::start(&sandbox);
    let far = Sandbox::new();
    far.set("KEYHERD_SERVER", &server.url());
    far.set("KEYHERD_TOKEN", server.bearer());
    let profile = format!("{ACME}rotates = \"always\"\nclient_auth = \"basic\"\n");
    let import = |text: &str| far.run_with(&["provider", "import", "-"], text);
    import(&profile.replace("always", "daily")).failed(1, &["line 2", "`daily`"]);
    let imported = import(&profile).ok().out;
    assert!(imported.contains(&format!("acme is imported at {}", server.url())), "{imported}");
    assert!(far.run(&["provider", "list"]).ok().out.lines().any(|line| line.contains("acme")));
    assert_eq!(far.run(&["--json", "provider", "show", "acme"]).ok().json()["rotates"], "always");
    assert_eq!(sandbox.run(&["provider", "show", "acme"]).ok().out, profile, "as it was written");

    let mut document = provider.document("a", &in_seconds(-60));
    document["provider"] = json!("acme");
    far.run_with(&["cred", "import", "-"], &document.to_string()).ok();
    assert_eq!(far.token(&["a"]).ok().out.trim(), access_token("a", 1));
    import(&profile.replace("always", "never")).ok();
    assert_eq!(far.run(&["--json", "provider", "show", "acme"]).ok().json()["rotates"], "never");

    far.run(&["provider", "remove", "acme"]).failed(1, &["'acme'", "in use by 1 credential"]);
    far.run(&["cred", "remove", "a"]).ok();
    assert!(far.run(&["provider", "remove", "acme"]).ok().out.contains("profile acme is removed"));
    far.run(&["provider", "remove", "acme"]).failed(1, &["'acme'", "provider list"]);
    sandbox.run(&["provider", "show", "acme"]).failed(1, &["'acme'"]);
    let log = sandbox.run(&["--json", "audit", "tail", "-n", "50"]).ok().out;
    for (action, count) in [("provider.import", 2), ("provider.remove", 1)] {
        let by_admin = |line: &&str| line.contains(action) && line.contains("\"actor\":\"admin\"");
        assert_eq!(log.lines().filter(by_admin).count(), count, "{action}: {log}");
    }
    assert!(!far.data().exists(), "nothing is kept on this machine");
}
