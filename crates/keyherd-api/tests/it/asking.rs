//! Rules and approvals through the door.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::World;

async fn ask(world: &World, body: Value) -> Value {
    let answer = world.ask("POST", "/v1/approvals", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn tool(agent: &str) -> Value {
    json!({"agent": agent, "key": "rm", "question": {"b": 1, "a": [true]}})
}

#[tokio::test(start_paused = true)]
async fn many_ask_and_one_answer_reaches_all() {
    let world = World::new([]);
    let asked = join_all((0..100).map(|_| ask(&world, tool("bot")))).await;
    let id = asked[0]["id"].as_str().expect("an id").to_owned();
    assert!(asked.iter().all(|one| one["id"] == id.as_str()));
    let list = world.read("/v1/approvals?state=open").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let prompt = &list["items"][0];
    assert_eq!((prompt["waiters"].as_u64(), prompt["key"].as_str()), (Some(100), Some("rm")));
    assert_eq!(prompt["question"], json!({"a": [true], "b": 1}));
    let path = format!("/v1/approvals/{id}?wait_seconds=60");
    let answering = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let body = json!({"decision": "allow_for", "for_seconds": 60});
        world.ask("POST", &format!("/v1/approvals/{id}/answer"), Some(body)).await
    };
    let (waited, answered) = tokio::join!(join_all((0..50).map(|_| world.read(&path))), answering);
    assert_eq!(answered.status, 200, "{answered:?}");
    for one in waited {
        assert_eq!((one["state"].as_str(), one["decision"].as_str()), (Some("answered"), Some("allow_for")));
        assert_eq!((one["answered_by"].as_str(), one["waiters"].as_u64()), (Some("admin"), Some(100)));
    }
    let body = json!({"decision": "deny"});
    world.ask("POST", &format!("/v1/approvals/{id}/answer"), Some(body)).await.is_problem(409, "conflict");
    let covered = ask(&world, tool("bot")).await;
    assert_eq!((covered["state"].as_str(), covered["remembered"].as_bool()), (Some("answered"), Some(true)));
    assert_eq!(ask(&world, tool("other")).await["state"], "open", "another agent asks for itself");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_or_answered_is_said() {
    let world = World::new([]);
    for body in [
        json!({}),
        json!({"agent": "bot"}),
        json!({"agent": "", "question": 1}),
        json!({"agent": "bot", "question": 1, "key": "a\nb"}),
        json!({"agent": "bot", "question": "x".repeat(20_000)}),
    ] {
        world.ask("POST", "/v1/approvals", Some(body)).await.is_problem(400, "invalid_request");
    }
    let id = ask(&world, json!({"agent": "bot", "question": null})).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for body in [
        json!({"decision": "maybe"}),
        json!({"decision": "allow_for"}),
        json!({"decision": "allow_for", "for_seconds": 0}),
        json!({"decision": "deny", "for_seconds": 5}),
        json!({"decision": "always_allow"}),
        json!({"decision": "always_deny"}),
    ] {
        let path = format!("/v1/approvals/{id}/answer");
        world.ask("POST", &path, Some(body)).await.is_problem(400, "invalid_request");
    }
    world.ask("GET", "/v1/approvals/0000000000", None).await.is_problem(404, "not_found");
    world.ask("GET", "/v1/approvals/x", None).await.is_problem(404, "not_found");
    world.ask("GET", "/v1/approvals?state=ajar", None).await.is_problem(400, "invalid_request");
    world
        .ask("GET", &format!("/v1/approvals/{id}?wait_seconds=301"), None)
        .await
        .is_problem(400, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn nobody_in_time_is_a_state_of_its_own() {
    let world = World::new([]);
    let id = ask(&world, tool("bot")).await["id"].as_str().expect("an id").to_owned();
    let waited = world.read(&format!("/v1/approvals/{id}?wait_seconds=5")).await;
    assert_eq!(waited["state"], "open", "the caller's own time is over");
    let ended = world.read(&format!("/v1/approvals/{id}?wait_seconds=300")).await;
    assert_eq!(ended["state"], "timed_out");
    assert!(ended.get("decision").is_none() && ended.get("answered_by").is_none());
}

#[tokio::test(start_paused = true)]
async fn rules_are_written_tested_and_removed() {
    let world = World::new([]);
    assert_eq!(world.read("/v1/rules").await, json!({"default": "allow", "items": []}));
    let body = json!({"verdict": "deny", "host": "*.Example.com", "method": "get", "path": "/v1/**", "agent": "bot"});
    let made = world.ask("POST", "/v1/rules", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{made:?}");
    let rule = made.json();
    assert_eq!((rule["host"].as_str(), rule["method"].as_str()), (Some("*.example.com"), Some("GET")));
    assert_eq!(world.ask("POST", "/v1/rules", Some(body)).await.status, 200, "it is there already");
    let test = json!({"method": "GET", "url": "https://a.example.com/v1/x", "agent": "bot"});
    let tested = world.ask("POST", "/v1/rules/test", Some(test)).await.json();
    assert_eq!((tested["verdict"].as_str(), tested["decided_by"].as_str()), (Some("deny"), Some("rule")));
    assert_eq!(tested["rule"]["id"], rule["id"]);
    let import = json!({"default": "ask", "rules": [{"verdict": "allow", "host": "a.b"}], "replace": true});
    let done = world.ask("POST", "/v1/rules/import", Some(import)).await.json();
    assert_eq!(done, json!({"added": 1, "kept": 0, "removed": 1, "default_changed": true}));
    let path = format!("/v1/rules/{}", rule["id"].as_str().expect("an id"));
    world.ask("DELETE", &path, None).await.is_problem(404, "not_found");
    for body in [
        json!({"verdict": "no", "host": "a"}),
        json!({"verdict": "deny"}),
        json!({"verdict": "deny", "host": "a:1"}),
        json!({"verdict": "deny", "host": "a", "port": 0}),
        json!({"verdict": "deny", "host": "a", "path": "x"}),
    ] {
        world.ask("POST", "/v1/rules", Some(body)).await.is_problem(400, "invalid_request");
    }
    let bad = json!({"rules": [{"verdict": "deny", "host": "a"}, {"verdict": "deny", "host": ""}]});
    let refused = world.ask("POST", "/v1/rules/import", Some(bad)).await;
    assert!(refused.text.contains("rules[1].host"), "{refused:?}");
    let test = json!({"method": "GET", "url": "ftp://a/"});
    world.ask("POST", "/v1/rules/test", Some(test)).await.is_problem(400, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn an_agent_asks_for_itself_and_sees_its_own() {
    let world = World::new([]);
    let made = world.ask("POST", "/v1/agents", Some(json!({"name": "bot"}))).await.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    let with_key = async |method: &str, path: &str, body: Option<Value>| {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8484")
            .header("authorization", format!("Bearer {key}"));
        world.raw(request.body(crate::world::body_of(body)).expect("is a request")).await
    };
    let own = with_key("POST", "/v1/approvals", Some(tool("bot"))).await;
    assert_eq!(own.status, 201, "{own:?}");
    let own = own.json()["id"].as_str().expect("an id").to_owned();
    with_key("POST", "/v1/approvals", Some(tool("other"))).await.is_problem(403, "denied");
    let foreign = ask(&world, tool("other")).await["id"].as_str().expect("an id").to_owned();
    assert_eq!(with_key("GET", &format!("/v1/approvals/{own}"), None).await.status, 200);
    with_key("GET", &format!("/v1/approvals/{foreign}?wait_seconds=30"), None)
        .await
        .is_problem(404, "not_found");
    let list = with_key("GET", "/v1/approvals", None).await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let body = Some(json!({"decision": "allow_once"}));
    with_key("POST", &format!("/v1/approvals/{own}/answer"), body).await.is_problem(403, "denied");
    with_key("GET", "/v1/rules", None).await.is_problem(403, "denied");
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_server_ends_is_told_that_it_is_open() {
    let world = World::new([]);
    let id = ask(&world, tool("bot")).await["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/approvals/{id}?wait_seconds=300");
    let uptime = || world.host.broker.ports().clock.uptime();
    let begun = uptime();
    let ending = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.host.broker.stop_asking();
    };
    let (waited, ()) = tokio::join!(join_all((0..20).map(|_| world.read(&path))), ending);
    assert!(waited.iter().all(|one| one["state"] == "open" && one["decision"].is_null()), "{waited:?}");
    assert!(uptime() < begun + Duration::from_secs(3), "at once, and not when their time is over");
    // Who comes now is not kept either.
    assert_eq!(world.read(&path).await["state"], "open");
    assert!(uptime() < begun + Duration::from_secs(3));
}
