//! What the door says of itself: OpenAPI, metrics, its page; and that none of it holds a secret.

use keyherd_core::fakes::granted;
use serde_json::{Value, json};

use crate::world::World;

/// The routes of the outside surface that exist now.
const ROUTES: [(&str, &[&str]); 39] = [
    ("/gateway/{name}/{path}", &["get", "head", "post", "put", "patch", "delete", "options"]),
    ("/v1/rules", &["get", "post"]),
    ("/v1/rules/{id}", &["delete"]),
    ("/v1/rules/default", &["put"]),
    ("/v1/rules/import", &["post"]),
    ("/v1/rules/test", &["post"]),
    ("/v1/channels", &["get", "post"]),
    ("/v1/channels/{name}", &["delete"]),
    ("/v1/channels/{name}/test", &["post"]),
    ("/v1/approvals", &["get", "post"]),
    ("/v1/approvals/{id}", &["get"]),
    ("/v1/approvals/{id}/answer", &["post"]),
    ("/", &["get"]),
    ("/healthz", &["get"]),
    ("/readyz", &["get"]),
    ("/metrics", &["get"]),
    ("/openapi.json", &["get"]),
    ("/v1/token", &["post"]),
    ("/v1/credentials", &["get", "post"]),
    ("/v1/credentials/{name}", &["get", "patch", "delete"]),
    ("/v1/credentials/{name}/tokens", &["put"]),
    ("/v1/credentials/{name}/refresh", &["post"]),
    ("/v1/credentials/{name}/cooldown", &["post", "delete"]),
    ("/v1/clients", &["get", "post"]),
    ("/v1/clients/{name}", &["put", "delete"]),
    ("/v1/agents", &["get", "post"]),
    ("/v1/agents/{name}", &["delete"]),
    ("/v1/agents/{name}/env", &["get"]),
    ("/v1/bindings", &["get", "post"]),
    ("/v1/bindings/{id}", &["delete"]),
    ("/v1/audit", &["get"]),
    ("/v1/audit/verify", &["get"]),
    ("/v1/providers", &["get", "post"]),
    ("/v1/providers/{name}", &["delete"]),
    ("/v1/events", &["get"]),
    ("/v1/report", &["post"]),
    ("/v1/pools", &["get", "post"]),
    ("/v1/pools/{name}", &["get", "patch", "delete"]),
    ("/v1/pools/{name}/rotate", &["post"]),
];

