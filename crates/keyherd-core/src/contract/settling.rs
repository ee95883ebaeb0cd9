//! How a claim ends.

use super::fixtures::{
    at, claim, claim_id, create, done, fields, grant, granting, hash, load, new, oauth, refresh, row, settle,
    settling, silent, superseded, told, written,
};
use super::{Process, Testbed};
use crate::credential::{
    Backoff, Block, Chain, Cooldown, DraftFields, Trouble, Uncertain, Verdict, VerdictReason,
};
use crate::ids::ClaimId;
use crate::ports::store::{Conflict, Created, Reconnected, Settled, Settling};
use crate::refresh::Settlement;

fn verdict(token: &str) -> Verdict {
    Verdict {
        hash: hash(token),
        reason: VerdictReason::Refused,
        code: "invalid_grant".into(),
        at: at(10),
        probes: 0,
        next_probe_at: Some(at(3_610)),
    }
}

pub async fn a_grant_is_the_next_generation(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let made = create(&*one.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&one, &made).await;
    let settling = Settling { minted_by_rejection: true, ..granting(&claimed, "r2") };
    let after = done(settle(&*one.store, settling.clone()).await);
    assert_eq!(after.generation, made.generation + 1);
    assert!(after.revision > claimed.revision);
    assert_eq!((after.tokens.clone(), after.spend_hash), (grant(&claimed, "r2"), Some(hash("r2"))));
    assert_eq!((&after.claim, &after.trouble, after.minted_by_rejection), (&None, &Trouble::None, true));
    assert_eq!(after.due_at, settling.due_at);
    assert!(after.refreshed_at.is_some());
    assert_eq!(row(&*two.store, made.id).await, after, "another process sees the same");
}

pub async fn a_lost_reply_is_success(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let first = done(settle(&*process.store, granting(&claimed, "r2")).await);
    let before = written(&*process.store).await;
    let again = done(settle(&*process.store, granting(&claimed, "r2")).await);
    assert_eq!(again, first);
    assert_eq!(written(&*process.store).await, before, "it happened once");
    let other = superseded(settle(&*process.store, granting(&claimed, "r3")).await);
    assert_eq!(other, first, "another answer than the row's is none of it");
}

pub async fn a_failure_is_not_taken_for_a_lost_reply(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    // A provider that keeps the token: the next generation spends what this one did.
    let after = done(settle(&*process.store, granting(&claimed, "r1")).await);
    for settlement in [Settlement::Troubled(Trouble::Verdict(verdict("r1"))), Settlement::Released] {
        let late = settle(&*process.store, settling(&claimed, settlement)).await;
        assert_eq!(superseded(late), after);
    }
}

pub async fn without_its_claim_nothing_is_settled(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let before = written(&*process.store).await;
    let stranger = ClaimId::from_i64(1);
    let block = Settlement::Blocked(Block { code: "invalid_client".into(), at: at(1) });
    let wrong = [
        Settling { claim: stranger, ..granting(&claimed, "r2") },
        Settling { generation: claimed.generation + 1, ..granting(&claimed, "r2") },
        Settling {
            claim: stranger,
            ..settling(&claimed, Settlement::Troubled(Trouble::Verdict(verdict("r1"))))
        },
        Settling { claim: stranger, ..settling(&claimed, Settlement::Released) },
        Settling { claim: stranger, ..settling(&claimed, block) },
    ];
    for settling in wrong {
        assert_eq!(superseded(settle(&*process.store, settling).await), claimed);
    }
    assert_eq!(row(&*process.store, made.id).await, claimed);
    assert_eq!(written(&*process.store).await, before, "a miss writes nothing");
}

pub async fn a_reconnect_supersedes_a_grant(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    let young = process.store.reconnect(oauth("acme-1", "s1"), silent("reconnect")).await.expect("reconnect");
    let Reconnected::Done(young) = young else { panic!("not reconnected") };
    assert_eq!(superseded(settle(&*process.store, granting(&claimed, "r2")).await), young.chain);
    // What was not committed was not spent here either: the old token is known as replaced, the answer's is not.
    create(&*process.store, oauth("acme-2", "r2")).await;
}

pub async fn a_verdict_that_lost_a_race_is_not_recorded(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let claimed = claim(&process, &made).await;
    process.store.reconnect(oauth("acme-1", "s1"), silent("reconnect")).await.expect("reconnect");
    let before = written(&*process.store).await;
    let condemned = settling(&claimed, Settlement::Troubled(Trouble::Verdict(verdict("r1"))));
    let left = superseded(settle(&*process.store, condemned).await);
    assert_eq!((&left.trouble, left.spend_hash), (&Trouble::None, Some(hash("s1"))));
    assert_eq!(written(&*process.store).await, before);
}

