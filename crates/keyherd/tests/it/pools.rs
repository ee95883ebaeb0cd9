//! Pools from outside: accounts at one provider, an upstream that refuses them one after the other, and every host of the
//! installation with them.

mod hosts;
mod lines;

use serde_json::{Value, json};

use crate::place::{Place, everywhere};
use crate::provider::{Provider, access_token};
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::server::Server;
use crate::upstream::{Failing, Upstream, limited};

everywhere!(
    two_accounts_one_pool_and_one_failover,
    it_never_snaps_back_and_wraps,
    all_rest_and_the_soonest_serves,
    a_refused_token_is_refreshed_before_anyone_rests,
    a_late_limit_blames_who_was_used,
);

/// Of one call, however many members there are.
const TRIES_MAX: usize = 8;

/// A limit that ends at one time, whoever is told of it and when.
pub(super) fn resets() -> Value {
    json!({
        "Anthropic-RateLimit-Requests-Reset": in_seconds(600),
        "Anthropic-RateLimit-Requests-Remaining": "0",
    })
}

/// Two hosts of one installation, each with a server; on one machine two servers on one folder.
pub(super) struct Stage {
    pub(super) provider: Provider,
    pub(super) upstream: Upstream,
    pub(super) sandbox: Sandbox,
    pub(super) hosts: [Server; 2],
    /// The second host's folder, where hosts have their own.
    _peer: Option<Sandbox>,
}

impl Stage {
    /// With those accounts, whose tokens live for an hour, in one pool.
    pub(super) fn new(place: Place, members: &[&str]) -> Self {
        let (sandbox, provider) = (place.sandbox(), Provider::new());
        for name in members {
            sandbox.import(name, &provider, &in_seconds(3_600));
        }
        sandbox.run(&["pool", "create", "pool", "--members", &members.join(",")]).ok();
        let peer = (place != Place::Sqlite).then(|| sandbox.peer());
        let hosts = [Server::start(&sandbox), Server::start(peer.as_ref().unwrap_or(&sandbox))];
        Self { provider, upstream: Upstream::new(), sandbox, hosts, _peer: peer }
    }

    pub(super) fn status(&self) -> Value {
        self.sandbox.run(&["--json", "pool", "status", "pool"]).ok().json()
    }

    /// How often that was entered into the audit log.
    pub(super) fn entered(&self, action: &str) -> usize {
        let log = self.sandbox.run(&["--json", "audit", "tail", "-n", "1000"]).ok();
        let entries = log.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|entry| entry["action"] == action).count()
    }
}

