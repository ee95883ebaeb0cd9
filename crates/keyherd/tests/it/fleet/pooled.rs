//! Behind a pooler in transaction mode: everything holds, with LISTEN at the server itself and without.

use keyherd_adapters::testing::{PrivatePgBouncer, PrivatePostgres};
use serde_json::Value;

use super::notices::{NO_POLLS, heard, status, there};
use crate::place::Place;
use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, until};
use crate::server::Server;

/// A store behind a pooler, and the server's own URL for it.
struct Pooled {
    _pooler: PrivatePgBouncer,
    sandbox: Sandbox,
    direct: String,
}

impl Pooled {
    fn new() -> Self {
        let postgres = PrivatePostgres::shared().unwrap();
        let direct = postgres.database().unwrap();
        let pooler = PrivatePgBouncer::start(postgres).unwrap();
        let sandbox = Place::Sqlite.sandbox();
        sandbox.set("KEYHERD_DATABASE_URL", &pooler.url(&direct));
        Self { _pooler: pooler, sandbox, direct }
    }
}

fn ready(server: &Server) -> Value {
    let (status, body) = server.ask("GET", "/readyz", "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_herd_makes_one_call_through_a_pooler() {
    let (pooled, provider) = (Pooled::new(), Provider::new());
    let sandbox = &pooled.sandbox;
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let herd: Vec<_> = (0..24).map(|_| sandbox.spawn(&["token", "a"])).collect();
    provider.wait_for_calls(1);
    provider.lets_go();
    for child in herd {
        assert_eq!(finished(child).ok().out.trim(), access_token("a", 1));
    }
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
    sandbox.run(&["audit", "verify"]).ok();
}

#[test]
fn without_a_way_to_listen_the_store_is_polled() {
    let (pooled, provider) = (Pooled::new(), Provider::new());
    let sandbox = &pooled.sandbox;
    sandbox.import("a", &provider, &in_seconds(3_600));
    let server = Server::start(&sandbox.peer());
    until("it says that it cannot listen", || {
        let ready = ready(&server);
        let trouble = ready["coordinator_trouble"].to_string();
        ready["coordinator"] == "trouble"
            && trouble.contains("LISTEN")
            && trouble.contains("KEYHERD_LISTEN_URL")
    });
    until("it is on", || status(&server) == 200);
    sandbox.run(&["cred", "disable", "a"]).ok();
    until("it is off", || status(&server) == 403);
    let doctor = sandbox.run(&["doctor"]);
    assert!(doctor.out.contains("KEYHERD_LISTEN_URL"), "{doctor:?}");
}

#[test]
fn with_a_listen_url_notices_arrive() {
    let (pooled, provider) = (Pooled::new(), Provider::new());
    let sandbox = &pooled.sandbox;
    sandbox.set("KEYHERD_LISTEN_URL", &pooled.direct);
    sandbox.configure(NO_POLLS);
    sandbox.import("a", &provider, &in_seconds(3_600));
    let server = Server::start(&there(sandbox));
    until("the server hears", || heard(sandbox, &server));
    until("and knows that it does", || ready(&server)["coordinator"] == "ok");
    assert!(sandbox.run(&["doctor"]).ok().out.contains("notices arrive"));
}
