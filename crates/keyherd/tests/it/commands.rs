//! What each command does when all is well.

use serde_json::json;

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{MARKER, Sandbox, in_seconds};

everywhere!(migrate_says_the_schema);

#[test]
fn a_credential_from_import_to_removal() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let document = provider.document("acme-1", &in_seconds(3_600));
    let made = sandbox.run_with(&["--json", "cred", "import", "-"], &document.to_string()).ok().json();
    assert_eq!(
        (&made["name"], &made["outcome"], &made["state"]),
        (&json!("acme-1"), &json!("created"), &json!("active"))
    );

    assert_eq!(sandbox.token(&["acme-1"]).ok().out, format!("{}\n", access_token("acme-1", 0)));
    assert_eq!(provider.calls(), 0);
    let list = sandbox.run(&["cred", "list"]).ok().out;
    assert!(list.contains("acme-1") && list.contains("active"), "{list}");
    let shown = sandbox.run(&["cred", "show", "acme-1"]).ok().out;
    assert!(shown.contains("refresh token       yes"), "{shown}");

    let refreshed = sandbox.run(&["--json", "cred", "refresh", "acme-1"]).ok().json();
    assert_eq!(refreshed["generation"], json!(made["generation"].as_u64().unwrap() + 1));
    assert_eq!(provider.calls(), 1);
    assert_eq!(sandbox.token(&["acme-1"]).ok().out, format!("{}\n", access_token("acme-1", 1)));

    sandbox.run(&["cred", "disable", "acme-1"]).ok();
    assert_eq!(sandbox.run(&["token", "acme-1"]).code, 5);
    assert_eq!(sandbox.run(&["--json", "cred", "show", "acme-1"]).ok().json()["state"], "disabled");
    sandbox.run(&["cred", "enable", "acme-1"]).ok();
    sandbox.token(&["acme-1"]).ok();

    sandbox.run(&["cred", "remove", "acme-1"]).ok();
    sandbox.run(&["cred", "show", "acme-1"]).failed(1, &["acme-1", "keyherd cred list"]);
    assert_eq!(sandbox.run(&["--json", "cred", "list"]).ok().json(), json!({"items": []}));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

#[test]
fn the_token_as_json() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    let token = sandbox.token(&["a", "--json"]).ok().json();
    assert_eq!(token["access_token"], access_token("a", 0));
    assert_eq!((&token["token_type"], &token["credential"]), (&json!("Bearer"), &json!("a")));
}

#[test]
fn an_expired_token_is_refreshed_and_a_rejected_one_replaced() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    let rejected = |token: &str| sandbox.run_unchecked(&["token", "a", "--rejected-stdin"], token).ok().out;
    assert_eq!(rejected(&access_token("a", 1)).trim(), access_token("a", 2));
    // Somebody else has replaced it already.
    assert_eq!(rejected(&access_token("a", 1)).trim(), access_token("a", 2));
    assert_eq!((provider.calls(), provider.reuse()), (2, 0));
}

#[test]
fn import_of_many() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let all = json!([provider.document("a", &in_seconds(60)), provider.document("b", &in_seconds(60))]);
    std::fs::write(sandbox.path("all.json"), all.to_string()).unwrap();
    let file = sandbox.path("all.json");
    let file = file.to_str().unwrap();
    let made = sandbox.run(&["cred", "import", file]).ok().out;
    assert_eq!(made.lines().count(), 2, "{made}");
    sandbox.run(&["cred", "import", file]).failed(1, &["'a'", "--replace", "--if-absent"]);
    let kept = sandbox.run(&["--json", "cred", "import", file, "--if-absent"]).ok().json();
    assert_eq!(kept["items"][1]["outcome"], "kept");
    let replaced = sandbox.run(&["--json", "cred", "import", file, "--replace"]).ok().json();
    assert_eq!(replaced["items"][0]["outcome"], "replaced");
}

#[test]
fn all_documents_are_checked_before_the_first_is_imported() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let mut odd = provider.document("b", &in_seconds(60));
    odd["provider"] = json!("no-such");
    let all = json!([provider.document("a", &in_seconds(60)), odd]).to_string();
    sandbox.run_with(&["cred", "import", "-"], &all).failed(1, &["'b'", "no-such", "keyherd provider list"]);
    let twice =
        json!([provider.document("a", &in_seconds(60)), provider.document("a", &in_seconds(60))]).to_string();
    sandbox.run_with(&["cred", "import", "-"], &twice).failed(1, &["'a'", "twice"]);
    assert_eq!(sandbox.run(&["--json", "cred", "list"]).ok().json(), json!({"items": []}));
}

