//! The demo holds what it promises.

use crate::sandbox::Sandbox;

#[test]
fn once_for_programs() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["--json", "demo", "--once"]).ok().json();
    assert_eq!(shown["ok"], true);
    let scene = &shown["scenes"][0];
    let expiries = scene["expiries"].as_array().unwrap();
    assert_eq!(expiries.len(), 3);
    for expiry in expiries {
        assert_eq!((expiry["provider_calls"].as_u64(), expiry["failed"].as_u64()), (Some(1), Some(0)));
    }
    assert_eq!(scene["without"]["account_revoked"], true);
    let scene = &shown["scenes"][1];
    assert_eq!((&scene["scene"], &scene["served"]), (&"fail_over_once".into(), &scene["tasks"]));
    assert_eq!((scene["cooldowns"].as_u64(), scene["failovers"].as_u64()), (Some(1), Some(1)), "{scene}");
    assert_eq!(scene["processes_moved"], scene["processes"]);
    assert!(scene["refused"].as_u64() < scene["without"]["refused"].as_u64(), "{scene}");
    let scene = &shown["scenes"][2];
    assert_eq!((&scene["scene"], &scene["requests"]), (&"ask_once".into(), &1_000.into()));
    assert_eq!((scene["prompts"].as_u64(), scene["sent_before"].as_u64()), (Some(1), Some(0)), "{scene}");
    assert_eq!((&scene["served"], &scene["covered"]), (&scene["requests"], &scene["requests"]), "{scene}");
    let data = std::path::PathBuf::from(shown["data"].as_str().unwrap());
    assert!(!data.exists(), "the demo leaves nothing behind");
    assert!(!sandbox.data().exists(), "the user's data folder is not touched");
}

/// What is not done is not passed over in silence.
#[test]
fn it_works_on_nothing_but_its_own() {
    let sandbox = Sandbox::new();
    for (flag, value) in [
        ("--database-url", "postgres://nobody@127.0.0.1:1/none"),
        ("--redis-url", "redis://127.0.0.1:1"),
        ("--master-key-file", "/nowhere"),
        ("--server", "http://127.0.0.1:1"),
    ] {
        sandbox.run(&[flag, value, "demo", "--once"]).failed(2, &["demo", "of its own", flag]);
    }
    assert!(!sandbox.data().exists());
}
