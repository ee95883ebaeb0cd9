//! Parts that fail while the fleet works.

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use serde_json::Value;

use super::notices::status;
use crate::place::Place;
use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, until};
use crate::server::Server;

fn with_redis(redis: &PrivateRedis) -> Sandbox {
    let sandbox = Place::Postgres.sandbox();
    sandbox.set("KEYHERD_REDIS_URL", &redis.url());
    sandbox
}

fn ready(server: &Server) -> Value {
    let (status, body) = server.ask("GET", "/readyz", "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// What it has committed outlives its being killed.
fn lasting() -> PrivatePostgres {
    PrivatePostgres::start(PostgresOptions { fsync: true, ..PostgresOptions::default() }).unwrap()
}

#[test]
fn without_redis_it_is_still_one_call() {
    let mut redis = PrivateRedis::start(RedisOptions::default()).unwrap();
    let (sandbox, provider) = (with_redis(&redis), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    sandbox.import("b", &provider, &in_seconds(3_600));
    provider.feels(Mood::Holds);
    let server = Server::start(&sandbox.peer());
    until("Redis is used", || ready(&server)["coordinator"] == "ok");
    redis.kill();
    until("its loss is said", || {
        let ready = ready(&server);
        ready["coordinator"] == "trouble"
            && ready["coordinator_trouble"].to_string().contains("Redis at 127.0.0.1")
    });
    let metrics = server.ask("GET", "/metrics", "").1;
    assert!(metrics.contains("keyherd_coordinator_up 0"), "{metrics}");
    let doctor = sandbox.run(&["doctor"]).ok();
    assert!(doctor.out.contains("Redis at 127.0.0.1"), "{}", doctor.out);
    let herd: Vec<_> = (0..24).map(|_| sandbox.spawn(&["token", "a"])).collect();
    provider.wait_for_calls(1);
    provider.lets_go();
    for child in herd {
        assert_eq!(finished(child).ok().out.trim(), access_token("a", 1));
    }
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
    redis.restart().unwrap();
    until("it is used again", || ready(&server)["coordinator"] == "ok");
}

/// A Redis that hangs is worse than one that is gone: nobody waits for it twice.
#[test]
fn a_redis_that_hangs_keeps_nobody() {
    let redis = PrivateRedis::start(RedisOptions::default()).unwrap();
    let (sandbox, provider) = (with_redis(&redis), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    redis.pause();
    assert_eq!(sandbox.token(&["--wait", "20", "a"]).ok().out.trim(), access_token("a", 1));
    redis.resume();
    assert_eq!(provider.calls(), 1);
}

#[test]
fn without_its_store_a_host_serves_what_is_valid_and_calls_nobody() {
    let mut postgres = lasting();
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.set("KEYHERD_DATABASE_URL", &postgres.database().unwrap());
    sandbox.configure("[background]\nenabled = false\n");
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.import("b", &provider, &in_seconds(-60));
    let server = Server::start(&sandbox);
    assert_eq!(status(&server), 200);
    postgres.kill();
    until("the loss is said", || server.ask("GET", "/readyz", "").0 == 503);
    assert_eq!(status(&server), 200);
    assert_eq!(server.ask("POST", "/v1/token", r#"{"name": "b"}"#).0, 503);
    sandbox.token(&["b"]).failed(4, &["127.0.0.1"]);
    assert_eq!(provider.calls(), 0);
    postgres.restart().unwrap();
    until("it is back", || server.ask("GET", "/readyz", "").0 == 200);
    until("b is refreshed", || server.ask("POST", "/v1/token", r#"{"name": "b"}"#).0 == 200);
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

/// The provider's answer is in the journal when the store goes, and committed when it is back.
#[test]
fn what_a_provider_answered_is_committed_when_the_store_is_back() {
    let mut postgres = lasting();
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.set("KEYHERD_DATABASE_URL", &postgres.database().unwrap());
    // While the claim lives, another process cannot know that its owner is gone.
    sandbox.configure(
        "[refresh]\nprovider_timeout_seconds = 10\nconnect_timeout_seconds = 5\n[postgres]\nclaim_life_seconds = 20\n",
    );
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let waiting = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    postgres.kill();
    provider.lets_go();
    assert_eq!(finished(waiting).out.trim(), access_token("a", 1));
    postgres.restart().unwrap();
    until("it is committed", || {
        let ran = sandbox.run_unchecked(&["token", "a"], "");
        ran.code == 0 && ran.out.trim() == access_token("a", 1)
    });
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}
