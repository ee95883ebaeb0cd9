//! What the door does when a handler fails in a way that nobody foresaw, or its caller leaves in the middle.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use keyherd_api::{Api, ApiLimits};
use keyherd_core::broker::{Broker, Options};
use keyherd_core::fakes::Host;
use keyherd_core::ports::{ProfileError, Profiles};
use keyherd_core::provider::Profile;
use serde_json::json;

use crate::world::{Answer, LOCAL, World, body_of, door, request};

/// Panics with a secret in its mouth.
struct PanickingProfiles;

impl Profiles for PanickingProfiles {
    fn find(&self, _: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        panic!("planted")
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

async fn send(api: &Api, request: http::Request<Body>) -> Answer {
    Answer::of(api.seat(LOCAL.into(), false).answer(request).await.map(Body::new)).await
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_problem_and_the_door_lives() {
    let world = World::new([]);
    world.credential("acme-1", -1).await;
    let mut ports = world.host.broker.ports().clone();
    ports.profiles = Arc::new(PanickingProfiles);
    let broker = Broker::new(ports, Options::default());
    let host = Host { broker, store: world.host.store.clone(), owner: world.host.owner };
    let api = door(&host, ApiLimits::default());
    let ask = || request("POST", "/v1/token").body(body_of(Some(json!({"name": "acme-1"})))).expect("is one");
    let app = json!({"provider": "generic", "client_id": "id"});
    let put = || request("PUT", "/v1/clients/app").body(body_of(Some(app.clone()))).expect("is one");
    for _ in 0..2 {
        send(&api, put()).await.is_problem(500, "internal");
        let token = send(&api, ask()).await;
        assert!(matches!(token.status, 409 | 500), "{token:?}");
        assert!(!token.text.contains("planted"));
    }
    assert_eq!(send(&api, request("GET", "/healthz").body(Body::empty()).expect("is one")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_change_outlives_its_caller() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    let patch = request("PATCH", "/v1/credentials/acme-1").body(body_of(Some(json!({"disabled": true}))));
    let mut left = Box::pin(world.open(patch.expect("is a request")));
    assert!((&mut left).now_or_never().is_none());
    drop(left);
    let mut events = world.host.broker.events();
    let changed = tokio::time::timeout(Duration::from_secs(1), events.recv()).await;
    let view = world.read("/v1/credentials/acme-1").await;
    assert_eq!(view["state"], "disabled", "{changed:?}");
}
