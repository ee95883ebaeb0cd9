//! The server rotates, and its answer is lost.

use std::time::Duration;

use serde_json::{Value, json};

use super::crowd::{Crowd, end_of, show};
use crate::oidc::{Counts, OidcProvider};
use crate::running::{now, until_past};
use crate::sandbox::Sandbox;
use crate::serving::Serving;

const TTL_SECONDS: u64 = 20;
/// The part of a token's life in which callers may want a newer one: under half.
const WINDOW: Duration = Duration::from_secs(9);

/// The rotation that nobody heard of; then the one probe, which the server takes for what it is.
const ROTATED: Counts = Counts { calls: 1, granted: 1, replays: 0, reuses: 0 };
const PROBED: Counts = Counts { calls: 2, granted: 1, replays: 1, reuses: 1 };

#[test]
fn while_the_token_lasts_it_is_served_and_then_one_probe_tells() {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(TTL_SECONDS));
    let serving = Serving::start(&sandbox);
    let document = server.seed("basic");
    server.import(&sandbox, &document, &[]).ok();
    server.configure(&json!({"drop_answers": 1}));
    sandbox.run(&["cred", "refresh", "acme"]).failed(4, &["'acme'", "unknown whether the provider rotated"]);
    assert_eq!((show(&sandbox)["state"].as_str(), server.counts()), (Some("uncertain"), ROTATED));

    let token = crowd(&serving, &["token", "acme"]).ask(&sandbox).one_token();
    assert_eq!(token, document["access_token"].as_str().unwrap());
    assert_eq!(server.userinfo_status(&token), 200, "it is still good");
    let ends_at = end_of(&show(&sandbox));
    until_past(ends_at - WINDOW);
    let again = crowd(&serving, &["token", "acme", "--min-valid", "3600"]).ask(&sandbox).one_token();
    assert_eq!((again, server.counts()), (token, ROTATED), "served, and nothing is probed before it ends");
    assert!(now() < ends_at, "this machine is too slow for a token of {TTL_SECONDS} s");

    until_past(ends_at);
    crowd(&serving, &["token", "acme"]).ask(&sandbox).refused(3, 409, "rotation_lost");
    assert_eq!(
        (show(&sandbox)["trouble"]["reason"].as_str(), server.counts()),
        (Some("rotation_lost"), PROBED)
    );
    crowd(&serving, &["token", "acme"]).ask(&sandbox).refused(3, 409, "rotation_lost");
    assert_eq!(server.counts(), PROBED, "never probed again");
    heal(&sandbox, &server, &serving);
}

/// A new login makes it good for everybody at once, and the chain goes on.
fn heal(sandbox: &Sandbox, server: &OidcProvider, serving: &Serving) {
    server.import(sandbox, &server.seed("basic"), &["--replace"]).ok();
    let token = crowd(serving, &["token", "acme"]).ask(sandbox).one_token();
    assert_eq!(server.userinfo_status(&token), 200);
    sandbox.run(&["cred", "refresh", "acme"]).ok();
    let healed = Counts { calls: PROBED.calls + 1, granted: PROBED.granted + 1, ..PROBED };
    assert_eq!(server.counts(), healed);
}

#[test]
fn with_no_token_left_the_first_is_told_so_and_the_next_one_probes() {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(TTL_SECONDS));
    let mut document = server.seed("basic");
    document["expires_at"] = "2020-01-01T00:00:00Z".into();
    server.import(&sandbox, &document, &[]).ok();
    server.configure(&json!({"drop_answers": 1}));
    sandbox.token(&["acme"]).failed(4, &["'acme'", "unknown whether the provider rotated"]);
    assert_eq!(server.counts(), ROTATED);
    sandbox.token(&["acme"]).failed(3, &["'acme'", "rotation_lost", "log in again"]);
    assert_eq!(server.counts(), PROBED);
    sandbox.token(&["acme"]).failed(3, &["rotation_lost"]);
    assert_eq!(server.counts(), PROBED);
}

fn crowd<'a>(serving: &Serving, args: &'a [&'a str]) -> Crowd<'a> {
    Crowd { request: serving.ask(&Value::Null), requests: 8, args, input: "", processes: 3 }
}
