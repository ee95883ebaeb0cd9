//! Another master key, while everybody works on.

use std::sync::Mutex;

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClientStore, CredentialStore, NamedClient, ProfileStore, StoredProfile,
};

use super::bed::{Bed, claim, create, grant, keyring, name, note, record, refresh};
use crate::seal::{KeySource, Keyring};
use crate::store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::statement::query;

async fn fill(store: &SqliteStore, count: usize) {
    for n in 0..count {
        create(store, &format!("acme-{n}"), &format!("t{n}")).await;
    }
    let client = NamedClient {
        name: name("app"),
        provider: "acme".into(),
        id: "id".into(),
        secret: Some("secret".into()),
        block: None,
    };
    store.put_client(client, record("client")).await.unwrap();
}

async fn read_all(store: &SqliteStore) -> usize {
    store.clients().await.unwrap();
    store.credentials(None, 1_000).await.unwrap().len()
}

#[tokio::test]
async fn after_a_rotation_the_new_key_alone_opens_everything() {
    let mut bed = Bed::new();
    bed.options.bounds.store.rekey_batch = 3;
    let store = bed.store().await;
    fill(&store, 7).await;
    let before = store.installation().hasher.labelled(b"l", b"t");
    let heard = Mutex::new(Vec::new());
    let progress = |done, total| heard.lock().unwrap().push((done, total));
    assert_eq!(store.rekey(keyring(&[2, 1]), note("key.rotate"), progress).await, Ok(8));
    assert_eq!(*heard.lock().unwrap(), [(1, 8), (4, 8), (7, 8), (8, 8)]);
    assert_eq!(
        store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await,
        Ok(0),
        "again: nothing is left"
    );
    assert_eq!(read_all(&store).await, 7);
    drop(store);
    let young = bed.with(keyring(&[2])).await.unwrap();
    assert_eq!(read_all(&young).await, 7);
    assert_eq!(young.installation().hasher.labelled(b"l", b"t"), before, "hashes outlive the master key");
    assert_eq!(young.verify().await.unwrap().broken, None);
    assert!(matches!(bed.refused().await, OpenError::WrongKey { .. }));
}

#[tokio::test]
async fn an_interrupted_rotation_goes_on_where_it_was() {
    let mut bed = Bed::new();
    bed.options.bounds.store.rekey_batch = 2;
    let store = bed.store().await;
    fill(&store, 7).await;
    drop(store);
    let store = bed.store().await;
    let dying = tokio::spawn(async move {
        let die = |done, _| assert!(done < 3, "the process dies here");
        store.rekey(keyring(&[2, 1]), note("key.rotate"), die).await
    });
    assert!(dying.await.is_err());
    let store = bed.with(keyring(&[2, 1])).await.unwrap();
    assert_eq!(read_all(&store).await, 7, "half and half, all of it opens");
    assert_eq!(store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await, Ok(5));
    drop(store);
    assert_eq!(read_all(&bed.with(keyring(&[2])).await.unwrap()).await, 7);
}

#[tokio::test]
async fn a_process_that_can_read_the_new_key_works_on() {
    let mut bed = Bed::new();
    let file = bed.folder.path().join("master.key");
    let old = KeySource::create_file(&file).unwrap();
    let source = KeySource::File(file);
    bed.options = SqliteOptions { keyring: old.clone(), keys: Some(source.clone()), ..bed.options };
    let (one, two) = (bed.store().await, bed.store().await);
    fill(&one, 3).await;
    let both = old.rotated().unwrap();
    source.replace(&both).unwrap();
    two.rekey(both.clone(), note("key.rotate"), |_, _| ()).await.unwrap();
    assert_eq!(read_all(&one).await, 3, "what it cannot open makes it read its keys again");
    let made = create(&one, "acme-9", "t9").await;
    refresh(&one, &made.chain, "t10").await;
    source.replace(&both.sealing_only()).unwrap();
    assert_eq!(read_all(&bed.with(both.sealing_only()).await.unwrap()).await, 4);
}

#[tokio::test]
async fn a_writer_that_never_read_a_new_value_writes_under_the_new_key_all_the_same() {
    let mut bed = Bed::new();
    let file = bed.folder.path().join("master.key");
    let old = KeySource::create_file(&file).unwrap();
    let source = KeySource::File(file);
    bed.options = SqliteOptions { keyring: old.clone(), keys: Some(source.clone()), ..bed.options };
    let (one, two) = (bed.store().await, bed.store().await);
    let both = old.rotated().unwrap();
    source.replace(&both).unwrap();
    two.rekey(both.clone(), note("key.rotate"), |_, _| ()).await.unwrap();
    create(&one, "acme-1", "t1").await;
    assert_eq!(read_all(&bed.with(both.sealing_only()).await.unwrap()).await, 1);
}

