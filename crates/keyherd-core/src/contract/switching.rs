//! Switches: rests, amendments, removals.

use serde_json::json;

use super::Testbed;
use super::fixtures::{
    at, claim, claim_id, client, create, done, fields, load, name, new, oauth, row, settle, settling, silent,
    told, written,
};
use crate::credential::{ClientChoice, Cooldown, DraftFields};
use crate::ids::CredentialId;
use crate::ports::store::{Amended, Change, Conflict, Removed, SCOPES_RESTING_MAX};
use crate::refresh::Settlement;

fn rest(until: i64, reason: &str) -> Cooldown {
    Cooldown::whole(at(until), reason)
}

pub async fn a_cooldown_only_extends(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await;
    let id = made.credential.id;
    let cool = |store: std::sync::Arc<dyn crate::ports::Store>, rest: Cooldown| async move {
        store.cool(id, &rest, told("cool", made.chain.id)).await.expect("cool")
    };
    assert!(cool(one.store.clone(), rest(100, "rate_limit")).await);
    let before = written(&*one.store).await;
    assert!(!cool(two.store.clone(), rest(100, "rate_limit")).await, "the same again");
    assert!(!cool(two.store.clone(), rest(60, "authentication")).await, "a shorter one");
    assert_eq!(written(&*one.store).await, before, "no change, no entry, no event");
    assert_eq!(load(&*one.store, "acme-1").await.credential.cooldown, Some(rest(100, "rate_limit")));
    assert!(cool(two.store.clone(), rest(200, "authentication")).await);
    assert_eq!(load(&*one.store, "acme-1").await.credential.cooldown, Some(rest(200, "authentication")));
    assert_eq!(written(&*one.store).await, (before.0 + 1, before.1 + 1));
    let stranger = CredentialId::from_i64(1);
    assert_eq!(one.store.cool(stranger, &rest(300, "manual"), silent("cool")).await, Ok(false));
}

pub async fn a_rest_ends_by_its_reason(bed: &dyn Testbed) {
    let process = bed.open().await;
    let id = create(&*process.store, oauth("acme-1", "r1")).await.credential.id;
    let rest = Cooldown::whole(bed.now() + std::time::Duration::from_secs(3_600), "manual");
    process.store.cool(id, &rest, silent("cool")).await.expect("cool");
    let before = written(&*process.store).await;
    assert_eq!(process.store.warm(id, None, "rate_limit", silent("warm")).await, Ok(false));
    assert_eq!(written(&*process.store).await, before);
    assert_eq!(process.store.warm(id, None, "manual", silent("warm")).await, Ok(true));
    assert_eq!(load(&*process.store, "acme-1").await.credential.cooldown, None);
    assert_eq!(process.store.warm(id, None, "manual", silent("warm")).await, Ok(false));
}

pub async fn a_longer_rest_outlives_a_clear_of_the_reason_before_it(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let id = create(&*one.store, oauth("acme-1", "r1")).await.credential.id;
    let hour = std::time::Duration::from_secs(3_600);
    for scope in [None, Some("model")] {
        let rest = |hours: u32, reason: &str| Cooldown {
            scope: scope.map(str::to_owned),
            ..Cooldown::whole(bed.now() + hour * hours, reason)
        };
        let longer = rest(2, "rate_limit");
        assert_eq!(one.store.cool(id, &rest(1, "manual"), silent("cool")).await, Ok(true));
        assert_eq!(two.store.cool(id, &longer, silent("cool")).await, Ok(true));
        let before = written(&*one.store).await;
        assert_eq!(one.store.warm(id, scope, "manual", silent("warm")).await, Ok(false), "{scope:?}");
        assert_eq!(written(&*one.store).await, before, "nobody is told of what did not happen");
        let found = load(&*two.store, "acme-1").await.credential;
        assert_eq!(found.rest_of(scope), Some(&longer), "{scope:?}");
        assert_eq!(two.store.warm(id, scope, "rate_limit", silent("warm")).await, Ok(true), "{scope:?}");
    }
}

