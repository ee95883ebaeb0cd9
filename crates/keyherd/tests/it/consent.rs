//! Requests at the gateway that a human decides: held with nothing sent, and released together.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::place::{Place, everywhere};
use crate::provider::Provider;
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::server::Server;
use crate::upstream::Upstream;

everywhere!(requests_wait_at_one_host_and_are_answered_at_another);

/// Requests that wait for one answer.
const WAITING: usize = 20;

struct Stage {
    sandbox: Sandbox,
    server: Server,
    /// Where answers are given.
    other: Option<Server>,
    _peer: Option<Sandbox>,
    upstream: Upstream,
    key: String,
    _provider: Provider,
}

impl Stage {
    fn new(config: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.configure(config);
        Self::of(sandbox)
    }

    /// Two hosts of one store.
    fn pair(place: Place) -> Self {
        let stage = Self::of(place.sandbox());
        let peer = (place != Place::Sqlite).then(|| stage.sandbox.peer());
        let other = Server::start(peer.as_ref().unwrap_or(&stage.sandbox));
        Self { other: Some(other), _peer: peer, ..stage }
    }

    fn of(sandbox: Sandbox) -> Self {
        let (provider, upstream) = (Provider::new(), Upstream::new());
        sandbox.import("acme", &provider, &in_seconds(3_600));
        let url = upstream.url();
        sandbox.run(&["binding", "add", "acme", "--host", "127.0.0.1", "--upstream", &url]).ok();
        let made = sandbox.run(&["--json", "agent", "create", "bot", "--allow", "acme"]).ok().json();
        let key = made["key"].as_str().unwrap().to_owned();
        let server = Server::start(&sandbox);
        Self { sandbox, server, other: None, _peer: None, upstream, key, _provider: provider }
    }

    fn request(&self, method: &str) -> Request {
        let url = format!("{}/gateway/acme/v1/things?a=b", self.server.url());
        Request::new(method, &url, &[("authorization", &format!("Bearer {}", self.key))], "")
    }

    /// Written by the host that decides by it: a command's rule would be known there a moment later.
    fn asks_about(&self, rule: &Value) {
        let (status, text) = self.server.ask("POST", "/v1/rules", &rule.to_string());
        assert_eq!(status, 201, "{text}");
    }

    fn answers(&self) -> &Server {
        self.other.as_ref().unwrap_or(&self.server)
    }

    fn open(&self) -> Vec<Value> {
        let (_, text) = self.answers().ask("GET", "/v1/approvals?state=open", "");
        serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().unwrap().clone()
    }

    /// Sends so many, answers when all of them wait, and gives what they got.
    fn held(&self, method: &str, count: usize, decision: &str) -> Vec<Answer> {
        let (before, request) = (self.upstream.calls("acme"), self.request(method));
        let send = || request.send().unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..count).map(|_| scope.spawn(send)).collect();
            until("all wait for one answer", || match &self.open()[..] {
                [one] => one["waiters"] == count,
                _ => false,
            });
            assert_eq!(self.upstream.calls("acme"), before, "something was sent before the answer");
            let id = self.open()[0]["id"].as_str().unwrap().to_owned();
            let body = json!({"decision": decision}).to_string();
            let (status, text) = self.answers().ask("POST", &format!("/v1/approvals/{id}/answer"), &body);
            assert_eq!(status, 200, "{text}");
            waiting.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }
}

#[test]
fn requests_wait_for_one_answer_and_go_together() {
    let stage = Stage::new("");
    stage.asks_about(&json!({"verdict": "ask", "host": "127.0.0.1", "path": "/v1/**"}));
    let answers = stage.held("GET", WAITING, "allow_once");
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(stage.upstream.calls("acme"), WAITING);
    let answers = stage.held("GET", 2, "always_deny");
    assert!(answers.iter().all(|answer| answer.status == 403 && answer.json()["code"] == "denied"));
    assert_eq!(stage.request("GET").send().unwrap().json()["code"], "denied", "and from now on");
    assert_eq!((stage.upstream.calls("acme"), stage.open().len()), (WAITING, 0));
}

