//! The master key of a store that many hosts open.

use std::fs;

use crate::place::Place;
use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, until};
use crate::server::Server;

/// A host with nothing in its data folder, on the same store.
fn stranger(sandbox: &Sandbox) -> Sandbox {
    let stranger = sandbox.peer();
    let _ = fs::remove_dir_all(stranger.data());
    stranger
}

#[test]
fn no_key_is_made_for_a_store_that_is_not_empty() {
    let (sandbox, provider) = (Place::Postgres.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    let stranger = stranger(&sandbox);
    for args in [&["token", "a"][..], &["cred", "list"], &["migrate"], &["serve", "--api", "127.0.0.1:0"]] {
        stranger.run(args).failed(1, &["master.key is missing", "127.0.0.1", "KEYHERD_MASTER_KEY"]);
    }
    assert!(!stranger.data().join("master.key").exists());
    let doctor = stranger.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.out.contains("KEYHERD_MASTER_KEY"), "{doctor:?}");
    stranger.set("KEYHERD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    stranger.run(&["cred", "list"]).failed(1, &["sealed under master key"]);
    assert_eq!(provider.calls(), 0);
}

/// Hosts that begin at once on an empty database, none of which has a key: one makes the store, and the others do not
/// keep the keys that they made for nothing.
#[test]
fn of_hosts_that_begin_at_once_one_makes_the_store() {
    let sandbox = Place::Postgres.sandbox();
    let hosts: Vec<_> = (0..6).map(|_| sandbox.peer()).collect();
    let herd: Vec<_> = hosts.iter().map(|host| host.spawn(&["cred", "list"])).collect();
    let ran: Vec<_> = herd.into_iter().map(finished).collect();
    let made = |host: &&Sandbox| host.data().join("master.key").exists();
    assert_eq!(hosts.iter().filter(made).count(), 1, "{ran:?}");
    for (host, ran) in hosts.iter().zip(ran) {
        if made(&host) {
            ran.ok();
        } else {
            ran.failed(1, &["another host", "KEYHERD_MASTER_KEY"]);
        }
    }
}

#[test]
fn a_key_in_the_environment_opens_it_everywhere() {
    let (sandbox, provider) = (Place::PostgresAndRedis.sandbox(), Provider::new());
    sandbox.set("KEYHERD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    sandbox.import("a", &provider, &in_seconds(-60));
    let peer = sandbox.peer();
    assert_eq!(peer.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert!(!peer.data().join("master.key").exists());
    assert_eq!(provider.calls(), 1);
}

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn keys_in(sandbox: &Sandbox) -> usize {
    let file = fs::read_to_string(sandbox.data().join("master.key")).unwrap();
    file.lines().filter(|line| !line.starts_with('#')).count()
}

/// What only one host has must not leave it without its key: the old one stays until the others have both.
#[test]
fn a_key_that_is_made_here_stays_beside_the_old_one_for_a_while() {
    let (sandbox, provider) = (Place::PostgresAndRedis.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.import("b", &provider, &in_seconds(-60));
    let server = Server::start(&sandbox);
    assert_eq!(server.access_token("a"), access_token("a", 0));
    let rotated = sandbox.run(&["key", "rotate"]).ok();
    assert!(rotated.out.contains("every other host"), "{}", rotated.out);
    assert_eq!(keys_in(&sandbox), 2);
    let peer = sandbox.peer();
    assert_eq!(server.access_token("b"), access_token("b", 1));
    assert_eq!(peer.token(&["b"]).ok().out.trim(), access_token("b", 1));
    for host in [&sandbox, &peer] {
        let rotated = host.run(&["--json", "key", "rotate"]).ok().json();
        assert_eq!((&rotated["old_keys_kept"], keys_in(host)), (&0.into(), 1));
        assert_eq!(host.token(&["a"]).ok().out.trim(), access_token("a", 0));
        host.run(&["doctor"]).ok();
    }
    assert_eq!(server.ask("POST", "/v1/credentials/a/refresh", "").0, 200);
    sandbox.run(&["audit", "verify"]).ok();
    assert_eq!((provider.calls(), provider.reuse()), (2, 0));
}

/// A new key is first behind the old one everywhere, then in front of it, host by host: nobody is ever locked out.
#[test]
fn a_new_key_is_brought_to_one_host_after_the_other() {
    let (one, provider) = (Place::Postgres.sandbox(), Provider::new());
    one.set("KEYHERD_MASTER_KEY", OLD);
    one.import("a", &provider, &in_seconds(3_600));
    one.import("b", &provider, &in_seconds(-60));
    let other = one.peer();
    let (both, turned) = (format!("{OLD},{NEW}"), format!("{NEW},{OLD}"));
    one.set("KEYHERD_MASTER_KEY", &both);
    other.set("KEYHERD_MASTER_KEY", &both);
    // This one is not started again before it is all over.
    let server = Server::start(&other);
    assert_eq!(server.access_token("a"), access_token("a", 0));
    one.set("KEYHERD_MASTER_KEY", &turned);
    one.token(&["a"]).ok();
    assert_eq!(server.access_token("b"), access_token("b", 1));
    other.run(&["cred", "disable", "b"]).ok();
    one.run(&["cred", "enable", "b"]).ok();
    let rotated = one.run(&["--json", "key", "rotate"]).ok().json();
    assert_eq!(rotated["old_keys_kept"], 0);
    assert_eq!(server.ask("POST", "/v1/credentials/a/refresh", "").0, 200);
    other.set("KEYHERD_MASTER_KEY", &turned);
    other.run(&["key", "rotate"]).ok();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.end().code, 0);
    for host in [&one, &other] {
        host.set("KEYHERD_MASTER_KEY", NEW);
        assert_eq!(host.token(&["a"]).ok().out.trim(), access_token("a", 1));
        host.run(&["doctor"]).ok();
    }
    assert_eq!(provider.reuse(), 0);
}

#[test]
fn one_rotation_at_a_time() {
    let (sandbox, provider) = (Place::Postgres.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let refreshing = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    let rotating = sandbox.spawn(&["--json", "key", "rotate"]);
    until("both keys are there", || keys_in(&sandbox) == 2);
    sandbox.peer().run(&["key", "rotate"]).failed(4, &["another", "key rotate"]);
    provider.lets_go();
    assert_eq!(finished(refreshing).ok().out.trim(), access_token("a", 1));
    assert_eq!(finished(rotating).ok().json()["old_keys_kept"], 1);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
}