#[test]
fn where_one_name_is_taken_nothing_is_imported() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("b", &provider, &in_seconds(60));
    let all = json!(["a", "b", "c"].map(|name| provider.document(name, &in_seconds(60)))).to_string();
    sandbox
        .run_with(&["cred", "import", "-"], &all)
        .failed(1, &["1 of 3", "'b'", "nothing was imported", "--if-absent"]);
    assert_eq!(names(&sandbox), ["b"]);
    sandbox.run_with(&["cred", "import", "-", "--if-absent"], &all).ok();
    assert_eq!(names(&sandbox), ["a", "b", "c"]);
}

#[test]
fn those_before_a_refused_document_stand_and_are_named() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let member = |name: &str, chain: &str| {
        let mut document = provider.document(name, &in_seconds(60));
        document["chain"] = json!(chain);
        document
    };
    // Members of a chain agree on their client: only the store can know that these do not.
    let all = json!([member("a", "team"), member("b", "team"), member("c", "other")]).to_string();
    let ran = sandbox.run_with(&["--json", "cred", "import", "-"], &all);
    let said = ["'b'", "not with the same client", "imported: 'a'; not imported: 'b', 'c'", "--if-absent"];
    ran.failed(1, &said);
    assert_eq!(ran.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(names(&sandbox), ["a"]);
}

#[test]
fn joining_a_chain_with_another_refresh_token_is_told() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let mut first = provider.document("a", &in_seconds(60));
    first["chain"] = json!("team");
    let mut second = first.clone();
    second["name"] = json!("b");
    sandbox.run_with(&["cred", "import", "-"], &first.to_string()).ok();
    let same = sandbox.run_with(&["--json", "cred", "import", "-"], &second.to_string()).ok().json();
    assert_eq!((same["outcome"].as_str(), same.get("note")), (Some("joined"), None));
    second["name"] = json!("c");
    second["refresh_token"] = json!(format!("{MARKER}-another"));
    let other = sandbox.run_with(&["cred", "import", "-"], &second.to_string()).ok();
    assert!(other.out.contains("note: its refresh token was not taken"), "{}", other.out);
}

/// A block on a credential's own client is lifted where it is told to be.
#[test]
fn a_blocked_client_of_its_own_is_amended() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Says("401 Unauthorized", json!({"error": "invalid_client"}).to_string()));
    sandbox.run(&["token", "a"]).failed(4, &["cred amend a --client-id"]);
    assert!(sandbox.run(&["cred", "show", "a"]).ok().out.contains("keyherd cred amend a --client-id"));
    provider.feels(Mood::Rotates);
    let changed = sandbox.run_with(&["cred", "amend", "a", "--client-id", "other"], MARKER).ok();
    assert!(changed.out.contains("a is changed (active)"), "{}", changed.out);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
}

