//! Agents' keys and bindings on several hosts: known at once, gone at once, and there while the store is down.

use std::sync::Arc;
use std::time::Duration;

use super::{HOUR, SECOND, Stage, acme, actor, pass, stage};
use crate::agent::{Agent, AgentConflict};
use crate::binding::{Binding, BindingConflict, BindingDraft, User};
use crate::broker::{ManageError, NewAgent};
use crate::fakes::Host;
use crate::ids::{BindingId, Name};
use crate::ports::StoreError;
use crate::ports::store::{AccessStore, AuditStore};
use crate::secret::Secret;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn new(label: &str) -> NewAgent {
    NewAgent { name: name(label), allowed: vec![acme()], may_fetch_tokens: false }
}

fn draft(host: &str) -> BindingDraft {
    BindingDraft {
        name: acme(),
        host: host.into(),
        port: None,
        header: None,
        query: None,
        template: None,
        upstream: Some("https://api.example".into()),
    }
}

async fn made(host: &Host, label: &str) -> Secret {
    let (agent, key) = host.broker.create_agent(new(label), &actor()).await.expect("made");
    assert_eq!(agent.name, name(label));
    key
}

async fn found(host: &Host, key: &Secret) -> Result<Option<Arc<Agent>>, StoreError> {
    match host.broker.key_hash(key.expose().as_bytes()) {
        Some(hash) => host.broker.agent_of(&hash).await,
        None => Ok(None),
    }
}

async fn opens(host: &Host, key: &Secret) -> bool {
    found(host, key).await.expect("the store answers").is_some()
}

/// A host that hears what others commit.
async fn watching(stage: &Stage) -> Host {
    let host = stage.fleet.host();
    host.broker.watched().await;
    host
}

#[tokio::test(start_paused = true)]
async fn a_key_opens_everywhere_until_it_is_revoked() {
    let stage = stage(HOUR, []).await;
    let other = watching(&stage).await;
    let key = made(&stage.host, "bot").await;
    for host in [&stage.host, &other] {
        let agent = found(host, &key).await.expect("read").expect("known");
        assert_eq!((agent.name.as_str(), &*agent.actor.0), ("bot", "agent:bot"));
        let named = host.broker.agent_named("bot", key.expose().as_bytes()).await.expect("read");
        assert_eq!(named.as_ref(), Some(&agent));
        let wrong = host.broker.agent_named("other", key.expose().as_bytes()).await.expect("read");
        assert_eq!(wrong, None);
    }
    stage.host.broker.revoke_agent(&name("bot"), &actor()).await.expect("revoked");
    assert!(!opens(&stage.host, &key).await, "here it is gone before the answer is");
    pass(60 * Duration::from_millis(1)).await;
    assert!(!opens(&other, &key).await);
    let again = made(&stage.host, "bot").await;
    assert!(!opens(&other, &key).await && opens(&other, &again).await, "another agent, another key");
}

#[tokio::test(start_paused = true)]
async fn a_key_made_elsewhere_opens_before_it_was_told() {
    let stage = stage(HOUR, []).await;
    let other = watching(&stage).await;
    let first = made(&stage.host, "first").await;
    assert!(opens(&other, &first).await);
    pass(SECOND).await;
    let second = made(&stage.host, "second").await;
    assert!(opens(&other, &second).await, "no time has passed since it was made");
}

#[tokio::test(start_paused = true)]
async fn strangers_cost_few_readings() {
    let stage = stage(HOUR, []).await;
    let host = watching(&stage).await;
    let stranger = Secret::from(format!("kha_{}", "0".repeat(64)));
    let cost = async |seconds: u32| {
        let (before, _) = stage.fleet.installation.counts();
        for _ in 0..seconds * 1_000 {
            assert!(!opens(&host, &stranger).await);
            assert!(!opens(&host, &Secret::from("no key at all")).await);
            pass(Duration::from_millis(1)).await;
        }
        stage.fleet.installation.counts().0 - before
    };
    // Each reading is two looks, and so are the watch's own, twenty times a second.
    let (watch, first, later) = (40, cost(1).await, cost(10).await);
    assert!((20..=42).contains(&(first - watch)), "what was saved up, and as many again: {first}");
    assert!((180..=220).contains(&(later - 10 * watch)), "{later}");
}

#[tokio::test(start_paused = true)]
async fn known_keys_open_while_the_store_is_down() {
    let stage = stage(HOUR, []).await;
    let host = watching(&stage).await;
    let key = made(&host, "bot").await;
    assert!(opens(&host, &key).await);
    let stranger = Secret::from(format!("kha_{}", "0".repeat(64)));
    stage.fleet.installation.set_down(true);
    pass(HOUR).await;
    assert!(opens(&host, &key).await);
    assert!(!opens(&host, &stranger).await);
    assert_eq!(host.broker.access().await.map(|access| access.agents.len()), Ok(1));
    let late = stage.fleet.host();
    assert!(matches!(found(&late, &key).await, Err(StoreError::Unavailable(_))), "it knows nobody");
}

