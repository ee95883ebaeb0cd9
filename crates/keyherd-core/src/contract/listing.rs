//! Pages, what is due, and the census.

use super::Testbed;
use super::fixtures::{
    at, claim, create, fields, hash, load, name, new, oauth, settle, settling, silent, with_client,
};
use crate::credential::{Backoff, Block, Cooldown, DraftFields, Trouble, Uncertain, Verdict, VerdictReason};
use crate::ports::Store;
use crate::ports::store::{Change, NewCredential};
use crate::refresh::Settlement;

pub async fn credentials_come_in_pages(bed: &dyn Testbed) {
    let process = bed.open().await;
    // Byte order: upper case before lower case, digits before both.
    let names = ["B", "a", "a-1", "a.b", "a1", "b", "c@d"];
    for text in ["b", "a1", "B", "c@d", "a", "a.b", "a-1"] {
        create(&*process.store, oauth(text, &format!("token of {text}"))).await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = process.store.credentials(after.as_ref(), 3).await.expect("page");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.credential.name.clone());
        for loaded in page {
            assert_eq!(load(&*process.store, loaded.credential.name.as_str()).await, loaded);
            seen.push(loaded.credential.name.to_string());
        }
    }
    assert_eq!(seen, names);
}

fn due(name: &str, seconds: Option<i64>) -> NewCredential {
    NewCredential { due_at: seconds.map(at), ..oauth(name, &format!("token of {name}")) }
}

async fn due_names(store: &dyn Store, now: i64, limit: usize) -> Vec<String> {
    let due = store.due(at(now), limit).await.expect("due");
    due.into_iter().map(|due| due.name.to_string()).collect()
}

pub async fn the_longest_due_comes_first(bed: &dyn Testbed) {
    let process = bed.open().await;
    for (name, seconds) in
        [("c", Some(30)), ("a", Some(10)), ("never", None), ("b", Some(20)), ("later", Some(99))]
    {
        create(&*process.store, due(name, seconds)).await;
    }
    assert_eq!(due_names(&*process.store, 30, 10).await, ["a", "b", "c"]);
    assert_eq!(due_names(&*process.store, 30, 2).await, ["a", "b"]);
    assert_eq!(due_names(&*process.store, 9, 10).await, Vec::<String>::new());
    let first = &process.store.due(at(30), 1).await.expect("due")[0];
    let loaded = load(&*process.store, "a").await;
    assert_eq!(
        (first.chain, &first.provider, first.due_at),
        (loaded.chain.id, &loaded.chain.provider, at(10))
    );
    assert_eq!(first.token_url, loaded.chain.token_url);
}

pub async fn who_is_switched_off_is_never_due(bed: &dyn Testbed) {
    let process = bed.open().await;
    create(&*process.store, due("a", Some(10))).await;
    let of = |name| {
        let shared = new(DraftFields { chain: Some("team".into()), ..fields(name, "r1") });
        NewCredential { due_at: Some(at(20)), ..shared }
    };
    create(&*process.store, of("b")).await;
    create(&*process.store, of("c")).await;
    let off = || Change { disabled: Some(true), ..Change::default() };
    for name in ["a", "b"] {
        process.store.amend(&super::fixtures::name(name), off(), silent("amend")).await.expect("amend");
    }
    // However it came to be due (a refresh that was in flight), who is switched off is not in the way.
    let switched_off = load(&*process.store, "a").await.chain;
    let seen = switched_off.due_at;
    process.store.reschedule(switched_off.id, seen, Some(at(1))).await.expect("reschedule");
    assert_eq!(due_names(&*process.store, 30, 1).await, ["c"]);
    let on = Change { disabled: Some(false), due_at: Some(at(5)), ..Change::default() };
    process.store.amend(&name("a"), on, silent("amend")).await.expect("amend");
    assert_eq!(due_names(&*process.store, 30, 10).await, ["a", "c"]);
}