#[tokio::test]
async fn a_process_that_cannot_have_the_new_key_is_told_and_writes_nothing() {
    let bed = Bed::new();
    let (one, two) = (bed.store().await, bed.store().await);
    let made = create(&one, "acme-1", "t1").await;
    two.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.unwrap();
    let read = one.credential(&name("acme-1")).await;
    assert!(matches!(read, Err(StoreError::Sealed(_))), "{read:?}");
    let written = one.create(super::bed::new(&one, "acme-2", "t2"), record("create")).await;
    let Err(StoreError::Sealed(problem)) = written else { panic!("{written:?}") };
    assert!(problem.contains(&keyring(&[2]).sealing().to_hex()), "{problem}");
    // Were it an older program that does not ask first, the fence would stop it.
    let slot = crate::store::rooms::vault::Slot::of("chains.access_token", made.chain.id.as_i64(), 0);
    let stale = one.vault.seal(slot, b"stale").unwrap();
    let mut write = one.write().await.unwrap();
    let update = write.execute(query("UPDATE chains SET access_token = $1").bind(stale)).await;
    let told = one.told(update).unwrap_err();
    assert!(matches!(&told, StoreError::Sealed(problem) if problem.contains("rotated")), "{told:?}");
    drop(write);
    assert_eq!(read_all(&two).await, 1);
}

#[tokio::test]
async fn a_new_first_key_takes_over_at_the_next_opening() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    drop(store);
    let store = bed.with(keyring(&[2, 1])).await.unwrap();
    create(&store, "acme-2", "t2").await;
    assert_eq!(read_all(&store).await, 2);
    let sealed = store.tail(10).await.unwrap();
    assert!(sealed.iter().any(|entry| entry.action == "key.enforce"), "it is entered in the log");
    let old = bed.refused().await;
    assert!(matches!(old, OpenError::WrongKey { .. }), "{old:?}");
}

#[tokio::test]
async fn a_rotation_needs_the_key_in_force() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    let refused = store.rekey(keyring(&[2, 3]), note("key.rotate"), |_, _| ()).await;
    assert!(matches!(refused, Err(StoreError::Sealed(_))), "{refused:?}");
    assert_eq!(read_all(&store).await, 1);
    create(&store, "acme-2", "t2").await;
    assert_eq!(store.keyring().ids().collect::<Vec<_>>(), ids(&keyring(&[1])));
}

#[tokio::test]
async fn one_rotation_at_a_time() {
    let mut bed = Bed::new();
    bed.options.bounds.upgrade_timeout = std::time::Duration::from_millis(20);
    let (one, two) = (bed.store().await, bed.store().await);
    let held = one.rotation().await.unwrap();
    assert!(matches!(two.rotation().await, Err(OpenError::Upgrading { .. })));
    bed.store().await;
    drop(held);
    two.rotation().await.unwrap();
}

fn ids(keyring: &Keyring) -> Vec<crate::seal::KeyId> {
    keyring.ids().collect()
}

#[tokio::test]
async fn profiles_outlive_the_key_that_they_were_sealed_under() {
    let bed = Bed::new();
    let store = bed.store().await;
    let profile = StoredProfile { name: "acme".into(), text: "text".into() };
    store.put_profile(profile.clone(), record("profile")).await.unwrap();
    assert_eq!(store.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await, Ok(1));
    drop(store);
    assert_eq!(bed.with(keyring(&[2])).await.unwrap().profiles().await, Ok(vec![profile]));
}

#[tokio::test]
async fn an_answer_is_sealed_under_the_key_that_is_in_force_by_then() {
    let mut bed = Bed::new();
    bed.options.keyring = keyring(&[1, 2]);
    let (one, two) = (bed.store().await, bed.store().await);
    let chain = create(&one, "acme", "t1").await.chain;
    let claimed = claim(&one, &chain).await;
    two.rekey(keyring(&[2, 1]), note("key.rotate"), |_, _| ()).await.unwrap();
    let granted = grant(&one, &claimed, "t2").await;
    assert_eq!(granted.generation, 1);
    let young = bed.with(keyring(&[2])).await.unwrap();
    assert_eq!(young.chain(chain.id).await.unwrap().unwrap().tokens, granted.tokens);
    assert_eq!(young.verify().await.unwrap().broken, None);
}
