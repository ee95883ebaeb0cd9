//! Rules and humans in the forward proxy, and the one line that each request leaves in the audit log.

use std::time::Duration;

use keyherd_core::approval::{Decision, Stage as Phase};
use keyherd_core::audit::Entry;
use keyherd_core::policy::{HostPattern, MethodWord, PathPattern, Scope, Verdict};
use keyherd_core::ports::store::AuditStore;

use crate::stage::{actor, parsed};
use crate::swapping::{Proxy, echo, untrusting};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}

/// `HOST`, `METHOD HOST` or `METHOD HOST PATH`.
fn scope(text: &str) -> Scope {
    let words: Vec<&str> = text.split(' ').collect();
    let (method, host, path) = match words[..] {
        [host] => (None, host, None),
        [method, host] => (Some(method), host, None),
        [method, host, path] => (Some(method), host, Some(path)),
        _ => panic!("{text}"),
    };
    Scope {
        agent: Some(parsed("robot")),
        host: HostPattern::parse(host).expect("is a host"),
        port: None,
        method: method.map(|word| MethodWord::parse(word).expect("is a method")),
        path: path.map(|path| PathPattern::parse(path).expect("is a path")),
    }
}

impl Proxy {
    async fn rule(&self, verdict: Verdict, text: &str) {
        self.stage.host.broker.add_rule(verdict, scope(text), &actor()).await.expect("is written");
    }

    async fn default(&self, verdict: Verdict) {
        self.stage.host.broker.set_default_verdict(verdict, &actor()).await.expect("is set");
    }

