//! A thousand requests and two dozen processes when the token ends, three times in a row: one refresh each.

use std::time::Duration;

use serde_json::{Value, json};

use super::crowd::{Crowd, end_of, show};
use crate::oidc::OidcProvider;
use crate::running::{now, until_past, until_some};
use crate::sandbox::Sandbox;
use crate::serving::Serving;

const REQUESTS: usize = 1_000;
const PROCESSES: usize = 24;
const EXPIRIES: usize = 3;

/// The life of a token that is about to end, and that of the others, which outlast any herd.
const SHORT_SECONDS: u64 = 3;
const LONG_SECONDS: u64 = 3_600;
/// How long the server keeps each answer back, so that the herd is there before it.
const DELAY_MS: u64 = 200;

/// Only callers refresh.
const BY_CALLERS: &str =
    "[background]\nenabled = false\n[refresh]\nmin_valid_seconds = 1\nforced_apart_seconds = 0.01\n";
/// The sweep wants to refresh in the same second as callers.
const WITH_SWEEP: &str = "[background]\ninterval_seconds = 0.1\n\
     [refresh]\nmin_valid_seconds = 1\nrefresh_ahead_seconds = 1\nforced_apart_seconds = 0.01\n";

#[test]
fn a_client_with_basic_authentication() {
    let server = server();
    let document = server.seed("basic");
    check(&server, &document, "refresh_token", BY_CALLERS);
}

#[test]
fn a_client_that_posts_its_secret_beside_the_sweep() {
    let server = server();
    let document = server.seed("post");
    check(&server, &document, "refresh_token", WITH_SWEEP);
}

#[test]
fn a_client_on_its_own_account() {
    let server = server();
    let document = server.client_credentials();
    check(&server, &document, "client_credentials", BY_CALLERS);
}

fn server() -> OidcProvider {
    OidcProvider::start(LONG_SECONDS)
}

fn check(server: &OidcProvider, document: &Value, grant: &str, config: &str) {
    let sandbox = Sandbox::new();
    sandbox.configure(config);
    server.configure(&json!({"delay_ms": DELAY_MS}));
    let serving = Serving::start(&sandbox);
    server.import(&sandbox, document, &[]).ok();
    let crowd = Crowd {
        request: serving.ask(&json!({"wait_seconds": 60})),
        requests: REQUESTS,
        args: &["token", "acme", "--wait", "60"],
        input: "",
        processes: PROCESSES,
    };
    for expiry in 1..=EXPIRIES {
        let generation = await_expiry(server, &sandbox, grant, config);
        let began = now();
        let token = crowd.ask(&sandbox).one_token();
        let took = now().duration_since(began);
        println!("{grant}, expiry {expiry}: {REQUESTS} requests and {PROCESSES} processes in {took:.3}");
        check_counts(server, &sandbox, grant, generation + 1);
        if grant == "refresh_token" {
            assert_eq!(server.userinfo_status(&token), 200, "it works");
        }
    }
}

/// The token's end; beside a sweep the moment from which both want a newer one. The generation that ends then.
fn await_expiry(server: &OidcProvider, sandbox: &Sandbox, grant: &str, config: &str) -> u64 {
    if show(sandbox)["has_access_token"] == false {
        return 0;
    }
    let ending = ending(server, sandbox, grant);
    let ahead = if config == WITH_SWEEP { Duration::from_secs(1) } else { Duration::ZERO };
    until_past(end_of(&ending) - ahead);
    ending["generation"].as_u64().unwrap()
}

/// The account with a token that ends soon, and after which every token lasts: so one refresh is wanted, however long the
/// herd takes. A sweep may be faster than that is arranged; then it is tried again, with a little more time.
fn ending(server: &OidcProvider, sandbox: &Sandbox, grant: &str) -> Value {
    let mut life = SHORT_SECONDS;
    until_some("a token is about to end", || {
        server.configure(&json!({"access_ttl_seconds": life, "delay_ms": 0}));
        sandbox.run(&["cred", "refresh", "acme"]).ok();
        server.configure(&json!({"access_ttl_seconds": LONG_SECONDS, "delay_ms": DELAY_MS}));
        // What the server granted before it was told so is in the store.
        let (stats, shown) = (server.stats(), show(sandbox));
        let is_settled = stats["in_flight"] == 0 && stats["successes"][grant] == shown["generation"];
        let is_short = end_of(&shown) < now() + Duration::from_secs(life + 1);
        life += 2;
        (is_settled && is_short).then_some(shown)
    })
}

/// One call an expiry, whoever made it, and never a spent token.
fn check_counts(server: &OidcProvider, sandbox: &Sandbox, grant: &str, generation: u64) {
    let stats = server.stats();
    assert_eq!(show(sandbox)["generation"], generation, "one refresh: {stats}");
    let count = json!(generation);
    assert_eq!((&stats["token_calls"][grant], &stats["successes"][grant]), (&count, &count), "{stats}");
    assert_eq!((&stats["replays"], &stats["reuse_detected"]), (&json!(0), &json!(0)), "{stats}");
    assert_eq!(stats["in_flight_max"], 1, "{stats}");
}
