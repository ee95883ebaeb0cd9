//! Rules on hosts that share a store: the same everywhere, read once for each change; and those that ask.

use std::sync::Arc;
use std::time::Duration;

use super::asking::{answer, empty, open, the_open_one};
use super::{SECOND, actor, pass};
use crate::approval::Decision;
use crate::broker::{Broker, PermittedBy, RulesImport};
use crate::host::Host as Place;
use crate::policy::{About, Destination, HostPattern, MethodWord, RequestPath, Scope, Target, Verdict};

fn scope(host: &str, method: Option<&str>) -> Scope {
    Scope {
        agent: None,
        host: HostPattern::parse(host).expect("a host"),
        port: None,
        method: method.map(|word| MethodWord::parse(word).expect("a method")),
        path: None,
    }
}

async fn permit(broker: &Broker, method: &str, host: &str) -> (bool, PermittedBy) {
    let destination = Destination::new(Place::parse(host).expect("a host"), 443);
    let path = RequestPath::read("/v1");
    let target =
        Target { agent: Some("bot"), destination: &destination, method: Some(method), path: Some(&path) };
    let permit = broker.permit(&target, 5 * SECOND, &actor()).await.expect("decided");
    (permit.allows, permit.by)
}

#[tokio::test(start_paused = true)]
async fn rules_count_at_once_on_every_host() {
    let stage = empty().await;
    let (here, there) = (&stage.host.broker, stage.fleet.host().broker);
    here.watching().await;
    there.watching().await;
    for broker in [here, &there] {
        assert_eq!(permit(broker, "GET", "a.example").await, (true, PermittedBy::Default));
    }
    let (rule, is_new) =
        here.add_rule(Verdict::Deny, scope("a.example", None), &actor()).await.expect("added");
    assert!(is_new);
    assert_eq!(permit(here, "GET", "a.example").await, (false, PermittedBy::Rule(rule.id)), "at once here");
    pass(Duration::from_millis(200)).await;
    assert_eq!(permit(&there, "GET", "a.example").await, (false, PermittedBy::Rule(rule.id)));
    there.remove_rule(rule.id, &actor()).await.expect("removed");
    assert!(there.set_default_verdict(Verdict::Deny, &actor()).await.expect("set"));
    pass(Duration::from_millis(200)).await;
    assert_eq!(permit(here, "GET", "a.example").await, (false, PermittedBy::Default));
}

#[tokio::test(start_paused = true)]
async fn reading_the_rules_costs_one_read_for_each_change() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    broker.add_rule(Verdict::Deny, scope("a.example", None), &actor()).await.expect("added");
    broker.watching().await;
    permit(broker, "GET", "a.example").await;
    assert!(broker.rules_at_hand().is_some());
    let (before, _) = stage.fleet.installation.counts();
    let set = broker.rules_at_hand().expect("at hand");
    for _ in 0..1_000 {
        assert!(Arc::ptr_eq(&set, &broker.rules_ready().await.expect("ready")));
    }
    assert!(stage.fleet.installation.counts().0 - before <= 1, "at most a look of the watch");
    stage.fleet.installation.set_down(true);
    broker.0.policy.changed();
    assert!(broker.rules_at_hand().is_none(), "what may be old is not at hand");
    assert!(broker.rules_ready().await.is_ok(), "and serves on while the store is away");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_asks_asks_once_and_its_answer_is_a_rule() {
    let stage = empty().await;
    let broker = stage.host.broker.clone();
    broker.add_rule(Verdict::Ask, scope("*.example", None), &actor()).await.expect("added");
    broker.add_rule(Verdict::Ask, scope("*.example", Some("DELETE")), &actor()).await.expect("added");
    let many: Vec<_> = (0..8)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { permit(&broker, "GET", "a.example").await })
        })
        .collect();
    let approval = the_open_one(&broker, 8).await;
    let other = tokio::spawn({
        let broker = broker.clone();
        async move { permit(&broker, "GET", "b.example").await }
    });
    pass(SECOND).await;
    assert_eq!(open(&broker).await.len(), 2, "another target, its own prompt");
    answer(&broker, approval.id, Decision::AlwaysAllow).await;
    for one in many {
        let (allows, by) = one.await.expect("no panic");
        assert!(allows && matches!(by, PermittedBy::Approval(seen) if seen.id == approval.id));
    }
    assert!(matches!(other.await.expect("no panic"), (false, PermittedBy::NobodyInTime(Some(_)))));
    assert!(matches!(permit(&broker, "GET", "a.example").await, (true, PermittedBy::Remembered(_))));
    let denied = broker.add_rule(Verdict::Deny, scope("**", None), &actor()).await.expect("added").0;
    assert_eq!(
        permit(&broker, "GET", "a.example").await,
        (false, PermittedBy::Rule(denied.id)),
        "deny comes first"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_forbidden_while_it_waited_is_forbidden() {
    let stage = empty().await;
    let broker = stage.host.broker.clone();
    broker.add_rule(Verdict::Ask, scope("*.example", None), &actor()).await.expect("added");
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { permit(&broker, "GET", "a.example").await }
    });
    let approval = the_open_one(&broker, 1).await;
    let denied = broker.add_rule(Verdict::Deny, scope("a.example", None), &actor()).await.expect("added").0;
    answer(&broker, approval.id, Decision::AllowOnce).await;
    assert_eq!(waiting.await.expect("no panic"), (false, PermittedBy::Rule(denied.id)));
}

#[tokio::test(start_paused = true)]
async fn rules_of_a_file_keep_its_order() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let hosts: Vec<_> = (0..20).map(|n| format!("h{}.example", (n * 7) % 20)).collect();
    let rules = hosts.iter().map(|host| (Verdict::Deny, scope(host, None))).collect();
    let import = RulesImport { default: None, rules, replaces: false };
    broker.import_rules(import, &actor()).await.expect("imported");
    let kept = broker.rulebook().await.expect("rules").rules;
    let kept: Vec<_> = kept
        .iter()
        .map(|rule| match &rule.about {
            About::Written(scope) => scope.host.to_string(),
            About::Answered(_) => panic!("nobody answered"),
        })
        .collect();
    assert_eq!(kept, hosts);
}
