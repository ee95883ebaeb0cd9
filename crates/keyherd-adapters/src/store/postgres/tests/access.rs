//! Agents and bindings under lock and key.

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::AccessStore;

use super::bed::{Bed, keyring, note};
use crate::store::fixtures::{DAMAGE_TO_ACCESS, fill_access};

#[tokio::test]
async fn who_can_write_and_has_no_key_changes_nobodys_rights() {
    for (damage, column) in DAMAGE_TO_ACCESS {
        let bed = Bed::new().await;
        let store = bed.store().await;
        fill_access(&store).await;
        bed.meddle(damage).await;
        let told = (store.agents().await.err(), store.bindings().await.err());
        let ((Some(StoreError::Corrupt(problem)), None) | (None, Some(StoreError::Corrupt(problem)))) = &told
        else {
            panic!("{damage}: {told:?}")
        };
        assert!(problem.contains(column), "{problem}");
    }
}

#[tokio::test]
async fn they_outlive_the_key_that_they_were_sealed_under() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    fill_access(&store).await;
    let before = (store.agents().await, store.bindings().await);
    assert_eq!(before.0.as_ref().map(Vec::len), Ok(2));
    assert_eq!(store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await, Ok(6));
    drop(store);
    let young = bed.open_under(keyring(&[2])).await.unwrap();
    assert_eq!((young.agents().await, young.bindings().await), before);
}
