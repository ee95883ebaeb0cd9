//! The master key of a store that many hosts open.

use std::fs;

use crate::place::Place;
use crate::provider::{Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds};

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
