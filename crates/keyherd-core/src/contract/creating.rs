//! Making credentials.

use serde_json::json;

use super::Testbed;
use super::fixtures::{
    at, client, create, fields, load, name, new, oauth, refresh, row, silent, told, written,
};
use super::fixtures::{claim, claim_id, settle, settling};
use crate::credential::{Cooldown, DraftFields, Kind, Trouble, Verdict, VerdictReason};
use crate::ports::Store;
use crate::ports::store::{Conflict, Created, NewCredential, Removed};
use crate::refresh::Settlement;

async fn conflict(store: &dyn Store, new: NewCredential) -> Conflict {
    let before = written(store).await;
    let name = new.draft.name.clone();
    let record = told("create", new.chain);
    let Created::Conflict(conflict) = store.create(new, record).await.expect("create") else {
        panic!("{name} was made");
    };
    assert_eq!(store.credential(&name).await, Ok(None), "a refused credential is not there");
    assert_eq!(written(store).await, before, "a refusal writes nothing");
    conflict
}

pub async fn a_credential_is_kept_whole(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let given = new(DraftFields {
        resource: Some("https://api.acme.example".into()),
        chain: Some("shared".into()),
        attributes: Some(json!({"team": "blue", "n": [1, 2]})),
        ..fields("acme-1", "r1")
    });
    let made = create(&*one.store, given.clone()).await;
    assert_eq!(load(&*two.store, "acme-1").await, made, "another process sees the same");
    let (credential, chain) = (&made.credential, &made.chain);
    assert_eq!((credential.id, credential.chain, chain.id), (given.id, given.chain, given.chain));
    assert_eq!(credential.attributes, given.draft.attributes);
    assert!(!credential.disabled && credential.cooldown.is_none() && credential.created_at <= bed.now());
    assert_eq!((chain.generation, chain.kind), (0, Kind::OAuth2));
    assert_eq!(chain.name, given.draft.chain);
    assert_eq!((&chain.provider, &chain.token_url), (&given.draft.provider, &given.draft.token_url));
    assert_eq!((&chain.scopes, &chain.resource), (&given.draft.scopes, &given.draft.resource));
    assert_eq!((&chain.tokens, chain.spend_hash), (&given.tokens, given.spend_hash));
    assert_eq!(chain.client.id.as_deref(), Some("app"));
    assert_eq!(chain.client.secret, Some("app's secret".into()));
    assert_eq!((&chain.trouble, &chain.claim, &chain.block), (&Trouble::None, &None, &None));
    assert_eq!((chain.due_at, chain.refreshed_at), (given.due_at, None));
    assert_eq!(one.store.chain(given.chain).await, Ok(Some(made.chain)));
}

pub async fn a_taken_name_is_left_alone(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let before = written(&*process.store).await;
    let again = process.store.create(oauth("acme-1", "r2"), silent("create")).await.expect("create");
    assert_eq!(again, Created::NameTaken(Box::new(made)));
    assert_eq!(written(&*process.store).await, before);
}

pub async fn one_of_many_makes_a_name(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await, bed.open().await];
    let tries = (0..12).map(|n| {
        let store = std::sync::Arc::clone(&processes[n % 3].store);
        tokio::spawn(async move { store.create(oauth("acme-1", &format!("r{n}")), silent("create")).await })
    });
    let mut made = 0;
    for attempt in tries.collect::<Vec<_>>() {
        let created = attempt.await.expect("no panic").expect("create");
        made += usize::from(matches!(created, Created::Done { .. }));
    }
    assert_eq!(made, 1);
}

pub async fn a_token_lives_in_one_chain(bed: &dyn Testbed) {
    let process = bed.open().await;
    create(&*process.store, oauth("acme-1", "r1")).await;
    let refused = conflict(&*process.store, oauth("acme-2", "r1")).await;
    assert_eq!(refused, Conflict::TokenHeld { holder: "acme-1".into() });
}

pub async fn a_spent_token_is_not_taken_over_a_live_chain(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let second = refresh(&process, &made.chain, "r2").await;
    refresh(&process, &second, "r3").await;
    let refused = conflict(&*process.store, oauth("acme-2", "r2")).await;
    assert_eq!(refused, Conflict::TokenSpent { holder: "acme-1".into(), generation: 1, current: 2 });
}

