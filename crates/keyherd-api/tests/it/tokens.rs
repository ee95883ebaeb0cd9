//! `POST /v1/token` and `…/refresh`: what callers get, and what they cannot spoil.

use std::time::Duration;

use keyherd_core::fakes::{granted, json_reply};
use keyherd_core::ports::Delivery;
use serde_json::json;

use crate::world::{World, body_of, request};

#[tokio::test(start_paused = true)]
async fn a_valid_token_comes_from_memory() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    for _ in 0..3 {
        let answer = world.token(json!({"name": "acme-1"})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!(body["access_token"], "planted-access-acme-1");
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["credential"], "acme-1");
        assert_eq!(body["expires_at"], "2026-01-01T01:00:00Z");
        assert!(body["generation"].is_u64());
    }
    assert_eq!(world.provider.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_refreshed_once_for_all() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.credential("acme-1", -1).await;
    let asks = (0..100).map(|_| world.token(json!({"name": "acme-1"})));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!((answer.status, answer.json()["access_token"].as_str()), (200, Some("new-access")));
    }
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_cancels_nothing() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.credential("acme-1", -1).await;
    let left = tokio::time::timeout(Duration::from_millis(100), world.token(json!({"name": "acme-1"}))).await;
    assert!(left.is_err(), "the provider takes a second");
    let answer = world.token(json!({"name": "acme-1"})).await;
    assert_eq!(answer.json()["access_token"], "new-access");
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_callers_time_ends_and_the_refresh_goes_on() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.provider.takes(Duration::from_secs(10));
    world.credential("acme-1", -1).await;
    world.token(json!({"name": "acme-1", "wait_seconds": 1})).await.is_problem(504, "timeout");
    world.token(json!({"name": "acme-1", "wait_seconds": 0})).await.is_problem(504, "timeout");
    let answer = world.token(json!({"name": "acme-1"})).await;
    assert_eq!(answer.json()["access_token"], "new-access");
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_given_back() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.credential("acme-1", 3600).await;
    let ask = json!({"name": "acme-1", "rejected": "planted-access-acme-1"});
    assert_eq!(world.token(ask.clone()).await.json()["access_token"], "new-access");
    assert_eq!(world.token(ask).await.json()["access_token"], "new-access");
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_typed() {
    let invalid_grant = json_reply(400, &json!({"error": "invalid_grant"}));
    let invalid_client = json_reply(401, &json!({"error": "invalid_client"}));
    let lost = Delivery::Unanswered { code: "timeout".into(), detail: String::new() };
    for (answer, status, code, retries) in [
        (invalid_grant, 409, "reauth_required", false),
        (invalid_client, 502, "provider_blocked", false),
        (json_reply(503, &json!({})), 502, "provider_unavailable", true),
        (lost, 503, "uncertain", true),
    ] {
        let world = World::new([answer]);
        world.credential("acme-1", -1).await;
        let refused = world.token(json!({"name": "acme-1"})).await;
        refused.is_problem(status, code);
        assert_eq!(!refused.header("retry-after").is_empty(), retries, "{code}");
        let view = world.read("/v1/credentials/acme-1").await;
        assert!(view["trouble"]["what_to_do"].as_str().is_some_and(|text| !text.is_empty()), "{view}");
    }
}

#[tokio::test(start_paused = true)]
async fn switches_stand_before_tokens() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    world.ask("PATCH", "/v1/credentials/acme-1", Some(json!({"disabled": true}))).await;
    let denied = world.token(json!({"name": "acme-1"})).await;
    denied.is_problem(403, "denied");
    assert!(denied.text.contains("enable"), "{}", denied.text);
    world.ask("PATCH", "/v1/credentials/acme-1", Some(json!({"disabled": false}))).await;
    let cooldown = json!({"for_seconds": 600, "reason": "manual"});
    let set = world.ask("POST", "/v1/credentials/acme-1/cooldown", Some(cooldown)).await;
    assert_eq!((set.status, set.json()["cooling"]["reason"].as_str()), (200, Some("manual")));
    let cooling = world.token(json!({"name": "acme-1"})).await;
    cooling.is_problem(429, "cooling");
    assert_eq!((cooling.header("retry-after"), cooling.json()["reason"].as_str()), ("600", Some("manual")));
    world
        .ask("DELETE", "/v1/credentials/acme-1/cooldown?reason=other", None)
        .await
        .is_problem(404, "not_found");
    let cleared = world.ask("DELETE", "/v1/credentials/acme-1/cooldown?reason=manual", None).await;
    assert_eq!((cleared.status, cleared.text.as_str()), (204, ""));
    assert_eq!(world.token(json!({"name": "acme-1"})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_shows_the_credential() {
    let world = World::new([granted("new-access", "new-refresh")]);
    let before = world.credential("acme-1", 3600).await;
    for body in [None, Some(json!({"wait_seconds": 10}))] {
        let answer = world.ask("POST", "/v1/credentials/acme-1/refresh", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let view = answer.json();
        assert_eq!(view["generation"].as_u64(), before["generation"].as_u64().map(|g| g + 1));
        assert!(!answer.text.contains("new-access"));
    }
    assert_eq!(world.provider.calls(), 1, "coalesced");
    world.ask("POST", "/v1/credentials/none/refresh", None).await.is_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn the_store_gone_is_said_and_valid_tokens_are_served() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    assert_eq!(world.token(json!({"name": "acme-1"})).await.status, 200);
    world.fleet.installation.set_down(true);
    assert_eq!(world.token(json!({"name": "acme-1"})).await.status, 200);
    world.token(json!({"name": "unknown"})).await.is_problem(503, "store_unavailable");
    world.ask("GET", "/v1/credentials", None).await.is_problem(503, "store_unavailable");
}

#[tokio::test(start_paused = true)]
async fn the_router_knows_the_token_route_too() {
    // The fast way round the router and the described route are one function.
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    let head = request("POST", "http://localhost:8484/v1/token");
    let body = body_of(Some(json!({"name": "acme-1"})));
    assert_eq!(world.raw(head.body(body).expect("is a request")).await.status, 200);
}
