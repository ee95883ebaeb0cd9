//! Pools: one namespace, one pool for each credential, and one pointer.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Testbed;
use super::fixtures::{at, create, name, note, oauth, silent, written};
use crate::ids::{CredentialId, Name, PoolId};
use crate::pool::{Edit, Pool, PoolConflict, Strategy};
use crate::ports::Store;
use crate::ports::store::{
    Conflict, Created, Event, NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolTurn,
    PoolTurned, Record, Removed,
};

fn names(text: &str) -> Vec<Name> {
    text.split_whitespace().map(name).collect()
}

fn new(id: i64, pool: &str, members: &str) -> NewPool {
    let (id, strategy) = (PoolId::from_i64(id), Strategy::Failover);
    NewPool { id, name: name(pool), strategy, members: names(members) }
}

fn told(kind: &'static str) -> Record {
    let event = Event { kind, chain: None, subject: "pool".into(), detail: serde_json::json!({}) };
    Record { note: note(kind), event: Some(event) }
}

async fn credentials(store: &dyn Store, text: &str) -> Vec<CredentialId> {
    let mut ids = Vec::new();
    for name in text.split_whitespace() {
        ids.push(create(store, oauth(name, &format!("token of {name}"))).await.credential.id);
    }
    ids
}

async fn made(store: &dyn Store, new: NewPool) -> Pool {
    match store.create_pool(new, told("pool_created")).await.expect("create") {
        PoolCreated::Done(pool) => *pool,
        PoolCreated::Conflict(conflict) => panic!("not made: {conflict}"),
    }
}

async fn edited(store: &dyn Store, pool: &str, edit: Edit) -> PoolChanged {
    let change = PoolChange { edit: Some(edit), ..PoolChange::default() };
    store.change_pool(&name(pool), change, told("pool_changed")).await.expect("change")
}

#[track_caller]
fn done(changed: PoolChanged) -> Pool {
    match changed {
        PoolChanged::Done(pool) => *pool,
        other => panic!("not changed: {other:?}"),
    }
}

async fn turned(store: &dyn Store, pool: &Pool, to: CredentialId, is_rotated: bool) -> PoolTurned {
    let turn = PoolTurn { pool: pool.id, epoch: pool.epoch, to, is_rotated };
    store.turn_pool(turn, told("failover")).await.expect("turn")
}

pub async fn a_pool_is_kept_whole(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let ids = credentials(store, "a b c").await;
    let before = written(store).await;
    let pool = made(store, NewPool { strategy: Strategy::RoundRobin, ..new(1, "pool", "b c a") }).await;
    assert_eq!(written(store).await, (before.0 + 1, before.1 + 1));
    assert_eq!(
        (pool.names(), pool.strategy, pool.active, pool.epoch),
        (names("b c a"), Strategy::RoundRobin, 0, 0)
    );
    assert_eq!(pool.members.iter().map(|m| m.id).collect::<Vec<_>>(), [ids[1], ids[2], ids[0]]);
    assert_eq!((pool.is_rotated, pool.exhausted_until), (false, None));
    assert_eq!(bed.open().await.store.pool(&name("pool")).await, Ok(Some(pool.clone())));
    let members = store.members(pool.id).await.expect("members");
    assert_eq!(members.iter().map(|m| m.credential.name.clone()).collect::<Vec<_>>(), names("b c a"));
    assert_eq!(members.first().map(|m| m.chain.tokens.access_token.is_some()), Some(true));
    assert_eq!(store.pool(&name("other")).await, Ok(None));
    assert_eq!(store.members(PoolId::from_i64(9)).await.expect("members"), []);
}

pub async fn pools_come_in_pages(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    credentials(store, "a b c d").await;
    for (id, pool, members) in [(1, "p2", "b"), (2, "p1", "d a"), (3, "p3", "c")] {
        made(store, new(id, pool, members)).await;
    }
    let page = async |after: Option<&str>, limit| -> Vec<(String, usize)> {
        let after = after.map(name);
        let pools = store.pools(after.as_ref(), limit).await.expect("page");
        pools.iter().map(|pool| (pool.name.to_string(), pool.members.len())).collect()
    };
    assert_eq!(page(None, 2).await, [("p1".into(), 2), ("p2".into(), 1)]);
    assert_eq!(page(Some("p2"), 2).await, [("p3".into(), 1)]);
    assert_eq!(page(Some("p3"), 2).await, []);
}