pub async fn scopes_rest_beside_the_account(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let id = create(store, oauth("acme-1", "r1")).await.credential.id;
    let other = create(store, oauth("acme-2", "r2")).await.credential.id;
    let hour = bed.now() + std::time::Duration::from_secs(3_600);
    let of = |scope: Option<&str>, until, reason: &str| Cooldown {
        scope: scope.map(str::to_owned),
        ..Cooldown::whole(until, reason)
    };
    let cool = async |rest: &Cooldown| store.cool(id, rest, silent("cool")).await.expect("cool");
    let (large, small) =
        (of(Some("large \"model\""), hour, "rate_limit"), of(Some("small"), at(200), "rate_limit"));
    assert!(cool(&small).await && cool(&large).await);
    let before = written(store).await;
    assert!(!cool(&large).await && !cool(&of(Some("small"), at(100), "manual")).await, "only ever longer");
    assert_eq!(written(store).await, before);
    let loaded = load(store, "acme-1").await.credential;
    assert_eq!((&loaded.cooldown, &loaded.scoped), (&None, &vec![large.clone(), small.clone()]));
    assert_eq!(load(store, "acme-2").await.credential.scoped, []);
    assert!(cool(&of(None, hour, "manual")).await);
    let loaded = load(store, "acme-1").await.credential;
    assert_eq!(loaded.cooldown, Some(of(None, hour, "manual")));
    let page = store.credentials(None, 10).await.expect("page");
    assert_eq!(page.first().map(|first| &first.credential), Some(&loaded));
    let warm = async |scope, reason| store.warm(id, scope, reason, silent("warm")).await.expect("warm");
    assert!(!warm(Some("large \"model\""), "manual").await && !warm(Some("other"), "rate_limit").await);
    assert!(warm(Some("large \"model\""), "rate_limit").await);
    assert!(!warm(Some("large \"model\""), "rate_limit").await);
    let loaded = load(store, "acme-1").await.credential;
    assert_eq!((loaded.cooldown, loaded.scoped), (Some(of(None, hour, "manual")), vec![small]));
    for n in 0..2 * SCOPES_RESTING_MAX {
        let rest = of(Some(&format!("model-{n}")), hour, "rate_limit");
        store.cool(other, &rest, silent("cool")).await.expect("cool");
    }
    assert_eq!(load(store, "acme-2").await.credential.scoped.len(), SCOPES_RESTING_MAX, "bounded");
    assert!(
        store
            .cool(
                other,
                &of(Some("model-0"), hour + std::time::Duration::from_secs(1), "manual"),
                silent("cool")
            )
            .await
            .expect("cool")
    );
}

pub async fn one_of_many_cools(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await;
    let before = written(&*one.store).await;
    let cool = |n: usize| {
        let (store, mut rest) = (
            if n.is_multiple_of(2) { one.store.clone() } else { two.store.clone() },
            rest(100, "rate_limit"),
        );
        rest.scope = (n < 10).then(|| "model".to_owned());
        async move { store.cool(made.credential.id, &rest, told("cool", made.chain.id)).await.expect("cool") }
    };
    let cooled = futures_util::future::join_all((0..20).map(cool)).await;
    assert_eq!(
        cooled.into_iter().filter(|cooled| *cooled).count(),
        2,
        "one of the account, one of the scope"
    );
    assert_eq!(written(&*one.store).await, (before.0 + 2, before.1 + 2));
}

