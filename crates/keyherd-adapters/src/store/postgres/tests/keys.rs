//! Another master key, while several processes write.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::credential::Purpose;
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClaimAsk, Claimed, CredentialStore, ProfileStore, StoredProfile,
};

use super::bed::{Bed, claim, create, grant, keyring, note, record, refresh};
use crate::postgres::{Type, WireError, WireOptions};
use crate::seal::KeySource;
use crate::store::postgres::OpenError;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_works_on_while_everything_is_sealed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.key");
    let old = KeySource::create_file(&file).unwrap();
    let source = KeySource::File(file);
    let mut bed = Bed::new().await;
    bed.keys = Some(source.clone());
    bed.bounds.rekey_batch = 3;
    let rotating = bed.open_under(old.clone()).await.unwrap();
    let profile = StoredProfile { name: "acme".into(), text: "text".into() };
    rotating.put_profile(profile.clone(), record("profile")).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..3 {
        let store = bed.open_under(old.clone()).await.unwrap();
        let mut chain = create(&store, &format!("acme-{writer}"), &format!("t{writer}")).await.chain;
        writers.push(tokio::spawn(async move {
            for n in 1..=15 {
                chain = refresh(&store, &chain, &format!("t{writer}.{n}")).await;
                create(&store, &format!("more-{writer}-{n}"), &format!("m{writer}.{n}")).await;
            }
            chain.generation
        }));
    }
    let mut keys = old;
    for _ in 0..2 {
        keys = keys.rotated().unwrap();
        source.replace(&keys).unwrap();
        rotating.rekey(keys.clone(), note("key.rotate"), |_, _| ()).await.unwrap();
    }
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 15);
    }
    // What was written after its table was passed is sealed under the new key by the fence; so the old ones may go.
    source.replace(&keys.sealing_only()).unwrap();
    let young = bed.open_under(keys.sealing_only()).await.unwrap();
    assert_eq!(young.credentials(None, 100).await.unwrap().len(), 48);
    assert_eq!(young.profiles().await, Ok(vec![profile]));
    assert_eq!(young.verify().await.unwrap().broken, None);
}

#[tokio::test]
async fn a_rotation_that_cannot_begin_leaves_the_process_its_key() {
    let mut bed = Bed::new().await;
    let short = Duration::from_secs(1);
    bed.lanes = WireOptions { statement_timeout: short, ..bed.lanes };
    let store = bed.store().await;
    let holding = bed.outside().begin().await.unwrap();
    holding.query(crate::store::postgres::engine::lock::KEY, &[]).await.unwrap();
    assert!(store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.is_err());
    holding.rollback().await.unwrap();
    create(&store, "acme", "t1").await;
}

#[tokio::test]
async fn one_process_rotates_at_a_time() {
    let bed = Bed::new().await;
    let (one, two) = (bed.store().await, bed.store().await);
    let held = one.rotation().await.unwrap();
    let waiting = tokio::spawn(async move {
        match two.rotation().await {
            Ok(held) => Ok(held.is_held().await),
            Err(error) => Err(error),
        }
    });
    bed.until_somebody_waits().await;
    assert!(held.is_held().await);
    create(&one, "acme", "t1").await;
    drop(held);
    assert_eq!(waiting.await.unwrap(), Ok(true));
}

