//! The command line of pools: what it prints, how it ends; on the store, and through a server.

use serde_json::json;

use crate::provider::Provider;
use crate::sandbox::{Ran, Sandbox, in_seconds};
use crate::server::Server;

/// A machine with a store, or one that has a server's address only.
fn check(work: impl Fn(&Sandbox, &dyn Fn(&[&str]) -> Ran)) {
    for is_through in [false, true] {
        let (sandbox, provider) = (Sandbox::new(), Provider::new());
        for name in ["a", "b", "c"] {
            sandbox.import(name, &provider, &in_seconds(3_600));
        }
        if !is_through {
            work(&sandbox, &|args| sandbox.run(args));
            continue;
        }
        let (server, agent) = (Server::start(&sandbox), Sandbox::new());
        agent.set("KEYHERD_SERVER", &server.url());
        agent.set("KEYHERD_TOKEN", server.bearer());
        work(&sandbox, &|args| agent.run(args));
    }
}

#[test]
fn a_pool_from_making_to_removing() {
    check(|_, run| {
        assert!(run(&["pool", "list"]).ok().out.contains("no pools yet"));
        let made = run(&["pool", "create", "p", "--members", "a,b"]).ok();
        assert_eq!(made.out, "pool p is made: a, b; active: a\n");
        assert_eq!(run(&["pool", "add", "p", "c"]).ok().out, "pool p is changed: a, b, c; active: a\n");
        assert_eq!(run(&["pool", "rotate", "p"]).ok().out, "pool p is rotated: a, b, c; active: b\n");
        assert_eq!(run(&["pool", "drop", "p", "b"]).ok().out, "pool p is changed: a, c; active: c\n");
        let list = run(&["pool", "list"]).ok().out;
        assert!(["p", "failover", "a, c"].iter().all(|word| list.contains(word)), "{list}");
        let status = run(&["--json", "pool", "status", "p"]).ok().json();
        assert_eq!((&status["active"], &status["strategy"]), (&json!("c"), &json!("failover")));
        assert_eq!(run(&["--json", "pool", "list"]).ok().json(), json!({"items": [status]}));
        let removed = run(&["--json", "pool", "remove", "p"]).ok().json();
        assert_eq!(removed, json!({"removed": "p"}));
        let made =
            run(&["--json", "pool", "create", "p", "--members", "b,a", "--strategy", "least_recently_used"]);
        let made = made.ok().json();
        assert_eq!((&made["strategy"], &made["active"]), (&json!("least_recently_used"), &json!("b")));
    });
}

#[test]
fn the_status_says_who_rests_why_and_until_when() {
    check(|_, run| {
        run(&["pool", "create", "p", "--members", "a,b"]).ok();
        assert!(
            run(&["cooldown", "set", "a", "--for", "10m", "--reason", "mine"])
                .ok()
                .out
                .contains("a rests until")
        );
        let scoped = run(&["cooldown", "set", "b", "--for", "5m", "--scope", "large"]).ok().out;
        assert!(scoped.starts_with("b (large) rests until"), "{scoped}");
        let status = run(&["pool", "status", "p"]).ok().out;
        for word in ["pool p (failover); active: a", "cooling", "mine", "in 9m", "large", "manual", "in 4m"] {
            assert!(status.contains(word), "'{word}' is missing in: {status}");
        }
        let member = run(&["--json", "pool", "status", "p"]).ok().json()["members"][0].clone();
        assert_eq!((&member["state"], &member["why"]), (&json!("cooling"), &json!("mine")));
        let shorter = run(&["cooldown", "set", "b", "--for", "1m", "--scope", "large"]).ok().out;
        assert!(shorter.contains("rests longer already"), "{shorter}");
        assert!(run(&["cred", "show", "b"]).ok().out.contains("large until"));
        run(&["cooldown", "set", "b", "--for", "20m"]).ok();
        assert!(run(&["pool", "status", "p"]).ok().out.contains("all members rest"));
        let cleared = run(&["cooldown", "clear", "b", "--scope", "large"]).ok().out;
        assert_eq!(cleared, "b (large) rests no more\n");
        run(&["cooldown", "clear", "a", "--reason", "other"])
            .failed(1, &["'a'", "'other'", "--reason 'mine'"]);
    });
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    check(|_, run| {
        run(&["pool", "create", "p", "--members", "a,b"]).ok();
        let create = |name: &str, members: &str| run(&["pool", "create", name, "--members", members]);
        create("c", "c").failed(1, &["a credential is named 'c'"]);
        create("p", "c").failed(1, &["a pool is named 'p'"]);
        create("q", "nobody").failed(1, &["no credential is named 'nobody'"]);
        create("q", "c,c").failed(1, &["'c' is named twice"]);
        create("q", "a,c").failed(1, &["'a' is in pool 'p'"]);
        create("q", "").failed(2, &["--members"]);
        run(&["pool", "create", "q"]).failed(2, &["--members"]);
        run(&["pool", "create", "q", "--members", "c", "--strategy", "best"]).failed(2, &["round_robin"]);
        run(&["pool", "add", "p", "a"]).failed(1, &["'a' is named twice"]);
        run(&["pool", "drop", "p", "c"]).failed(1, &["'c' is no member"]);
        run(&["pool", "drop", "p", "a"]).ok();
        run(&["pool", "drop", "p", "b"]).failed(1, &["one member at least"]);
        run(&["pool", "status", "nobody"]).failed(1, &["no pool is named 'nobody'", "pool list"]);
        run(&["pool", "rotate", "p", "--to", "c"]).failed(1, &["'c' is no member"]);
        run(&["pool", "remove", "nobody"]).failed(1, &["no pool is named 'nobody'"]);
        run(&["cred", "remove", "b"]).failed(1, &["member of pool 'p'", "pool drop p b"]);
        run(&["token", "nobody"]).failed(1, &["no credential or pool is named 'nobody'"]);
    });
}

#[test]
fn a_pool_of_which_nobody_serves_says_so() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    for name in ["a", "b"] {
        sandbox.import(name, &provider, &in_seconds(3_600));
    }
    sandbox.run(&["pool", "create", "p", "--members", "a,b"]).ok();
    for name in ["a", "b"] {
        sandbox.run(&["cred", "disable", name]).ok();
    }
    sandbox.token(&["p"]).failed(5, &["no member of pool 'p'", "switched off", "pool status p"]);
}
