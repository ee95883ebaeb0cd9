//! Rules from outside: written, tested, moved to another installation, and the same wherever they are asked.

use std::fs;

use serde_json::json;

use crate::place::{Place, everywhere};
use crate::sandbox::{Sandbox, until};
use crate::server::Server;

everywhere!(rules_are_written_tested_and_removed, rules_move_as_toml);

fn verdict(sandbox: &Sandbox, args: &[&str]) -> (String, String) {
    let view = sandbox.run(&[&["--json", "rule", "test"], args].concat()).ok().json();
    let word = |field: &str| view[field].as_str().unwrap().to_owned();
    (word("verdict"), word("decided_by"))
}

fn is(verdict: &str, by: &str) -> (String, String) {
    (verdict.to_owned(), by.to_owned())
}

fn rules_are_written_tested_and_removed(place: Place) {
    let sandbox = place.sandbox();
    assert!(sandbox.run(&["rule", "list"]).ok().out.contains("default: allow"), "a new installation's");
    let get = ["GET", "https://api.example.com/v1/things"];
    assert_eq!(verdict(&sandbox, &get), is("allow", "default"));
    let add = |args: &[&str]| {
        let rule = sandbox.run(&[&["--json", "rule", "add"], args].concat()).ok().json();
        rule["id"].as_str().unwrap().to_owned()
    };
    add(&["ask", "--host", "*.example.com"]);
    let deny = add(&[
        "deny",
        "--host",
        "api.example.com",
        "--method",
        "delete",
        "--path",
        "/v1/**",
        "--agent",
        "bot",
    ]);
    add(&["allow", "--host", "10.0.0.0/8", "--port", "443"]);
    assert_eq!(
        add(&[
            "deny",
            "--host",
            "API.example.com.",
            "--method",
            "DELETE",
            "--path",
            "/v1/**",
            "--agent",
            "bot"
        ]),
        deny
    );
    assert_eq!(verdict(&sandbox, &get), is("ask", "rule"));
    let delete = ["DELETE", "https://api.example.com/v1/things"];
    assert_eq!(verdict(&sandbox, &delete), is("ask", "rule"), "of no agent");
    assert_eq!(verdict(&sandbox, &[&delete[..], &["--agent", "bot"]].concat()), is("deny", "rule"));
    let around = ["DELETE", "https://api.example.com/x/..%2fv1/things", "--agent", "bot"];
    assert_eq!(verdict(&sandbox, &around), is("deny", "rule"));
    sandbox.run(&["rule", "default", "deny"]).ok();
    assert_eq!(verdict(&sandbox, &["GET", "http://other.example/"]), is("deny", "default"));
    let led = ["GET", "https://other.example/", "--address", "10.1.2.3"];
    assert_eq!(verdict(&sandbox, &led), is("allow", "rule"));
    let why = sandbox.run(&[&["rule", "test"], &delete[..], &["--agent", "bot"]].concat()).ok().out;
    assert!(why.contains(&deny) && why.contains("because") && why.contains("matches too"), "{why}");
    let shown = sandbox.run(&["rule", "list"]).ok().out;
    assert!(shown.contains("DELETE /v1/** agent bot") && shown.contains("default: deny"), "{shown}");
    sandbox.run(&["rule", "remove", &deny]).ok();
    sandbox.run(&["rule", "remove", &deny]).failed(1, &[&deny, "rule list"]);
    sandbox.run(&["rule", "add", "deny", "--host", "http://a"]).failed(2, &["host"]);
    sandbox.run(&["rule", "add", "deny", "--host", "a**b"]).failed(2, &["a**b"]);
    sandbox.run(&["rule", "test", "GET", "a.example"]).failed(2, &["url"]);
}

