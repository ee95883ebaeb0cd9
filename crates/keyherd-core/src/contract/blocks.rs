//! Client apps, and what happens to all who use one that the provider refuses.

use super::Testbed;
use super::fixtures::{
    ask, at, claim, client, create, done, fields, load, name, new, oauth, row, settle, settling, silent,
    with_client, written,
};
use crate::credential::{Block, Chain, Client, ClientChoice, DraftFields};
use crate::ports::Store;
use crate::ports::store::{Change, Claimed, ClientRemoved, Removed};
use crate::refresh::Settlement;

fn block() -> Block {
    Block { code: "invalid_client".into(), at: at(1) }
}

async fn put(store: &dyn Store, client: crate::ports::store::NamedClient) -> bool {
    store.put_client(client, silent("client")).await.expect("client")
}

async fn refuse_client(process: &super::Process, chain: &Chain) -> Chain {
    let claimed = claim(process, chain).await;
    done(settle(&*process.store, settling(&claimed, Settlement::Blocked(block()))).await)
}

pub async fn a_block_is_the_clients_not_the_credentials(bed: &dyn Testbed) {
    let process = bed.open().await;
    put(&*process.store, client("app", "s1")).await;
    put(&*process.store, client("spare", "s2")).await;
    let first = create(&*process.store, with_client("acme-1", "app")).await;
    create(&*process.store, with_client("acme-2", "app")).await;
    create(&*process.store, with_client("acme-3", "spare")).await;
    let blocked = refuse_client(&process, &first.chain).await;
    assert_eq!((&blocked.block, &blocked.claim), (&Some(block()), &None));
    assert_eq!(blocked.trouble, first.chain.trouble, "nothing is held against the credential");
    assert_eq!(load(&*process.store, "acme-2").await.chain.block, Some(block()));
    assert_eq!(load(&*process.store, "acme-3").await.chain.block, None);
    let told: Vec<_> = process.store.clients().await.expect("clients");
    let told: Vec<_> = told.into_iter().map(|client| (client.name.to_string(), client.block)).collect();
    assert_eq!(told, [("app".to_owned(), Some(block())), ("spare".to_owned(), None)]);
    // The same goes for a client that credentials bring along: same id and secret, same client.
    let own = create(&*process.store, oauth("acme-4", "r4")).await;
    create(&*process.store, oauth("acme-5", "r5")).await;
    let other = DraftFields { client_secret: Some("corrected".into()), ..fields("acme-6", "r6") };
    create(&*process.store, new(other)).await;
    refuse_client(&process, &own.chain).await;
    assert_eq!(load(&*process.store, "acme-5").await.chain.block, Some(block()));
    assert_eq!(load(&*process.store, "acme-6").await.chain.block, None);
}

pub async fn a_blocked_client_is_not_claimed_for(bed: &dyn Testbed) {
    let process = bed.open().await;
    let first = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let second = create(&*process.store, oauth("acme-2", "r2")).await.chain;
    refuse_client(&process, &first).await;
    // The second was looked at before the block: its revision is still the row's.
    let missed = process.store.claim(&ask(&second), silent("claim")).await.expect("claim");
    let Claimed::Missed(Some(seen)) = missed else { panic!("claimed for a blocked client") };
    assert_eq!((&seen.block, &seen.claim), (&Some(block()), &None));
}

pub async fn a_corrected_client_is_not_blocked(bed: &dyn Testbed) {
    let process = bed.open().await;
    assert!(put(&*process.store, client("app", "s1")).await, "it is new");
    let made = create(&*process.store, with_client("acme-1", "app")).await.chain;
    let blocked = refuse_client(&process, &made).await;
    assert!(!put(&*process.store, client("app", "s2")).await, "it is not new");
    let after = row(&*process.store, made.id).await;
    assert_eq!((&after.block, &after.client.secret), (&None, &Some("s2".into())));
    assert_eq!(process.store.clients().await.expect("clients")[0].block, None);
    // The old secret again is a new try as well: someone said so.
    put(&*process.store, client("app", "s1")).await;
    let again = row(&*process.store, made.id).await;
    assert_eq!(again.block, None);
    assert_eq!(blocked.client.secret, again.client.secret);
    let resolved = process.store.client("acme", &name("app")).await.expect("client");
    let expected =
        Client { name: Some(name("app")), id: Some("shared app".into()), secret: Some("s1".into()) };
    assert_eq!(resolved, Some(expected));
    assert_eq!(process.store.client("other", &name("app")).await, Ok(None));
}

