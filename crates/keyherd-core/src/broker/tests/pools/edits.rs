//! Making and changing pools, and what is refused.

use super::*;
use crate::broker::{AcquireError, ConnectError, ConnectMode, ManageError};
use crate::credential::Draft;
use crate::pool::{Edit, PoolConflict};
use crate::ports::store::PoolChange;

#[tokio::test(start_paused = true)]
async fn a_pool_is_shown_with_its_members() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    host.cools("b", HOUR).await;
    let status = host.broker.pool_status(&name("pool")).await.expect("there");
    assert_eq!((status.pool.names(), status.pool.active), (names("a b"), 0));
    let states = status.members.iter().map(|member| member.state(host.broker.now()).as_str());
    assert_eq!(states.collect::<Vec<_>>(), ["active", "cooling"]);
    let page = host.broker.pools(None, 1).await.expect("page");
    assert_eq!((page.items.len(), page.next), (1, None));
}

#[tokio::test(start_paused = true)]
async fn members_come_and_go() {
    let stage = pooled("a b", Strategy::Failover).await;
    let (host, other) = (&stage.host, stage.fleet.host());
    keys(&stage, "c").await;
    watching(&other).await;
    assert_eq!(other.serves().await, "a");
    let change = |edit| PoolChange { edit: Some(edit), ..PoolChange::default() };
    host.broker.change_pool(&name("pool"), change(Edit::Add(name("c"))), &actor()).await.expect("added");
    host.broker.change_pool(&name("pool"), change(Edit::Drop(name("a"))), &actor()).await.expect("dropped");
    assert_eq!(host.serves().await, "b");
    pass(Duration::from_millis(60)).await;
    assert_eq!(other.serves().await, "b");
    token(host.broker.acquire("a", &plain(), &actor()).await);
    host.broker.remove_pool(&name("pool"), &actor()).await.expect("removed");
    let gone = |outcome| assert!(matches!(outcome, Err(AcquireError::NotFound(_))), "{outcome:?}");
    gone(host.broker.acquire("pool", &plain(), &actor()).await);
    pass(Duration::from_millis(60)).await;
    gone(other.broker.acquire("pool", &plain(), &actor()).await);
    keys(&stage, "pool").await;
    assert_eq!(host.serves().await, "pool", "now it is a credential's name");
    assert_eq!(other.serves().await, "pool");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_and_says_why() {
    let stage = pooled("a b", Strategy::Failover).await;
    let broker = &stage.host.broker;
    keys(&stage, "c").await;
    let make = async |pool: &str, members: &str| {
        broker
            .create_pool(&name(pool), names(members), Strategy::Failover, &actor())
            .await
            .expect_err("refused")
    };
    let conflict = |error: ManageError| match error {
        ManageError::Pool { conflict, .. } => conflict,
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(make("c", "c").await), PoolConflict::NameOfCredential(name("c")));
    assert_eq!(conflict(make("pool", "c").await), PoolConflict::NameOfPool(name("pool")));
    assert_eq!(conflict(make("p2", "").await), PoolConflict::Empty);
    assert_eq!(conflict(make("p2", "c c").await), PoolConflict::Duplicate(name("c")));
    assert_eq!(
        make("p2", "c d").await.to_string(),
        "pool 'p2': no credential is named 'd': a pool's members are credentials; see 'keyherd cred list'"
    );
    assert_eq!(
        make("p2", "c b").await.to_string(),
        "pool 'p2': credential 'b' is in pool 'pool' already: a credential is in one pool at most"
    );
    let removed = broker.remove(&name("a"), &actor()).await.expect_err("in use");
    assert_eq!(
        removed.to_string(),
        "credential 'a' is a member of pool 'pool': drop it there first, with 'keyherd pool drop pool a'"
    );
    let strangers = broker.rotate_pool(&name("pool"), Some(&name("c")), &actor()).await.expect_err("refused");
    assert_eq!(conflict(strangers), PoolConflict::NotAMember(name("c")));
    for nobody in
        [broker.pool(&name("p2")).await.err(), broker.remove_pool(&name("p2"), &actor()).await.err()]
    {
        assert!(matches!(nobody, Some(ManageError::NotFound { what: "pool", .. })), "{nobody:?}");
    }
    let draft = Draft::parse(stage.fields("pool", HOUR, "r9")).expect("a draft");
    let taken = broker.connect(draft, ConnectMode::Replace, &actor()).await.expect_err("refused");
    assert!(matches!(taken, ConnectError::Conflict { .. }), "{taken:?}");
    assert_eq!((stage.host.pool().await.epoch, stage.host.entered("pool.create").await), (0, 1));
}
