//! Where an agent's requests are read.

use super::{HOUR, actor, stage};
use crate::agent::Agent;
use crate::binding::BindingDraft;
use crate::broker::NewAgent;
use crate::ids::Name;
use crate::policy::{HostPattern, PathPattern, Scope, Verdict};

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn scope(host: &str, agent: Option<&str>, path: Option<&str>) -> Scope {
    Scope {
        agent: agent.map(name),
        host: HostPattern::parse(host).expect("a pattern"),
        port: None,
        method: None,
        path: path.map(|path| PathPattern::parse(path).expect("a pattern")),
    }
}

#[tokio::test(start_paused = true)]
async fn bindings_token_endpoints_and_rules_about_requests() {
    let stage = stage(HOUR, []).await;
    stage
        .import("other", HOUR, "refresh-1", |fields| fields.token_url = Some("https://[::1]/t".into()))
        .await;
    let broker = &stage.host.broker;
    for (bound, host) in [("acme", "*.example.com"), ("other", "other.example"), ("acme", "10.0.0.1")] {
        let name = name(bound);
        let (port, header, query, template, upstream) = (None, None, None, None, None);
        let draft = BindingDraft { name, host: host.into(), port, header, query, template, upstream };
        broker.add_binding(draft, &actor()).await.expect("bound");
    }
    for (host, agent, path) in [
        ("asked.example", None, Some("/x/**")),
        ("theirs.example", Some("somebody"), Some("/x")),
        ("tunnel.example", None, None),
    ] {
        broker.add_rule(Verdict::Ask, scope(host, agent, path), &actor()).await.expect("made");
    }
    let agent = |allowed: &[&str], id: &str| NewAgent {
        name: name(id),
        allowed: allowed.iter().map(|allowed| name(allowed)).collect(),
        may_fetch_tokens: false,
    };
    let (one, _) = broker.create_agent(agent(&["acme"], "one"), &actor()).await.expect("made");
    let (both, _) = broker.create_agent(agent(&["acme", "other"], "somebody"), &actor()).await.expect("made");
    let read = async |agents: &[Agent]| {
        let read = broker.read_hosts(agents).await.expect("the store answers");
        let mut hosts: Vec<_> = read.hosts.iter().map(ToString::to_string).collect();
        hosts.sort();
        hosts.dedup();
        (hosts.join(" "), read.network.map(|net| net.to_string()))
    };
    let of_one = "*.example.com 10.0.0.1 asked.example id.example";
    assert_eq!(read(std::slice::from_ref(&one)).await, (of_one.to_owned(), None));
    let of_all = "*.example.com 10.0.0.1 ::1 asked.example id.example other.example theirs.example";
    assert_eq!(read(&[one.clone(), both]).await, (of_all.to_owned(), None));
    assert_eq!(read(&[]).await, ("asked.example".to_owned(), None));
    broker.add_rule(Verdict::Deny, scope("10.0.0.0/8", None, Some("/y")), &actor()).await.expect("made");
    assert_eq!(read(&[one]).await.1.as_deref(), Some("10.0.0.0/8"));
}
