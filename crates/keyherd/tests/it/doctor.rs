//! `keyherd doctor` on a sound installation, and on none.

use serde_json::Value;

use crate::provider::{Mood, Provider};
use crate::sandbox::{Sandbox, in_seconds};

fn verdict(report: &Value, check: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|finding| finding["check"] == check).unwrap();
    found["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn an_empty_folder_stays_empty() {
    let sandbox = Sandbox::new();
    let report = sandbox.run(&["--json", "doctor"]).ok().json();
    assert_eq!((verdict(&report, "store").as_str(), &report["ok"]), ("note", &Value::Bool(true)));
    assert!(!sandbox.data().join("keyherd.db").exists());
    assert!(!sandbox.data().join("master.key").exists());
}

#[test]
fn a_sound_installation() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    let report = sandbox.run(&["--json", "doctor"]).ok().json();
    for check in [
        "data folder",
        "master key",
        "store",
        "audit log",
        "clock",
        "journal",
        "claims",
        "credentials",
        "profiles",
    ] {
        assert_eq!(verdict(&report, check), "ok", "{check}: {report}");
    }
}

#[test]
fn what_a_dead_process_left_is_noted() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let mut child = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    child.kill().unwrap();
    child.wait().unwrap();
    let report = sandbox.run(&["--json", "doctor"]).ok().json();
    assert_eq!(verdict(&report, "claims"), "note");
}
