//! The exit codes of the outside surface, one row each.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, leash};

/// An expired credential at a provider in that mood: how does `token` end?
#[track_caller]
fn check(mood: Mood, code: i32, said: &[&str]) {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(mood);
    sandbox.run(&["token", "a"]).failed(code, said);
    assert_eq!(provider.calls(), 1);
    // It is remembered: the next process does not call.
    sandbox.run(&["token", "a"]).failed(code, &said[..1]);
    assert_eq!(provider.calls(), 1);
}

fn says(status: &'static str, error: &str) -> Mood {
    Mood::Says(status, json!({"error": error}).to_string())
}

#[test]
fn reauthorization_needed_is_3() {
    check(
        says("400 Bad Request", "invalid_grant"),
        3,
        &["'a'", "invalid_grant", "cred import FILE --replace"],
    );
}

#[test]
fn a_blocked_client_is_4() {
    check(says("401 Unauthorized", "invalid_client"), 4, &["'a'", "invalid_client", "client set"]);
}

#[test]
fn an_unavailable_provider_is_4() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Says("503 Service Unavailable", String::new()));
    sandbox.run(&["token", "a"]).failed(4, &["'a'", "asked again after"]);
}

#[test]
fn a_lost_answer_is_uncertain_and_4_and_a_lost_rotation_3() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Drops);
    sandbox.run(&["token", "a"]).failed(4, &["'a'", "unknown whether the provider rotated"]);
    assert_eq!(provider.calls(), 1);
    provider.feels(Mood::Rotates);
    sandbox.run(&["token", "a"]).failed(3, &["'a'", "rotation_lost"]);
    assert_eq!(provider.calls(), 2);
}

/// A caller's time is its own. Its process stays until its flight is committed, and says so before.
#[test]
fn the_time_to_wait_is_4() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let mut waiting = sandbox.spawn(&["token", "a", "--wait", "1"]);
    let _leash = leash(&waiting);
    let mut line = String::new();
    BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("'a'") && line.contains("ask again"), "{line}");
    provider.lets_go();
    assert_eq!(finished(waiting).code, 4);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

#[test]
fn disabled_is_5_and_cooling_is_4() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(600));
    sandbox.run(&["cooldown", "set", "a", "--for", "1h"]).ok();
    sandbox.run(&["token", "a"]).failed(4, &["'a'", "manual"]);
    sandbox.run(&["cred", "disable", "a"]).ok();
    sandbox.run(&["token", "a"]).failed(5, &["'a'", "keyherd cred enable a"]);
}

#[test]
fn usage_is_2() {
    let sandbox = Sandbox::new();
    for wrong in [
        &["token"][..],
        &["token", "a", "b"],
        &["tokn", "a"],
        &["token", "not a name"],
        &["token", "a", "--wait", "0"],
        &["cred", "import"],
        &["cred", "import", "x", "--replace", "--if-absent"],
        &["cooldown", "set", "a"],
        &["cooldown", "set", "a", "--for", "soon"],
        &["--config", "/nowhere/x.toml", "doctor"],
        &["--redis-url", "redis://x", "doctor"],
        &["--server", "http://x", "doctor"],
        &["--database-url", "mysql://x/y", "doctor"],
        &["serve", "--api", "0.0.0.0:0"],
        &["serve", "--tls-cert", "x"],
        &["serve", "--api", "bad"],
        &["serve", "--proxy", "127.0.0.1:99999"],
        &["rule", "remove", "nope"],
        &["approval", "allow", "nope"],
        &["binding", "remove", "nope"],
        &["binding", "add", "a", "--host", "h", "--port", "0"],
    ] {
        sandbox.run(wrong).failed(2, &[]);
    }
}

#[test]
fn a_time_that_cannot_be_is_2_wherever_it_is_given() {
    let sandbox = Sandbox::new();
    let server = crate::server::Server::start(&sandbox);
    let question = serde_json::json!({"agent": "bot", "question": 1}).to_string();
    let asked = server.ask("POST", "/v1/approvals", &question).1;
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let id = asked["id"].as_str().unwrap();
    sandbox.run(&["approval", "allow", id, "--for", "1000d"]).failed(2, &["seconds"]);
    sandbox.run(&["cooldown", "set", "a", "--for", "99999999h"]).failed(2, &["for_seconds"]);
}

#[test]
fn a_failure_is_1() {
    let sandbox = Sandbox::new();
    sandbox.run(&["token", "nobody"]).failed(1, &["'nobody'", "keyherd cred list"]);
    sandbox.run(&["cred", "import", "/nowhere/x.json"]).failed(1, &["/nowhere/x.json"]);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(600));
    let mut child = sandbox.command(&["audit", "export"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = finished(child);
    assert!(ran.err.is_empty(), "{}", ran.err);
}

#[test]
fn a_store_that_cannot_be_written_is_said() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(600));
    std::fs::set_permissions(sandbox.data(), Permissions::from_mode(0o777)).unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["chmod 700"]);
    std::fs::set_permissions(sandbox.data(), Permissions::from_mode(0o700)).unwrap();
    sandbox.token(&["a"]).ok();
}
