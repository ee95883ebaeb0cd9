//! Transactions that end after others have looked: whoever decides by a row waits for what is about to change it.

use std::time::Duration;

use keyherd_core::fakes::RotatingProvider;
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::store::{ChainStore, CredentialStore, Settled, Settling};
use keyherd_core::refresh::Settlement;
use keyherd_core::time::Timestamp;

use super::bed::{Bed, create, name, record, soon};
use super::counted::peer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_lands_late_is_given_back_by_the_release_that_came_first() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    let chain = create(&store, "acme", "t1").await.chain;
    // A claim of this process whose COMMIT is still on its way.
    let claiming = bed.outside().begin().await.unwrap();
    let claim = format!(
        "UPDATE chains SET revision = revision + 1, claim_id = 77, claim_owner = {}, claim_purpose = 'refresh', \
         claim_at = 0, claim_until = 9000000000000000 WHERE id = {}",
        store.owner().as_i64(),
        chain.id.as_i64()
    );
    claiming.execute(&claim, &[]).await.unwrap();
    let given_back = Settling {
        chain: chain.id,
        claim: ClaimId::from_i64(77),
        generation: chain.generation,
        settlement: Settlement::Released,
        spend_hash: chain.spend_hash,
        minted_by_rejection: false,
        due_at: None,
    };
    let releasing = store.settle(given_back, record("release"));
    tokio::pin!(releasing);
    tokio::select! {
        early = &mut releasing => panic!("it did not wait for the claim: {early:?}"),
        () = bed.until_somebody_waits() => {}
    }
    claiming.commit().await.unwrap();
    let settled = releasing.await.unwrap();
    assert!(matches!(&settled, Settled::Done(row) if row.claim.is_none()), "{settled:?}");
    assert!(store.credential(&name("acme")).await.unwrap().unwrap().chain.claim.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_due_time_that_an_enabling_sets_stays() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    let chain = create(&store, "acme", "t1").await.chain.id.as_i64();
    bed.meddle("UPDATE credentials SET disabled = true").await;
    // Another process's enabling: not seen yet, and on its way.
    let enabling = bed.outside().begin().await.unwrap();
    let due = format!("UPDATE chains SET revision = revision + 1, due_at = 7 WHERE id = {chain}");
    enabling.execute(&due, &[]).await.unwrap();
    enabling.execute("UPDATE credentials SET disabled = false", &[]).await.unwrap();
    let looking = store.due(Timestamp::from_millis(10), 10);
    tokio::pin!(looking);
    tokio::select! {
        early = &mut looking => panic!("it did not wait for the enabling: {early:?}"),
        () = bed.until_somebody_waits() => {}
    }
    enabling.commit().await.unwrap();
    looking.await.unwrap();
    let due = store.due(Timestamp::from_millis(10), 10).await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_committed_after_later_ones_reaches_a_broker() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    let provider = RotatingProvider::new(Duration::ZERO, 3_600);
    let watching = peer(&bed, &provider).await;
    let mut news = watching.broker.events();
    soon(watching.broker.watched()).await;
    // Its number is drawn before the others', and is seen after them.
    let late = bed.outside().begin().await.unwrap();
    let insert = "INSERT INTO events (at, kind, subject, detail) VALUES (1, 'late', 'late', '{}')";
    late.execute(insert, &[]).await.unwrap();
    create(&store, "acme", "t1").await;
    soon(async { while news.recv().await.unwrap().kind != "create" {} }).await;
    late.commit().await.unwrap();
    soon(async { while news.recv().await.unwrap().kind != "late" {} }).await;
}
