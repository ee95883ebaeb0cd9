//! Another master key, while a server works on.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, until};
use crate::server::Server;

#[test]
fn rotation_while_a_server_runs() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.import("b", &provider, &in_seconds(-60));
    let key = sandbox.data().join("master.key");
    let old = fs::read_to_string(&key).unwrap();
    let server = Server::start(&sandbox);
    assert_eq!(server.access_token("a"), access_token("a", 0));
    let rotated = sandbox.run(&["--json", "key", "rotate"]).ok().json();
    assert_eq!(rotated["old_keys_kept"], 0);
    let new = fs::read_to_string(&key).unwrap();
    assert_ne!(old, new);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // The server refreshes under the new key, and so does everyone else.
    let forced = server.ask("POST", "/v1/credentials/a/refresh", "");
    assert_eq!(forced.0, 200, "{}", forced.1);
    assert_eq!(server.access_token("a"), access_token("a", 1));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!(sandbox.token(&["b"]).ok().out.trim(), access_token("b", 1));
    sandbox.run(&["doctor"]).ok();
    // The old key opens nothing any more.
    fs::write(&key, old).unwrap();
    sandbox.run(&["token", "a"]).failed(1, &["sealed under master key"]);
    fs::write(&key, new).unwrap();
    sandbox.token(&["a"]).ok();
    sandbox.run(&["audit", "verify"]).ok();
}

/// An answer that is on its way under the old key is waited for, and committed under the new one.
#[test]
fn rotation_while_a_refresh_is_under_way() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let refreshing = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    let key = sandbox.data().join("master.key");
    let keys = || fs::read_to_string(&key).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(keys(), 1);
    let rotating = sandbox.spawn(&["--json", "key", "rotate"]);
    until("both keys are there", || keys() == 2);
    sandbox.run(&["key", "rotate"]).failed(4, &["another", "key rotate"]);
    provider.lets_go();
    assert_eq!(finished(refreshing).ok().out.trim(), access_token("a", 1));
    assert_eq!(finished(rotating).ok().json()["old_keys_kept"], 0);
    assert_eq!(keys(), 1);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    sandbox.run(&["doctor"]).ok();
}

#[test]
fn a_key_in_the_environment_is_rotated_by_its_owner() {
    const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.set("KEYHERD_MASTER_KEY", OLD);
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.set("KEYHERD_MASTER_KEY", &format!("{NEW},{OLD}"));
    sandbox.token(&["a"]).ok();
    sandbox.run(&["key", "rotate"]).ok();
    sandbox.set("KEYHERD_MASTER_KEY", NEW);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 0));
}

#[test]
fn rotations_in_a_row() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    for _ in 0..12 {
        sandbox.run(&["key", "rotate"]).ok();
    }
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    sandbox.run(&["key", "rotate"]).ok();
    sandbox.run(&["doctor"]).ok();
}

/// However often it is broken off, there is one new key, and the next run finishes with it.
#[test]
fn an_unfinished_rotation_goes_on_with_its_key() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.configure(
        "[refresh]\nconnect_timeout_seconds = 1\nprovider_timeout_seconds = 600\n\
                       flight_timeout_seconds = 601\n",
    );
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let refreshing = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    let key = sandbox.data().join("master.key");
    let keys = || fs::read_to_string(&key).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    for _ in 0..10 {
        let mut rotating = sandbox.spawn(&["key", "rotate"]);
        until("the new key is there", || keys() == 2);
        rotating.kill().unwrap();
        rotating.wait().unwrap();
    }
    let both = fs::read_to_string(&key).unwrap();
    provider.lets_go();
    assert_eq!(finished(refreshing).ok().out.trim(), access_token("a", 1));
    sandbox.run(&["key", "rotate"]).ok();
    assert_eq!(keys(), 1);
    let left = fs::read_to_string(&key).unwrap();
    let left = left.lines().rfind(|line| !line.starts_with('#')).unwrap().to_owned();
    assert!(both.contains(&left), "the key that was made first is the one in force");
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
}