impl Server {
    /// A token for the pool's name.
    pub(super) fn pooled(&self) -> Value {
        let (status, body) = self.ask("POST", "/v1/token", &json!({"name": "pool"}).to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(super) fn serves(&self) -> String {
        self.pooled()["credential"].as_str().unwrap().to_owned()
    }

    /// Tells what upstream answered to that token, as a caller does who uses tokens itself.
    pub(super) fn tells(&self, token: &Value, status: u16, headers: &Value, body: &str) -> Value {
        let report = json!({
            "name": "pool", "credential": token["credential"], "generation": token["generation"],
            "status": status, "headers": headers, "body": body,
        });
        let (status, body) = self.ask("POST", "/v1/report", &report.to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// One call of upstream through the pool: told where it fails, and tried again. Who served it in the end.
    pub(super) fn works(&self, upstream: &Upstream) -> String {
        for _ in 0..TRIES_MAX {
            let token = self.pooled();
            let answer = upstream.call(token["access_token"].as_str().unwrap());
            if answer.status == 200 {
                return token["credential"].as_str().unwrap().to_owned();
            }
            let followed = self.tells(&token, answer.status, &answer.headers(), &answer.body);
            assert_ne!(followed["followed"], "nothing", "{answer:?}");
        }
        panic!("it does not end")
    }
}

/// ACCEPTANCE's end to end: two accounts, one token URL, one pool.
fn two_accounts_one_pool_and_one_failover(place: Place) {
    let stage = Stage::new(place, &["a", "b"]);
    let [first, second] = &stage.hosts;
    assert_eq!([first.works(&stage.upstream), second.works(&stage.upstream)], ["a", "a"]);
    stage.upstream.fails("a", limited("retry-after: 600\r\n"));
    assert_eq!(first.works(&stage.upstream), "b");
    assert_eq!(first.works(&stage.upstream), "b", "and stays");
    until("the other host goes on", || second.serves() == "b");
    assert_eq!(second.works(&stage.upstream), "b");
    assert_eq!(stage.upstream.calls("a"), 3, "one refusal in all");
    // A command is a process of its own.
    assert_eq!(stage.sandbox.token(&["pool"]).ok().out.trim(), access_token("b", 0));
    // The rotation lands with whose token was spent.
    stage.sandbox.run(&["cred", "refresh", "b"]).ok();
    until("the host knows", || first.pooled()["access_token"] == access_token("b", 1));
    let shown =
        |name: &str| stage.sandbox.run(&["--json", "cred", "show", name]).ok().json()["generation"].clone();
    assert_eq!((shown("a"), shown("b")), (json!(0), json!(1)));
    assert_eq!((stage.provider.calls(), stage.provider.reuse()), (1, 0));
    let status = stage.status();
    assert_eq!((&status["active"], &status["epoch"]), (&json!("b"), &json!(1)));
    let member = &status["members"][0];
    assert_eq!((&member["state"], &member["why"]), (&json!("cooling"), &json!("rate_limit")));
    assert!(member["until"].is_string(), "{status}");
    assert_eq!((stage.entered("failover"), stage.entered("cooldown.set")), (1, 1));
    let metrics = first.ask("GET", "/metrics", "").1;
    assert!(metrics.contains("keyherd_failovers_total{pool=\"pool\"} 1"), "{metrics}");
    assert!(metrics.contains("keyherd_cooldowns_total{reason=\"rate_limit\"} 1"), "{metrics}");
}

fn it_never_snaps_back_and_wraps(place: Place) {
    let stage = Stage::new(place, &["a", "b", "c"]);
    let [first, second] = &stage.hosts;
    let next = |resting: &str, expected: &str| {
        stage.upstream.fails(resting, limited("retry-after: 600\r\n"));
        assert_eq!(first.works(&stage.upstream), expected);
        until("the other host goes on", || second.serves() == expected);
    };
    next("a", "b");
    // It recovers, and b stays the one.
    stage.upstream.recovers("a");
    stage.sandbox.run(&["cooldown", "clear", "a", "--reason", "rate_limit"]).ok();
    assert_eq!([first.serves(), second.serves()], ["b", "b"]);
    next("b", "c");
    next("c", "a");
    // A server that starts now begins where the others are.
    assert_eq!(Server::start(&stage.sandbox).serves(), "a");
    assert_eq!((stage.entered("failover"), stage.status()["epoch"].as_u64()), (3, Some(3)));
}

fn all_rest_and_the_soonest_serves(place: Place) {
    let stage = Stage::new(place, &["a", "b"]);
    let [first, second] = &stage.hosts;
    for (name, time) in [("a", "20m"), ("b", "10m")] {
        stage.sandbox.run(&["cooldown", "set", name, "--for", time, "--reason", "mine"]).ok();
    }
    for host in [first, second] {
        until("the host knows", || host.pooled()["cooling_until"].is_string());
        assert_eq!(host.serves(), "b");
    }
    assert_eq!(stage.status()["active"], "a", "the pointer stays");
    assert_eq!((stage.entered("pool.exhausted"), stage.entered("failover")), (1, 0));
    stage.sandbox.token(&["a"]).failed(4, &["'a'", "rests until", "mine"]);
    // A person's choice comes first.
    stage.sandbox.run(&["pool", "rotate", "pool", "--to", "a"]).ok();
    until("the host knows", || second.serves() == "a");
    assert_eq!(stage.sandbox.token(&["pool"]).ok().out.trim(), access_token("a", 0));
}

fn a_refused_token_is_refreshed_before_anyone_rests(place: Place) {
    let stage = Stage::new(place, &["a", "b"]);
    let [first, second] = &stage.hosts;
    let refused = Failing { status: "401 Unauthorized", headers: "", body: "{}" };
    stage.upstream.fails("a", refused);
    // The first refusal is cured by a new token, the second one is not.
    let token = first.pooled();
    let followed = first.tells(&token, 401, &json!({}), "{}");
    assert_eq!((&followed["followed"], &followed["generation"]), (&json!("refreshed"), &json!(1)));
    // Late, and on the other host, which may not have heard of the new one yet: it cools nobody.
    let late = second.tells(&token, 401, &json!({}), "{}");
    assert!(late["followed"] == "stale" || late["followed"] == "refreshed", "{late}");
    assert_eq!((&late["generation"], stage.entered("cooldown.set")), (&json!(1), 0));
    assert_eq!(first.works(&stage.upstream), "b");
    let member = &stage.status()["members"][0];
    assert_eq!((&member["state"], &member["why"]), (&json!("cooling"), &json!("authentication")));
    until("the other host goes on", || second.serves() == "b");
    assert_eq!((stage.provider.calls(), stage.entered("failover")), (1, 1));
}

fn a_late_limit_blames_who_was_used(place: Place) {
    let stage = Stage::new(place, &["a", "b", "c"]);
    let [first, second] = &stage.hosts;
    let (headers, body) = (resets(), "{}");
    let of_a = second.pooled();
    first.tells(&first.pooled(), 429, &headers, body);
    let of_b = first.pooled();
    assert_eq!([&of_a["credential"], &of_b["credential"]], [&json!("a"), &json!("b")]);
    // Told on another host, after the switch.
    second.tells(&of_a, 429, &headers, body);
    assert_eq!([first.serves(), second.serves()], ["b", "b"]);
    // Nobody knows of this generation, and this one is in no pool: nobody is blamed.
    let mut odd = of_b;
    odd["generation"] = json!(9);
    assert_eq!(first.tells(&odd, 429, &headers, body)["followed"], "unproven");
    let without_c = json!({"members": ["a", "b"]}).to_string();
    let (status, told) = second.ask("PATCH", "/v1/pools/pool", &without_c);
    assert_eq!(status, 200, "{told}");
    odd["credential"] = json!("c");
    odd["generation"] = json!(0);
    assert_eq!(second.tells(&odd, 429, &headers, body)["followed"], "unproven");
    assert_eq!((first.serves().as_str(), stage.entered("cooldown.set")), ("b", 1));
}