pub async fn pools_and_credentials_share_their_names(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    credentials(store, "a b").await;
    made(store, new(1, "pool", "a")).await;
    let before = written(store).await;
    let refused = async |id, pool: &str, members: &str| match store
        .create_pool(new(id, pool, members), told("x"))
        .await
    {
        Ok(PoolCreated::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(2, "b", "b").await, PoolConflict::NameOfCredential(name("b")));
    assert_eq!(refused(2, "pool", "b").await, PoolConflict::NameOfPool(name("pool")));
    let taken = store.create(oauth("pool", "t9"), silent("create")).await.expect("create");
    assert_eq!(taken, Created::Conflict(Conflict::NameOfPool { pool: "pool".into() }));
    assert_eq!(written(store).await, before);
    assert_eq!(store.remove_pool(&name("pool"), told("pool_removed")).await, Ok(PoolRemoved::Done));
    create(store, oauth("pool", "t9")).await;
}

pub async fn what_does_not_fit_changes_nothing(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    credentials(store, "a b c d").await;
    let pool = made(store, new(1, "pool", "a b")).await;
    made(store, new(2, "other", "c")).await;
    let before = written(store).await;
    let refused = async |members: &str| match store.create_pool(new(3, "third", members), told("x")).await {
        Ok(PoolCreated::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    };
    let pooled = |member, pool| PoolConflict::Pooled { member: name(member), pool: name(pool) };
    assert_eq!(refused("d nobody").await, PoolConflict::UnknownMember(name("nobody")));
    assert_eq!(refused("d other").await, PoolConflict::UnknownMember(name("other")), "a pool is no member");
    assert_eq!(refused("d d").await, PoolConflict::Duplicate(name("d")));
    assert_eq!(refused("d b").await, pooled("b", "pool"));
    assert_eq!(refused("").await, PoolConflict::Empty);
    let edits = [
        (Edit::Add(name("nobody")), PoolConflict::UnknownMember(name("nobody"))),
        (Edit::Add(name("c")), pooled("c", "other")),
        (Edit::Add(name("a")), PoolConflict::Duplicate(name("a"))),
        (Edit::Drop(name("d")), PoolConflict::NotAMember(name("d"))),
        (Edit::Replace(names("d c")), pooled("c", "other")),
        (Edit::Replace(Vec::new()), PoolConflict::Empty),
    ];
    for (edit, conflict) in edits {
        assert_eq!(edited(store, "pool", edit).await, PoolChanged::Conflict(conflict));
    }
    assert_eq!(edited(store, "third", Edit::Add(name("d"))).await, PoolChanged::NotFound);
    assert_eq!(store.remove_pool(&name("third"), told("x")).await, Ok(PoolRemoved::NotFound));
    assert_eq!(done(edited(store, "pool", Edit::Replace(names("a b"))).await), pool, "as it is");
    assert_eq!(written(store).await, before);
    assert_eq!(store.pool(&name("pool")).await, Ok(Some(pool)));
}

pub async fn an_edit_keeps_the_pointer(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let ids = credentials(store, "a b c d").await;
    let pool = made(store, new(1, "pool", "a b c")).await;
    assert!(matches!(turned(store, &pool, ids[1], false).await, PoolTurned::Done(_)));
    let active = |pool: &Pool| (pool.names(), pool.active_member().map(|m| m.name.clone()), pool.epoch);
    let wider = done(edited(store, "pool", Edit::Replace(names("d c b a"))).await);
    assert_eq!(active(&wider), (names("d c b a"), Some(name("b")), 2));
    let gone = done(edited(store, "pool", Edit::Drop(name("b"))).await);
    assert_eq!(active(&gone), (names("d c a"), Some(name("a")), 3), "the next in order takes its place");
    let other = PoolChange { strategy: Some(Strategy::LeastRecentlyUsed), edit: None };
    let other = done(store.change_pool(&name("pool"), other, told("pool_changed")).await.expect("change"));
    assert_eq!(
        (other.strategy, other.epoch, other.names()),
        (Strategy::LeastRecentlyUsed, 4, names("d c a"))
    );
    assert_eq!(store.pool(&name("pool")).await, Ok(Some(other.clone())));
    made(store, new(2, "other", "b")).await;
    let PoolTurned::Done(by_hand) = turned(store, &other, ids[2], true).await else { panic!("not moved") };
    let edit = Edit::Replace(names("c a"));
    let kept = done(edited(store, "pool", edit).await);
    assert_eq!((by_hand.is_rotated, kept.is_rotated), (true, true));
    let gone = done(edited(store, "pool", Edit::Drop(name("c"))).await);
    assert_eq!((gone.names(), gone.is_rotated), (names("a"), false), "nobody chose that one");
    assert_eq!(store.pool(&name("pool")).await, Ok(Some(gone)));
}

pub async fn the_pointer_moves_once(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let ids = credentials(&*one.store, "a b c").await;
    let pool = made(&*one.store, new(1, "pool", "a b c")).await;
    let before = written(&*one.store).await;
    let stores: Vec<Arc<dyn Store>> =
        (0..20).map(|n| if n % 2 == 0 { one.store.clone() } else { two.store.clone() }).collect();
    let turns =
        join_all(stores.iter().enumerate().map(|(n, store)| turned(&**store, &pool, ids[1 + n % 2], n == 0)))
            .await;
    let won: Vec<&Pool> = turns
        .iter()
        .filter_map(|turned| if let PoolTurned::Done(pool) = turned { Some(&**pool) } else { None })
        .collect();
    assert_eq!(won.len(), 1, "{turns:?}");
    assert_eq!((won[0].epoch, won[0].exhausted_until), (1, None));
    let missed = turns.iter().filter(|turned| **turned == PoolTurned::Missed(Some(Box::new(won[0].clone()))));
    assert_eq!(missed.count(), 19);
    assert_eq!(written(&*one.store).await, (before.0 + 1, before.1 + 1), "one entry, one event");
    assert_eq!(two.store.pool(&name("pool")).await, Ok(Some(won[0].clone())));
    let PoolTurned::Done(by_hand) = turned(&*two.store, won[0], ids[0], true).await else {
        panic!("not moved")
    };
    assert_eq!((by_hand.active, by_hand.is_rotated, by_hand.epoch), (0, true, 2));
    let stranger = CredentialId::from_i64(7);
    assert!(matches!(turned(&*one.store, &by_hand, stranger, false).await, PoolTurned::Missed(Some(_))));
    one.store.remove_pool(&name("pool"), told("pool_removed")).await.expect("remove");
    assert_eq!(turned(&*one.store, &by_hand, ids[1], false).await, PoolTurned::Missed(None));
}

pub async fn exhaustion_is_said_once(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let ids = credentials(store, "a b").await;
    let pool = made(store, new(1, "pool", "a b")).await;
    let soon = bed.now() + std::time::Duration::from_secs(3_600);
    let say = async |epoch, until| store.exhaust_pool(pool.id, epoch, until, told("pool_exhausted")).await;
    let before = written(store).await;
    assert_eq!(say(0, soon).await, Ok(true));
    assert_eq!(
        [say(0, soon).await, say(0, at(9_999_999)).await, say(1, soon).await],
        [Ok(false), Ok(false), Ok(false)]
    );
    assert_eq!(written(store).await, (before.0 + 1, before.1 + 1));
    let said = store.pool(&name("pool")).await.expect("read").expect("there");
    assert_eq!((said.exhausted_until, said.epoch), (Some(soon), 0));
    assert!(matches!(turned(store, &said, ids[1], false).await, PoolTurned::Done(_)));
    assert_eq!(say(1, bed.now()).await, Ok(true), "a move ends it");
    assert_eq!(say(1, soon).await, Ok(true), "and so does its time");
}

pub async fn a_pooled_credential_is_not_removed(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let ids = credentials(store, "a b").await;
    made(store, new(1, "pool", "a b")).await;
    let before = written(store).await;
    let remove = async |id| store.remove(id, None, silent("remove")).await.expect("remove");
    assert_eq!(remove(ids[0]).await, Removed::Pooled(name("pool")));
    assert_eq!(written(store).await, before);
    done(edited(store, "pool", Edit::Drop(name("a"))).await);
    assert_eq!(remove(ids[0]).await, Removed::Done);
    assert_eq!(store.remove_pool(&name("pool"), told("pool_removed")).await, Ok(PoolRemoved::Done));
    assert_eq!(remove(ids[1]).await, Removed::Done);
}

pub async fn one_of_many_pools_gets_a_credential(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    credentials(&*one.store, "a").await;
    let make = |n: i64| {
        let store = if n % 2 == 0 { one.store.clone() } else { two.store.clone() };
        async move { store.create_pool(new(n, &format!("pool-{n}"), "a"), told("pool_created")).await }
    };
    let made = join_all((1..=10).map(make)).await;
    let count = made.iter().filter(|made| matches!(made, Ok(PoolCreated::Done(_)))).count();
    assert_eq!(count, 1, "{made:?}");
}
