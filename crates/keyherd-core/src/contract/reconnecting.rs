//! Other tokens from outside.

use serde_json::json;

use super::fixtures::{
    at, claim, create, fields, granting, name, new, oauth, refresh, row, settle, settling, silent,
    superseded, told, written,
};
use super::{Process, Testbed};
use crate::credential::{Chain, DraftFields, Loaded, Trouble, Uncertain, Verdict, VerdictReason};
use crate::ports::Store;
use crate::ports::store::{Conflict, NewCredential, Reconnected};
use crate::refresh::Settlement;

async fn reconnect(store: &dyn Store, new: NewCredential) -> Loaded {
    let record = told("reconnect", new.chain);
    match store.reconnect(new, record).await.expect("reconnect") {
        Reconnected::Done(loaded) => *loaded,
        other => panic!("not reconnected: {other:?}"),
    }
}

async fn refused(store: &dyn Store, new: NewCredential) -> Conflict {
    let before = (written(store).await, store.credential(&new.draft.name).await);
    let name = new.draft.name.clone();
    let record = told("reconnect", new.chain);
    let Reconnected::Conflict(conflict) = store.reconnect(new, record).await.expect("reconnect") else {
        panic!("{name} was reconnected");
    };
    assert_eq!((written(store).await, store.credential(&name).await), before, "a refusal changes nothing");
    conflict
}

/// The provider refuses the chain's token for good.
async fn condemn(process: &Process, chain: &Chain) -> Chain {
    let claimed = claim(process, chain).await;
    let verdict = Verdict {
        hash: claimed.spend_hash.expect("it has something to spend"),
        reason: VerdictReason::Refused,
        code: "invalid_grant".into(),
        at: at(1),
        probes: 0,
        next_probe_at: Some(at(3_601)),
    };
    let settlement = Settlement::Troubled(Trouble::Verdict(verdict));
    super::fixtures::done(settle(&*process.store, settling(&claimed, settlement)).await)
}

pub async fn other_tokens_win_over_a_refresh(bed: &dyn Testbed) {
    let process = bed.open().await;
    let old = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &old).await;
    let given = oauth("acme-1", "s1");
    let young = reconnect(&*process.store, given.clone()).await.chain;
    assert_eq!((young.id, young.generation), (old.id, old.generation + 1));
    assert!(young.revision > claimed.revision);
    assert_eq!((&young.tokens, young.spend_hash), (&given.tokens, given.spend_hash));
    assert_eq!((&young.claim, &young.trouble), (&None, &Trouble::None));
    assert_eq!((young.due_at, young.minted_by_rejection), (given.due_at, false));
    let left = superseded(settle(&*process.store, granting(&claimed, "r2")).await);
    assert_eq!(left, young, "the refresh in flight reverts nothing");
    assert_eq!(row(&*process.store, old.id).await, young);
}

pub async fn the_same_token_moves_nothing(bed: &dyn Testbed) {
    let process = bed.open().await;
    let old = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &old).await;
    let mut again = oauth("acme-1", "r1");
    again.tokens.access_token = Some("a newer one".into());
    let same = reconnect(&*process.store, again).await.chain;
    assert_eq!((same.generation, &same.claim), (claimed.generation, &claimed.claim));
    assert_eq!(same.tokens.access_token, Some("a newer one".into()));
    let mut bare = oauth("acme-1", "r1");
    bare.tokens.access_token = None;
    let kept = reconnect(&*process.store, bare).await.chain;
    assert_eq!(kept.tokens.access_token, Some("a newer one".into()), "what is not given is kept");
    super::fixtures::done(settle(&*process.store, granting(&claimed, "r2")).await);
}

pub async fn the_same_token_keeps_its_verdict(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let dead = condemn(&process, &made).await;
    let same = reconnect(&*process.store, oauth("acme-1", "r1")).await.chain;
    assert_eq!((&same.trouble, same.generation), (&dead.trouble, dead.generation));
    assert!(same.verdict().is_some());
}

pub async fn a_spent_token_does_not_come_back(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    refresh(&process, &made, "r2").await;
    let conflict = refused(&*process.store, oauth("acme-1", "r1")).await;
    assert_eq!(conflict, Conflict::TokenSpent { holder: "acme-1".into(), generation: 0, current: 1 });
}

pub async fn a_replaced_token_that_nobody_used_comes_back(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let other = reconnect(&*process.store, oauth("acme-1", "s1")).await.chain;
    let back = reconnect(&*process.store, oauth("acme-1", "r1")).await.chain;
    assert_eq!((back.generation, back.spend_hash), (other.generation + 1, made.spend_hash));
    refresh(&process, &back, "r2").await;
    let conflict = refused(&*process.store, oauth("acme-1", "r1")).await;
    let current = back.generation + 1;
    assert_eq!(
        conflict,
        Conflict::TokenSpent { holder: "acme-1".into(), generation: back.generation, current }
    );
}