#[test]
fn a_client_that_two_providers_have_is_not_removed_by_its_name_alone() {
    let sandbox = Sandbox::new();
    for provider in ["generic", "google"] {
        let set = ["client", "set", "app", "--provider", provider, "--client-id", "x"];
        sandbox.run_with(&set, MARKER).ok();
    }
    sandbox.run(&["client", "remove", "app"]).failed(1, &["'app'", "generic, google", "nothing was removed"]);
    assert_eq!(sandbox.run(&["--json", "client", "list"]).ok().json()["items"].as_array().unwrap().len(), 2);
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let listed = sandbox.run(&["--json", "cred", "list"]).ok().json();
    listed["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().into()).collect()
}

#[test]
fn a_spent_refresh_token_is_refused_over_a_live_one() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let document = provider.document("a", &in_seconds(-60)).to_string();
    sandbox.run_with(&["cred", "import", "-"], &document).ok();
    sandbox.token(&["a"]).ok();
    let replace = ["cred", "import", "-", "--replace"];
    sandbox.run_with(&replace, &document).failed(1, &["'a'", "already spent", "generation"]);
    let other_name = document.replace("\"name\":\"a\"", "\"name\":\"b\"");
    sandbox.run_with(&["cred", "import", "-"], &other_name).failed(1, &["'b'", "already spent", "'a'"]);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

#[test]
fn add_takes_secrets_from_standard_input() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    provider.document("a", "");
    let url = provider.token_url();
    let flags = ["cred", "add", "a", "--provider", "generic", "--client-id", "a", "--token-url", &url];
    sandbox.run_with(&flags, &format!("{MARKER}-rt-a-0\n{MARKER}-cs\n")).ok();
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));

    let fixed =
        ["cred", "add", "key", "--provider", "openai", "--kind", "static", "--attribute", "plan=\"pro\""];
    let made = sandbox.run_with(&[&fixed[..], &["--json"]].concat(), &format!("{MARKER}-key\n")).ok().json();
    assert_eq!((&made["kind"], &made["attributes"]), (&json!("static"), &json!({"plan": "pro"})));
    assert_eq!(sandbox.token(&["key"]).ok().out, format!("{MARKER}-key\n"));

    let labelled =
        ["cred", "add", "b", "--provider", "generic", "--token-url", &url, "--expires-at", &in_seconds(600)];
    sandbox.run_with(&labelled, &format!("access_token={MARKER}-at-b\nrefresh_token={MARKER}-rt-b\n")).ok();
    assert_eq!(sandbox.token(&["b"]).ok().out, format!("{MARKER}-at-b\n"));
    let too_many = format!("{MARKER}-1\n{MARKER}-2\n{MARKER}-3\n{MARKER}-4\n");
    let more = ["cred", "add", "c", "--provider", "generic", "--token-url", &url];
    sandbox.run_with(&more, &too_many).failed(2, &["2 too many", "--help"]);
}

#[test]
fn client_apps() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let set = ["client", "set", "app", "--provider", "generic"];
    sandbox.run_with(&set, "").failed(2, &["'app'", "--client-id"]);
    sandbox.run_with(&[&set[..], &["--client-id", "a"]].concat(), &format!("{MARKER}-1\n")).ok();
    let changed = sandbox.run_with(&[&set[..], &["--json"]].concat(), &format!("{MARKER}-2\n")).ok().json();
    assert_eq!((&changed["client_id"], &changed["has_client_secret"]), (&json!("a"), &json!(true)));
    let mut document = provider.document("a", &in_seconds(-1));
    let fields = document.as_object_mut().unwrap();
    fields.remove("client_id");
    fields.remove("client_secret");
    fields.insert("client".into(), json!("app"));
    sandbox.run_with(&["cred", "import", "-"], &document.to_string()).ok();
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    sandbox.run(&["client", "remove", "app"]).failed(1, &["'app'", "'a'"]);
    assert!(sandbox.run(&["client", "list"]).ok().out.contains("app"));
    sandbox.run(&["cred", "remove", "a"]).ok();
    sandbox.run(&["client", "remove", "app"]).ok();
    assert_eq!(sandbox.run(&["--json", "client", "list"]).ok().json(), json!({"items": []}));
}

#[test]
fn cooldowns() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.run(&["cooldown", "set", "a", "--for", "10m", "--reason", "busy"]).ok();
    sandbox.run(&["token", "a"]).failed(4, &["'a'", "busy"]);
    let shown = sandbox.run(&["--json", "cred", "show", "a"]).ok().json();
    assert_eq!(shown["cooling"]["reason"], "busy");
    sandbox.run(&["cooldown", "clear", "a", "--reason", "other"]).failed(1, &["'other'", "--reason 'busy'"]);
    assert_eq!(sandbox.run(&["token", "a"]).code, 4);
    sandbox.run(&["cooldown", "clear", "a", "--reason", "busy"]).ok();
    sandbox.token(&["a"]).ok();
    sandbox.run(&["cooldown", "clear", "a", "--reason", "busy"]).failed(1, &["does not rest at all"]);
}

