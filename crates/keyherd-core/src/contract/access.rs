//! Agents and bindings: kept whole, made once, gone for good; and what they are of stays as long as they do.

use futures_util::future::join_all;

use super::approvals::{answer, close, new, open};
use super::fixtures::{create, name, note, oauth, silent, written};
use super::{Process, Testbed};
use crate::agent::{Agent, AgentConflict};
use crate::approval::{Decision, Stage};
use crate::binding::{Binding, BindingConflict, BindingDraft, User};
use crate::ids::{AgentId, ApprovalId, BindingId, CredentialId, PoolId};
use crate::pool::Strategy;
use crate::ports::Store;
use crate::ports::store::{
    AgentCreated, BindingAdded, Closed, Event, NewPool, PoolCreated, PoolRemoved, Record, Removed,
};
use crate::secret::TokenHash;

/// More than any case makes.
const MANY: usize = 100;

fn record(kind: &'static str) -> Record {
    let event = Event { kind, chain: None, subject: "bot".into(), detail: serde_json::json!({}) };
    Record { note: note(kind), event: Some(event) }
}

fn agent(id: i64, label: &str, allowed: &[&str]) -> Agent {
    Agent {
        id: AgentId::of_random(id),
        name: name(label),
        actor: Agent::actor_of(&name(label)),
        key_hash: TokenHash::from_bytes([u8::try_from(id).unwrap_or_default(); 32]),
        allowed: allowed.iter().map(|text| name(text)).collect(),
        may_fetch_tokens: id % 2 == 0,
        created_at: super::fixtures::at(id),
    }
}

fn draft(label: &str, host: &str) -> BindingDraft {
    BindingDraft {
        name: name(label),
        host: host.into(),
        port: None,
        header: None,
        query: None,
        template: None,
        upstream: None,
    }
}

fn binding(id: i64, draft: BindingDraft) -> Binding {
    draft.check(BindingId::of_random(id), super::fixtures::at(id)).expect("a fixture's binding")
}

async fn make(store: &dyn Store, agent: Agent) -> AgentCreated {
    store.create_agent(agent, MANY, record("agent_created")).await.expect("create")
}

async fn add(store: &dyn Store, binding: Binding) -> BindingAdded {
    store.add_binding(binding, MANY, record("binding_added")).await.expect("add")
}

/// A process on a store with the credentials `a` and `b`, and `c` in the pool `pool`.
async fn stocked(bed: &dyn Testbed) -> (Process, CredentialId) {
    let process = bed.open().await;
    let store = &*process.store;
    let id = create(store, oauth("a", "t1")).await.credential.id;
    create(store, oauth("b", "t2")).await;
    create(store, oauth("c", "t3")).await;
    let pool = NewPool {
        id: PoolId::from_i64(1),
        name: name("pool"),
        strategy: Strategy::Failover,
        members: vec![name("c")],
    };
    let made = store.create_pool(pool, silent("pool")).await.expect("create");
    assert!(matches!(made, PoolCreated::Done(_)));
    (process, id)
}

pub async fn agents_are_kept_whole(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    assert_eq!(store.agents().await, Ok(Vec::new()));
    let before = written(store).await;
    let (one, two) = (agent(1, "zeta", &["a", "pool"]), agent(2, "Alpha", &[]));
    assert_eq!(make(store, one.clone()).await, AgentCreated::Done);
    assert_eq!(make(store, two.clone()).await, AgentCreated::Done);
    assert_eq!(written(store).await, (before.0 + 2, before.1 + 2));
    assert_eq!(bed.open().await.store.agents().await, Ok(vec![two, one]), "in order of names");
}

pub async fn a_taken_name_of_an_agent_is_left_alone(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    make(store, agent(1, "bot", &["a"])).await;
    let before = written(store).await;
    assert_eq!(make(store, agent(2, "bot", &["b"])).await, AgentCreated::Conflict(AgentConflict::NameTaken));
    assert_eq!(written(store).await, before);
    assert_eq!(store.agents().await, Ok(vec![agent(1, "bot", &["a"])]));
    assert_eq!(make(store, agent(3, "a", &["a"])).await, AgentCreated::Done, "a name space of their own");
}

pub async fn an_agent_is_allowed_what_is_there(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    let before = written(store).await;
    let refused = make(store, agent(1, "bot", &["a", "nobody"])).await;
    assert_eq!(refused, AgentCreated::Conflict(AgentConflict::UnknownName(name("nobody"))));
    assert_eq!((written(store).await, store.agents().await), (before, Ok(Vec::new())));
}

