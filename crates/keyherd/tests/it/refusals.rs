//! What the forward proxy says where it has no answer of an upstream: the problems of the API, field by field; and what it
//! counts of them.

use serde_json::Value;

use crate::provider::Provider;
use crate::proxied::{Stage, asked, base64, said};
use crate::sandbox::until;
use crate::server::Server;

/// An agent that is allowed the account `a`, behind a server's proxy.
struct Behind {
    stage: Stage,
    server: Server,
    caller: String,
    phantom: String,
}

/// An answer's status, head and problem.
struct Told {
    head: String,
    problem: Value,
}

impl Behind {
    fn new() -> Self {
        let stage = Stage::new();
        let server = Server::start(&stage.sandbox);
        let made = stage.sandbox.run(&["--json", "agent", "create", "robot", "--allow", "a"]).ok().json();
        let caller = format!("robot:{}", made["key"].as_str().unwrap());
        let env = stage.sandbox.run(&["agent", "env", "robot"]).ok().out;
        let phantom = env.trim().strip_prefix("A=").unwrap().to_owned();
        Self { stage, server, caller, phantom }
    }

    fn asked(&self) -> String {
        let url = format!("http://{}/v1/things", self.stage.upstream.authority());
        asked(self.server.proxy(), &self.caller, &url, &self.phantom)
    }

    /// What is told once the server knows of a change.
    #[track_caller]
    fn told(&self, status: &str) -> Told {
        until("the server knows", || self.asked().starts_with(&format!("HTTP/1.1 {status} ")));
        Told::of(&self.asked())
    }

    /// What the proxy has counted of that outcome.
    fn counted(&self, outcome: &str) -> u64 {
        let metrics = self.server.ask("GET", "/metrics", "").1;
        let line = format!("keyherd_proxy_requests_total{{mode=\"forward\",outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
        count.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }
}

impl Told {
    fn of(told: &str) -> Self {
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: application/problem+json"), "{told}");
        Self { head: head.to_owned(), problem: serde_json::from_str(body).unwrap() }
    }

    #[track_caller]
    fn is(&self, code: &str, detail: &str) {
        let Self { problem, head } = self;
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("urn:keyherd:problem:{code}"), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        let status = head.split(' ').nth(1).unwrap();
        assert_eq!(problem["status"].to_string(), status, "{problem}");
    }
}

#[test]
fn a_refused_token_is_told_as_the_api_tells_it() {
    let behind = Behind::new();
    let sandbox = &behind.stage.sandbox;
    sandbox.run(&["cooldown", "set", "a", "--for", "10m"]).ok();
    let told = behind.told("429");
    told.is("cooling", "rests until");
    let after = told.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((500..=600).contains(&after.parse::<u64>().unwrap()), "{after}");
    assert_eq!(told.problem["reason"], "manual");
    assert_eq!(told.problem["until"], told.problem["retry_at"]);
    sandbox.run(&["cooldown", "clear", "a"]).ok();
    sandbox.run(&["cred", "disable", "a"]).ok();
    behind.told("403").is("denied", "cred enable a");
}

#[test]
fn who_is_not_recognised_or_not_understood() {
    let behind = Behind::new();
    let url = format!("http://{}/v1/things", behind.stage.upstream.authority());
    let stranger = Told::of(&asked(behind.server.proxy(), "robot:kha_0", &url, ""));
    stranger.is("unauthorized", "agent create");
    assert!(stranger.head.contains("proxy-authenticate: Basic realm=\"keyherd\""), "{}", stranger.head);
    let key = base64(behind.caller.as_bytes());
    let elsewhere = format!(
        "GET {url} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\nProxy-Authorization: Basic {key}\r\n\r\n"
    );
    Told::of(&said(behind.server.proxy(), &elsewhere)).is("misdirected", "names 'other.example'");
}

#[test]
fn every_outcome_is_counted() {
    let (behind, other) = (Behind::new(), Provider::new());
    let proxy = behind.server.proxy();
    let connect = |authority: &str, caller: &str| {
        let key = base64(caller.as_bytes());
        let head = format!(
            "CONNECT {authority} HTTP/1.1\r\nConnection: close\r\nProxy-Authorization: Basic {key}\r\n\r\n"
        );
        said(proxy, &head)
    };
    let counts = || ["answered", "denied", "failed", "tunnelled", "refused"].map(|word| behind.counted(word));
    assert_eq!(counts(), [0; 5]);
    assert!(behind.asked().starts_with("HTTP/1.1 200"));
    assert_eq!(counts(), [1, 0, 0, 0, 0]);
    // Nobody's agent, a private address in both forms.
    asked(proxy, "robot:kha_0", "http://127.0.0.1:9/", "");
    asked(proxy, &behind.caller, "http://127.0.0.1:9/", "");
    connect("127.0.0.1:9", &behind.caller);
    assert_eq!(counts(), [1, 3, 0, 0, 0]);
    // A rule.
    behind.stage.sandbox.run(&["rule", "add", "deny", "--host", "127.0.0.2"]).ok();
    until("the server knows", || asked(proxy, &behind.caller, "http://127.0.0.2:9/", "").contains("denies"));
    let denied = behind.counted("denied");
    assert!(connect("127.0.0.2:9", &behind.caller).starts_with("HTTP/1.1 403"));
    assert_eq!(behind.counted("denied"), denied + 1);
    // Names that lead nowhere (RFC 6761).
    let failed = behind.counted("failed");
    asked(proxy, &behind.caller, "http://a.invalid/", "");
    connect("a.invalid:443", &behind.caller);
    assert_eq!(behind.counted("failed"), failed + 2);
    // A tunnel, to what is read by nobody; and a token that is not to be had.
    let free = other.token_url();
    let authority = free.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    behind.stage.sandbox.run(&["rule", "add", "allow", "--host", "127.0.0.0/8"]).ok();
    let path = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let key = base64(behind.caller.as_bytes());
    let tunnel = format!("CONNECT {authority} HTTP/1.1\r\nProxy-Authorization: Basic {key}\r\n\r\n{path}");
    until("the server knows", || said(proxy, &tunnel).starts_with("HTTP/1.1 200"));
    assert_eq!(behind.counted("tunnelled"), 1);
    behind.stage.sandbox.run(&["cooldown", "set", "a", "--for", "10m"]).ok();
    until("the server knows", || behind.asked().starts_with("HTTP/1.1 429"));
    assert_eq!(behind.counted("refused"), 1);
}