    /// The lines of requests and tunnels, once there are so many.
    async fn lines(&self, count: usize) -> Vec<Entry> {
        soon(async {
            loop {
                let entries = self.stage.host.store.entries(0, 1_000).await.expect("are there");
                let lines: Vec<_> =
                    entries.into_iter().filter(|entry| entry.action.starts_with("proxy.")).collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

fn status(told: &str) -> &str {
    told.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn a_rule_about_a_method_and_a_path() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Deny, "POST 127.0.0.1").await;
    proxy.rule(Verdict::Deny, "GET 127.0.0.1 /admin/**").await;
    let lone = proxy.phantom("lone").await;
    let table = [
        ("GET /", "200"),
        ("POST /", "403"),
        ("Post /", "403"),
        ("GET /admin/users", "403"),
        ("GET /x/../admin/users", "403"),
        ("GET /%61dmin/users", "403"),
    ];
    for (line, wanted) in table {
        let told = proxy.told(&upstream, line, &format!("Authorization: Bearer {lone}\r\n"), "").await;
        assert_eq!(status(&told), wanted, "{line}: {told}");
    }
    assert_eq!(upstream.seen().len(), 1, "what is denied goes nowhere");
}

#[tokio::test]
async fn each_request_leaves_one_line() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Deny, "DELETE 127.0.0.1").await;
    let lone = proxy.phantom("lone").await;
    let headers = format!("Authorization: Bearer {lone}\r\n");
    proxy.told(&upstream, &format!("GET /bot{lone}/send?secret=1"), &headers, "").await;
    proxy.told(&upstream, "DELETE /", &headers, "").await;
    let lines = proxy.lines(2).await;
    assert_eq!(lines.len(), 2);
    let entry = &lines[0];
    assert_eq!((entry.action.as_str(), entry.actor.as_str()), ("proxy.request", "agent:robot"));
    assert_eq!(entry.subject, upstream.at.to_string());
    let detail: serde_json::Value = serde_json::from_str(&entry.detail).expect("is JSON");
    let wanted = serde_json::json!({
        "method": "GET", "path": "/bot{lone}/send", "verdict": "allow", "by": "default",
        "credentials": ["lone"], "credential": "lone", "status": 200, "outcome": "answered",
    });
    assert_eq!(detail, wanted);
    assert!(lines[1].detail.contains(r#""outcome":"denied""#), "{:?}", lines[1]);
    assert!(lines.iter().all(|line| !line.detail.contains(&lone) && !line.detail.contains("secret")));
}

#[tokio::test]
async fn what_the_door_itself_refuses_leaves_a_line_too() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let lone = proxy.phantom("lone").await;
    let text = format!(
        "GET http://{}/{lone}/x?y=z HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{}\r\n",
        upstream.at,
        proxy.auth()
    );
    assert_eq!(status(&proxy.said(&text).await), "421");
    let line = proxy.lines(1).await.remove(0);
    let detail: serde_json::Value = serde_json::from_str(&line.detail).expect("is JSON");
    let problem = format!("the request names 'evil.example', and '{}' was dialled", upstream.at);
    let wanted = serde_json::json!({
        "method": "GET", "path": "/{lone}/x", "outcome": "misdirected", "problem": problem,
    });
    assert_eq!((line.action.as_str(), detail), ("proxy.request", wanted));
    assert_eq!(line.subject, upstream.at.to_string());
    // Not even a host, and still a phantom in it.
    let text = format!("GET /{lone}/x?y=z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", proxy.auth());
    proxy.said(&text).await;
    let line = proxy.lines(2).await.remove(1);
    let detail: serde_json::Value = serde_json::from_str(&line.detail).expect("is JSON");
    assert_eq!((line.subject.as_str(), &detail["outcome"]), ("", &"refused".into()));
    assert_eq!((&detail["method"], &detail["path"]), (&"GET".into(), &"/{lone}/x".into()));
    assert!(detail["problem"].as_str().is_some_and(|text| text.contains("this is a proxy")), "{detail}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_revoked_agents_tunnels_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (upstream, other) = (echo().await, echo().await);
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Allow, "127.0.0.1").await;
    let mut tunnel = proxy.tunnel(&other.at.to_string()).await;
    tunnel.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("is open");
    let mut begun = [0; 12];
    soon(tunnel.read_exact(&mut begun)).await.expect("is answered");
    assert_eq!(&begun, b"HTTP/1.1 200");
    proxy.stage.host.broker.revoke_agent(&parsed("robot"), &actor()).await.expect("is revoked");
    let mut rest = Vec::new();
    // It ends, in whatever way.
    let _ = soon(tunnel.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_revoked_agent_is_told_so_while_it_waits_for_a_human() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Ask, "127.0.0.1").await;
    let broker = proxy.stage.host.broker.clone();
    let revoking = async {
        let is_asked =
            async || !broker.approvals(Some(Phase::Open), None, 1).await.expect("read").items.is_empty();
        soon(async {
            while !is_asked().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        broker.revoke_agent(&parsed("robot"), &actor()).await.expect("is revoked");
    };
    let (told, ()) = tokio::join!(soon(proxy.told(&upstream, "GET /", "", "")), revoking);
    assert_eq!(status(&told), "403");
    assert!(told.contains("agent 'robot' was revoked"), "{told}");
    let line = proxy.lines(1).await.remove(0);
    assert!(line.detail.contains(r#""outcome":"denied""#), "{line:?}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn all_who_ask_the_same_wait_for_one_answer() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Ask, "127.0.0.1").await;
    let broker = proxy.stage.host.broker.clone();
    let answering = async {
        let open = soon(async {
            loop {
                let page = broker.approvals(Some(Phase::Open), None, 10).await.expect("are there");
                match page.items.first() {
                    Some(open) if open.waiters >= 2 => break open.id,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await;
        broker.answer(open, Decision::AllowOnce, None, &actor()).await.expect("is the first");
    };
    let ask = || proxy.told(&upstream, "GET /", "", "");
    let (one, two, ()) = tokio::join!(ask(), ask(), answering);
    assert_eq!((status(&one), status(&two)), ("200", "200"));
    let lines = proxy.lines(2).await;
    assert!(lines.iter().all(|line| line.detail.contains(r#""answered_by":"agent:test""#)), "{lines:?}");
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_that_is_dialled() {
    let upstream = echo().await;
    let port = upstream.at.port();
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    let named = format!("localhost:{port}");
    let connect = format!("CONNECT {named} HTTP/1.1\r\nConnection: close\r\n{}\r\n", proxy.auth());
    let unnamed = proxy.said(&connect).await;
    assert!(unnamed.contains("a binding or a rule must name it"), "{unnamed}");
    assert!(proxy.told_of(&named, "GET /", "", "").await.contains("a binding or a rule must name it"));
    proxy.rule(Verdict::Allow, "127.0.0.0/8").await;
    assert_eq!(status(&proxy.told_of(&named, "GET /", "", "").await), "200", "a rule names the network");
    let inside = format!("GET / HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n");
    let tunnelled = proxy.said(&format!("{connect}{inside}")).await;
    assert!(
        tunnelled.starts_with("HTTP/1.1 200") && tunnelled.contains("content-type: text/plain"),
        "{tunnelled}"
    );
    proxy.rule(Verdict::Deny, "127.0.0.1/32").await;
    assert_eq!(
        status(&proxy.told_of(&named, "GET /", "", "").await),
        "403",
        "a denied address has no other name"
    );
    assert_eq!(status(&proxy.said(&connect).await), "403");
}

#[tokio::test]
async fn a_rule_that_names_the_host_opens_a_private_one() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    let named = format!("localhost:{}", upstream.at.port());
    proxy.rule(Verdict::Allow, "localhost").await;
    assert_eq!(status(&proxy.told_of(&named, "GET /", "", "").await), "200");
    proxy.default(Verdict::Deny).await;
    assert_eq!(status(&proxy.told_of(&named, "GET /", "", "").await), "200");
    let other = proxy.told_of("other.example", "GET /", "", "").await;
    assert!(other.contains("no rule allows other.example:80,"), "{other}");
}

#[tokio::test]
async fn a_rule_about_requests_has_them_read() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Allow, "localhost").await;
    proxy.rule(Verdict::Deny, "GET localhost /private").await;
    let named = format!("localhost:{}", upstream.at.port());
    let connect = format!("CONNECT {named} HTTP/1.1\r\n{}\r\n", proxy.auth());
    for (path, wanted) in [("/open", "200 OK\r\ncontent-type: text/plain"), ("/private", "403 Forbidden")] {
        let inside = format!("GET {path} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n");
        let told = proxy.said(&format!("{connect}{inside}")).await;
        let answer = told.split_once("\r\n\r\n").expect("is granted").1;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{path}: {told}");
    }
}

#[tokio::test]
async fn a_name_that_leads_here_is_denied_in_every_form() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    let named = format!("localhost:{}", upstream.at.port());
    let told = proxy.told_of(&named, "GET /", "", "").await;
    assert_eq!(status(&told), "403", "{told}");
    let connect = format!("CONNECT {named} HTTP/1.1\r\nConnection: close\r\n{}\r\n", proxy.auth());
    assert_eq!(status(&proxy.said(&connect).await), "403");
    for line in proxy.lines(2).await {
        let detail: serde_json::Value = serde_json::from_str(&line.detail).expect("is JSON");
        let shown = [&detail["by"], &detail["outcome"], &detail["verdict"]].map(|value| value.as_str());
        assert_eq!(shown, [Some("address"), Some("denied"), Some("deny")], "{line:?}");
    }
}

#[tokio::test]
async fn keyherd_itself_is_denied_in_every_form() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Allow, "127.0.0.0/8").await;
    let ours = proxy.at.to_string();
    let told = proxy.told_of(&ours, "GET /", "", "").await;
    assert!(status(&told) == "403" && told.contains("is keyherd itself"), "{told}");
    let connect = format!("CONNECT {ours} HTTP/1.1\r\nConnection: close\r\n{}\r\n", proxy.auth());
    assert_eq!(status(&proxy.said(&connect).await), "403");
}

#[tokio::test]
async fn who_is_denied_by_name_has_nothing_looked_up() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Deny, "10.0.0.0/8").await;
    proxy.rule(Verdict::Deny, "secret.invalid").await;
    // No resolver knows names that end so (RFC 6761): a look-up would fail, and be told.
    let connect =
        |host: &str| format!("CONNECT {host}:80 HTTP/1.1\r\nConnection: close\r\n{}\r\n", proxy.auth());
    assert_eq!(status(&proxy.told_of("secret.invalid", "GET /", "", "").await), "403");
    assert_eq!(status(&proxy.said(&connect("secret.invalid")).await), "403");
    proxy.default(Verdict::Deny).await;
    assert_eq!(status(&proxy.told_of("other.invalid", "GET /", "", "").await), "403");
    assert_eq!(status(&proxy.said(&connect("other.invalid")).await), "403");
    proxy.rule(Verdict::Allow, "10.0.0.0/8").await;
    assert_eq!(status(&proxy.told_of("other.invalid", "GET /", "", "").await), "502", "a rule may allow it");
    assert_eq!(status(&proxy.said(&connect("other.invalid")).await), "502");
    let lines = proxy.lines(6).await;
    let outcome = |line: &Entry| {
        let detail: serde_json::Value = serde_json::from_str(&line.detail).expect("is JSON");
        detail["outcome"].as_str().map(str::to_owned).expect("has one")
    };
    let outcomes: Vec<String> = lines.iter().map(outcome).collect();
    assert_eq!(outcomes, ["denied", "denied", "denied", "denied", "failed", "failed"]);
}

#[tokio::test]
async fn an_address_is_named_where_it_is_dialled() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["lone"], untrusting()).await;
    proxy.rule(Verdict::Allow, "127.0.0.1").await;
    proxy.rule(Verdict::Allow, "::1").await;
    assert_eq!(status(&proxy.told(&upstream, "GET /", "", "").await), "200");
    let named = format!("localhost:{}", upstream.at.port());
    assert_eq!(status(&proxy.told_of(&named, "GET /", "", "").await), "403", "another name that leads there");
}
