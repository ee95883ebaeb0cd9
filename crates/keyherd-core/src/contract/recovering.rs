//! After a death: claims without an owner, and answers that only the journal has.

use super::Testbed;
use super::fixtures::{
    at, claim, create, done, granting, hash, oauth, refresh, row, settle, settling, silent, superseded, told,
    written,
};
use crate::credential::{Trouble, Uncertain};
use crate::ports::Store;
use crate::ports::store::{Settled, Settling};
use crate::refresh::Settlement;

async fn roll(store: &dyn Store, spent: &str, settling: Settling) -> Settled {
    let record = told("recover", settling.chain);
    store.roll_forward(&hash(spent), settling, record).await.expect("roll forward")
}

pub async fn a_dead_owners_claim_is_settled_by_another(bed: &dyn Testbed) {
    let (one, two, three) = (bed.open().await, bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    claim(&one, &made).await;
    bed.kill(one).await;
    let left = row(&*two.store, made.id).await;
    let lost = Uncertain { since: at(1), probes: 0, retry_at: at(2), code: "owner_gone".into() };
    let settlement = Settlement::Troubled(Trouble::Uncertain(lost));
    let resolved = done(settle(&*two.store, settling(&left, settlement.clone())).await);
    let late = superseded(settle(&*three.store, settling(&left, settlement)).await);
    assert_eq!(late, resolved, "one of the survivors resolves it");
    claim(&three, &resolved).await;
}

pub async fn a_journaled_answer_is_committed_over_a_claim(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    let first = claim(&one, &made).await;
    let answer = granting(&first, "r2");
    settle(&*one.store, settling(&first, Settlement::Released)).await;
    let again = row(&*two.store, made.id).await;
    let other = claim(&two, &again).await;
    let after = done(roll(&*one.store, "r1", answer).await);
    assert_eq!((after.generation, after.spend_hash), (made.generation + 1, Some(hash("r2"))));
    assert_eq!(after.claim, None, "nobody may spend what is spent");
    assert_eq!(superseded(settle(&*two.store, granting(&other, "r3")).await), after);
}

pub async fn a_journaled_answer_is_committed_twice_at_no_harm(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let answer = granting(&claimed, "r2");
    let first = done(settle(&*process.store, answer.clone()).await);
    let before = written(&*process.store).await;
    assert_eq!(done(roll(&*process.store, "r1", answer.clone()).await), first);
    assert_eq!(written(&*process.store).await, before, "it happened once");
    let third = refresh(&process, &first, "r3").await;
    assert_eq!(superseded(roll(&*process.store, "r1", answer).await), third);
}

pub async fn a_reconnect_wins_over_the_journal(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let answer = granting(&claim(&process, &made).await, "r2");
    process.store.reconnect(oauth("acme-1", "s1"), silent("reconnect")).await.expect("reconnect");
    let young = row(&*process.store, made.id).await;
    assert_eq!(superseded(roll(&*process.store, "r1", answer).await), young);
}

pub async fn an_older_journal_entry_is_superseded(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let before = written(&*process.store).await;
    // Another token than the row's, another generation than the row's: neither may land.
    assert_eq!(superseded(roll(&*process.store, "r0", granting(&claimed, "r2")).await), claimed);
    let ahead = Settling { generation: 5, ..granting(&claimed, "r2") };
    assert_eq!(superseded(roll(&*process.store, "r1", ahead).await), claimed);
    assert_eq!(written(&*process.store).await, before);
    assert_eq!(row(&*process.store, made.id).await, claimed);
}