pub async fn one_of_many_makes_an_agent(bed: &dyn Testbed) {
    let (one, _) = stocked(bed).await;
    let two = bed.open().await;
    let before = written(&*one.store).await;
    let tries = (1..=10).map(|n| {
        let store = if n % 2 == 0 { one.store.clone() } else { two.store.clone() };
        async move { make(&*store, agent(n, "bot", &["a"])).await }
    });
    let made = join_all(tries).await;
    assert_eq!(made.iter().filter(|made| **made == AgentCreated::Done).count(), 1, "{made:?}");
    assert_eq!(written(&*one.store).await, (before.0 + 1, before.1 + 1));
}

pub async fn a_revoked_agent_is_gone(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    make(store, agent(1, "bot", &["a"])).await;
    make(store, agent(2, "other", &["a"])).await;
    let before = written(store).await;
    let revoke = |id| store.revoke_agent(AgentId::of_random(id), record("agent_revoked"));
    assert_eq!(revoke(1).await, Ok(true));
    assert_eq!(written(store).await, (before.0 + 1, before.1 + 1));
    assert_eq!([revoke(1).await, revoke(9).await], [Ok(false), Ok(false)]);
    assert_eq!(written(store).await, (before.0 + 1, before.1 + 1));
    assert_eq!(make(store, agent(3, "bot", &["b"])).await, AgentCreated::Done, "the name is free");
    assert_eq!(revoke(1).await, Ok(false), "and the new one is another");
    assert_eq!(store.agents().await, Ok(vec![agent(3, "bot", &["b"]), agent(2, "other", &["a"])]));
}

pub async fn bindings_are_kept_whole(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    let text = |text: &str| Some(text.to_owned());
    let all = vec![
        binding(5, draft("pool", "**.Example.com")),
        binding(
            3,
            BindingDraft {
                port: Some(8443),
                header: text("X-Api-Key"),
                template: text("key={token}; v=1"),
                upstream: text("https://api.example.com:8443/base"),
                ..draft("a", "api.example.com")
            },
        ),
        binding(4, BindingDraft { query: text("api key"), ..draft("a", "127.0.0.1") }),
    ];
    let before = written(store).await;
    for binding in &all {
        assert_eq!(add(store, binding.clone()).await, BindingAdded::Done);
    }
    assert_eq!(written(store).await, (before.0 + 3, before.1 + 3));
    let kept = bed.open().await.store.bindings().await.expect("bindings");
    let mut in_order = all;
    in_order.sort_by_key(|binding| binding.created_at);
    assert_eq!(kept, in_order, "in the order of their making");
}

pub async fn a_binding_is_of_what_is_there(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    let before = written(store).await;
    let refused = add(store, binding(1, draft("nobody", "a.b"))).await;
    assert_eq!(refused, BindingAdded::Conflict(BindingConflict::UnknownName(name("nobody"))));
    assert_eq!((written(store).await, store.bindings().await), (before, Ok(Vec::new())));
}

pub async fn what_is_bound_already_is_left_alone(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    let first = binding(1, BindingDraft { upstream: Some("https://a.b".into()), ..draft("a", "a.b") });
    add(store, first.clone()).await;
    let before = written(store).await;
    let again = add(store, binding(2, draft("a", "A.B"))).await;
    assert_eq!(again, BindingAdded::Conflict(BindingConflict::Duplicate(first.id)));
    let second = binding(3, BindingDraft { upstream: Some("https://c.d".into()), ..draft("a", "c.d") });
    let second = add(store, second).await;
    assert_eq!(second, BindingAdded::Conflict(BindingConflict::SecondUpstream(first.id)));
    assert_eq!(written(store).await, before);
    let others = binding(4, BindingDraft { upstream: Some("https://a.b".into()), ..draft("b", "a.b") });
    assert_eq!(add(store, others).await, BindingAdded::Done, "another name's bindings stand in nobody's way");
}

pub async fn a_removed_binding_is_gone(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    let (one, two) = (binding(1, draft("a", "a.b")), binding(2, draft("a", "*.b")));
    add(store, one.clone()).await;
    add(store, two.clone()).await;
    let before = written(store).await;
    assert_eq!(store.remove_binding(one.id, record("binding_removed")).await, Ok(true));
    assert_eq!(store.remove_binding(one.id, record("binding_removed")).await, Ok(false));
    assert_eq!(written(store).await, (before.0 + 1, before.1 + 1));
    assert_eq!(store.bindings().await, Ok(vec![two]));
    assert_eq!(add(store, one).await, BindingAdded::Done);
}

