//! What a process left in its machine's journal when it ended: others of that machine bring it to the store.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::bent::process;
use super::*;
use crate::broker::{Broker, Ports};
use crate::fakes::{MemoryJournal, RotatingProvider};
use crate::ids::ChainId;
use crate::ports::{Aged, Journal, JournalEntry, JournalError};
use crate::secret::TokenHash;
use crate::time::Timestamp;

const LIFE: Option<Duration> = Some(Duration::from_secs(180));

/// A machine on which a command had the answer to a provider's one rotation, and ended while the store was down.
struct Left {
    stage: Stage,
    provider: RotatingProvider,
    command: Host,
}

async fn left(background: impl FnOnce(&Stage)) -> Left {
    let provider = RotatingProvider::new(SECOND, 3_600);
    let mut fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
    // The sweep asks for nothing: what follows is done by nobody else.
    fleet.options.background.enabled = false;
    let host = fleet.host();
    let stage = Stage { fleet, host, provider: ScriptedProvider::new([]) };
    let account = provider.account();
    stage.import("acme", Duration::ZERO, &account, |_| {}).await;
    background(&stage);
    pass(MINUTE).await;
    let (broker, _, command) = process(&stage, LIFE, None);
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_down(true);
    };
    let (got, ()) = tokio::join!(ask(&broker), outage);
    assert_eq!(token(got).generation(), 1, "its caller has the token");
    assert!(broker.shutdown(MINUTE).await);
    assert_eq!(pending(&stage).await, 1, "and the store has not");
    Left { stage, provider, command }
}

impl Left {
    /// The store is back, and the command's claim has ended.
    fn back(&self) {
        self.stage.fleet.installation.set_down(false);
        self.stage.fleet.bury(&self.command);
    }

    /// Another machine, which has a journal of its own, asks.
    async fn told_elsewhere(&self) -> Result<Acquired, AcquireError> {
        let (broker, _, _) = process(&self.stage, LIFE, None);
        ask(&with_journal(&self.stage, &broker, MemoryJournal::default())).await
    }

    fn here(&self) -> Broker {
        process(&self.stage, LIFE, None).0
    }
}

fn with_journal(stage: &Stage, broker: &Broker, journal: impl Journal) -> Broker {
    let ports = Ports { journal: Arc::new(journal), ..broker.ports().clone() };
    Broker::new(ports, stage.fleet.options.clone())
}

async fn ask(broker: &Broker) -> Result<Acquired, AcquireError> {
    broker.acquire("acme", &plain(), &actor()).await
}

async fn pending(stage: &Stage) -> usize {
    stage.fleet.journal.pending(9).await.expect("readable").len()
}

#[tokio::test(start_paused = true)]
async fn a_server_commits_it_as_soon_as_the_store_is_back() {
    let left = left(|stage| process(stage, LIFE, None).0.run_background()).await;
    pass(MINUTE).await;
    left.back();
    pass(5 * SECOND).await;
    assert_eq!(pending(&left.stage).await, 0);
    let row = left.stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, left.provider.calls(), left.provider.reuses()), (1, 1, 0));
}

/// The server reaches the store all the time, and the claim of the command that ended stands for a while yet.
#[tokio::test(start_paused = true)]
async fn a_server_commits_it_while_the_claim_still_stands() {
    let left = left(|stage| process(stage, LIFE, None).0.run_background()).await;
    left.stage.fleet.installation.set_down(false);
    pass(5 * SECOND).await;
    let row = left.stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, row.claim), (1, None));
}

/// Another machine found the claim ended, and records that nobody knows what became of it: this machine knows.
#[tokio::test(start_paused = true)]
async fn whoever_asks_on_that_machine_has_it_although_others_do_not_know() {
    let left = left(|_| {}).await;
    left.back();
    let elsewhere = refusal(left.told_elsewhere().await);
    assert!(matches!(&elsewhere, Refusal::Uncertain { code, .. } if code == "owner_gone"), "{elsewhere:?}");
    assert_eq!(token(ask(&left.here()).await).generation(), 1);
    assert_eq!((pending(&left.stage).await, left.provider.calls()), (0, 1));
    assert_eq!(token(left.told_elsewhere().await).generation(), 1, "and now they know");
}

/// Nobody asked on that machine in time, and another one has probed: the pair is kept, whatever it is still worth.
#[tokio::test(start_paused = true)]
async fn whoever_asks_on_that_machine_has_it_after_the_probe_too() {
    let left = left(|_| {}).await;
    left.back();
    refusal(left.told_elsewhere().await);
    pass(2 * MINUTE).await;
    let lost = Refusal::ReauthRequired { code: "rotation_lost".into() };
    assert_eq!(refusal(left.told_elsewhere().await), lost);
    assert_eq!(token(ask(&left.here()).await).generation(), 1);
}

/// A journal that counts how often it is looked into.
struct CountingJournal(MemoryJournal, Arc<AtomicU64>);

#[async_trait]
impl Journal for CountingJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.0.write(entry).await
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.find(spent).await
    }

    async fn find_for(
        &self,
        spent: &TokenHash,
        chain: ChainId,
        generation: u64,
    ) -> Result<Option<JournalEntry>, JournalError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.find_for(spent, chain, generation).await
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.0.committed(spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.0.pending(limit).await
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        self.0.aged(now, keep, limit).await
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.0.forget(spent).await
    }
}

/// However many ask at once, the journal is looked into once for all of them.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_is_refused_looks_once() {
    let left = left(|_| {}).await;
    left.back();
    refusal(left.told_elsewhere().await);
    let looks = Arc::new(AtomicU64::new(0));
    let journal = CountingJournal(MemoryJournal::default(), Arc::clone(&looks));
    let broker = with_journal(&left.stage, &left.here(), journal);
    let crowd = futures_util::future::join_all((0..50).map(|_| ask(&broker))).await;
    for got in crowd {
        assert!(matches!(refusal(got), Refusal::Uncertain { .. }));
    }
    assert_eq!(looks.load(Ordering::Relaxed), 1);
}

/// An entry that cannot be opened is tried once in a while, and does not keep the others from the store.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_is_not_tried_all_the_time() {
    let looks = Arc::new(AtomicU64::new(0));
    let left = left(|stage| {
        let journal = CountingJournal(stage.fleet.journal.clone(), Arc::clone(&looks));
        with_journal(stage, &process(stage, LIFE, None).0, journal).run_background();
    })
    .await;
    left.stage.fleet.journal.set_unreadable(true);
    let before = looks.load(Ordering::Relaxed);
    left.stage.fleet.installation.set_down(false);
    pass(5 * MINUTE).await;
    assert!(looks.load(Ordering::Relaxed) <= before + 2, "{} looks", looks.load(Ordering::Relaxed) - before);
    left.stage.fleet.journal.set_unreadable(false);
    pass(10 * MINUTE).await;
    assert_eq!(pending(&left.stage).await, 0, "a key may come");
}
