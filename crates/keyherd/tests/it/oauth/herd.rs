//! A thousand requests and two dozen processes when the token ends, three times in a row: one refresh each.

use std::time::Duration;

use serde_json::{Value, json};

use super::crowd::{Crowd, ends_at, show};
use crate::oidc::OidcProvider;
use crate::running::{now, until_past};
use crate::sandbox::Sandbox;
use crate::serving::Serving;

const REQUESTS: usize = 1_000;
const PROCESSES: usize = 24;
const EXPIRIES: u64 = 3;

/// The first token's life, and that of the others: within it a herd has to be through.
const FIRST_TTL_SECONDS: u64 = 3;
const TTL_SECONDS: u64 = 10;
/// How long the server keeps each answer back, so that the herd is there before it.
const DELAY_MS: u64 = 200;

/// Only callers refresh.
const BY_CALLERS: &str = "[background]\nenabled = false\n[refresh]\nmin_valid_seconds = 1\n";
/// The sweep wants to refresh in the same second as callers.
const WITH_SWEEP: &str =
    "[background]\ninterval_seconds = 0.1\n[refresh]\nmin_valid_seconds = 1\nrefresh_ahead_seconds = 1\n";

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
    OidcProvider::start(FIRST_TTL_SECONDS)
}

fn check(server: &OidcProvider, document: &Value, grant: &str, config: &str) {
    let sandbox = Sandbox::new();
    sandbox.configure(config);
    server.configure(&json!({"access_ttl_seconds": TTL_SECONDS, "delay_ms": DELAY_MS}));
    let serving = Serving::start(&sandbox);
    server.import(&sandbox, document, &[]).ok();
    let crowd = Crowd {
        request: serving.ask(&Value::Null),
        requests: REQUESTS,
        args: &["token", "acme"],
        input: "",
        processes: PROCESSES,
    };
    for expiry in 1..=EXPIRIES {
        await_expiry(&sandbox, config);
        let began = now();
        let token = crowd.ask(&sandbox).one_token();
        let took = now().duration_since(began);
        println!("{grant}, expiry {expiry}: {REQUESTS} requests and {PROCESSES} processes in {took:.3}");
        check_counts(server, &sandbox, grant, expiry);
        if grant == "refresh_token" {
            assert_eq!(server.userinfo_status(&token), 200, "it works");
        }
    }
}

/// The token's end; beside a sweep the moment from which both want a newer one.
fn await_expiry(sandbox: &Sandbox, config: &str) {
    let shown = show(sandbox);
    if shown["has_access_token"] == false {
        return;
    }
    let ahead = if config == WITH_SWEEP { Duration::from_secs(1) } else { Duration::ZERO };
    until_past(ends_at(sandbox) - ahead);
}

/// One call an expiry, whoever made it, and never a spent token.
fn check_counts(server: &OidcProvider, sandbox: &Sandbox, grant: &str, expiry: u64) {
    let stats = server.stats();
    assert_eq!(show(sandbox)["generation"], expiry, "one refresh each: {stats}");
    assert_eq!((&stats["token_calls"][grant], &stats["successes"][grant]), (&json!(expiry), &json!(expiry)));
    assert_eq!((&stats["replays"], &stats["reuse_detected"]), (&json!(0), &json!(0)), "{stats}");
    assert_eq!(stats["in_flight_max"], 1, "{stats}");
}
