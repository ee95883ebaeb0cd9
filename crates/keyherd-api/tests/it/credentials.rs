//! Credentials and client apps over the door, from making to removing.

use keyherd_core::fakes::granted;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_credential_from_making_to_removing() {
    let world = World::new([]);
    let mut made = world.credential("acme-1", 3600).await;
    assert_eq!(made.as_object_mut().and_then(|made| made.remove("outcome")), Some(json!("created")));
    assert_eq!(made, world.read("/v1/credentials/acme-1").await);
    for (field, expected) in [
        ("name", json!("acme-1")),
        ("provider", json!("generic")),
        ("kind", json!("oauth2")),
        ("state", json!("active")),
        ("expires_at", json!("2026-01-01T01:00:00Z")),
        ("expires_assumed", json!(false)),
        ("has_refresh_token", json!(true)),
        ("scopes", json!(["read"])),
        ("client_id", json!("app")),
        ("token_url", json!("https://provider.example/token")),
        ("disabled", json!(false)),
        ("attributes", json!({"team": "a"})),
        ("created_at", json!("2026-01-01T00:00:00Z")),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    let patch = json!({"attributes": {"team": "b"}, "disabled": true});
    let patched = world.ask("PATCH", "/v1/credentials/acme-1", Some(patch)).await.json();
    assert_eq!((&patched["attributes"]["team"], &patched["state"]), (&json!("b"), &json!("disabled")));
    let gone = world.ask("DELETE", "/v1/credentials/acme-1", None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    world.ask("GET", "/v1/credentials/acme-1", None).await.is_problem(404, "not_found");
    world.ask("DELETE", "/v1/credentials/acme-1", None).await.is_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    let again = json!({"name": "acme-1", "provider": "generic", "token_url": "https://provider.example/token",
        "client_id": "app", "access_token": "planted-second", "refresh_token": "planted-second-refresh"});
    let taken = world.ask("POST", "/v1/credentials", Some(again.clone())).await;
    taken.is_problem(409, "conflict");
    let kept = world.ask("POST", "/v1/credentials?mode=if_absent", Some(again.clone())).await;
    assert_eq!((kept.status, &kept.json()["expires_at"]), (200, &json!("2026-01-01T01:00:00Z")));
    let replaced = world.ask("POST", "/v1/credentials?mode=replace", Some(again)).await;
    assert_eq!((replaced.status, &replaced.json()["expires_assumed"]), (200, &json!(true)));
    assert_eq!(world.token(json!({"name": "acme-1"})).await.json()["access_token"], "planted-second");
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_replaces_tokens_only() {
    let world = World::new([granted("planted-access-2", "planted-refresh-2")]);
    let before = world.credential("acme-1", 3600).await;
    assert_eq!(world.ask("POST", "/v1/credentials/acme-1/refresh", None).await.status, 200);
    let tokens = json!({"access_token": "planted-new", "refresh_token": "planted-new-refresh", "expires_at": "2026-01-01T05:00:00+01:00"});
    let answer = world.ask("PUT", "/v1/credentials/acme-1/tokens", Some(tokens)).await;
    let after = answer.json();
    assert_eq!(answer.status, 200, "{after}");
    assert_eq!(after["expires_at"], "2026-01-01T04:00:00Z");
    assert!(after["generation"].as_u64() > before["generation"].as_u64());
    assert_eq!(after["attributes"], before["attributes"]);
    assert_eq!(world.token(json!({"name": "acme-1"})).await.json()["access_token"], "planted-new");
    let spent = json!({"refresh_token": "planted-refresh-acme-1"});
    world.ask("PUT", "/v1/credentials/acme-1/tokens", Some(spent)).await.is_problem(409, "conflict");
    world
        .ask("PUT", "/v1/credentials/acme-1/tokens", Some(json!({})))
        .await
        .is_problem(400, "invalid_request");
    world
        .ask("PUT", "/v1/credentials/none/tokens", Some(json!({"secret": "s"})))
        .await
        .is_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages() {
    let world = World::new([]);
    for number in 0..5 {
        world.credential(&format!("acme-{number}"), 3600).await;
    }
    let (mut names, mut path) = (Vec::new(), "/v1/credentials?limit=2".to_owned());
    loop {
        let page = world.read(&path).await;
        let items = page["items"].as_array().expect("is a list");
        names.extend(items.iter().map(|item| item["name"].as_str().expect("is text").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(items.len(), 2);
        path = format!("/v1/credentials?limit=2&after={next}");
    }
    assert_eq!(names, ["acme-0", "acme-1", "acme-2", "acme-3", "acme-4"]);
    assert_eq!(world.read("/v1/credentials").await["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test(start_paused = true)]
async fn client_apps() {
    let world = World::new([]);
    let app =
        json!({"name": "app", "provider": "generic", "client_id": "id", "client_secret": "planted-secret"});
    let made = world.ask("POST", "/v1/clients", Some(app.clone())).await;
    assert_eq!((made.status, &made.json()["has_client_secret"]), (201, &json!(true)));
    world.ask("POST", "/v1/clients", Some(app)).await.is_problem(409, "conflict");
    let settings = json!({"provider": "generic", "client_id": "id-2", "client_secret": "planted-secret-2"});
    let put = world.ask("PUT", "/v1/clients/app", Some(settings.clone())).await;
    assert_eq!((put.status, &put.json()["client_id"]), (200, &json!("id-2")));
    assert_eq!(world.ask("PUT", "/v1/clients/other", Some(settings)).await.status, 201);
    let credential = json!({"name": "acme", "provider": "generic", "token_url": "https://provider.example/token",
        "client": "app", "refresh_token": "planted-refresh"});
    assert_eq!(world.ask("POST", "/v1/credentials", Some(credential)).await.json()["client"], "app");
    world.ask("DELETE", "/v1/clients/app", None).await.is_problem(409, "in_use");
    assert_eq!(world.ask("DELETE", "/v1/clients/other", None).await.status, 204);
    world.ask("DELETE", "/v1/clients/other", None).await.is_problem(404, "not_found");
    let names: Vec<Value> = world.read("/v1/clients").await["items"].as_array().expect("is a list").clone();
    assert_eq!(names.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_is_read_and_verified() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    world.ask("PATCH", "/v1/credentials/acme-1", Some(json!({"disabled": true}))).await;
    let page = world.read("/v1/audit?limit=1").await;
    let (first, next) = (&page["items"][0], page["next"].as_str().expect("there is more"));
    assert_eq!((&first["action"], &first["actor"]), (&json!("credential.create"), &json!("admin")));
    assert_eq!(first["subject"], "acme-1");
    assert_eq!(first["hash"].as_str().map(str::len), Some(64));
    let rest = world.read(&format!("/v1/audit?after={next}")).await;
    assert_eq!(rest["items"][0]["action"], "credential.disable");
    assert!(rest["next"].is_null());
    let last = world.read("/v1/audit?last=1").await;
    assert_eq!(last["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        last["items"][0],
        rest["items"].as_array().and_then(|rest| rest.last()).cloned().unwrap_or_default()
    );
    world.ask("GET", "/v1/audit?last=0", None).await.is_problem(400, "invalid_request");
    world.ask("GET", "/v1/audit?last=1&limit=1", None).await.is_problem(400, "invalid_request");
    let verified = world.read("/v1/audit/verify").await;
    assert_eq!((&verified["ok"], &verified["entries"]), (&json!(true), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn joining_a_chain_with_another_refresh_token_is_told() {
    let world = World::new([]);
    let document = |name: &str, token: &str| {
        json!({
            "name": name, "provider": "generic", "chain": "team", "refresh_token": token,
            "token_url": "https://provider.example/token",
        })
    };
    world.ask("POST", "/v1/credentials", Some(document("a", "planted-1"))).await;
    let same = world.ask("POST", "/v1/credentials", Some(document("b", "planted-1"))).await.json();
    assert_eq!((&same["outcome"], same.get("note")), (&json!("joined"), None));
    let other = world.ask("POST", "/v1/credentials", Some(document("c", "planted-2"))).await;
    assert_eq!(other.status, 201);
    assert!(other.json()["note"].as_str().is_some_and(|note| note.contains("not taken")), "{}", other.text);
    assert!(!other.text.contains("planted"), "{}", other.text);
}

#[tokio::test(start_paused = true)]
async fn the_profiles_are_listed() {
    let listed = World::new([]).read("/v1/providers").await;
    assert_eq!(listed["items"][0]["name"], "generic");
}