#[tokio::test]
async fn a_second_rotation_is_refused_and_a_lost_one_is_noticed() {
    let mut bed = Bed::new().await;
    // Its own bound as well: kept alive, the transaction outlives it.
    let short = Duration::from_secs(1);
    bed.lanes = WireOptions { idle_in_transaction_timeout: short, ..bed.lanes };
    bed.upgrade_timeout = 3 * short;
    let (one, two) = (bed.store().await, bed.store().await);
    let held = one.rotation().await.unwrap();
    assert!(matches!(two.rotation().await, Err(OpenError::Rotating { .. })));
    assert!(held.is_held().await);
    bed.look(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await;
    assert!(!held.is_held().await, "it is asked, and does not wait to be told");
    two.rotation().await.unwrap();
}

#[tokio::test]
async fn a_pooler_keeps_the_right_to_rotate_together() {
    let bed = Arc::new(Bed::pooled().await);
    let (one, two) = (bed.store().await, bed.store().await);
    let held = one.rotation().await.unwrap();
    let waiting = tokio::spawn(async move { two.rotation().await.map(drop) });
    bed.until_somebody_waits().await;
    drop(held);
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn an_opening_with_another_order_of_keys_leaves_the_key_in_force() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    create(&store, "acme", "t1").await;
    store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.unwrap();
    // A shell that still lists the old key first: it reads, it writes, and the new key stays in force.
    let shell = bed.open_with(&[1, 2]).await.unwrap();
    let chain = create(&shell, "acme-2", "t2").await.chain;
    refresh(&shell, &chain, "t3").await;
    let young = bed.open_with(&[2]).await.unwrap();
    assert_eq!(young.credentials(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_could_not_seal_the_answer_claims_nothing() {
    let bed = Bed::new().await;
    let (left_behind, store) = (bed.store().await, bed.store().await);
    let chain = create(&store, "acme", "t1").await.chain;
    // A rotation that has only begun: the new key is in force, and the row still opens with the old one.
    let young = bed.open_with(&[2, 1]).await.unwrap();
    assert!(young.rooms.take_over(keyring(&[1]).sealing()).await.is_ok());
    let row = young.chain(chain.id).await.unwrap().unwrap();
    let ask = ClaimAsk {
        id: ClaimId::from_i64(7),
        chain: row.id,
        revision: row.revision,
        purpose: Purpose::Refresh,
    };
    let refused = left_behind.claim(&ask, record("claim")).await;
    assert!(matches!(refused, Err(StoreError::Sealed(_))), "{refused:?}");
    assert_eq!(young.unresolved().await, Ok(0));
    assert!(matches!(young.claim(&ask, record("claim")).await, Ok(Claimed::Granted(_))));
}

#[tokio::test]
async fn no_other_key_comes_into_force_while_a_claim_waits_for_its_row() {
    let bed = Bed::new().await;
    let store = Arc::new(bed.store().await);
    let row = create(&store, "acme", "t1").await.chain;
    let holding = bed.outside().begin().await.unwrap();
    let id = [(&row.id.as_i64() as _, Type::INT8)];
    holding.query("SELECT 1 FROM chains WHERE id = $1 FOR UPDATE", &id).await.unwrap();
    let (revision, purpose) = (row.revision, Purpose::Refresh);
    let ask = ClaimAsk { id: ClaimId::from_i64(7), chain: row.id, revision, purpose };
    let claiming = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.claim(&ask, record("claim")).await }
    });
    bed.until_somebody_waits().await;
    let key = crate::store::postgres::engine::lock::KEY;
    let hasty = bed.outside().begin_within(Duration::from_millis(200)).await.unwrap();
    assert!(matches!(hasty.query(key, &[]).await, Err(WireError::TimedOut(_))));
    holding.rollback().await.unwrap();
    assert!(matches!(claiming.await.unwrap(), Ok(Claimed::Granted(_))));
    bed.outside().begin().await.unwrap().query(key, &[]).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_sealed_under_the_key_that_is_in_force_by_then() {
    for is_retired in [false, true] {
        let bed = Bed::new().await;
        let store = bed.open_with(&[1, 2]).await.unwrap();
        let chain = create(&store, "acme", "t1").await.chain;
        let claimed = claim(&store, &chain).await;
        let rotating = bed.open_with(&[2, 1]).await.unwrap();
        if is_retired {
            rotating.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.unwrap();
        } else {
            assert!(rotating.rooms.take_over(keyring(&[1]).sealing()).await.is_ok());
        }
        let granted = grant(&store, &claimed, "t2").await;
        assert_eq!(granted.generation, 1);
        rotating.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.unwrap();
        let young = bed.open_with(&[2]).await.unwrap();
        let read = young.chain(chain.id).await.unwrap().unwrap();
        assert_eq!(read.tokens, granted.tokens);
    }
}
