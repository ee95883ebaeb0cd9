//! `keyherd doctor` on a sound installation, and on none.

use serde_json::Value;

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider};
use crate::sandbox::in_seconds;

everywhere!(an_empty_folder_stays_empty, a_sound_installation, what_a_dead_process_left_is_noted);

fn verdict(report: &Value, check: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|finding| finding["check"] == check).unwrap();
    found["verdict"].as_str().unwrap().to_owned()
}

fn an_empty_folder_stays_empty(place: Place) {
    let sandbox = place.sandbox();
    let report = sandbox.run(&["--json", "doctor"]).ok().json();
    assert_eq!((verdict(&report, "store").as_str(), &report["ok"]), ("note", &Value::Bool(true)));
    assert!(!sandbox.data().join("keyherd.db").exists());
    assert!(!sandbox.data().join("master.key").exists());
}

fn a_sound_installation(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
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

fn what_a_dead_process_left_is_noted(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let mut child = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    child.kill().unwrap();
    child.wait().unwrap();
    let report = sandbox.run(&["--json", "doctor"]).ok().json();
    assert_eq!(verdict(&report, "claims"), "note");
}
