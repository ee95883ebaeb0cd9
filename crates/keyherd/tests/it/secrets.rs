//! Planted secrets: through everything that can be done, and then looked for everywhere.

use serde_json::json;

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider};
use crate::sandbox::{MARKER, in_seconds};
use crate::server::Server;

everywhere!(no_planted_secret_turns_up_anywhere);

/// Every run's output is searched by the sandbox, and all its files are when it is dropped.
fn no_planted_secret_turns_up_anywhere(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.set("KEYHERD_LOG", "trace");
    let quiet = |args: &[&str], input: &str| {
        let ran = sandbox.run_unchecked(args, input);
        assert!(!ran.out.contains(MARKER), "{args:?}: {}", ran.out);
        ran
    };
    let document = provider.document("a", &in_seconds(-60)).to_string();
    quiet(&["cred", "import", "-"], &document);
    quiet(&["cred", "import", "-"], &document);
    sandbox.token(&["a"]);
    provider
        .feels(Mood::Says("400 Bad Request", json!({"error": "invalid_grant", "hint": MARKER}).to_string()));
    quiet(&["cred", "refresh", "a"], "");
    provider.feels(Mood::Says("500 Oops", format!("<html>{MARKER}</html>")));
    quiet(&["cred", "import", "-"], &provider.document("b", &in_seconds(-60)).to_string());
    quiet(&["token", "b"], "");
    provider.feels(Mood::Says("200 OK", format!("{{\"access_token\": \"{MARKER}\", \"expires")));
    quiet(&["cred", "import", "-"], &provider.document("c", &in_seconds(-60)).to_string());
    quiet(&["token", "c"], "");
    quiet(&["client", "set", "app", "--provider", "generic", "--client-id", "x"], &format!("{MARKER}-cs\n"));
    for args in [
        &["cred", "list"][..],
        &["cred", "show", "a"],
        &["--json", "cred", "list"],
        &["client", "list"],
        &["--json", "client", "list"],
        &["audit", "export"],
        &["audit", "verify"],
        &["doctor"],
        &["key", "rotate"],
        &["cred", "disable", "a"],
        &["token", "a"],
        &["pool", "create", "p", "--members", "b"],
        &["token", "p"],
        &["pool", "status", "p"],
        &["--json", "pool", "list"],
        &["cred", "remove", "a"],
    ] {
        quiet(args, "");
    }
    let server = Server::start(&sandbox);
    // An upstream that says the token as its code.
    let code = json!({"error": {"code": crate::provider::access_token("b", 0)}});
    let report = json!({"name": "p", "credential": "b", "generation": 0, "status": 429, "body": code});
    let (_, body) = server.ask("POST", "/v1/report", &report.to_string());
    assert!(body.contains("cooled") && !body.contains(MARKER), "{body}");
    for path in [
        "/v1/credentials",
        "/v1/clients",
        "/v1/audit",
        "/metrics",
        "/readyz",
        "/openapi.json",
        "/v1/credentials/b",
        "/v1/pools",
        "/v1/pools/p",
    ] {
        let (_, body) = server.ask("GET", path, "");
        assert!(!body.contains(MARKER), "{path}: {body}");
    }
    let (_, body) = server.ask("POST", "/v1/credentials", &document.replace("refresh_token", "refresh_tokn"));
    assert!(!body.contains(MARKER), "{body}");
    let command_line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    assert!(!String::from_utf8_lossy(&command_line).contains(MARKER));
}
