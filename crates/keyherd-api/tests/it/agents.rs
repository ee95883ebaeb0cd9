//! Agents and bindings through the door, and what an agent's key opens there.

use http::Request;
use keyherd_core::ports::store::AuditStore;
use serde_json::{Value, json};

use crate::world::{Answer, World, body_of};

/// A world with the credentials `acme-1` and `acme-2`.
async fn stocked() -> World {
    let world = World::new([]);
    for name in ["acme-1", "acme-2"] {
        world.credential(name, 3600).await;
    }
    world
}

/// Makes an agent, and gives its key.
async fn made(world: &World, document: Value) -> String {
    let answer = world.ask("POST", "/v1/agents", Some(document)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()["key"].as_str().expect("a key").to_owned()
}

async fn with_key(world: &World, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8484")
        .header("authorization", format!("Bearer {key}"));
    world.raw(request.body(body_of(body)).expect("is a request")).await
}

async fn token(world: &World, key: &str, name: &str) -> Answer {
    with_key(world, key, "POST", "/v1/token", Some(json!({"name": name}))).await
}

#[tokio::test(start_paused = true)]
async fn an_agent_from_its_making_to_its_end() {
    let world = stocked().await;
    let document = json!({"name": "builder", "allow": ["acme-2", "acme-1"], "may": ["token"]});
    let answer = world.ask("POST", "/v1/agents", Some(document)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let view = answer.json();
    assert_eq!((view["name"].as_str(), &view["allow"]), (Some("builder"), &json!(["acme-1", "acme-2"])));
    let key = view["key"].as_str().expect("a key");
    assert!(key.starts_with("kha_") && key.len() == 68, "{key}");
    let list = world.read("/v1/agents").await;
    let shown = json!({"name": "builder", "allow": ["acme-1", "acme-2"], "may": ["token"], "created_at": view["created_at"]});
    assert_eq!(list, json!({"items": [shown]}), "and no key");
    let answer = token(&world, key, "acme-1").await;
    assert_eq!((answer.status, answer.json()["access_token"].as_str()), (200, Some("planted-access-acme-1")));
    assert_eq!(world.ask("DELETE", "/v1/agents/builder", None).await.status, 204);
    token(&world, key, "acme-1").await.is_problem(401, "unauthorized");
    world.ask("DELETE", "/v1/agents/builder", None).await.is_problem(404, "not_found");
    assert_eq!(world.read("/v1/agents").await, json!({"items": []}));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_for_who_may_have_them_and_for_what_is_allowed() {
    let world = stocked().await;
    let may = made(&world, json!({"name": "may", "allow": ["acme-1"], "may": ["token"]})).await;
    let plain = made(&world, json!({"name": "plain", "allow": ["acme-1"]})).await;
    let empty = made(&world, json!({"name": "empty", "may": ["token"]})).await;
    assert_eq!(token(&world, &may, "acme-1").await.status, 200);
    for (key, name) in [(&may, "acme-2"), (&may, "nobody"), (&plain, "acme-1"), (&empty, "acme-1")] {
        token(&world, key, name).await.is_problem(403, "denied");
    }
    let (other, nobody) = (token(&world, &may, "acme-2").await, token(&world, &may, "nobody").await);
    assert_eq!(other.text, nobody.text, "who may not is not told whether it exists");
}

#[tokio::test(start_paused = true)]
async fn all_else_is_the_administrators() {
    let world = stocked().await;
    let key = made(&world, json!({"name": "bot", "allow": ["acme-1"], "may": ["token"]})).await;
    for (method, path) in [
        ("GET", "/v1/agents"),
        ("POST", "/v1/agents"),
        ("DELETE", "/v1/agents/bot"),
        ("GET", "/v1/bindings"),
        ("POST", "/v1/bindings"),
        ("GET", "/v1/credentials"),
        ("GET", "/v1/credentials/acme-1"),
        ("PUT", "/v1/credentials/acme-1/tokens"),
        ("POST", "/v1/credentials/acme-1/refresh"),
        ("POST", "/v1/credentials/acme-1/cooldown"),
        ("GET", "/v1/clients"),
        ("GET", "/v1/audit"),
        ("GET", "/v1/events"),
        ("GET", "/v1/providers"),
        ("GET", "/metrics"),
        ("GET", "/v1/token"),
        ("POST", "/v1/token/"),
        ("POST", "//v1/token"),
        ("GET", "/nowhere"),
    ] {
        let answer = with_key(&world, &key, method, path, None).await;
        answer.is_problem(403, "denied");
    }
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(with_key(&world, &key, "GET", path, None).await.status, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_has() {
    let world = stocked().await;
    let key = made(&world, json!({"name": "bot", "allow": ["acme-1"], "may": ["token"]})).await;
    let (short, long) = (&key[..67], format!("{key}0"));
    let other = format!("kha_{}", "0".repeat(64));
    for wrong in [short, &long, &other, &key.to_uppercase(), "kha_", "bot"] {
        let answer = token(&world, wrong, "acme-1").await;
        answer.is_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"keyherd\"");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_names_the_agent() {
    let world = World::new([keyherd_core::fakes::granted("new-access", "new-refresh")]);
    world.credential("acme-1", -1).await;
    let key = made(&world, json!({"name": "bot", "allow": ["acme-1"], "may": ["token"]})).await;
    assert_eq!(token(&world, &key, "acme-1").await.json()["access_token"], "new-access");
    let entries = world.host.store.tail(10).await.expect("entries");
    let refresh = entries.iter().find(|entry| entry.action == "refresh");
    let refresh = refresh.unwrap_or_else(|| panic!("no refresh in {entries:?}"));
    assert_eq!(refresh.actor, "agent:bot");
    assert!(!format!("{entries:?}").contains(&key));
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_while_waiting_gets_nothing() {
    let world = World::new([keyherd_core::fakes::granted("planted-new", "new-refresh")]);
    world.provider.takes(std::time::Duration::from_secs(10));
    world.credential("acme-1", -1).await;
    let key = made(&world, json!({"name": "bot", "allow": ["acme-1"], "may": ["token"]})).await;
    let revoke = async {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert_eq!(world.ask("DELETE", "/v1/agents/bot", None).await.status, 204);
    };
    let (answer, ()) = tokio::join!(token(&world, &key, "acme-1"), revoke);
    answer.is_problem(401, "unauthorized");
    let admin = world.token(json!({"name": "acme-1"})).await;
    assert_eq!(admin.json()["access_token"], "planted-new", "the refresh itself was not in vain");
}

#[tokio::test(start_paused = true)]
async fn agents_that_cannot_be() {
    let world = stocked().await;
    let ask = async |document: Value| world.ask("POST", "/v1/agents", Some(document)).await;
    made(&world, json!({"name": "bot"})).await;
    ask(json!({"name": "bot"})).await.is_problem(409, "conflict");
    ask(json!({"name": "other", "allow": ["nobody"]})).await.is_problem(404, "not_found");
    for bad in [
        json!({}),
        json!({"name": "-"}),
        json!({"name": "other", "allow": ["a b"]}),
        json!({"name": "other", "allow": ["acme-1", "acme-1"]}),
        json!({"name": "other", "may": ["everything"]}),
        json!({"name": "other", "allowed": []}),
        json!({"name": "other", "key": "kha_mine"}),
    ] {
        ask(bad).await.is_problem(400, "invalid_request");
    }
    assert_eq!(world.read("/v1/agents").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_binding_from_its_making_to_its_end() {
    let world = stocked().await;
    let document = json!({
        "name": "acme-1", "host": "*.Acme.example", "port": 443, "header": "X-Api-Key", "template": "key {token}",
        "upstream": "https://api.acme.example/v1",
    });
    let answer = world.ask("POST", "/v1/bindings", Some(document)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let view = answer.json();
    let id = view["id"].as_str().expect("an id").to_owned();
    let expected = json!({
        "id": id, "name": "acme-1", "host": "*.acme.example", "port": 443, "header": "x-api-key",
        "template": "key {token}", "upstream": "https://api.acme.example/v1", "created_at": view["created_at"],
    });
    assert_eq!(view, expected);
    let plain =
        world.ask("POST", "/v1/bindings", Some(json!({"name": "acme-2", "host": "a.b"}))).await.json();
    assert_eq!(
        (plain["header"].as_str(), plain["template"].as_str()),
        (Some("authorization"), Some("Bearer {token}"))
    );
    let query = json!({"name": "acme-2", "host": "a.b", "query": "key"});
    let query = world.ask("POST", "/v1/bindings", Some(query)).await.json();
    assert_eq!((query["query"].as_str(), query["template"].as_str()), (Some("key"), Some("{token}")));
    assert_eq!(world.read("/v1/bindings").await["items"].as_array().map(Vec::len), Some(3));
    let path = format!("/v1/bindings/{id}");
    assert_eq!(world.ask("DELETE", &path, None).await.status, 204);
    world.ask("DELETE", &path, None).await.is_problem(404, "not_found");
    world.ask("DELETE", "/v1/bindings/nobody", None).await.is_problem(404, "not_found");
    assert_eq!(world.read("/v1/bindings").await["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(start_paused = true)]
async fn bindings_that_cannot_be() {
    let world = stocked().await;
    let ask = async |document: Value| world.ask("POST", "/v1/bindings", Some(document)).await;
    let first = json!({"name": "acme-1", "host": "a.b", "upstream": "https://a.b"});
    assert_eq!(ask(first.clone()).await.status, 201);
    ask(first).await.is_problem(409, "conflict");
    let second = json!({"name": "acme-1", "host": "c.d", "upstream": "https://c.d"});
    ask(second).await.is_problem(409, "conflict");
    ask(json!({"name": "nobody", "host": "a.b"})).await.is_problem(404, "not_found");
    for bad in [
        json!({"name": "acme-1"}),
        json!({"name": "acme-1", "host": "*"}),
        json!({"name": "acme-1", "host": "c.d", "port": 0}),
        json!({"name": "acme-1", "host": "c.d", "port": 70_000}),
        json!({"name": "acme-1", "host": "c.d", "header": "Host"}),
        json!({"name": "acme-1", "host": "c.d", "header": "a", "query": "b"}),
        json!({"name": "acme-1", "host": "c.d", "template": "no place"}),
        json!({"name": "acme-2", "host": "c.d", "upstream": "https://e.f"}),
        json!({"name": "acme-2", "host": "c.d", "upstream": "http://c.d"}),
        json!({"name": "acme-1", "host": "c.d", "headers": "x"}),
    ] {
        ask(bad).await.is_problem(400, "invalid_request");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_used_is_not_removed() {
    let world = stocked().await;
    made(&world, json!({"name": "bot", "allow": ["acme-1"]})).await;
    let bound =
        world.ask("POST", "/v1/bindings", Some(json!({"name": "acme-2", "host": "a.b"}))).await.json();
    let by_agent = world.ask("DELETE", "/v1/credentials/acme-1", None).await;
    by_agent.is_problem(409, "in_use");
    assert!(by_agent.text.contains("agent revoke bot"), "{}", by_agent.text);
    let by_binding = world.ask("DELETE", "/v1/credentials/acme-2", None).await;
    by_binding.is_problem(409, "in_use");
    assert!(by_binding.text.contains(bound["id"].as_str().expect("an id")), "{}", by_binding.text);
    assert_eq!(world.ask("DELETE", "/v1/agents/bot", None).await.status, 204);
    assert_eq!(world.ask("DELETE", "/v1/credentials/acme-1", None).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn known_keys_open_while_the_store_is_down() {
    let world = stocked().await;
    let key = made(&world, json!({"name": "bot", "allow": ["acme-1"], "may": ["token"]})).await;
    world.host.broker.watched().await;
    assert_eq!(token(&world, &key, "acme-1").await.status, 200);
    world.fleet.installation.set_down(true);
    assert_eq!(token(&world, &key, "acme-1").await.status, 200);
    let stranger = format!("kha_{}", "0".repeat(64));
    token(&world, &stranger, "acme-1").await.is_problem(401, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn reports_are_for_who_may_have_the_token() {
    let world = stocked().await;
    let may = made(&world, json!({"name": "may", "allow": ["acme-1"], "may": ["token"]})).await;
    let plain = made(&world, json!({"name": "plain", "allow": ["acme-1"]})).await;
    let report = |name: &str, credential: &str| json!({"name": name, "credential": credential, "generation": 0, "status": 429, "headers": {"retry-after": "60"}});
    let tell = async |key: &str, name: &str, credential: &str| {
        with_key(&world, key, "POST", "/v1/report", Some(report(name, credential))).await
    };
    tell(&plain, "acme-1", "acme-1").await.is_problem(403, "denied");
    tell(&may, "acme-2", "acme-2").await.is_problem(403, "denied");
    // What it is allowed does not lead to what it is not.
    assert_eq!(tell(&may, "acme-1", "acme-2").await.status, 200);
    assert_eq!(world.read("/v1/credentials/acme-2").await["state"], "active");
    assert_eq!(tell(&may, "acme-1", "acme-1").await.status, 200);
    assert_eq!(world.read("/v1/credentials/acme-1").await["state"], "cooling");
    let entries = world.host.store.tail(1).await.expect("entries");
    assert_eq!(entries.first().map(|entry| entry.actor.as_str()), Some("agent:may"));
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_allowed_as_one() {
    let world = stocked().await;
    let pool = json!({"name": "pool", "members": ["acme-1", "acme-2"]});
    assert_eq!(world.ask("POST", "/v1/pools", Some(pool)).await.status, 201);
    let key = made(&world, json!({"name": "bot", "allow": ["pool"], "may": ["token"]})).await;
    let answer = token(&world, &key, "pool").await;
    assert_eq!((answer.status, answer.json()["credential"].as_str()), (200, Some("acme-1")));
    token(&world, &key, "acme-1").await.is_problem(403, "denied");
    let bound = json!({"name": "pool", "host": "a.b"});
    assert_eq!(world.ask("POST", "/v1/bindings", Some(bound)).await.status, 201);
    world.ask("DELETE", "/v1/pools/pool", None).await.is_problem(409, "in_use");
    assert_eq!(world.ask("DELETE", "/v1/agents/bot", None).await.status, 204);
    world.ask("DELETE", "/v1/pools/pool", None).await.is_problem(409, "in_use");
}
