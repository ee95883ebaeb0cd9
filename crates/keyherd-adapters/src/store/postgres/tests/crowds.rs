//! What comes at once is one transaction: each is told what it would be told alone, and nobody waits for another one's row.

use std::time::Duration;

use futures_util::future::{join, join_all};
use keyherd_core::audit::Entry;
use keyherd_core::credential::{Chain, Loaded, Purpose};
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClaimAsk, Claimed, CredentialStore, EventStore, Settled, Settling,
};
use keyherd_core::refresh::Settlement;

use super::bed::{Bed, create, name, record, settling, soon, tokens};
use crate::store::CrowdBounds;
use crate::store::postgres::PostgresStore;

const CHAINS: usize = 12;

/// All but the first wait and go together, also on a busy machine.
async fn bed() -> Bed {
    let mut bed = Bed::new().await;
    bed.crowds = CrowdBounds { patience: Duration::from_secs(60), ..CrowdBounds::default() };
    bed
}

async fn fill(store: &PostgresStore) -> Vec<Chain> {
    let mut chains = Vec::new();
    for n in 0..CHAINS {
        chains.push(create(store, &format!("acme-{n}"), &format!("t{n}")).await.chain);
    }
    chains
}

fn ask(store: &PostgresStore, chain: &Chain) -> ClaimAsk {
    let id = ClaimId::from_i64(store.entropy.id());
    ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh }
}

async fn claim_all(store: &PostgresStore, asks: &[ClaimAsk]) -> Vec<Claimed> {
    let claims = asks.iter().map(|ask| store.claim(ask, record("claim")));
    soon(join_all(claims)).await.into_iter().map(Result::unwrap).collect()
}

fn granted(claimed: Vec<Claimed>) -> Vec<Chain> {
    let row = |claimed| match claimed {
        Claimed::Granted(row) => *row,
        Claimed::Missed(row) => panic!("missed: {row:?}"),
    };
    claimed.into_iter().map(row).collect()
}

fn grant(store: &PostgresStore, claimed: &Chain, text: &str) -> Settling {
    let next = tokens(text);
    let spend_hash = next.refresh_token.as_ref().map(|token| store.installation().hasher.token(token));
    Settling { spend_hash, ..settling(claimed, Settlement::Granted(Box::new(next))) }
}

/// How many transactions wrote the entries of that action.
async fn transactions(bed: &Bed, action: &str) -> i64 {
    let sql = format!("SELECT COUNT(DISTINCT CAST(xmin AS TEXT)) FROM audit WHERE action = '{action}'");
    bed.look(&sql).await[0].get(0)
}

async fn spent_tokens(bed: &Bed) -> Vec<Vec<u8>> {
    bed.look("SELECT hash FROM spent_tokens").await.iter().map(|row| row.get(0)).collect()
}

async fn entries(store: &PostgresStore, action: &str) -> Vec<Entry> {
    let all = store.entries(0, 1_000).await.unwrap();
    all.into_iter().filter(|entry| entry.action == action).collect()
}

#[tokio::test]
async fn claims_and_grants_that_come_at_once_are_two_transactions_each() {
    let bed = bed().await;
    let store = bed.store().await;
    let chains = fill(&store).await;
    let asks: Vec<_> = chains.iter().map(|chain| ask(&store, chain)).collect();
    let claimed = granted(claim_all(&store, &asks).await);
    for (ask, row) in asks.iter().zip(&claimed) {
        let claim = row.claim.as_ref().unwrap();
        assert_eq!((row.id, claim.id, claim.owner), (ask.chain, ask.id, store.owner()));
    }
    assert_eq!(transactions(&bed, "claim").await, 2, "the first, and all others");
    let grants = claimed.iter().enumerate().map(|(n, row)| grant(&store, row, &format!("next-{n}")));
    let spent = |row: &Chain| row.spend_hash.unwrap();
    let grants = grants.zip(&claimed);
    let settles =
        grants.map(async |(grant, row)| store.roll_forward(&spent(row), grant, record("settle")).await);
    let settled: Vec<_> = soon(join_all(settles)).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(transactions(&bed, "settle").await, 2);
    for (n, settled) in settled.iter().enumerate() {
        let Settled::Done(row) = settled else { panic!("{settled:?}") };
        assert_eq!((row.id, row.generation, row.claim.is_none()), (chains[n].id, 1, true));
        let access = row.tokens.access_token.as_ref().unwrap().expose().to_owned();
        assert_eq!(access, format!("next-{n}-access"));
        let spent = store.installation().hasher.token(&format!("t{n}-refresh").into());
        assert!(
            spent_tokens(&bed).await.contains(&spent.as_bytes().to_vec()),
            "what was spent is remembered"
        );
    }
    assert_eq!(entries(&store, "claim").await.len(), CHAINS);
    assert_eq!(entries(&store, "settle").await.len(), CHAINS);
    let events = store.events(0, 1_000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "settle").count(), CHAINS);
    assert_eq!(store.verify().await.unwrap().broken, None);
}

