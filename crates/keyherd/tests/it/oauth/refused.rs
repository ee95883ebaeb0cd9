//! The server does not answer well, or refuses; and an upstream that refuses a token which has not ended.

use serde_json::{Value, json};

use super::crowd::{Crowd, show};
use crate::oidc::{Counts, OidcProvider};
use crate::running::now;
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::serving::Serving;

const TTL_SECONDS: u64 = 600;
const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const REQUESTS: usize = 40;
const PROCESSES: usize = 8;

#[test]
fn an_outage_is_waited_out() {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(TTL_SECONDS));
    sandbox.configure("[refresh]\nbackoff_first_seconds = 3\n");
    import_ended(&sandbox, &server, "basic", &[]);
    server.configure(&json!({"unavailable": 2}));
    let said = &["'acme'", "http_503", "asked again"];
    sandbox.token(&["acme"]).failed(4, said);
    let retry_at: jiff::Timestamp = show(&sandbox)["trouble"]["retry_at"].as_str().unwrap().parse().unwrap();
    let (again, asked) = (sandbox.token(&["acme"]), server.stats()["unavailable"].clone());
    if now() < retry_at {
        again.failed(4, said);
        assert_eq!(asked, 1, "after a failure it is left alone for a while");
    }
    until("it is good again", || sandbox.token(&["acme"]).code == 0);
    assert_eq!(server.stats()["unavailable"], 2, "and after the next one");
    assert_eq!(server.counts(), Counts { calls: 1, granted: 1, replays: 0, reuses: 0 });
    let token = sandbox.token(&["acme"]).ok().out;
    assert_eq!(server.userinfo_status(token.trim_end()), 200);
}

#[test]
fn a_revoked_grant_is_asked_for_once() {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(TTL_SECONDS));
    let serving = Serving::start(&sandbox);
    let mut document = server.seed("post");
    server.revoke(document["refresh_token"].as_str().unwrap());
    document["expires_at"] = LONG_AGO.into();
    server.import(&sandbox, &document, &[]).ok();
    for _ in 0..2 {
        plain(&serving).ask(&sandbox).refused(3, 409, "invalid_grant");
        assert_eq!(server.counts(), Counts { calls: 1, granted: 0, replays: 0, reuses: 0 });
    }
    import_ended(&sandbox, &server, "post", &["--replace"]);
    let token = plain(&serving).ask(&sandbox).one_token();
    assert_eq!(server.counts(), Counts { calls: 2, granted: 1, replays: 0, reuses: 0 });
    assert_eq!(server.userinfo_status(&token), 200);
}

#[test]
fn a_token_that_upstream_refuses_is_replaced_once() {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(1));
    let serving = Serving::start(&sandbox);
    let mut document = server.seed("post");
    // It ends in a second, and keyherd is told otherwise.
    document["expires_at"] = in_seconds(3_600).into();
    server.import(&sandbox, &document, &[]).ok();
    let first = document["access_token"].as_str().unwrap();
    until("upstream refuses it", || server.userinfo_status(first) == 401);
    assert_eq!(plain(&serving).ask(&sandbox).one_token(), first, "keyherd cannot know by itself");
    server.configure(&json!({"access_ttl_seconds": TTL_SECONDS}));
    let second = rejecting(&serving, first).ask(&sandbox).one_token();
    assert_ne!(second, first);
    assert_eq!(server.userinfo_status(&second), 200);
    let once = Counts { calls: 1, granted: 1, replays: 0, reuses: 0 };
    assert_eq!(server.counts(), once);

    server.revoke(&second);
    assert_eq!(server.userinfo_status(&second), 401);
    rejecting(&serving, &second).ask(&sandbox).refused(4, 429, "authentication");
    assert_eq!(server.counts(), once, "what a refusal minted and is refused again is not refreshed again");
    assert_eq!(show(&sandbox)["state"], "cooling");
}

#[track_caller]
fn import_ended(sandbox: &Sandbox, server: &OidcProvider, client: &str, flags: &[&str]) {
    let mut document = server.seed(client);
    document["expires_at"] = LONG_AGO.into();
    server.import(sandbox, &document, flags).ok();
}

fn plain(serving: &Serving) -> Crowd<'static> {
    Crowd {
        request: serving.ask(&Value::Null),
        requests: REQUESTS,
        args: &["token", "acme"],
        input: "",
        processes: PROCESSES,
    }
}

fn rejecting<'a>(serving: &Serving, token: &'a str) -> Crowd<'a> {
    Crowd {
        request: serving.ask(&json!({"rejected": token})),
        requests: REQUESTS,
        args: &["token", "acme", "--rejected-stdin"],
        input: token,
        processes: PROCESSES,
    }
}
