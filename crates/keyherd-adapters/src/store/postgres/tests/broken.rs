//! The server killed, restarted and stopped while processes work: typed errors in bounded time, nothing committed is
//! lost, and everybody goes on by himself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use keyherd_core::credential::{Chain, Purpose};
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClaimAsk, Claimed, CredentialStore, EventStore, Settled, Settling,
};
use keyherd_core::refresh::Settlement;
use tokio::time::timeout;

use super::bed::{Bed, create, name, record, settling, soon, tokens};
use crate::postgres::WireOptions;
use crate::store::postgres::PostgresStore;
use crate::testing::{PostgresOptions, PrivatePostgres};

async fn server() -> PrivatePostgres {
    // What was committed survives a kill only where commits are written before they are answered.
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    tokio::task::spawn_blocking(|| PrivatePostgres::start(options).unwrap()).await.unwrap()
}

fn impatient(bed: &mut Bed) -> Duration {
    let short = Duration::from_millis(500);
    bed.lanes = WireOptions {
        lanes_max: 2,
        connect_timeout: short,
        queue_timeout: short,
        statement_timeout: short,
        answer_margin: short,
        ..WireOptions::default()
    };
    // A lane, a connection, and an answer to one statement; the reread doubles it.
    2 * (short + short + 2 * short)
}

/// One credential's refreshes, in a process of its own.
struct Worker {
    store: PostgresStore,
    label: String,
    /// The last generation that the store said was committed.
    committed: u64,
    refreshes: Arc<AtomicUsize>,
}

impl Worker {
    async fn step(&mut self) -> Result<(), StoreError> {
        let chain = self.store.credential(&name(&self.label)).await?.unwrap().chain;
        assert!(chain.generation >= self.committed, "a committed generation was lost");
        let claimed = match self.claimed(&chain).await? {
            Some(claimed) => claimed,
            // One whose reply was lost is ours all the same.
            None if chain.claim.is_some() => chain,
            None => return Ok(()),
        };
        let next = tokens(&format!("{}-{}", self.label, claimed.generation + 1));
        let spend_hash =
            next.refresh_token.as_ref().map(|token| self.store.installation().hasher.token(token));
        let settling = Settling { spend_hash, ..settling(&claimed, Settlement::Granted(Box::new(next))) };
        if let Settled::Done(row) = self.store.settle(settling, record("settle")).await? {
            self.committed = row.generation;
            self.refreshes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn claimed(&self, chain: &Chain) -> Result<Option<Chain>, StoreError> {
        let id = ClaimId::from_i64(self.store.entropy.id());
        let ask = ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh };
        Ok(match self.store.claim(&ask, record("claim")).await? {
            Claimed::Granted(row) => Some(*row),
            Claimed::Missed(_) => None,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_in_the_middle_loses_nothing_that_was_committed() {
    let mut server = server().await;
    let bed = Bed::at(server.url("postgres")).await;
    let refreshes = Arc::new(AtomicUsize::new(0));
    let stop = tokio_util::sync::CancellationToken::new();
    let mut working = Vec::new();
    for n in 0..4 {
        let (store, label) = (bed.store().await, format!("acme-{n}"));
        create(&store, &label, &label).await;
        let mut worker = Worker { store, label, committed: 0, refreshes: Arc::clone(&refreshes) };
        let stop = stop.clone();
        working.push(tokio::spawn(async move {
            let mut errors = Vec::new();
            while !stop.is_cancelled() {
                if let Err(error) = worker.step().await {
                    errors.push(error);
                    tokio::task::yield_now().await;
                }
            }
            (worker, errors)
        }));
    }
    for _ in 0..2 {
        until_more(&refreshes, 40).await;
        server.kill();
        tokio::task::block_in_place(|| server.restart().unwrap());
    }
    until_more(&refreshes, 40).await;
    stop.cancel();
    for worker in working {
        let (mut worker, errors) = worker.await.unwrap();
        let typed = errors
            .iter()
            .all(|error| matches!(error, StoreError::Unavailable(_) | StoreError::Unanswered(_)));
        assert!(typed, "{errors:?}");
        worker.step().await.unwrap();
        assert_eq!(worker.store.verify().await.unwrap().broken, None);
    }
}

async fn until_more(refreshes: &AtomicUsize, count: usize) {
    let before = refreshes.load(Ordering::Relaxed);
    let counting = async {
        while refreshes.load(Ordering::Relaxed) < before + count {
            tokio::task::yield_now().await;
        }
    };
    soon(counting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stopped_server_is_waited_for_no_longer_than_said() {
    let server = server().await;
    let mut bed = Bed::at(server.url("postgres")).await;
    let bound = impatient(&mut bed) + Duration::from_secs(10);
    let store = bed.store().await;
    let made = create(&store, "acme", "t0").await;
    server.pause();
    let read = timeout(bound, store.credential(&name("acme"))).await.unwrap();
    assert!(matches!(&read, Err(StoreError::Unavailable(_))), "{read:?}");
    let id = ClaimId::from_i64(1);
    let ask = ClaimAsk { id, chain: made.chain.id, revision: made.chain.revision, purpose: Purpose::Refresh };
    let claimed = timeout(bound, store.claim(&ask, record("claim"))).await.unwrap();
    assert!(matches!(&claimed, Err(StoreError::Unavailable(_))), "{claimed:?}");
    let many = join_all((0..20).map(|_| store.last_event()));
    let many = timeout(bound, many).await.unwrap();
    assert!(many.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{many:?}");
    server.resume();
    let there = async {
        while store.credential(&name("acme")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(there).await;
    assert_eq!(store.verify().await.unwrap().broken, None);
}