pub async fn a_replaced_token_that_may_be_spent_does_not_come_back(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    claim(&process, &made).await;
    reconnect(&*process.store, oauth("acme-1", "s1")).await;
    let conflict = refused(&*process.store, oauth("acme-1", "r1")).await;
    assert_eq!(conflict, Conflict::TokenSpent { holder: "acme-1".into(), generation: 0, current: 1 });
    let second = create(&*process.store, oauth("acme-2", "r2")).await.chain;
    let claimed = claim(&process, &second).await;
    let lost = Uncertain { since: at(1), probes: 0, retry_at: at(2), code: "timeout".into() };
    let settlement = Settlement::Troubled(Trouble::Uncertain(lost));
    super::fixtures::done(settle(&*process.store, settling(&claimed, settlement)).await);
    reconnect(&*process.store, oauth("acme-2", "s2")).await;
    let conflict = refused(&*process.store, oauth("acme-2", "r2")).await;
    assert_eq!(conflict, Conflict::TokenSpent { holder: "acme-2".into(), generation: 0, current: 1 });
    let third = create(&*process.store, oauth("acme-3", "r3")).await.chain;
    condemn(&process, &third).await;
    reconnect(&*process.store, oauth("acme-3", "s3")).await;
    let conflict = refused(&*process.store, oauth("acme-3", "r3")).await;
    assert_eq!(conflict, Conflict::TokenSpent { holder: "acme-3".into(), generation: 0, current: 1 });
}

pub async fn a_new_token_ends_a_verdict(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let second = refresh(&process, &made, "r2").await;
    let dead = condemn(&process, &second).await;
    // Over a dead chain even an old token is worth a try: it cannot break anything.
    let tried = reconnect(&*process.store, oauth("acme-1", "r1")).await.chain;
    assert_eq!((tried.generation, &tried.trouble), (dead.generation + 1, &Trouble::None));
    let fresh = reconnect(&*process.store, oauth("acme-1", "s1")).await.chain;
    assert_eq!((fresh.generation, fresh.verdict()), (tried.generation + 1, None));
}

pub async fn another_chains_token_is_not_taken(bed: &dyn Testbed) {
    let process = bed.open().await;
    create(&*process.store, oauth("acme-1", "r1")).await;
    create(&*process.store, oauth("acme-2", "r2")).await;
    let conflict = refused(&*process.store, oauth("acme-2", "r1")).await;
    assert_eq!(conflict, Conflict::TokenHeld { holder: "acme-1".into() });
}

pub async fn a_reconnect_brings_its_configuration(bed: &dyn Testbed) {
    let process = bed.open().await;
    let first = new(DraftFields { attributes: Some(json!({"team": "blue"})), ..fields("acme-1", "r1") });
    let old = create(&*process.store, first).await;
    let given = new(DraftFields {
        client_id: Some("another".into()),
        client_secret: Some("another's secret".into()),
        token_url: Some("https://acme.example/v2/token".into()),
        scopes: vec!["admin".into()],
        attributes: Some(json!({"team": "red"})),
        ..fields("acme-1", "r2")
    });
    let young = reconnect(&*process.store, given.clone()).await;
    assert_eq!(young.chain.client.id.as_deref(), Some("another"));
    assert_eq!(young.chain.client.secret, Some("another's secret".into()));
    assert_eq!((&young.chain.token_url, &young.chain.scopes), (&given.draft.token_url, &given.draft.scopes));
    assert_eq!(young.credential.attributes, given.draft.attributes);
    assert_eq!(young.credential.id, old.credential.id);
    // What a reconnect does not say stays.
    let silent = DraftFields {
        client_id: None,
        client_secret: None,
        token_url: None,
        scopes: Vec::new(),
        ..fields("acme-1", "r3")
    };
    let kept = reconnect(&*process.store, new(silent)).await;
    assert_eq!(kept.chain.client, young.chain.client);
    assert_eq!((&kept.chain.token_url, &kept.chain.scopes), (&young.chain.token_url, &young.chain.scopes));
    assert_eq!(kept.credential.attributes, young.credential.attributes);
}

pub async fn a_shared_chain_is_not_reconfigured_by_one(bed: &dyn Testbed) {
    let process = bed.open().await;
    let of = |fields: DraftFields| new(DraftFields { chain: Some("team".into()), ..fields });
    create(&*process.store, of(fields("acme-1", "r1"))).await;
    create(&*process.store, of(fields("acme-2", "r1"))).await;
    let other = DraftFields { client_id: Some("another".into()), ..fields("acme-1", "r2") };
    let conflict = refused(&*process.store, of(other)).await;
    assert_eq!(conflict, Conflict::ChainDiffers { chain: "team".into(), field: "client" });
    let young = reconnect(&*process.store, of(fields("acme-1", "r2"))).await.chain;
    let member = process.store.credential(&name("acme-2")).await.expect("read").expect("it is there");
    assert_eq!(member.chain, young, "new tokens are everyone's");
}

pub async fn nobody_is_not_reconnected(bed: &dyn Testbed) {
    let process = bed.open().await;
    let before = written(&*process.store).await;
    let none = process.store.reconnect(oauth("acme-1", "r1"), silent("reconnect")).await;
    assert_eq!(none, Ok(Reconnected::NotFound));
    assert_eq!(written(&*process.store).await, before);
}
