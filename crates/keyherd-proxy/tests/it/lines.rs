//! The one line that each request through the gateway leaves in the audit log.

use std::time::Duration;

use keyherd_core::approval::{Decision, Stage as Phase};
use keyherd_core::audit::Entry;
use keyherd_core::policy::{HostPattern, MethodWord, Scope, Verdict};
use keyherd_core::ports::store::AuditStore;
use keyherd_proxy::{Asked, Fault};
use serde_json::{Value, json};

use crate::stage::{Stage, actor, asked, get, parsed, whole};
use crate::upstream::{Upstream, answer, full, status, until};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}

/// The lines, once there are so many.
async fn lines(stage: &Stage, count: usize) -> Vec<Entry> {
    soon(async {
        loop {
            let entries = stage.host.store.entries(0, 1_000).await.expect("are there");
            let lines: Vec<_> =
                entries.into_iter().filter(|entry| entry.action == "gateway.request").collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn detail(entry: &Entry) -> Value {
    serde_json::from_str(&entry.detail).expect("is JSON")
}

async fn rule(stage: &Stage, verdict: Verdict, method: Option<&str>) {
    let scope = Scope {
        agent: None,
        host: HostPattern::parse("127.0.0.1").expect("is a host"),
        port: None,
        method: method.map(|word| MethodWord::parse(word).expect("is a method")),
        path: None,
    };
    stage.host.broker.add_rule(verdict, scope, &actor()).await.expect("is written");
}

#[tokio::test]
async fn who_what_with_whose_credential_and_what_came_of_it() {
    let upstream = Upstream::new(|seen| match seen.bearer() {
        "secret-a" => answer(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#),
        _ => status(201),
    })
    .await;
    let stage = Stage::at(&upstream).await;
    let got = stage.read("/gateway/pool/v1/chat?secret=1").await;
    assert_eq!(got.head.status, 201);
    let lines = lines(&stage, 1).await;
    assert_eq!(lines.len(), 1, "one request is one line, however often it was sent");
    assert_eq!(
        (lines[0].actor.as_str(), lines[0].subject.as_str()),
        ("agent:test", &*upstream.at.to_string())
    );
    let wanted = json!({
        "name": "pool", "method": "GET", "path": "/v1/chat", "verdict": "allow", "by": "default",
        "credential": "b", "status": 201, "outcome": "answered",
    });
    assert_eq!(detail(&lines[0]), wanted);
    assert!(!lines[0].detail.contains("secret"), "{:?}", lines[0]);
}

#[tokio::test]
async fn what_a_rule_denies_and_what_leads_nowhere() {
    let upstream = Upstream::new(|_| status(200)).await;
    let stage = Stage::at(&upstream).await;
    rule(&stage, Verdict::Deny, Some("DELETE")).await;
    let delete = asked("DELETE", "/gateway/lone/v1/files").body(full("")).expect("is a request");
    assert!(matches!(stage.open(delete).await, Err(Fault::Denied(_))));
    assert!(matches!(stage.open(get("/gateway/nobody/x")).await, Err(Fault::NotFound(_))));
    let trace = asked("TRACE", "/gateway/lone/").body(full("")).expect("is a request");
    assert!(matches!(stage.open(trace).await, Err(Fault::BadMethod(_))));
    let (get, fault) = (http::Method::GET, Fault::Denied(String::new()));
    stage.gateway.turned_away(actor(), Some(&parsed("one")), (&get, "/gateway/one/a"), &fault).await;
    let (put, fault) = (http::Method::PUT, Fault::BadRequest(String::new()));
    stage.gateway.turned_away(actor(), None, (&put, "/gateway/one/.."), &fault).await;
    let lines = lines(&stage, 5).await;
    let denied = detail(&lines[0]);
    assert_eq!((&denied["verdict"], &denied["outcome"]), (&json!("deny"), &json!("denied")));
    assert!(denied["by"]["rule"].is_string() && denied.get("credential").is_none(), "{denied}");
    let wanted = [
        json!({"name": "nobody", "method": "GET", "path": "/x", "outcome": "refused"}),
        json!({"name": "lone", "method": "TRACE", "path": "/", "outcome": "refused"}),
        json!({"name": "one", "method": "GET", "path": "/gateway/one/a", "outcome": "denied"}),
        json!({"method": "PUT", "path": "/gateway/one/..", "outcome": "refused"}),
    ];
    assert_eq!(lines[1..].iter().map(detail).collect::<Vec<_>>(), wanted);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn who_approved_it() {
    let upstream = Upstream::new(|_| status(200)).await;
    let stage = Stage::at(&upstream).await;
    rule(&stage, Verdict::Ask, None).await;
    let broker = stage.host.broker.clone();
    let answering = soon(async {
        let open = loop {
            let page = broker.approvals(Some(Phase::Open), None, 10).await.expect("are there");
            match page.items.first() {
                Some(open) if open.waiters >= 2 => break open.id,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let human = keyherd_core::audit::Actor::new("dashboard");
        broker.answer(open, Decision::AllowOnce, None, &human).await.expect("is the first");
        open
    });
    let agent = stage.robot(&["lone"]).await;
    let ask = || async {
        let request = get("/gateway/lone/");
        let asked = Asked { agent: Some(&agent), ..stage.asked(&request) };
        let open = stage.gateway.answer(asked, request).await;
        whole(open.expect("is answered")).await
    };
    let (_, _, open) = soon(Box::pin(async { tokio::join!(ask(), ask(), answering) })).await;
    for line in lines(&stage, 2).await {
        let detail = detail(&line);
        assert_eq!(detail["by"], json!({"approval": open.to_string(), "answered_by": "dashboard"}));
        assert_eq!((&detail["credential"], &detail["verdict"]), (&json!("lone"), &json!("allow")));
    }
}

#[tokio::test]
async fn who_leaves_leaves_a_line_too() {
    let upstream = Upstream::streaming(std::sync::Arc::new(|_| Box::pin(std::future::pending())), None).await;
    let stage = Stage::at(&upstream).await;
    tokio::select! {
        answered = stage.open(get("/gateway/lone/long")) => panic!("by nobody: {answered:?}"),
        () = until("it is under way", || upstream.connections() == 1) => {}
    }
    let detail = detail(&lines(&stage, 1).await[0]);
    assert_eq!((&detail["outcome"], &detail["path"]), (&json!("broken_off"), &json!("/long")));
}

#[tokio::test]
async fn lines_of_many_requests_are_written_together() {
    let upstream = Upstream::new(|_| status(200)).await;
    let stage = Stage::at(&upstream).await;
    let asks: Vec<_> = (0..200)
        .map(|number| stage.read(if number % 2 == 0 { "/gateway/lone/" } else { "/gateway/pool/" }))
        .collect();
    soon(futures_util::future::join_all(asks)).await;
    let lines = lines(&stage, 200).await;
    assert_eq!(lines.len(), 200);
    stage.gateway.shutdown().await;
    assert_eq!(stage.host.store.verify().await.expect("is read").broken, None);
}