pub async fn there_are_no_more_than_there_may_be(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    make(store, agent(1, "one", &[])).await;
    add(store, binding(1, draft("a", "a.b"))).await;
    let before = written(store).await;
    let agents = store.create_agent(agent(2, "two", &[]), 1, record("x")).await;
    assert_eq!(agents, Ok(AgentCreated::Conflict(AgentConflict::TooMany(1))));
    let bindings = store.add_binding(binding(2, draft("a", "c.d")), 1, record("x")).await;
    assert_eq!(bindings, Ok(BindingAdded::Conflict(BindingConflict::TooMany(1))));
    assert_eq!(written(store).await, before);
    assert_eq!(make(store, agent(2, "two", &[])).await, AgentCreated::Done);
}

pub async fn what_is_used_is_not_removed(bed: &dyn Testbed) {
    let (process, id) = stocked(bed).await;
    let store = &*process.store;
    let bot = agent(1, "bot", &["a", "pool"]);
    let bound = binding(1, draft("pool", "a.b"));
    make(store, bot.clone()).await;
    add(store, bound.clone()).await;
    let before = written(store).await;
    let remove = async || store.remove(id, None, silent("remove")).await.expect("remove");
    let remove_pool = async || store.remove_pool(&name("pool"), silent("pool")).await.expect("remove");
    assert_eq!(remove().await, Removed::Used(User::Agent(name("bot"))));
    assert_eq!(remove_pool().await, PoolRemoved::Used(User::Agent(name("bot"))));
    assert_eq!(written(store).await, before);
    assert_eq!(store.revoke_agent(bot.id, record("agent_revoked")).await, Ok(true));
    assert_eq!(remove_pool().await, PoolRemoved::Used(User::Binding(bound.id)));
    assert_eq!(store.remove_binding(bound.id, record("binding_removed")).await, Ok(true));
    assert_eq!((remove().await, remove_pool().await), (Removed::Done, PoolRemoved::Done));
}

/// Whichever comes first, nobody is allowed what is not there.
pub async fn a_use_and_a_removal_do_not_both_happen(bed: &dyn Testbed) {
    let (one, _) = stocked(bed).await;
    let two = bed.open().await;
    for round in 0..10 {
        let label = format!("n{round}");
        let made = create(&*one.store, oauth(&label, &format!("t of {label}"))).await;
        let (removed, bound, allowed) = tokio::join!(
            one.store.remove(made.credential.id, None, silent("remove")),
            add(&*two.store, binding(100 + round, draft(&label, "a.b"))),
            make(&*two.store, agent(round, &format!("bot-{round}"), &[&label])),
        );
        let is_gone = removed.expect("remove") == Removed::Done;
        let is_used = bound == BindingAdded::Done || allowed == AgentCreated::Done;
        assert_ne!(is_gone, is_used, "{bound:?} {allowed:?}");
    }
}

pub async fn a_revoked_agents_questions_are_withdrawn(bed: &dyn Testbed) {
    let (process, _) = stocked(bed).await;
    let store = &*process.store;
    make(store, agent(1, "bot", &["a"])).await;
    let mut over = new(bed, 1, "over");
    over.approval.expires_at = bed.now();
    let mut others = new(bed, 2, "others");
    others.approval.question.agent = name("other");
    for one in [over, others, new(bed, 3, "answered"), new(bed, 4, "open"), new(bed, 5, "open too")] {
        open(bed, store, one).await;
    }
    close(store, 3, answer(Decision::AllowOnce, bed.now()), None).await;
    let before = written(store).await;
    assert_eq!(store.revoke_agent(AgentId::of_random(9), record("agent_revoked")).await, Ok(false));
    assert_eq!(written(store).await, before, "nothing ends with nobody");
    assert_eq!(store.revoke_agent(AgentId::of_random(1), record("agent_revoked")).await, Ok(true));
    assert_eq!(written(store).await, (before.0 + 3, before.1 + 3), "each is told");
    let by = async |id| {
        let found = store.approval(ApprovalId::from_i64(id)).await.expect("read").expect("kept");
        let by = found.answer.as_ref().and_then(|answer| answer.by.clone());
        (found.stage(), by, found.expires_at > bed.now())
    };
    let actor = Some(note("agent_revoked").actor.0.as_ref().to_owned());
    assert_eq!(by(1).await, (Stage::Open, None, false), "its time had ended");
    assert_eq!(by(2).await, (Stage::Open, None, true));
    assert_eq!(by(3).await, (Stage::Answered, Some("cli".into()), true));
    assert_eq!(by(4).await, (Stage::Withdrawn, actor.clone(), true));
    assert_eq!(by(5).await, (Stage::Withdrawn, actor, true));
    let list = store.approvals(Some(Stage::Withdrawn), None, 10).await.expect("list");
    assert_eq!(list.iter().map(|one| one.id.as_i64()).collect::<Vec<_>>(), [4, 5]);
    let late = close(store, 4, answer(Decision::AllowOnce, bed.now()), None).await;
    assert!(matches!(late, Closed::Already(ended) if ended.stage() == Stage::Withdrawn));
}
