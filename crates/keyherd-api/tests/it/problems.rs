//! What is refused at the door, and how.

use axum::body::Body;
use http::Request;
use keyherd_api::ApiLimits;
use keyherd_core::broker::{Broker, Options, Ports};
use keyherd_core::fakes::Host;
use keyherd_core::ports::Coordinator;
use serde_json::json;

use crate::world::{ADMIN, World, door, request};

#[tokio::test(start_paused = true)]
async fn without_the_right_bearer_nothing_opens() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    for path in ["/v1/token", "/v1/credentials", "/v1/events", "/metrics", "/v1/nowhere", "/nowhere"] {
        for bearer in ["", "Bearer wrong", "Basic abc"] {
            let plain = Request::builder().method("POST").uri(path).header("host", "127.0.0.1:8484");
            let answer = world
                .raw(plain.header("authorization", bearer).body(Body::from("{}")).expect("is a request"))
                .await;
            answer.is_problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    for path in ["/", "/healthz", "/readyz", "/openapi.json"] {
        let plain = Request::builder().uri(path).header("host", "localhost:8484").body(Body::empty());
        assert_eq!(world.raw(plain.expect("is a request")).await.status, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_peoples_names_are_not_answered() {
    let world = World::new([]);
    for (host, status, code) in [
        (Some("evil.example:8484"), 421, "misdirected"),
        (Some("localhost"), 421, "misdirected"),
        (None, 400, "invalid_request"),
    ] {
        for (method, path) in [("POST", "/v1/token"), ("GET", "/"), ("GET", "/healthz")] {
            let mut head = Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", format!("Bearer {ADMIN}"));
            if let Some(host) = host {
                head = head.header("host", host);
            }
            world.raw(head.body(Body::empty()).expect("is a request")).await.is_problem(status, code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_routes_and_wrong_methods() {
    let world = World::new([]);
    for path in ["/nowhere", "/v1", "/v1/", "/v1/credentials/a/b", "/v1/token/"] {
        world.ask("GET", path, None).await.is_problem(404, "not_found");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/token", &["POST"][..]),
        ("DELETE", "/v1/credentials", &["GET", "POST"]),
        ("POST", "/v1/credentials/a", &["GET", "PATCH", "DELETE"]),
        ("POST", "/metrics", &["GET"]),
        ("PUT", "/v1/audit/verify", &["GET"]),
    ] {
        let answer = world.ask(method, path, None).await;
        answer.is_problem(405, "method_not_allowed");
        let allow = answer.header("allow").to_owned();
        assert!(allowed.iter().all(|method| allow.contains(method)), "{allow}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_cannot_be_read() {
    let world = World::new([]);
    let send = async |method: &str, path: &str, body: &str| {
        let request = request(method, path).body(Body::from(body.to_owned())).expect("is a request");
        let answer = world.raw(request).await;
        answer.is_problem(400, "invalid_request");
        answer.json()["detail"].as_str().unwrap_or_default().to_owned()
    };
    let detail = send("POST", "/v1/token", "{\"name\": \"a\",\n \"nam\": 1}").await;
    assert!(detail.contains("`nam`") && detail.contains("line 2"), "{detail}");
    let detail = send("POST", "/v1/token", "{\"name\": \"a\", \"wait_seconds\": 301}").await;
    assert!(detail.contains("'wait_seconds'"), "{detail}");
    let detail = send("POST", "/v1/token", "{\"name\": \"a\", \"rejected\": [\"planted\"]}").await;
    assert!(detail.contains("'rejected'"), "{detail}");
    send("POST", "/v1/token", "").await;
    send("POST", "/v1/token", "name=a").await;
    send("POST", "/v1/token", "{\"name\": \"-\"}").await;
    send("POST", "/v1/credentials", "{\"name\": \"a\"}").await;
    send(
        "POST",
        "/v1/credentials",
        "{\"name\": \"a\", \"provider\": \"nobody\", \"refresh_token\": \"planted\"}",
    )
    .await;
    send("POST", "/v1/credentials?mode=planted", "{\"name\": \"a\"}").await;
    send("POST", "/v1/credentials?moda=replace", "{\"name\": \"a\"}").await;
    send("PATCH", "/v1/credentials/a", "{}").await;
    send("PATCH", "/v1/credentials/%ff", "{\"disabled\": true}").await;
    send("PUT", "/v1/clients/a", "{\"provider\": \"generic\"}").await;
    send("POST", "/v1/credentials/a/cooldown", "{\"reason\": \"manual\"}").await;
    send("GET", "/v1/credentials?limit=0", "").await;
    send("GET", "/v1/credentials?limit=1001", "").await;
    send("GET", "/v1/credentials?limit=planted", "").await;
    send("GET", "/v1/credentials?after=-", "").await;
    send("GET", "/v1/audit?after=planted", "").await;
    send("DELETE", "/v1/credentials/a/cooldown", "").await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_too_large() {
    let limits = ApiLimits { body_len_max: 1000, ..ApiLimits::default() };
    let world = World::with_limits([], limits);
    for path in ["/v1/token", "/v1/credentials", "/v1/clients"] {
        let large = json!({"name": "x".repeat(2000)});
        world.ask("POST", path, Some(large)).await.is_problem(413, "too_large");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_store() {
    let world = World::new([]);
    let ready = world.ask("GET", "/readyz", None).await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["store"], "ok");
    assert_eq!(ready.json()["coordinator"], "ok");
    assert_eq!(ready.json()["journal"], "ok");
    world.fleet.installation.set_down(true);
    assert_eq!(world.ask("GET", "/readyz", None).await.status, 200, "a moment old");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    let trouble = world.ask("GET", "/readyz", None).await;
    trouble.is_problem(503, "store_unavailable");
    assert_eq!(trouble.json()["store"], "unavailable");
    assert_eq!(trouble.json()["journal"], "ok");
    assert_eq!(world.ask("GET", "/healthz", None).await.status, 200);
}

/// A coordinator that says what is wrong with it.
struct Troubled;

#[async_trait::async_trait]
impl Coordinator for Troubled {
    fn announce(&self) {}

    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    async fn trouble(&self) -> Vec<String> {
        vec!["redis does not answer".into()]
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_with_the_coordinator_is_told_and_does_not_stop_anything() {
    let world = World::new([]);
    let ports = Ports { coordinator: std::sync::Arc::new(Troubled), ..world.host.broker.ports().clone() };
    let host = Host { broker: Broker::new(ports, Options::default()), ..world.fleet.host() };
    let world = World { api: door(&host, ApiLimits::default()), host, ..world };
    let ready = world.ask("GET", "/readyz", None).await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["coordinator"], "trouble");
    assert_eq!(ready.json()["coordinator_trouble"], json!(["redis does not answer"]));
    let metrics = world.ask("GET", "/metrics", None).await.text;
    assert!(metrics.contains("\nkeyherd_coordinator_up "), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_nothing_is_done_with_is_refused() {
    let world = World::new([]);
    for path in ["/v1/agents", "/v1/bindings", "/v1/channels", "/v1/clients", "/v1/rules", "/v1/providers"] {
        assert_eq!(world.ask("GET", path, None).await.status, 200, "{path}");
        let answer = world.ask("GET", &format!("{path}?limit=1"), None).await;
        answer.is_problem(400, "invalid_request");
        assert!(answer.text.contains("limit"), "{path}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_query_is_refused_by_name() {
    let world = World::new([]);
    let whole = "must be a whole number, 0 or more";
    for (path, said) in [
        ("/v1/audit?limit=-1", &format!("'limit' {whole}")[..]),
        ("/v1/audit?limit=", &format!("'limit' {whole}")),
        ("/v1/audit?limit=ten", &format!("'limit' {whole}")),
        ("/v1/audit?limit=1e3", &format!("'limit' {whole}")),
        ("/v1/audit?limit=0", "'limit' is 0, and must be 1 to 1000"),
        ("/v1/audit?limit=1001", "'limit' is 1001, and must be 1 to 1000"),
        ("/v1/audit?limit=99999999999999999999", "'limit' is beyond all bounds"),
        ("/v1/audit?after=abc", &format!("'after' {whole}")),
        ("/v1/audit?after=-5", "'after' is -5, and no entry's number"),
        ("/v1/audit?last=0", "'last' is 0, and must be 1 to 10000"),
        ("/v1/audit?last=-3", &format!("'last' {whole}")),
        ("/v1/audit?last=3&limit=3", "'last' stands alone"),
        ("/v1/audit?action=refresh", "unknown field `action`, expected one of `after`, `limit`, `last`"),
        ("/v1/audit?limit=1&limit=2", "duplicate field `limit`"),
        ("/v1/approvals?state=closed", "'state' is open, answered, timed_out or withdrawn"),
        ("/v1/approvals?state=", "'state' is open, answered, timed_out or withdrawn"),
        ("/v1/approvals?limit=-1", &format!("'limit' {whole}")),
        ("/v1/approvals?limit=0", "'limit' is 0, and must be 1 to 1000"),
        ("/v1/approvals?after=nonsense", "'after' is not the 'next' of a list"),
        ("/v1/approvals?after=00000000ff", "'after' is not the 'next' of a list"),
        ("/v1/approvals?agent=bot", "unknown field `agent`"),
        ("/v1/approvals/00000000ff?wait_seconds=-1", &format!("'wait_seconds' {whole}")),
        ("/v1/approvals/00000000ff?wait=1", "unknown field `wait`"),
        ("/v1/events?after=now", &format!("'after' {whole}")),
        ("/v1/credentials?after=no%20name", "'after' is not the 'next' of a list"),
        ("/v1/pools?after=no%20name", "'after' is not the 'next' of a list"),
    ] {
        let answer = world.ask("GET", path, None).await;
        answer.is_problem(400, "invalid_request");
        let body = answer.json();
        let detail = body["detail"].as_str().expect("is text");
        assert!(detail.starts_with("in the query: ") && detail.contains(said), "{path}: {detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_empty_is_told_what_it_needs() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    for (path, body, said) in [
        ("/v1/credentials/acme-1/cooldown", json!({"reason": "manual", "for_seconds": 0}), "1 or more"),
        ("/v1/credentials/acme-1/cooldown", json!({"reason": "", "for_seconds": 9}), "a word of your own"),
        ("/v1/pools", json!({"name": "p", "members": []}), "needs one credential"),
    ] {
        let answer = world.ask("POST", path, Some(body)).await;
        answer.is_problem(400, "invalid_request");
        assert!(answer.text.contains(said), "{path}: {}", answer.text);
    }
}
