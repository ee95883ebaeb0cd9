//! Pools and reports over the door: made, used, failed over, changed, removed; and every reason to refuse.

use serde_json::{Value, json};

use crate::world::{Answer, World};

impl World {
    /// Makes API keys, and a pool of them all.
    async fn pool(&self, members: &[&str]) -> Value {
        for name in members {
            self.key(name).await;
        }
        let answer = self.ask("POST", "/v1/pools", Some(json!({"name": "pool", "members": members}))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    async fn key(&self, name: &str) {
        let document = json!({
            "name": name, "provider": "generic", "kind": "static", "secret": format!("planted-{name}"),
        });
        assert_eq!(self.ask("POST", "/v1/credentials", Some(document)).await.status, 201);
    }

    /// Whose token the pool's name gives, and the whole answer.
    async fn serves(&self) -> (String, Value) {
        let answer = self.token(json!({"name": "pool"})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json();
        (token["credential"].as_str().expect("is text").to_owned(), token)
    }

    /// Reports an answer for that member.
    async fn tells(&self, member: &str, status: u16, more: Value) -> Answer {
        let mut report = json!({"name": "pool", "credential": member, "generation": 0, "status": status});
        let fields = more.as_object().expect("is an object").clone();
        report.as_object_mut().expect("is an object").extend(fields);
        self.ask("POST", "/v1/report", Some(report)).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_from_making_to_removing() {
    let world = World::new([]);
    let made = world.pool(&["a", "b"]).await;
    assert_eq!(made, world.read("/v1/pools/pool").await);
    assert_eq!(
        (&made["name"], &made["strategy"], &made["active"], &made["epoch"]),
        (&json!("pool"), &json!("failover"), &json!("a"), &json!(0))
    );
    assert_eq!(made["members"], json!([{"name": "a", "state": "active"}, {"name": "b", "state": "active"}]));
    assert_eq!(world.read("/v1/pools").await, json!({"items": [made]}));
    let rotated = world.ask("POST", "/v1/pools/pool/rotate", None).await.json();
    assert_eq!((&rotated["active"], &rotated["rotated"]), (&json!("b"), &json!(true)));
    assert_eq!(world.serves().await.0, "b");
    let back = world.ask("POST", "/v1/pools/pool/rotate", Some(json!({"to": "a"}))).await.json();
    assert_eq!(back["active"], "a");
    world.key("c").await;
    let added = world.ask("PATCH", "/v1/pools/pool", Some(json!({"add": "c"}))).await.json();
    assert_eq!(added["members"][2]["name"], "c");
    let patch = json!({"members": ["c", "b"], "strategy": "round_robin"});
    let changed = world.ask("PATCH", "/v1/pools/pool", Some(patch)).await.json();
    assert_eq!((&changed["strategy"], &changed["members"][0]["name"]), (&json!("round_robin"), &json!("c")));
    let dropped = world.ask("PATCH", "/v1/pools/pool", Some(json!({"drop": "c"}))).await.json();
    assert_eq!((&dropped["active"], dropped["members"].as_array().map(Vec::len)), (&json!("b"), Some(1)));
    let gone = world.ask("DELETE", "/v1/pools/pool", None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    world.ask("GET", "/v1/pools/pool", None).await.is_problem(404, "not_found");
    world.token(json!({"name": "pool"})).await.is_problem(404, "not_found");
    assert_eq!(world.token(json!({"name": "b"})).await.status, 200, "members stay");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_with_the_reason() {
    let world = World::new([]);
    let before = world.pool(&["a", "b"]).await;
    world.key("c").await;
    let refused = async |method: &str, path: &str, body: Value, status, code, reason: &str| {
        let body = Some(body).filter(|body| !body.is_null());
        let answer = world.ask(method, path, body).await;
        answer.is_problem(status, code);
        let detail = answer.json()["detail"].as_str().expect("is text").to_owned();
        assert!(detail.contains(reason), "'{reason}' is missing in: {detail}");
    };
    let of = |name: &str, members: &[&str]| json!({"name": name, "members": members});
    refused("POST", "/v1/pools", of("c", &["c"]), 409, "conflict", "a credential is named 'c'").await;
    refused("POST", "/v1/pools", of("pool", &["c"]), 409, "conflict", "a pool is named 'pool'").await;
    refused("POST", "/v1/pools", of("p", &["x"]), 404, "not_found", "no credential is named 'x'").await;
    refused("POST", "/v1/pools", of("p", &["c", "c"]), 400, "invalid_request", "'c' is named twice").await;
    refused("POST", "/v1/pools", of("p", &["c", "a"]), 409, "conflict", "'a' is in pool 'pool'").await;
    refused("POST", "/v1/pools", of("p", &[]), 400, "invalid_request", "one credential or more").await;
    refused("POST", "/v1/pools", of("p q", &["c"]), 400, "invalid_request", "'name'").await;
    let strategy = json!({"name": "p", "members": ["c"], "strategy": "best"});
    refused("POST", "/v1/pools", strategy, 400, "invalid_request", "round_robin").await;
    let unknown = json!({"name": "p", "members": ["c"], "kind": "x"});
    refused("POST", "/v1/pools", unknown, 400, "invalid_request", "unknown field `kind`").await;
    let patch = "/v1/pools/pool";
    refused("PATCH", patch, json!({}), 400, "invalid_request", "nothing is to be changed").await;
    refused("PATCH", patch, json!({"add": "c", "drop": "a"}), 400, "invalid_request", "exclude").await;
    refused("PATCH", patch, json!({"add": "a"}), 400, "invalid_request", "'a' is named twice").await;
    refused("PATCH", patch, json!({"drop": "c"}), 404, "not_found", "'c' is no member").await;
    refused("PATCH", patch, json!({"members": []}), 400, "invalid_request", "one member at least").await;
    refused("PATCH", "/v1/pools/none", json!({"add": "c"}), 404, "not_found", "no pool is named").await;
    let rotate = "/v1/pools/pool/rotate";
    refused("POST", rotate, json!({"to": "c"}), 404, "not_found", "'c' is no member").await;
    refused("DELETE", "/v1/credentials/a", Value::Null, 409, "in_use", "pool drop pool a").await;
    let named = json!({"name": "pool", "provider": "generic", "kind": "static", "secret": "planted"});
    refused("POST", "/v1/credentials", named, 409, "conflict", "a pool is named 'pool'").await;
    assert_eq!(world.read("/v1/pools/pool").await, before, "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn a_limit_moves_everyone_on_until_all_rest() {
    let world = World::new([]);
    world.pool(&["a", "b"]).await;
    let (first, token) = world.serves().await;
    assert_eq!((first.as_str(), &token["cooling_until"]), ("a", &Value::Null));
    let hour = json!({"headers": {"Retry-After": "600"}, "ticket": token["ticket"]});
    let followed = world.tells("a", 429, hour).await.json();
    assert_eq!(
        followed,
        json!({"followed": "cooled", "credential": "a", "until": "2026-01-01T00:10:00Z", "reason": "rate_limit"})
    );
    assert_eq!(world.serves().await.0, "b");
    let status = world.read("/v1/pools/pool").await;
    assert_eq!((&status["active"], &status["epoch"]), (&json!("b"), &json!(1)));
    assert_eq!(
        status["members"][0],
        json!({"name": "a", "state": "cooling", "until": "2026-01-01T00:10:00Z", "why": "rate_limit"})
    );
    world.tells("b", 429, json!({"headers": {"retry-after": ["1200"]}})).await;
    let (soonest, token) = world.serves().await;
    assert_eq!((soonest.as_str(), &token["cooling_until"]), ("a", &json!("2026-01-01T00:10:00Z")));
    assert_eq!(world.read("/v1/pools/pool").await["cooling_until"], "2026-01-01T00:10:00Z");
    // A lone credential says so instead.
    world.token(json!({"name": "a"})).await.is_problem(429, "cooling");
    let path = "/v1/credentials/b/cooldown?reason=rate_limit";
    assert_eq!(world.ask("DELETE", path, None).await.status, 204);
    world.ask("DELETE", path, None).await.is_problem(404, "not_found");
    assert_eq!(world.serves().await.0, "b");
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_proves() {
    let check = async |status: u16, more: Value, expected: &str, reason: Value| {
        let world = World::new([]);
        world.pool(&["a", "b"]).await;
        let answer = world.tells("a", status, more).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let followed = answer.json();
        assert_eq!(
            (followed["followed"].as_str(), &followed["reason"]),
            (Some(expected), &reason),
            "{followed}"
        );
        assert_eq!(world.serves().await.0, if reason.is_null() { "a" } else { "b" });
    };
    let (limit, auth) = (json!("rate_limit"), json!("authentication"));
    check(429, json!({}), "cooled", limit.clone()).await;
    check(403, json!({"body": {"error": {"code": "insufficient_quota"}}}), "cooled", limit.clone()).await;
    check(403, json!({"body": "{\"code\":\"quota_exceeded\"}"}), "cooled", limit.clone()).await;
    check(403, json!({"body": {"error": "insufficient_scope"}}), "nothing", Value::Null).await;
    check(403, json!({"body": "quota_exceeded"}), "nothing", Value::Null).await;
    check(401, json!({}), "cooled", auth).await;
    for status in [200, 302, 400, 404, 500, 503] {
        check(status, json!({"headers": {"Retry-After": "60"}}), "nothing", Value::Null).await;
    }
    let stream = json!({
        "headers": {"Content-Type": "text/event-stream"},
        "body": "event: error\ndata: {\"error\":{\"type\":\"rate_limit_error\"}}\n\n",
    });
    check(200, stream, "cooled", limit).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_blamed_without_proof() {
    let world = World::new([]);
    world.pool(&["a", "b"]).await;
    let ticket = world.serves().await.1["ticket"].clone();
    world.key("c").await;
    let unproven = async |member: &str, more: Value, why: &str| {
        let followed = world.tells(member, 429, more).await.json();
        assert_eq!((&followed["followed"], followed["why"].as_str()), (&json!("unproven"), Some(why)));
    };
    unproven("c", json!({}), "it is no member of that pool").await;
    unproven("a", json!({"generation": 7}), "it has had no such generation").await;
    unproven("b", json!({"ticket": ticket}), "another credential has that name now").await;
    world.tells("nobody", 429, json!({})).await.is_problem(404, "not_found");
    // Another account gets the name: what is told of the first one does not reach it.
    world.ask("PATCH", "/v1/pools/pool", Some(json!({"drop": "a"}))).await;
    world.ask("DELETE", "/v1/credentials/a", None).await;
    world.key("a").await;
    let late = json!({"name": "a", "ticket": ticket});
    unproven("a", late, "another credential has that name now").await;
    assert_eq!(world.read("/v1/credentials/a").await["state"], "active");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_account_rests_by_itself() {
    let world = World::new([]);
    world.pool(&["a", "b"]).await;
    let followed = world.tells("a", 429, json!({"scope": "large"})).await.json();
    assert_eq!((&followed["followed"], &followed["scope"]), (&json!("cooled"), &json!("large")));
    let large = world.token(json!({"name": "pool", "scope": "large"})).await.json();
    assert_eq!((&large["credential"], world.serves().await.0.as_str()), (&json!("b"), "a"));
    let shown = world.read("/v1/credentials/a").await;
    assert_eq!((&shown["state"], &shown["cooling_scopes"][0]["scope"]), (&json!("active"), &json!("large")));
    assert_eq!(world.read("/v1/pools/pool").await["members"][0]["cooling_scopes"][0]["reason"], "rate_limit");
    let set = json!({"for_seconds": 60, "reason": "mine", "scope": "small"});
    let set = world.ask("POST", "/v1/credentials/a/cooldown", Some(set)).await.json();
    assert_eq!(set["cooling_scopes"].as_array().map(Vec::len), Some(2));
    let clear = "/v1/credentials/a/cooldown?reason=mine";
    world.ask("DELETE", clear, None).await.is_problem(404, "not_found");
    assert_eq!(world.ask("DELETE", &format!("{clear}&scope=small"), None).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_none() {
    let world = World::new([]);
    world.pool(&["a"]).await;
    for (more, field) in [
        (json!({"status": 42}), "'status'"),
        (json!({"headers": {"x": {"y": 1}}}), "'headers'"),
        (json!({"scope": ""}), "'scope'"),
        (json!({"name": "no name"}), "'name'"),
        (json!({"ticket": "x"}), "ticket"),
        (json!({"generation": -1}), "'generation'"),
        (json!({"what": 1}), "unknown field `what`"),
    ] {
        let answer = world.tells("a", 429, more).await;
        answer.is_problem(400, "invalid_request");
        assert!(answer.text.contains(field), "{}", answer.text);
    }
    assert_eq!(world.serves().await.0, "a");
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_which_nobody_serves_says_so() {
    let world = World::new([]);
    world.pool(&["a", "b"]).await;
    for name in ["a", "b"] {
        world.ask("PATCH", &format!("/v1/credentials/{name}"), Some(json!({"disabled": true}))).await;
    }
    let answer = world.token(json!({"name": "pool"})).await;
    answer.is_problem(403, "denied");
    assert!(answer.text.contains("no member of pool 'pool'"), "{}", answer.text);
    assert_eq!(world.read("/v1/pools/pool").await["members"][1]["state"], "disabled");
}
