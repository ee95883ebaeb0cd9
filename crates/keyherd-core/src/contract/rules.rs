//! Rules: kept whole, one of a kind, changed together.

use std::sync::Arc;

use super::fixtures::{at, name, note, written};
use super::{Testbed, approvals};
use crate::agent::Agent;
use crate::approval::{Asked, Decision, Question};
use crate::ids::RuleId;
use crate::policy::{About, HostPattern, MethodWord, PathPattern, Rule, Scope, Verdict};
use crate::ports::Store;
use crate::ports::store::{Closed, Event, NewRule, Opened, RULES_CHANGED, Record, RulesEdit, RulesEdited};
use crate::secret::Hasher;

fn record() -> Record {
    let event =
        Event { kind: RULES_CHANGED, chain: None, subject: "rules".into(), detail: serde_json::json!({}) };
    Record { note: note("rules"), event: Some(event) }
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).expect("a host")
}

fn scope(host_text: &str) -> Scope {
    Scope { agent: None, host: host(host_text), port: None, method: None, path: None }
}

pub(super) fn made(id: i64, verdict: Verdict, about: About) -> NewRule {
    let rule = Rule {
        id: RuleId::from_i64(id),
        verdict,
        about,
        until: None,
        approval: None,
        created_at: at(id),
        created_by: "suite".into(),
    };
    NewRule { fingerprint: rule.fingerprint(&Hasher::new([9; 32])), rule }
}

fn written_rule(id: i64, verdict: Verdict, host: &str) -> NewRule {
    made(id, verdict, About::Written(scope(host)))
}

fn adding(rules: impl IntoIterator<Item = NewRule>) -> RulesEdit {
    RulesEdit { add: rules.into_iter().collect(), ..RulesEdit::default() }
}

async fn edit(store: &dyn Store, edit: RulesEdit) -> RulesEdited {
    store.edit_rules(edit, record()).await.expect("edit")
}

pub async fn rules_are_kept_whole(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let book = two.store.rules().await.expect("rules");
    assert_eq!((book.default, book.rules), (Verdict::Allow, vec![]), "a new installation allows");
    let narrow = Scope {
        agent: Some(name("bot")),
        host: host("10.0.0.0/8"),
        port: Some(443),
        method: Some(MethodWord::parse("DELETE").expect("a method")),
        path: Some(PathPattern::parse("/v1/**").expect("a path")),
    };
    let new = [
        written_rule(2, Verdict::Deny, "**.evil.example"),
        made(1, Verdict::Ask, About::Written(narrow)),
        written_rule(3, Verdict::Allow, "a.example"),
    ];
    let done = edit(&*one.store, adding(new.clone())).await;
    assert!(matches!(done, RulesEdited::Done { added: 3, removed: 0, .. }), "{done:?}");
    let [second, first, third] = new.map(|new| new.rule);
    let kept = two.store.rules().await.expect("rules").rules;
    assert_eq!(kept, [first, second, third], "the oldest first, each as it was given");
}

pub async fn the_same_rule_is_there_once(bed: &dyn Testbed) {
    let process = bed.open().await;
    edit(&*process.store, adding([written_rule(1, Verdict::Deny, "a.example")])).await;
    let before = written(&*process.store).await;
    let again = edit(&*process.store, adding([written_rule(2, Verdict::Deny, "a.example")])).await;
    match again {
        RulesEdited::Done { there, added: 0, .. } => assert_eq!(there[0].id, RuleId::from_i64(1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(written(&*process.store).await, before, "nothing changed, and nothing is told");
    let other = edit(&*process.store, adding([written_rule(3, Verdict::Allow, "a.example")])).await;
    assert!(matches!(other, RulesEdited::Done { added: 1, .. }), "another verdict is another rule");
}

pub async fn one_of_many_writes_a_rule(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await];
    let tries = (1..=16).map(|n: i64| {
        let store = Arc::clone(&processes[usize::try_from(n % 2).expect("small")].store);
        tokio::spawn(
            async move { edit(&*store, adding([written_rule(n, Verdict::Deny, "a.example")])).await },
        )
    });
    let mut all_added = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            RulesEdited::Done { added, .. } => all_added += added,
            RulesEdited::TooMany => panic!("no bound was given"),
        }
    }
    assert_eq!((all_added, processes[0].store.rules().await.expect("rules").rules.len()), (1, 1));
}