pub async fn a_dead_chains_token_may_come_back(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let second = refresh(&process, &made.chain, "r2").await;
    let claimed = claim(&process, &second).await;
    let verdict = Verdict {
        hash: claimed.spend_hash.expect("it has something to spend"),
        reason: VerdictReason::Refused,
        code: "invalid_grant".into(),
        at: at(1),
        probes: 0,
        next_probe_at: None,
    };
    settle(&*process.store, settling(&claimed, Settlement::Troubled(Trouble::Verdict(verdict)))).await;
    create(&*process.store, oauth("acme-2", "r1")).await;
}

pub async fn a_named_chain_is_joined(bed: &dyn Testbed) {
    let process = bed.open().await;
    let of = |name, token| new(DraftFields { chain: Some("team".into()), ..fields(name, token) });
    let first = create(&*process.store, of("acme-1", "r1")).await;
    let record = told("create", first.chain.id);
    let second = process.store.create(of("acme-2", "r2"), record).await.expect("create");
    let Created::Done { loaded: second, joined: true } = second else { panic!("not joined: {second:?}") };
    assert_eq!(second.chain.id, first.chain.id);
    assert_eq!(second.chain.tokens, first.chain.tokens, "joining replaces no tokens");
    assert_eq!(second.chain.spend_hash, first.chain.spend_hash);
    // The chain's own token in another document of the same login is no conflict.
    create(&*process.store, of("acme-3", "r1")).await;
    let alone = create(&*process.store, oauth("acme-4", "r4")).await;
    assert_ne!(alone.chain.id, first.chain.id);
    let refused = conflict(&*process.store, of("acme-5", "r4")).await;
    assert_eq!(refused, Conflict::TokenHeld { holder: "acme-4".into() });
}

pub async fn members_of_a_chain_agree(bed: &dyn Testbed) {
    let process = bed.open().await;
    process.store.put_client(client("other", "s"), silent("client")).await.expect("client");
    let of = |fields: DraftFields| new(DraftFields { chain: Some("team".into()), ..fields });
    let first = create(&*process.store, of(fields("acme-1", "r1"))).await;
    let base = || fields("acme-2", "r2");
    let table = [
        ("provider", DraftFields { provider: "other".into(), ..base() }),
        ("client", DraftFields { client_id: Some("another".into()), ..base() }),
        ("client", DraftFields { client_secret: Some("another".into()), ..base() }),
        (
            "client",
            DraftFields { client: Some("other".into()), client_id: None, client_secret: None, ..base() },
        ),
        ("token URL", DraftFields { token_url: None, ..base() }),
        ("scopes", DraftFields { scopes: vec!["read".into()], ..base() }),
        ("resource", DraftFields { resource: Some("r".into()), ..base() }),
    ];
    for (field, draft) in table {
        let refused = conflict(&*process.store, of(draft)).await;
        assert_eq!(refused, Conflict::ChainDiffers { chain: "team".into(), field });
    }
    assert_eq!(row(&*process.store, first.chain.id).await, first.chain);
}

pub async fn a_named_client_must_exist(bed: &dyn Testbed) {
    let process = bed.open().await;
    let draft = || {
        let own = fields("acme-1", "r1");
        new(DraftFields { client: Some("app".into()), client_id: None, client_secret: None, ..own })
    };
    let refused = conflict(&*process.store, draft()).await;
    assert_eq!(refused, Conflict::NoClient { client: "app".into(), provider: "acme".into() });
    process.store.put_client(client("app", "s1"), silent("client")).await.expect("client");
    let made = create(&*process.store, draft()).await;
    assert_eq!(made.chain.client.name, Some(name("app")));
    assert_eq!(made.chain.client.id.as_deref(), Some("shared app"));
    assert_eq!(made.chain.client.secret, Some("s1".into()));
}

pub async fn a_used_again_name_sees_nothing_of_the_old(bed: &dyn Testbed) {
    let process = bed.open().await;
    let old = create(&*process.store, oauth("acme-1", "r1")).await;
    let claimed = claim(&process, &old.chain).await;
    let answer = super::fixtures::granting(&claimed, "r2");
    let seen = Some(claim_id(&claimed));
    assert_eq!(process.store.remove(old.credential.id, seen, silent("remove")).await, Ok(Removed::Done));
    let young = create(&*process.store, oauth("acme-1", "r1")).await;
    assert_ne!((young.credential.id, young.chain.id), (old.credential.id, old.chain.id));
    settle(&*process.store, answer).await;
    let rest = Cooldown::whole(at(9_000), "manual");
    assert_eq!(process.store.cool(old.credential.id, &rest, silent("cool")).await, Ok(false));
    assert_eq!(load(&*process.store, "acme-1").await, young);
}