#[tokio::test]
async fn each_of_a_crowd_is_told_what_it_would_be_told_alone() {
    let bed = bed().await;
    let store = bed.store().await;
    let chains = fill(&store).await;
    let mut asks: Vec<_> = chains.iter().map(|chain| ask(&store, chain)).collect();
    // Claimed by another process, older than its row, and no chain at all.
    let other = bed.store().await;
    granted(claim_all(&other, &[ask(&other, &chains[3])]).await);
    asks[5].revision -= 1;
    store.remove(chain_user(&store, "acme-7").await, None, record("remove")).await.unwrap();
    asks.push(asks[9].clone());
    let claimed = claim_all(&store, &asks).await;
    for (n, claimed) in claimed.iter().enumerate() {
        match (n, claimed) {
            (3, Claimed::Missed(Some(row))) => assert_eq!(row.claim.as_ref().unwrap().owner, other.owner()),
            (5, Claimed::Missed(Some(row))) => assert_eq!((row.id, &row.claim), (chains[5].id, &None)),
            (7, Claimed::Missed(None)) => {}
            // The same claim a second time.
            (12, Claimed::Missed(Some(row))) => assert_eq!(row.claim.as_ref().unwrap().id, asks[9].id),
            (n, Claimed::Granted(row)) if ![3, 5, 7, 12].contains(&n) => assert_eq!(row.id, chains[n].id),
            (n, claimed) => panic!("{n}: {claimed:?}"),
        }
    }
    assert_eq!(entries(&store, "claim").await.len(), CHAINS - 2, "who changed nothing left no entry");
    assert_eq!(store.verify().await.unwrap().broken, None);
}

async fn chain_user(store: &PostgresStore, label: &str) -> keyherd_core::ids::CredentialId {
    store.credential(&name(label)).await.unwrap().unwrap().credential.id
}

#[tokio::test]
async fn a_row_that_another_transaction_holds_keeps_nobody_else_waiting() {
    let bed = bed().await;
    let store = bed.store().await;
    let chains = fill(&store).await;
    let asks: Vec<_> = chains.iter().map(|chain| ask(&store, chain)).collect();
    let holder = bed.outside().begin().await.unwrap();
    holder
        .batch(&format!("SELECT 1 FROM chains WHERE id = {} FOR UPDATE", chains[4].id.as_i64()))
        .await
        .unwrap();
    let claims = join_all(asks.iter().map(|ask| store.claim(ask, record("claim"))));
    let letting_go = async {
        // The held one is tried alone by then, and waits; the others do not.
        bed.until_somebody_waits().await;
        bed.until("SELECT COUNT(*) = 11 FROM audit WHERE action = 'claim'").await;
        holder.rollback().await.unwrap();
    };
    let (claims, ()) = soon(Box::pin(join(claims, letting_go))).await;
    for claimed in claims {
        assert!(matches!(claimed, Ok(Claimed::Granted(_))), "{claimed:?}");
    }
}

#[tokio::test]
async fn what_stops_one_of_a_crowd_does_not_stop_the_others() {
    let bed = bed().await;
    let store = bed.store().await;
    let chains = fill(&store).await;
    let asks: Vec<_> = chains.iter().map(|chain| ask(&store, chain)).collect();
    // Of one row the server makes an error.
    bed.meddle(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER refused BEFORE UPDATE ON chains FOR EACH ROW WHEN (OLD.id = {}) EXECUTE FUNCTION refuse()",
        chains[6].id.as_i64()
    ))
    .await;
    let claims = soon(join_all(asks.iter().map(|ask| store.claim(ask, record("claim"))))).await;
    for (n, claimed) in claims.into_iter().enumerate() {
        assert_eq!(claimed.is_ok(), n != 6, "{n}: {claimed:?}");
    }
    assert_eq!(store.verify().await.unwrap().broken, None);
}

#[tokio::test]
async fn reads_that_come_at_once_are_one_and_each_has_its_own_row() {
    let bed = bed().await;
    let store = bed.store().await;
    fill(&store).await;
    let mut labels: Vec<_> = (0..CHAINS).map(|n| name(&format!("acme-{n}"))).collect();
    labels.extend([name("nobody"), name("acme-3")]);
    let rows = soon(join_all(labels.iter().map(|label| store.credential(label)))).await;
    for (label, row) in labels.iter().zip(rows) {
        let found = row.unwrap().map(|Loaded { credential, .. }| credential.name);
        assert_eq!(found.as_ref(), Some(label).filter(|label| label.as_str() != "nobody"));
    }
}