pub async fn a_corrected_client_wakes_who_waited_for_it(bed: &dyn Testbed) {
    let process = bed.open().await;
    put(&*process.store, client("app", "s1")).await;
    put(&*process.store, client("spare", "s2")).await;
    let held = create(&*process.store, with_client("acme-1", "app")).await.chain;
    let same = create(&*process.store, with_client("acme-2", "app")).await.chain;
    let other = create(&*process.store, with_client("acme-3", "spare")).await.chain;
    let far = bed.now() + std::time::Duration::from_secs(3_600);
    for chain in [&held, &same, &other] {
        process.store.reschedule(chain.id, chain.due_at, Some(far)).await.expect("reschedule");
    }
    let due = || async { process.store.due(bed.now(), 10).await.expect("due").len() };
    put(&*process.store, client("app", "s1")).await;
    assert_eq!(due().await, 0, "nobody waited");
    let blocked = refuse_client(&process, &held).await;
    process.store.reschedule(held.id, held.due_at, None).await.expect("reschedule");
    put(&*process.store, client("spare", "s3")).await;
    assert_eq!(due().await, 0, "another client is no reason");
    put(&*process.store, client("app", "s2")).await;
    let after = row(&*process.store, held.id).await;
    assert!(after.due_at.is_some_and(|due_at| due_at <= bed.now()), "{:?}", after.due_at);
    assert_eq!(after.revision, blocked.revision, "it is looked at, not changed");
    assert_eq!(due().await, 2, "all that the block held");
    assert_eq!(row(&*process.store, other.id).await.due_at, Some(far));
}

pub async fn an_amended_client_is_not_blocked(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    create(&*process.store, oauth("acme-2", "r2")).await;
    refuse_client(&process, &made).await;
    let own = |secret: &str| {
        let client = ClientChoice::Own { id: "app".into(), secret: Some(secret.into()) };
        Change { client: Some(client), ..Change::default() }
    };
    process.store.amend(&name("acme-1"), own("corrected"), silent("amend")).await.expect("amend");
    assert_eq!(load(&*process.store, "acme-1").await.chain.block, None);
    assert_eq!(load(&*process.store, "acme-2").await.chain.block, Some(block()), "not corrected there");
    process.store.amend(&name("acme-2"), own("app's secret"), silent("amend")).await.expect("amend");
    assert_eq!(load(&*process.store, "acme-2").await.chain.block, None, "saying so lifts it");
}

pub async fn a_block_on_yesterdays_client_holds_nobody(bed: &dyn Testbed) {
    let process = bed.open().await;
    put(&*process.store, client("app", "s1")).await;
    let made = create(&*process.store, with_client("acme-1", "app")).await.chain;
    let claimed = claim(&process, &made).await;
    put(&*process.store, client("app", "s2")).await;
    let after = done(settle(&*process.store, settling(&claimed, Settlement::Blocked(block()))).await);
    assert_eq!((&after.block, &after.claim), (&None, &None), "the refusal was about the old secret");
}

pub async fn a_used_client_is_not_removed(bed: &dyn Testbed) {
    let process = bed.open().await;
    let remove = || async {
        process.store.remove_client("acme", &name("app"), silent("client")).await.expect("remove")
    };
    assert_eq!(remove().await, ClientRemoved::NotFound);
    put(&*process.store, client("app", "s1")).await;
    let made = create(&*process.store, with_client("acme-1", "app")).await;
    let before = written(&*process.store).await;
    assert_eq!(remove().await, ClientRemoved::InUse(name("acme-1")));
    assert_eq!(written(&*process.store).await, before);
    let gone = process.store.remove(made.credential.id, None, silent("remove")).await;
    assert_eq!(gone, Ok(Removed::Done));
    assert_eq!(remove().await, ClientRemoved::Done);
    assert_eq!(process.store.clients().await, Ok(Vec::new()));
}

pub async fn another_providers_client_of_that_name_is_left_alone(bed: &dyn Testbed) {
    let process = bed.open().await;
    let other = crate::ports::store::NamedClient { provider: "other".into(), ..client("app", "s2") };
    put(&*process.store, client("app", "s1")).await;
    put(&*process.store, other.clone()).await;
    create(&*process.store, with_client("acme-1", "app")).await;
    let remove = |provider: &'static str| {
        let store = process.store.clone();
        async move { store.remove_client(provider, &name("app"), silent("client")).await.expect("remove") }
    };
    assert_eq!(remove("acme").await, ClientRemoved::InUse(name("acme-1")));
    assert_eq!(remove("none").await, ClientRemoved::NotFound);
    assert_eq!(remove("other").await, ClientRemoved::Done, "nobody of that provider uses it");
    let left = process.store.clients().await.expect("clients");
    assert_eq!(left.iter().map(|client| client.provider.as_str()).collect::<Vec<_>>(), ["acme"]);
}

pub async fn clients_come_in_order(bed: &dyn Testbed) {
    let process = bed.open().await;
    for (provider, name) in [("b", "one"), ("a", "two"), ("b", "four"), ("a", "one")] {
        let client = crate::ports::store::NamedClient { provider: provider.into(), ..client(name, "s") };
        put(&*process.store, client).await;
    }
    let all = process.store.clients().await.expect("clients");
    let all: Vec<_> = all.iter().map(|client| (client.provider.as_str(), client.name.as_str())).collect();
    assert_eq!(all, [("a", "one"), ("a", "two"), ("b", "four"), ("b", "one")]);
}