pub async fn a_change_of_rules_is_whole(bed: &dyn Testbed) {
    let process = bed.open().await;
    edit(&*process.store, adding((1..=3).map(|n| written_rule(n, Verdict::Deny, &format!("a{n}.example")))))
        .await;
    let before = written(&*process.store).await;
    let change = RulesEdit {
        add: vec![written_rule(4, Verdict::Ask, "b.example")],
        remove: vec![RuleId::from_i64(1), RuleId::from_i64(2), RuleId::from_i64(99)],
        default: Some(Verdict::Deny),
        rules_max: Some(2),
    };
    let done = edit(&*process.store, change).await;
    let expected = |there: &[Rule]| there.len() == 1;
    assert!(
        matches!(&done, RulesEdited::Done { there, added: 1, removed: 2, default_changed: true } if expected(there)),
        "{done:?}"
    );
    assert_eq!(written(&*process.store).await, (before.0 + 1, before.1 + 1), "one entry, one event");
    let too_many = RulesEdit {
        remove: vec![RuleId::from_i64(3)],
        rules_max: Some(2),
        ..adding((5..=6).map(|n| written_rule(n, Verdict::Deny, &format!("a{n}.example"))))
    };
    assert_eq!(edit(&*process.store, too_many).await, RulesEdited::TooMany);
    let book = process.store.rules().await.expect("rules");
    let ids: Vec<_> = book.rules.iter().map(|rule| rule.id.as_i64()).collect();
    assert_eq!((book.default, ids), (Verdict::Deny, vec![3, 4]), "nothing of it was done");
    let same = RulesEdit { default: Some(Verdict::Deny), ..RulesEdit::default() };
    assert!(matches!(edit(&*process.store, same).await, RulesEdited::Done { default_changed: false, .. }));
    assert_eq!(written(&*process.store).await, (before.0 + 1, before.1 + 1));
}

pub async fn a_remembered_answer_is_kept_whole(bed: &dyn Testbed) {
    let process = bed.open().await;
    let target = Asked::Target {
        host: "a.example".into(),
        port: 443,
        method: Some("GET".into()),
        path: Some("/v1/x%20y".into()),
    };
    let outside = Asked::Outside { key: Some("tool rm".into()), text: "{\"path\":\"\u{e9}\"}".into() };
    let mut new = [target, outside].map(|asked| {
        let question = Question { agent: name("bot"), asked };
        made(0, Verdict::Allow, About::Answered(question))
    });
    for (new, id) in new.iter_mut().zip(1..) {
        new.rule = Rule {
            id: RuleId::from_i64(id),
            until: Some(at(100)),
            approval: Some(crate::ids::ApprovalId::from_i64(7)),
            created_at: at(id),
            ..new.rule.clone()
        };
    }
    edit(&*process.store, adding(new.clone())).await;
    let kept = process.store.rules().await.expect("rules").rules;
    assert_eq!(kept, new.map(|new| new.rule));
}

pub async fn answers_go_with_their_agent(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let agent = Agent {
        id: crate::ids::AgentId::of_random(1),
        name: name("bot"),
        actor: Agent::actor_of(&name("bot")),
        key_hash: super::fixtures::hash("key"),
        allowed: Vec::new(),
        may_fetch_tokens: false,
        created_at: at(0),
    };
    let record = || Record { note: note("agent"), event: None };
    store.create_agent(agent.clone(), 10, record()).await.expect("made");
    let asked = |agent: &str, key: &str| {
        let asked = Asked::Outside { key: Some(key.into()), text: "1".into() };
        About::Answered(Question { agent: name(agent), asked })
    };
    let ruled = Scope { agent: Some(name("bot")), ..scope("a.example") };
    let rules = [
        made(1, Verdict::Allow, asked("bot", "rm")),
        made(2, Verdict::Allow, asked("other", "rm")),
        made(3, Verdict::Deny, About::Written(ruled)),
    ];
    edit(store, adding(rules)).await;
    assert_eq!(approvals::open(bed, store, approvals::new(bed, 1, "ls")).await, Opened::New);
    assert_eq!(store.revoke_agent(agent.id, record()).await, Ok(true));
    // Who has the name next asks anew, and is not answered by what its predecessor has asked.
    let late = approvals::answer(Decision::AlwaysAllow, bed.now());
    assert!(matches!(approvals::close(store, 1, late, None).await, Closed::Already(_)));
    assert_eq!(approvals::open(bed, store, approvals::new(bed, 2, "ls")).await, Opened::New);
    let left: Vec<_> =
        store.rules().await.expect("rules").rules.iter().map(|rule| rule.id.as_i64()).collect();
    assert_eq!(left, [2, 3], "what was written stays, and what others were answered");
}
