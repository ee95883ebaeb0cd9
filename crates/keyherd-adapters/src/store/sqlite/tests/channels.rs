//! Channels under lock and key.

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::ChannelStore;

use super::bed::{Bed, keyring, meddle, note};
use crate::store::fixtures::{DAMAGE_TO_CHANNELS, fill_channels};

#[tokio::test]
async fn who_can_write_and_has_no_key_sends_no_question_elsewhere() {
    for damage in DAMAGE_TO_CHANNELS {
        let bed = Bed::new();
        let store = bed.store().await;
        fill_channels(&store).await;
        meddle(&store, damage).await;
        let Err(StoreError::Corrupt(problem)) = store.channels().await else { panic!("{damage}") };
        assert!(problem.contains("channels.doc") && !problem.contains("planted"), "{problem}");
    }
}

#[tokio::test]
async fn they_outlive_the_key_that_they_were_sealed_under() {
    let bed = Bed::new();
    let store = bed.store().await;
    fill_channels(&store).await;
    let before = store.channels().await;
    assert_eq!(before.as_ref().map(Vec::len), Ok(2));
    assert_eq!(store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await, Ok(2));
    drop(store);
    let young = bed.with(keyring(&[2])).await.unwrap();
    assert_eq!(young.channels().await, before);
}