#[test]
fn a_rule_decides_without_anybody() {
    let stage = Stage::new("");
    let rule = &["--json", "rule", "add", "deny", "--host", "127.0.0.1", "--method", "DELETE"];
    let rule = stage.sandbox.run(rule).ok().json();
    until("it is known", || stage.request("DELETE").send().unwrap().status == 403);
    let refused = stage.request("DELETE").send().unwrap().json();
    assert_eq!(refused["code"], "denied");
    assert!(refused["detail"].as_str().unwrap().contains(rule["id"].as_str().unwrap()), "{refused}");
    assert_eq!(stage.request("GET").send().unwrap().status, 200);
    assert_eq!(stage.upstream.calls("acme"), 1);
}

#[test]
fn nobody_answers_and_that_is_said() {
    let stage = Stage::new("[approvals]\ntimeout_seconds = 1\n");
    stage.sandbox.run(&["rule", "default", "ask"]).ok();
    until("it is known", || stage.request("GET").send().unwrap().status == 403);
    let refused = stage.request("GET").send().unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("approval_timeout")));
    let admin = format!("Bearer {}", stage.server.bearer());
    let url = format!("{}/gateway/acme/v1/things", stage.server.url());
    let admins = Request::new("GET", &url, &[("authorization", &admin)], "").send().unwrap();
    assert_eq!((admins.status, admins.json()["code"].as_str()), (403, Some("denied")), "{admins:?}");
    assert_eq!(stage.upstream.calls("acme"), 0);
}

#[test]
fn who_is_revoked_while_it_waits_is_told_so() {
    let stage = Stage::new("");
    stage.asks_about(&json!({"verdict": "ask", "host": "127.0.0.1"}));
    let request = stage.request("GET");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| request.send().unwrap())).collect();
        until("all wait", || matches!(&stage.open()[..], [one] if one["waiters"] == 3));
        let open = stage.open().remove(0);
        stage.sandbox.run(&["agent", "revoke", "bot"]).ok();
        for one in waiting {
            let answer = one.join().unwrap();
            let told = answer.json();
            assert_eq!((answer.status, told["code"].as_str()), (403, Some("denied")), "{answer:?}");
            assert!(told["detail"].as_str().unwrap().contains("agent 'bot' was revoked"), "{answer:?}");
        }
        let path = format!("/v1/approvals/{}", open["id"].as_str().unwrap());
        let ended: Value = serde_json::from_str(&stage.server.ask("GET", &path, "").1).unwrap();
        assert_eq!(
            (ended["state"].as_str(), ended["answered_by"].as_str()),
            (Some("withdrawn"), Some("cli"))
        );
        assert_eq!((&ended["expires_at"], ended.get("decision")), (&open["expires_at"], None));
    });
    assert_eq!(stage.upstream.calls("acme"), 0);
}

#[test]
fn who_waits_when_the_server_ends_is_told_so() {
    let stage = Stage::new("");
    stage.asks_about(&json!({"verdict": "ask", "host": "127.0.0.1"}));
    let request = stage.request("GET");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| request.send().unwrap())).collect();
        until("all wait", || matches!(&stage.open()[..], [one] if one["waiters"] == 3));
        stage.server.signal(Signal::TERM);
        for one in waiting {
            let answer = one.join().unwrap();
            assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("busy")), "{answer:?}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("stopping"), "{answer:?}");
        }
    });
    assert_eq!(stage.upstream.calls("acme"), 0);
    let kept = stage.sandbox.run(&["--json", "approval", "list"]).ok().out;
    assert!(kept.contains("\"state\":\"open\""), "{kept}");
}

fn requests_wait_at_one_host_and_are_answered_at_another(place: Place) {
    let stage = Stage::pair(place);
    stage.asks_about(&json!({"verdict": "ask", "host": "127.0.0.1"}));
    let answers = stage.held("POST", WAITING, "allow_once");
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(stage.upstream.calls("acme"), WAITING);
    let log = stage.sandbox.run(&["audit", "export"]).ok().out;
    let entries =
        |action: &str| log.lines().filter(|line| line.contains(&format!("\"action\":\"{action}\""))).count();
    assert_eq!((entries("approval.open"), entries("approval.answer")), (1, 1));
}