fn rules_move_as_toml(place: Place) {
    let sandbox = place.sandbox();
    for args in [["deny", "--host", "**.evil.example"], ["ask", "--host", "*.example.com"]] {
        sandbox.run(&[&["rule", "add"], &args[..]].concat()).ok();
    }
    sandbox.run(&["rule", "default", "ask"]).ok();
    let exported = sandbox.run(&["rule", "export"]).ok().out;
    let file = sandbox.path("rules.toml");
    fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        sandbox.run(&["rule", "import", file]).ok().out,
        "0 rules added, 2 there already, 0 removed\n"
    );
    let other = Sandbox::new();
    let done = other.run(&["--json", "rule", "import", file]).ok().json();
    assert_eq!((done["added"].as_u64(), done["default_changed"].as_bool()), (Some(2), Some(true)));
    assert_eq!(other.run(&["rule", "export"]).ok().out, exported);
    // Through a server too, from standard input; what the file lacks goes where it is said to.
    let server = Server::start(&other);
    let agent = Sandbox::new();
    agent.set("KEYHERD_SERVER", &server.url());
    agent.set("KEYHERD_TOKEN", server.bearer());
    let text = "[[rules]]\nverdict = \"deny\"\nhost = \"**.evil.example\"\n";
    let said = agent.run_with(&["rule", "import", "-", "--replace"], text).ok().out;
    assert_eq!(said, "0 rules added, 1 there already, 1 removed\n");
    assert_eq!(agent.run(&["rule", "export"]).ok().out, format!("default = \"ask\"\n\n{text}"));
    let text = "replace = true\n[[rules]]\nverdict = \"deny\"\nhost = \"new.example\"\n";
    let said = agent.run_with(&["rule", "import", "-"], text).ok().out;
    assert_eq!(said, "1 rules added, 0 there already, 1 removed\n", "the file may say it too");
    let wrong = "default = \"deny\"\n[[rules]]\nverdict = \"deny\"\nhost = \"a\"\nports = 1\n";
    agent.run_with(&["rule", "import", "-"], wrong).failed(1, &["line 5", "ports"]);
    other.run(&["audit", "verify"]).ok();
}

#[test]
fn a_rule_counts_on_a_server_that_runs() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox);
    let test = json!({"method": "GET", "url": "http://a.example/"}).to_string();
    let verdict = |word: &str| {
        server.ask("POST", "/v1/rules/test", &test).1.contains(&format!("\"verdict\":\"{word}\""))
    };
    assert!(verdict("allow"));
    sandbox.run(&["rule", "add", "deny", "--host", "a.example"]).ok();
    until("the server knows", || verdict("deny"));
    let (status, made) =
        server.ask("POST", "/v1/rules", &json!({"verdict": "ask", "host": "b.example"}).to_string());
    assert_eq!(status, 201, "{made}");
    assert_eq!(server.ask("PUT", "/v1/rules/default", &json!({"verdict": "maybe"}).to_string()).0, 400);
    assert_eq!(server.ask("PUT", "/v1/rules/default", &json!({"verdict": "deny"}).to_string()).0, 200);
    let id = serde_json::from_str::<serde_json::Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ask("DELETE", &format!("/v1/rules/{id}"), "").0, 204);
    assert_eq!(server.ask("DELETE", &format!("/v1/rules/{id}"), "").0, 404);
}

#[test]
fn a_test_knows_what_no_address_is_open_for() {
    let (sandbox, provider) = (Sandbox::new(), crate::provider::Provider::new());
    let refused = |args: &[&str]| {
        let view = sandbox.run(&[&["--json", "rule", "test"], args].concat()).ok().json();
        view["address_refused"].as_bool().unwrap()
    };
    assert!(refused(&["GET", "http://169.254.169.254/"]));
    assert!(refused(&["GET", "http://vm:19100/", "--address", "127.0.0.1"]));
    assert!(!refused(&["GET", "http://vm:19100/"]), "its address is not known");
    assert!(!refused(&["GET", "http://1.1.1.1/"]));
    let told = sandbox.run(&["rule", "test", "GET", "http://10.0.0.1/"]).ok().out;
    assert!(told.contains("no rule matches") && told.contains("10.0.0.1 is in a private network"), "{told}");
    sandbox.run(&["rule", "add", "deny", "--host", "192.168.0.0/16"]).ok();
    assert!(!refused(&["GET", "http://192.168.0.1/"]), "it is denied, whatever it is");
    sandbox.run(&["rule", "add", "allow", "--host", "127.0.0.0/8"]).ok();
    assert!(!refused(&["GET", "http://vm:19100/", "--address", "127.0.0.1"]), "a rule names it");
    sandbox.import("a", &provider, &crate::sandbox::in_seconds(3_600));
    sandbox.run(&["binding", "add", "a", "--host", "10.0.0.1"]).ok();
    assert!(!refused(&["GET", "http://10.0.0.1/"]), "a binding names it");
}