#[tokio::test(start_paused = true)]
async fn every_route_is_described() {
    let world = World::new([]);
    let api = world.read("/openapi.json").await;
    let mut ids = Vec::new();
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", api["openapi"]);
    for (path, methods) in ROUTES {
        let described = api["paths"][path].as_object().unwrap_or_else(|| panic!("{path} is not described"));
        let mut known: Vec<&str> = described.keys().map(String::as_str).collect();
        known.sort_unstable();
        let mut expected = methods.to_vec();
        expected.sort_unstable();
        assert_eq!(known, expected, "{path}");
        for operation in described.values() {
            assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{path}");
            ids.push(operation["operationId"].as_str().expect("is text"));
        }
    }
    assert_eq!(
        api["paths"].as_object().map(serde_json::Map::len),
        Some(ROUTES.len()),
        "all are in the table"
    );
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert_eq!(api["security"], json!([{"bearer": []}]));
    assert_eq!(api["paths"]["/healthz"]["get"]["security"], json!([{}]));
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_described_as_it_is() {
    let api = World::new([]).read("/openapi.json").await;
    for schema in ["ApprovalDocument", "ApprovalView", "RuleView"] {
        let question = &api["components"]["schemas"][schema]["properties"]["question"];
        assert!(question.is_object() && question.get("type").is_none(), "any JSON: {schema}: {question}");
    }
    let about = api["info"]["description"].as_str().expect("is text");
    assert!(about.contains("405 `method_not_allowed`"), "{about}");
    assert!(!api.to_string().contains("`Debug`"), "readers need no Rust");
    let parameters = &api["paths"]["/gateway/{name}/{path}"]["get"]["parameters"];
    assert_eq!((&parameters[0]["name"], &parameters[1]["name"]), (&json!("name"), &json!("path")));
}

#[tokio::test(start_paused = true)]
async fn every_reference_leads_somewhere() {
    let api = World::new([]).read("/openapi.json").await;
    let mut references = Vec::new();
    collect(&api, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("is in the document");
        assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let schemas = &api["components"]["schemas"];
    for schema in
        ["TokenAsk", "TokenView", "CredentialDocument", "CredentialView", "ProblemView", "EventView"]
    {
        assert!(schemas[schema].is_object(), "{schema} is missing: {schemas}");
    }
    assert_eq!(schemas["TokenAsk"]["additionalProperties"], false);
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_have_their_names() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.credential("acme-1", -1).await;
    world.token(json!({"name": "acme-1"})).await;
    world.token(json!({"name": "acme-1"})).await;
    let answer = world.ask("GET", "/metrics", None).await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    for name in [
        "keyherd_refresh_total{",
        "keyherd_refresh_joined_total",
        "keyherd_provider_call_seconds_bucket{",
        "keyherd_acquire_seconds_bucket{path=\"hot\",",
        "keyherd_acquire_seconds_bucket{path=\"flight\",",
        "keyherd_credentials{state=\"active\"}",
        "keyherd_credentials{state=\"reauth_required\"}",
        "keyherd_cooldowns_total",
        "keyherd_cooldowns_total",
        "keyherd_failovers_total",
        "keyherd_journal_pending",
        "keyherd_claims_unresolved",
        "keyherd_claim_lost_total",
        "keyherd_channel_messages_total",
        "keyherd_approvals_total",
        "keyherd_approval_waiters",
    ] {
        assert!(answer.text.contains(name), "{name} in {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_is_strict() {
    let answer = World::new([]).ask("GET", "/", None).await;
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.text.contains("keyherd"));
}

#[tokio::test(start_paused = true)]
async fn no_planted_secret_is_shown() {
    let world = World::new([granted("planted-new-access", "planted-new-refresh")]);
    world.credential("acme-1", -1).await;
    world.credential("acme-2", 3600).await;
    let app = json!({"provider": "generic", "client_id": "id", "client_secret": "planted-app-secret"});
    world.ask("PUT", "/v1/clients/app", Some(app)).await;
    let key = json!({"name": "key", "provider": "generic", "kind": "static", "secret": "planted-key"});
    assert_eq!(world.ask("POST", "/v1/credentials", Some(key)).await.status, 201);
    assert_eq!(world.token(json!({"name": "acme-1"})).await.json()["access_token"], "planted-new-access");
    let pool = json!({"name": "pool", "members": ["acme-2", "key"]});
    assert_eq!(world.ask("POST", "/v1/pools", Some(pool)).await.status, 201);
    let agent = json!({"name": "bot", "allow": ["acme-1", "pool"]});
    assert_eq!(world.ask("POST", "/v1/agents", Some(agent)).await.status, 201);
    let asked = json!({"agent": "bot", "question": "may I?"});
    let asked = world.ask("POST", "/v1/approvals", Some(asked)).await.json();
    let id = asked["id"].as_str().expect("an id");
    let is_read = |path: &str| path != "/v1/events" && !path.starts_with("/gateway/");
    let paths = ROUTES.iter().filter(|(path, methods)| methods.contains(&"get") && is_read(path));
    for (path, _) in paths {
        let name = match path.split('/').nth(2) {
            Some("pools") => "pool",
            Some("agents") => "bot",
            _ => "acme-1",
        };
        let path = path.replace("{name}", name).replace("{id}", id);
        let answer = world.ask("GET", &path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text.contains("planted"), "{path} shows a secret: {}", answer.text);
    }
}