pub async fn a_chain_is_rescheduled_without_a_revision(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, due("a", Some(10))).await.chain;
    process.store.reschedule(made.id, Some(at(10)), Some(at(50))).await.expect("reschedule");
    assert_eq!(due_names(&*process.store, 49, 10).await, Vec::<String>::new());
    assert_eq!(due_names(&*process.store, 50, 10).await, ["a"]);
    // A decision made before still holds.
    claim(&process, &made).await;
    process.store.reschedule(made.id, Some(at(50)), None).await.expect("reschedule");
    assert_eq!(due_names(&*process.store, 1_000, 10).await, Vec::<String>::new());
}

pub async fn a_due_time_that_changed_since_is_left_alone(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, due("a", Some(10))).await.chain;
    for stale in [Some(at(9)), None] {
        process.store.reschedule(made.id, stale, Some(at(500))).await.expect("reschedule");
        assert_eq!(load(&*process.store, "a").await.chain.due_at, Some(at(10)));
    }
    process.store.reschedule(made.id, Some(at(10)), None).await.expect("reschedule");
    process.store.reschedule(made.id, Some(at(10)), Some(at(20))).await.expect("reschedule");
    assert_eq!(load(&*process.store, "a").await.chain.due_at, None);
    process.store.reschedule(made.id, None, Some(at(20))).await.expect("reschedule");
    assert_eq!(load(&*process.store, "a").await.chain.due_at, Some(at(20)));
}

pub async fn the_census_counts_every_state(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let troubles = [
        ("verdict", Trouble::Verdict(verdict("token of verdict"))),
        ("stale", Trouble::Verdict(verdict("another token"))),
        (
            "uncertain",
            Trouble::Uncertain(Uncertain { since: at(1), probes: 0, retry_at: at(2), code: "c".into() }),
        ),
        ("resting", Trouble::Backoff(Backoff { failures: 1, retry_at: at(100), code: "c".into() })),
        ("rested", Trouble::Backoff(Backoff { failures: 1, retry_at: at(50), code: "c".into() })),
    ];
    for (name, trouble) in troubles {
        let made = create(store, oauth(name, &format!("token of {name}"))).await.chain;
        let claimed = claim(&process, &made).await;
        settle(store, settling(&claimed, Settlement::Troubled(trouble))).await;
    }
    store.put_client(super::fixtures::client("app", "s"), silent("client")).await.expect("client");
    let blocked = create(store, with_client("blocked-1", "app")).await.chain;
    create(store, with_client("blocked-2", "app")).await;
    let claimed = claim(&process, &blocked).await;
    let block = Settlement::Blocked(Block { code: "invalid_client".into(), at: at(1) });
    settle(store, settling(&claimed, block)).await;
    for (name, until) in [("cooling", 100), ("cooled", 50)] {
        let id = create(store, oauth(name, &format!("token of {name}"))).await.credential.id;
        let rest = Cooldown::whole(at(until), "manual");
        store.cool(id, &rest, silent("cool")).await.expect("cool");
    }
    create(store, oauth("off", "token of off")).await;
    let off = Change { disabled: Some(true), ..Change::default() };
    store.amend(&name("off"), off, silent("amend")).await.expect("amend");
    create(store, oauth("well", "token of well")).await;
    let mut census = store.census(at(60)).await.expect("census");
    census.sort();
    let expected = [
        ("active", 4),
        ("blocked", 2),
        ("cooling", 1),
        ("disabled", 1),
        ("reauth_required", 1),
        ("unavailable", 1),
        ("uncertain", 1),
    ];
    assert_eq!(census, expected.map(|(word, count)| (word.to_owned(), count)));
    // The words are those that each credential gives itself.
    for loaded in store.credentials(None, 100).await.expect("page") {
        let word = loaded.state(at(60)).as_str();
        assert!(census.iter().any(|(known, _)| known == word), "{word}");
    }
}

fn verdict(token: &str) -> Verdict {
    Verdict {
        hash: hash(token),
        reason: VerdictReason::Refused,
        code: "invalid_grant".into(),
        at: at(1),
        probes: 0,
        next_probe_at: None,
    }
}