pub async fn every_trouble_is_kept_as_it_is(bed: &dyn Testbed) {
    let process = bed.open().await;
    let mut chain = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let uncertain = Uncertain { since: at(5), probes: 2, retry_at: at(7), code: "timeout".into() };
    let troubles = [
        Trouble::Backoff(Backoff { failures: 3, retry_at: at(8), code: "http_503".into() }),
        Trouble::Uncertain(uncertain),
        Trouble::Verdict(verdict("r1")),
        Trouble::Verdict(Verdict { reason: VerdictReason::Reused, next_probe_at: None, ..verdict("r1") }),
        Trouble::Verdict(Verdict { reason: VerdictReason::RotationLost, probes: 4, ..verdict("r1") }),
        Trouble::None,
    ];
    for trouble in troubles {
        let claimed = claim(&process, &chain).await;
        let settling = settling(&claimed, Settlement::Troubled(trouble.clone()));
        chain = done(settle(&*process.store, settling).await);
        assert_eq!((&chain.trouble, &chain.claim), (&trouble, &None));
        assert_eq!((chain.generation, &chain.tokens), (claimed.generation, &claimed.tokens));
        assert_eq!(row(&*process.store, chain.id).await, chain);
    }
}

pub async fn a_released_claim_leaves_all_else(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await.chain;
    let backoff = Trouble::Backoff(Backoff { failures: 1, retry_at: at(8), code: "http_503".into() });
    let claimed = claim(&process, &made).await;
    let resting =
        done(settle(&*process.store, settling(&claimed, Settlement::Troubled(backoff.clone()))).await);
    let claimed = claim(&process, &resting).await;
    let after = done(settle(&*process.store, settling(&claimed, Settlement::Released)).await);
    assert_eq!((&after.trouble, &after.claim, after.generation), (&backoff, &None, made.generation));
    assert!(after.revision > claimed.revision);
    refresh(&process, &after, "r2").await;
}

pub async fn unrelated_state_survives_a_refresh(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let claimed = claim(&process, &made.chain).await;
    let rest = Cooldown::whole(at(9_000), "rate_limit");
    process.store.cool(made.credential.id, &rest, silent("cool")).await.expect("cool");
    settle(&*process.store, granting(&claimed, "r2")).await;
    let after = load(&*process.store, "acme-1").await;
    assert_eq!(after.credential.cooldown, Some(rest));
    assert_eq!(after.credential.attributes, made.credential.attributes);
    assert_eq!(after.chain.client, made.chain.client);
    assert_eq!((&after.chain.token_url, &after.chain.scopes), (&made.chain.token_url, &made.chain.scopes));
}

pub async fn every_member_of_a_chain_sees_a_refresh(bed: &dyn Testbed) {
    let process = bed.open().await;
    let of = |name| new(DraftFields { chain: Some("team".into()), ..fields(name, "r1") });
    let first = create(&*process.store, of("acme-1")).await;
    create(&*process.store, of("acme-2")).await;
    let current = row(&*process.store, first.chain.id).await;
    let after = refresh(&process, &current, "r2").await;
    for name in ["acme-1", "acme-2"] {
        assert_eq!(load(&*process.store, name).await.chain, after);
    }
}

pub async fn a_removed_chain_settles_nothing(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let claimed = claim(&process, &made.chain).await;
    let seen = Some(claim_id(&claimed));
    process.store.remove(made.credential.id, seen, silent("remove")).await.expect("remove");
    let before = written(&*process.store).await;
    assert_eq!(settle(&*process.store, granting(&claimed, "r2")).await, Settled::Superseded(None));
    assert_eq!(written(&*process.store).await, before);
}

pub async fn many_generations_spend_each_token_once(bed: &dyn Testbed) {
    let process = bed.open().await;
    let mut chain = create(&*process.store, oauth("acme-1", "r0")).await.chain;
    for generation in 1..=5_u64 {
        chain = refresh(&process, &chain, &format!("r{generation}")).await;
        assert_eq!(chain.generation, generation);
    }
    // A provider that keeps the token spends nothing.
    chain = refresh(&process, &chain, "r5").await;
    five_are_spent(&process, &chain).await;
    let held = process.store.create(oauth("acme-2", "r5"), told("create", chain.id)).await.expect("create");
    assert_eq!(held, Created::Conflict(Conflict::TokenHeld { holder: "acme-1".into() }));
}

pub async fn an_answer_from_beyond_a_restored_backup_forgets_no_spent_token(bed: &dyn Testbed) {
    let process = bed.open().await;
    let mut chain = create(&*process.store, oauth("acme-1", "r0")).await.chain;
    for generation in 1..=6_u64 {
        chain = refresh(&process, &chain, &format!("r{generation}")).await;
    }
    let claimed = claim(&process, &chain).await;
    // Further than any number of tokens that are kept.
    let beyond = Settling { generation: claimed.generation + 1_000_000_000, ..granting(&claimed, "r7") };
    assert_eq!(superseded(settle(&*process.store, beyond).await), claimed);
    five_are_spent(&process, &claimed).await;
}

/// The chain's first five tokens do not come back. It has come to its sixth generation.
async fn five_are_spent(process: &Process, chain: &Chain) {
    for generation in 0..5_u64 {
        let new = oauth("acme-2", &format!("r{generation}"));
        let refused = process.store.create(new, told("create", chain.id)).await.expect("create");
        let spent = Conflict::TokenSpent { holder: "acme-1".into(), generation, current: 6 };
        assert_eq!(refused, Created::Conflict(spent));
    }
}