#[tokio::test(start_paused = true)]
async fn bindings_follow_on_all_hosts() {
    let stage = stage(HOUR, []).await;
    let other = watching(&stage).await;
    let gateway = async |host: &Host| {
        let access = host.broker.access().await.expect("the store answers");
        access.bindings.gateway("acme").map(|binding| binding.id)
    };
    assert_eq!(gateway(&other).await, None);
    let binding = stage.host.broker.add_binding(draft("api.example"), &actor()).await.expect("added");
    assert_eq!(gateway(&stage.host).await, Some(binding.id));
    pass(60 * Duration::from_millis(1)).await;
    assert_eq!(gateway(&other).await, Some(binding.id));
    stage.host.broker.remove_binding(binding.id, &actor()).await.expect("removed");
    assert_eq!(gateway(&stage.host).await, None);
    pass(60 * Duration::from_millis(1)).await;
    assert_eq!(gateway(&other).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused() {
    let stage = stage(HOUR, []).await;
    let broker = &stage.host.broker;
    made(&stage.host, "bot").await;
    let agent = async |new| broker.create_agent(new, &actor()).await.map(drop);
    let refused = |conflict| Err(ManageError::Agent { name: name("bot"), conflict });
    assert_eq!(agent(new("bot")).await, refused(AgentConflict::NameTaken));
    let unknown = NewAgent { allowed: vec![name("nobody")], ..new("bot") };
    assert_eq!(agent(unknown).await, refused(AgentConflict::NameTaken), "the name comes first");
    let twice = NewAgent { allowed: vec![acme(), acme()], ..new("bot") };
    assert_eq!(agent(twice).await, refused(AgentConflict::Duplicate(acme())));
    let used = ManageError::Used { what: "credential", name: acme(), user: User::Agent(name("bot")) };
    assert_eq!(broker.remove(&acme(), &actor()).await, Err(used));
    broker.revoke_agent(&name("bot"), &actor()).await.expect("revoked");
    assert!(matches!(broker.revoke_agent(&name("bot"), &actor()).await, Err(ManageError::NotFound { .. })));
    let binding = broker.add_binding(draft("api.example"), &actor()).await.expect("added");
    let again = broker.add_binding(draft("*.example"), &actor()).await;
    let conflict = BindingConflict::SecondUpstream(binding.id);
    assert_eq!(again, Err(ManageError::Binding { name: acme(), conflict }));
    let user = User::Binding(binding.id);
    let used = ManageError::Used { what: "credential", name: acme(), user };
    assert_eq!(broker.remove(&acme(), &actor()).await, Err(used));
    let stranger = BindingId::of_random(7);
    assert_eq!(broker.remove_binding(stranger, &actor()).await, Err(ManageError::NoBinding(stranger)));
    assert!(matches!(broker.add_binding(draft("*"), &actor()).await, Err(ManageError::BadBinding(_))));
    broker.remove_binding(binding.id, &actor()).await.expect("removed");
    broker.remove(&acme(), &actor()).await.expect("nobody misses it");
}

#[tokio::test(start_paused = true)]
async fn the_log_names_what_was_done_and_no_key() {
    let stage = stage(HOUR, []).await;
    let key = made(&stage.host, "bot").await;
    let Binding { id, .. } =
        stage.host.broker.add_binding(draft("api.example"), &actor()).await.expect("added");
    stage.host.broker.remove_binding(id, &actor()).await.expect("removed");
    stage.host.broker.revoke_agent(&name("bot"), &actor()).await.expect("revoked");
    let entries = stage.host.store.tail(4).await.expect("entries");
    let told: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
    let expected = [
        ("agent.create", "bot"),
        ("binding.add", "acme"),
        ("binding.remove", "acme"),
        ("agent.revoke", "bot"),
    ];
    assert_eq!(told, expected);
    let kept = stage.host.store.agents().await;
    assert!(!format!("{entries:?}{kept:?}{key:?}").contains(key.expose()));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_was_lost_leaves_no_old_key_open() {
    let stage = stage(HOUR, []).await;
    let host = watching(&stage).await;
    let key = made(&host, "bot").await;
    assert!(opens(&host, &key).await);
    stage.fleet.installation.lose_next_reply();
    let lost = host.broker.revoke_agent(&name("bot"), &actor()).await;
    assert!(matches!(lost, Err(ManageError::Store(StoreError::Unanswered(_)))), "{lost:?}");
    assert!(!opens(&host, &key).await, "it was done");
}
