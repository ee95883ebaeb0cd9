//! The audit log: what is in it, and that a change to it is found.

use std::fs;

use serde_json::Value;

use crate::provider::Provider;
use crate::sandbox::{Sandbox, in_seconds};

#[test]
fn every_change_is_there_in_order() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    sandbox.token(&["a"]).ok();
    sandbox.run(&["cred", "disable", "a"]).ok();
    let lines = sandbox.run(&["--json", "audit", "tail", "-n", "100"]).ok().out;
    let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!((actions[0], *actions.last().unwrap()), ("credential.create", "credential.disable"));
    assert!(actions.len() >= 3, "{actions:?}");
    assert!(entries.iter().all(|entry| entry["actor"] == "cli" && entry["subject"] == "a"));
    assert_eq!(sandbox.run(&["--json", "audit", "tail", "-n", "1"]).ok().out.lines().count(), 1);
    assert_eq!(sandbox.run(&["audit", "export"]).ok().out, lines);
    let verified = sandbox.run(&["--json", "audit", "verify"]).ok().json();
    assert_eq!(
        (&verified["ok"], verified["entries"].as_u64()),
        (&Value::Bool(true), Some(entries.len() as u64))
    );
}

#[test]
fn an_edit_is_found_where_it_is() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    sandbox.run(&["cred", "disable", "a"]).ok();
    sandbox.run(&["cred", "enable", "a"]).ok();
    let path = sandbox.data().join("keyherd.db");
    let bytes = fs::read(&path).unwrap();
    let (from, to) = (b"credential.disable", b"credential.enabled");
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    let edited = [&bytes[..at], &to[..], &bytes[at + from.len()..]].concat();
    fs::write(&path, edited).unwrap();
    let verified = sandbox.run(&["--json", "audit", "verify"]);
    verified.failed(1, &["entry 2", "changed"]);
    assert_eq!(verified.json()["broken"]["seq"], 2);
    sandbox.run(&["doctor"]).failed(1, &["audit log", "entry 2"]);
}
