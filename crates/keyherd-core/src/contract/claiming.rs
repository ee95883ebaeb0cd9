//! The claim: one owner of many.

use std::sync::Arc;

use super::Testbed;
use super::fixtures::{
    ask, claim, claim_id, create, done, name, oauth, row, settle, settling, silent, superseded, written,
};
use crate::credential::{Chain, Holder, Purpose};
use crate::ports::store::{Change, ClaimAsk, Claimed};
use crate::refresh::Settlement;

pub async fn a_claim_is_granted_once(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    let probe = ClaimAsk { purpose: Purpose::ProbeVerdict, ..ask(&made) };
    let Ok(Claimed::Granted(claimed)) = one.store.claim(&probe, silent("claim")).await else {
        panic!("not granted");
    };
    let held = claimed.claim.as_ref().expect("a claim stands");
    assert_eq!((held.id, held.owner, held.purpose), (probe.id, one.owner, Purpose::ProbeVerdict));
    assert!(held.at <= bed.now());
    assert!(claimed.revision > made.revision);
    assert_eq!((claimed.generation, &claimed.tokens), (made.generation, &made.tokens));
    let before = written(&*two.store).await;
    for late in [ask(&made), ask(&claimed), probe.clone()] {
        let Ok(Claimed::Missed(Some(seen))) = two.store.claim(&late, silent("claim")).await else {
            panic!("a second claim was granted");
        };
        assert_eq!(claim_id(&seen), probe.id, "who misses sees why");
    }
    let again = one.store.claim(&probe, silent("claim")).await;
    assert!(matches!(again, Ok(Claimed::Missed(_))), "asked twice, granted once");
    assert_eq!(written(&*two.store).await, before, "a miss writes nothing");
}

pub async fn one_of_many_wins(bed: &dyn Testbed) {
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(bed.open().await);
    }
    let mut made = create(&*processes[0].store, oauth("acme-1", "r1")).await.chain;
    for round in 0..5 {
        let tries = (0..16).map(|n| {
            let (store, ask) = (Arc::clone(&processes[n % 4].store), ask(&made));
            tokio::spawn(async move { store.claim(&ask, silent("claim")).await.expect("claim") })
        });
        let mut granted = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            match attempt.await.expect("no panic") {
                Claimed::Granted(row) => granted.push(*row),
                Claimed::Missed(row) => assert!(row.is_some()),
            }
        }
        assert_eq!(granted.len(), 1, "round {round}");
        // Only who holds it ends it while its holder lives.
        let owner = granted[0].claim.as_ref().map(|claim| claim.owner);
        let winner = processes.iter().find(|process| Some(process.owner) == owner).expect("one of them");
        done(settle(&*winner.store, settling(&granted[0], Settlement::Released)).await);
        made = row(&*processes[1].store, made.id).await;
    }
}

pub async fn a_moved_row_is_not_claimed(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let off = Change { disabled: Some(true), ..Change::default() };
    process.store.amend(&name("acme-1"), off, silent("amend")).await.expect("amend");
    let missed = process.store.claim(&ask(&made), silent("claim")).await.expect("claim");
    let Claimed::Missed(Some(seen)) = missed else { panic!("claimed on a row that had moved") };
    assert!(seen.claim.is_none() && seen.revision > made.revision);
    claim(&process, &seen).await;
}

pub async fn a_claim_tells_who_holds_it(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    claim(&one, &made).await;
    let holder = |chain: &Chain| chain.claim.as_ref().map(|claim| claim.holder);
    assert_eq!(holder(&row(&*one.store, made.id).await), Some(Holder::Mine));
    assert_eq!(holder(&row(&*two.store, made.id).await), Some(Holder::Alive));
    bed.kill(one).await;
    assert_eq!(holder(&row(&*two.store, made.id).await), Some(Holder::Gone), "seen at once");
    let loaded = super::fixtures::load(&*two.store, "acme-1").await;
    assert_eq!(holder(&loaded.chain), Some(Holder::Gone));
}

pub async fn a_gone_chain_is_not_claimed(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    process.store.remove(made.credential.id, None, silent("remove")).await.expect("remove");
    let missed = process.store.claim(&ask(&made.chain), silent("claim")).await;
    assert_eq!(missed, Ok(Claimed::Missed(None)));
}

pub async fn claims_are_counted(bed: &dyn Testbed) {
    let process = bed.open().await;
    let first = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let second = create(&*process.store, oauth("acme-2", "r2")).await.chain;
    assert_eq!(process.store.unresolved().await, Ok(0));
    let claimed = claim(&process, &first).await;
    claim(&process, &second).await;
    assert_eq!(process.store.unresolved().await, Ok(2));
    settle(&*process.store, settling(&claimed, Settlement::Released)).await;
    assert_eq!(process.store.unresolved().await, Ok(1));
}

pub async fn claims_are_counted_by_their_age(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let taken = claimed.claim.as_ref().expect("a claim stands").at;
    let next = taken + std::time::Duration::from_millis(1);
    assert_eq!(process.store.claimed_before(taken).await, Ok(0));
    assert_eq!(process.store.claimed_before(next).await, Ok(1));
    settle(&*process.store, settling(&claimed, Settlement::Released)).await;
    assert_eq!(process.store.claimed_before(next).await, Ok(0));
}

fn is_alive(chain: &Chain) -> bool {
    chain.claim.as_ref().is_some_and(|claim| claim.holder == Holder::Alive)
}

pub async fn a_claim_is_renewed_by_its_owner_for_its_whole_life(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&one, &made).await;
    let (id, held) = (made.id, claim_id(&claimed));
    let Some(life) = one.store.claim_life() else {
        return assert_eq!(one.store.renew(id, held).await, Ok(true), "it lives as long as its owner");
    };
    assert_eq!(two.store.renew(id, held).await, Ok(false), "nobody else renews it");
    let taken = claimed.claim.as_ref().expect("a claim stands").at;
    while bed.now() < taken + life / 2 {
        row(&*two.store, id).await;
    }
    let before = bed.now();
    if one.store.renew(id, held).await == Ok(true) {
        assert_eq!(row(&*two.store, id).await.revision, claimed.revision, "nothing was decided");
        while bed.now() < taken + life {
            row(&*two.store, id).await;
        }
        let seen = row(&*two.store, id).await;
        // On a machine that stood still meanwhile the renewed life is over too.
        assert!(is_alive(&seen) || bed.now() >= before + life, "its first life is over, and not this one");
    }
    while is_alive(&row(&*two.store, id).await) {}
    let left = row(&*two.store, id).await;
    let freed = done(settle(&*two.store, settling(&left, Settlement::Released)).await);
    assert_eq!(one.store.renew(id, held).await, Ok(false), "it was taken over");
    claim(&two, &freed).await;
    assert_eq!(one.store.renew(id, held).await, Ok(false), "and another one stands");
}

/// Where claims expire. On one machine a claim's id is proof enough.
pub async fn a_living_owners_claim_is_not_settled_by_another(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let Some(life) = two.store.claim_life() else { return };
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&one, &made).await;
    let taken = claimed.claim.as_ref().expect("a claim stands").at;
    let outcome = settle(&*two.store, settling(&claimed, Settlement::Released)).await;
    if bed.now() < taken + life {
        assert_eq!(claim_id(&superseded(outcome)), claim_id(&claimed), "its owner lives");
        done(settle(&*one.store, settling(&claimed, Settlement::Released)).await);
    }
}