#[test]
fn profiles() {
    let sandbox = Sandbox::new();
    let all = sandbox.run(&["--json", "provider", "list"]).ok().json();
    assert!(all["items"].as_array().unwrap().iter().any(|profile| profile["name"] == "slack"));
    assert!(sandbox.run(&["provider", "show", "google"]).ok().out.contains("oauth2.googleapis.com"));
    sandbox.run(&["provider", "show", "no-such"]).failed(1, &["no-such", "keyherd provider list"]);
    let mine = "name = \"mine\"\ntoken_url = \"https://mine.example/token\"\nrotates = \"always\"\n";
    sandbox.run_with(&["provider", "import", "-"], mine).ok();
    assert_eq!(sandbox.run(&["provider", "show", "mine"]).ok().out, mine);
    assert!(sandbox.run(&["provider", "list"]).ok().out.contains("data folder"));
    sandbox
        .run_with(&["provider", "import", "-"], "name = \"x\"\nrotate = \"always\"\n")
        .failed(1, &["rotate", "line 2"]);
    sandbox.run_with(&["provider", "import", "-"], "name = \"../x\"\n").failed(1, &["../x"]);
}

/// Processes with data folders of their own on one store find each other's answers.
#[test]
fn the_journal_lies_beside_the_store() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let url = format!("sqlite:{}", sandbox.path("elsewhere/store.db").display());
    std::fs::create_dir(sandbox.path("elsewhere")).unwrap();
    let key = sandbox.path("one.key");
    let settings = ["--database-url", &url, "--master-key-file", key.to_str().unwrap()];
    let document = provider.document("a", &in_seconds(-60)).to_string();
    sandbox.run_with(&[&settings[..], &["cred", "import", "-"]].concat(), &document).ok();
    let token = sandbox.run_unchecked(&[&settings[..], &["token", "a"]].concat(), "").ok();
    assert_eq!(token.out.trim(), access_token("a", 1));
    let done = std::fs::read_dir(sandbox.path("elsewhere/store.db.journal/done")).unwrap();
    assert_eq!(done.count(), 1);
    assert_eq!(std::fs::read_dir(sandbox.data()).unwrap().count(), 0);
}

fn migrate_says_the_schema(place: Place) {
    let sandbox = place.sandbox();
    // Both engines number their schemas alike.
    let versions =
        [keyherd_adapters::store::sqlite::SCHEMA_VERSION, keyherd_adapters::store::postgres::SCHEMA_VERSION];
    let said = sandbox.run(&["--json", "migrate"]).ok().json()["schema_version"].as_i64();
    assert_eq!(versions.map(Some), [said; 2]);
}

#[test]
fn help_is_there_for_everything() {
    let sandbox = Sandbox::new();
    assert!(sandbox.run(&["--help"]).ok().out.contains("Exit codes"));
    for command in [
        &["serve"][..],
        &["demo"],
        &["token"],
        &["cred"],
        &["cred", "import"],
        &["cred", "add"],
        &["cred", "list"],
        &["cred", "show"],
        &["cred", "refresh"],
        &["cred", "enable"],
        &["cred", "disable"],
        &["cred", "remove"],
        &["client", "set"],
        &["client", "list"],
        &["client", "remove"],
        &["cooldown", "set"],
        &["cooldown", "clear"],
        &["provider", "list"],
        &["provider", "show"],
        &["provider", "import"],
        &["audit", "tail"],
        &["audit", "verify"],
        &["audit", "export"],
        &["key", "rotate"],
        &["migrate"],
        &["doctor"],
    ] {
        let help = sandbox.run(&[command, &["--help"]].concat()).ok().out;
        assert!(help.contains("Usage:") && help.contains("--data"), "{command:?}: {help}");
    }
    assert!(sandbox.run(&["--version"]).ok().out.starts_with("keyherd "));
}

#[test]
fn less_than_was_asked_for_is_said_so() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    let first = sandbox.run_unchecked(&["token", "a"], "").ok();
    assert_eq!(first.err, "");
    let shorter = sandbox.run_unchecked(&["token", "a", "--min-valid", "3601"], "");
    assert_eq!((shorter.code, &shorter.out), (0, &first.out), "nothing else is on standard output");
    assert!(shorter.err.contains("--min-valid 3601") && shorter.err.contains("half"), "{}", shorter.err);
    let again = sandbox.run(&["cred", "refresh", "a"]).ok().out;
    assert!(again.contains("generation 1") && again.contains("a moment ago"), "{again}");
    assert_eq!(provider.calls(), 1);
    let none = sandbox.run_with(&["cred", "import", "-"], "[]").ok().out;
    assert!(none.contains("0 credentials imported"), "{none}");
    let default = sandbox.run(&["rule", "test", "GET", "https://a.example/"]).ok().out;
    assert!(default.contains("because no rule matches"), "{default}");
}
