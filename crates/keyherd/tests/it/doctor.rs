//! `keyherd doctor` on a sound installation, and on none.

use serde_json::Value;

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider};
use crate::sandbox::in_seconds;

everywhere!(
    an_empty_folder_stays_empty,
    a_sound_installation,
    what_a_dead_process_left_is_noted,
    what_agents_trust_is_looked_at,
);

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

fn what_agents_trust_is_looked_at(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(60));
    let checked = || {
        let ran = sandbox.run(&["--json", "doctor"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        (ran.code, verdict(&report, "CA"), verdict(&report, "data folder"))
    };
    let is = |code: i32, ca: &str, folder: &str| (code, ca.to_owned(), folder.to_owned());
    assert_eq!(checked(), is(0, "note", "ok"), "none yet");
    let file = sandbox.run(&["ca"]).ok().out;
    assert!(std::path::Path::new(file.trim()).is_absolute(), "{file}");
    assert_eq!(checked(), is(0, "ok", "ok"));
    let good = std::fs::read_to_string(file.trim()).unwrap();
    // The first line is what is said of it, and no certificate.
    let title = good.lines().next().unwrap();
    for bad in ["garbage\n".to_owned(), format!("{title}\ngarbage\n")] {
        std::fs::write(file.trim(), bad).unwrap();
        assert_eq!(checked(), is(1, "wrong", "ok"));
        sandbox.run(&["ca"]).ok();
        assert_eq!(checked(), is(0, "ok", "ok"), "it is made anew");
    }
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(sandbox.data(), mode(0o755)).unwrap();
    assert_eq!(checked(), is(0, "ok", "note"));
    std::fs::set_permissions(sandbox.data(), mode(0o700)).unwrap();
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
