//! Profiles through the door: imported and taken away by the administrator alone.

use axum::body::Body;
use serde_json::json;

use crate::world::{World, request};

#[tokio::test(start_paused = true)]
async fn a_profile_comes_and_goes() {
    let world = World::new([]);
    let import = async |toml: &str| world.ask("POST", "/v1/providers", Some(json!({"toml": toml}))).await;
    let made = import("acme").await;
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("acme")), "{made:?}");
    assert_eq!(import("acme").await.status, 200, "in the place of the other");
    import("no profile").await.is_problem(400, "invalid_request");
    let unknown = json!({"toml": "acme", "name": "acme"});
    world.ask("POST", "/v1/providers", Some(unknown)).await.is_problem(400, "invalid_request");
    let remove = async |name: &str| world.ask("DELETE", &format!("/v1/providers/{name}"), None).await;
    assert_eq!(remove("acme").await.status, 204);
    remove("acme").await.is_problem(404, "not_found");
    remove("used").await.is_problem(409, "in_use");
    remove("no%20name").await.is_problem(400, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn profiles_are_not_for_agents() {
    let world = World::new([]);
    let made = world.ask("POST", "/v1/agents", Some(json!({"name": "bot", "allow": []}))).await.json();
    let key = format!("Bearer {}", made["key"].as_str().expect("a key"));
    for (method, path) in [("POST", "/v1/providers"), ("DELETE", "/v1/providers/acme")] {
        let mut asked =
            request(method, path).body(Body::from(json!({"toml": "acme"}).to_string())).expect("is one");
        asked.headers_mut().insert("authorization", key.parse().expect("is a value"));
        world.raw(asked).await.is_problem(403, "denied");
    }
}