pub async fn an_amendment_moves_the_row(bed: &dyn Testbed) {
    let process = bed.open().await;
    process.store.put_client(client("app", "s1"), silent("client")).await.expect("client");
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let change = Change {
        disabled: Some(true),
        attributes: Some(json!({"team": "red"})),
        client: Some(ClientChoice::Named(name("app"))),
        token_url: Some("https://acme.example/v2/token".into()),
        scopes: Some(vec!["admin".into()]),
        due_at: Some(at(42)),
    };
    let amended = process.store.amend(&name("acme-1"), change, silent("amend")).await.expect("amend");
    let Amended::Done(after) = amended else { panic!("not amended: {amended:?}") };
    assert_eq!(load(&*process.store, "acme-1").await, *after);
    assert!(after.credential.disabled && after.chain.revision > made.chain.revision);
    assert_eq!(after.credential.attributes, json!({"team": "red"}));
    assert_eq!(
        (&after.chain.client.name, &after.chain.client.secret),
        (&Some(name("app")), &Some("s1".into()))
    );
    assert_eq!(after.chain.token_url.as_deref(), Some("https://acme.example/v2/token"));
    assert_eq!((&after.chain.scopes, after.chain.due_at), (&vec!["admin".to_owned()], Some(at(42))));
    assert_eq!((after.chain.generation, &after.chain.tokens), (made.chain.generation, &made.chain.tokens));
    let missing = Change { client: Some(ClientChoice::Named(name("none"))), ..Change::default() };
    let refused = process.store.amend(&name("acme-1"), missing, silent("amend")).await.expect("amend");
    let conflict = Conflict::NoClient { client: "none".into(), provider: "acme".into() };
    assert_eq!(refused, Amended::Conflict(conflict));
    assert_eq!(load(&*process.store, "acme-1").await, *after);
}

pub async fn an_amendment_that_changes_nothing_says_nothing(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let before = written(&*process.store).await;
    let same = Change {
        disabled: Some(false),
        attributes: Some(made.credential.attributes.clone()),
        token_url: made.chain.token_url.clone(),
        scopes: Some(made.chain.scopes.clone()),
        ..Change::default()
    };
    for change in [Change::default(), same] {
        let amended = process.store.amend(&name("acme-1"), change, told("amend", made.chain.id)).await;
        assert_eq!(amended, Ok(Amended::Done(Box::new(made.clone()))));
    }
    assert_eq!(written(&*process.store).await, before);
}

pub async fn a_chain_goes_with_its_last_member(bed: &dyn Testbed) {
    let process = bed.open().await;
    let of = |name| new(DraftFields { chain: Some("team".into()), ..fields(name, "r1") });
    let first = create(&*process.store, of("acme-1")).await;
    let second = create(&*process.store, of("acme-2")).await;
    let remove = |id| {
        let store = process.store.clone();
        async move { store.remove(id, None, silent("remove")).await.expect("remove") }
    };
    assert_eq!(remove(first.credential.id).await, Removed::Done);
    assert_eq!(process.store.credential(&name("acme-1")).await, Ok(None));
    assert_eq!(load(&*process.store, "acme-2").await.chain.tokens, second.chain.tokens);
    assert_eq!(remove(second.credential.id).await, Removed::Done);
    assert_eq!(process.store.chain(first.chain.id).await, Ok(None));
    let before = written(&*process.store).await;
    assert_eq!(remove(second.credential.id).await, Removed::NotFound);
    assert_eq!(written(&*process.store).await, before);
    create(&*process.store, of("acme-1")).await;
}

pub async fn a_token_that_is_being_spent_is_not_forgotten(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await;
    let remove = |seen| {
        let store = two.store.clone();
        async move { store.remove(made.credential.id, seen, silent("remove")).await.expect("remove") }
    };
    let claimed = claim(&one, &made.chain).await;
    let before = written(&*one.store).await;
    assert_eq!(remove(None).await, Removed::Claimed, "a claim was taken after the look");
    let stranger = crate::ids::ClaimId::from_i64(1);
    assert_eq!(remove(Some(stranger)).await, Removed::Claimed, "another claim than was seen");
    assert_eq!(written(&*one.store).await, before);
    done(settle(&*one.store, settling(&claimed, Settlement::Released)).await);
    assert_eq!(
        remove(Some(claim_id(&claimed))).await,
        Removed::Claimed,
        "it has ended meanwhile: look again"
    );
    let again = claim(&one, &row(&*one.store, made.chain.id).await).await;
    assert_eq!(remove(Some(claim_id(&again))).await, Removed::Done, "whoever saw it may say so");
    assert_eq!(one.store.chain(made.chain.id).await, Ok(None));
}

pub async fn nobody_is_not_amended(bed: &dyn Testbed) {
    let process = bed.open().await;
    let off = Change { disabled: Some(true), ..Change::default() };
    assert_eq!(process.store.amend(&name("acme-1"), off, silent("amend")).await, Ok(Amended::NotFound));
    assert_eq!(written(&*process.store).await, (0, 0));
}
