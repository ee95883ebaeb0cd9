//! What a herd costs the server: statements of the leader and of those who wait, however many callers each has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, Broker, ConnectMode, Options, Ports};
use keyherd_core::credential::{Draft, DraftFields, Holder};
use keyherd_core::fakes::{FixedProfiles, MemoryJournal, RecordingCourier, RotatingProvider};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::store::StoredEvent;
use keyherd_core::ports::{Coordinator, StoreError};
use keyherd_core::provider::Profile;
use keyherd_core::refresh::Ask;
use tokio::sync::broadcast::Receiver;

use super::bed::{Bed, soon};
use crate::coordinator::{PostgresBell, PostgresBellOptions};
use crate::postgres::{Target, WireOptions};
use crate::store::engine::{Engine, Kind, Transaction};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement};
use crate::system::OsEntropy;

const PROCESSES: usize = 4;
const CALLERS: usize = 200;
/// The watch's own, one for each notice that came meanwhile: of the claim, of the commit, of what was before, and one of
/// a proof that notices arrive.
const LOOKS_MAX: usize = 4;

#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    /// Reads of the outbox: one for each notice.
    looks: AtomicUsize,
    transactions: AtomicUsize,
}

impl Counts {
    /// Reads, looks at the outbox, transactions.
    fn taken(&self) -> (usize, usize, usize) {
        let taken = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (taken(&self.reads), taken(&self.looks), taken(&self.transactions))
    }
}

/// An engine that counts what it is asked.
struct CountingEngine {
    inner: Arc<dyn Engine>,
    counts: Arc<Counts>,
}

#[async_trait]
impl Engine for CountingEngine {
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        let is_look = [sql::EVENTS, sql::LAST_EVENT].contains(&statement.sql.postgres);
        let count = if is_look { &self.counts.looks } else { &self.counts.reads };
        count.fetch_add(1, Ordering::Relaxed);
        self.inner.read(statement).await
    }

    async fn begin(&self, kind: Kind) -> Result<Box<dyn Transaction + '_>, Fault> {
        self.counts.transactions.fetch_add(1, Ordering::Relaxed);
        self.inner.begin(kind).await
    }

    fn explain(&self, fault: Fault) -> StoreError {
        self.inner.explain(fault)
    }

    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }

    fn vouch(&self) -> Result<(), Fault> {
        self.inner.vouch()
    }

    fn claim_life(&self) -> Option<Duration> {
        self.inner.claim_life()
    }

    fn holder(&self, owner: OwnerId, is_over: Option<bool>) -> Holder {
        self.inner.holder(owner, is_over)
    }

    fn numbers_every_entry(&self) -> bool {
        self.inner.numbers_every_entry()
    }

    fn latecomers(&self) -> Option<Duration> {
        self.inner.latecomers()
    }

    fn tidy(&self) {
        self.inner.tidy();
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

pub(super) struct Peer {
    pub(super) broker: Broker,
    counts: Arc<Counts>,
    bell: Arc<PostgresBell>,
}

pub(super) async fn peer(bed: &Bed, provider: &RotatingProvider) -> Peer {
    let counts = Arc::new(Counts::default());
    let counting = Arc::clone(&counts);
    let store = bed.store_on(|inner| Arc::new(CountingEngine { inner, counts: counting })).await;
    let hasher = store.installation().hasher.clone();
    let target = Target::parse(bed.direct(), None).unwrap();
    let bell = PostgresBell::new(bed.outside(), target, PostgresBellOptions::default());
    let bell = Arc::new(bell);
    let ports = Ports {
        store: store.rooms(),
        coordinator: Arc::clone(&bell) as _,
        provider: Arc::new(provider.clone()),
        profiles: Arc::new(FixedProfiles::new([Profile { name: "acme".into(), ..Profile::default() }])),
        journal: Arc::new(MemoryJournal::default()),
        courier: Arc::new(RecordingCourier::default()),
        clock: bed.clock(),
        entropy: Arc::new(OsEntropy::new().unwrap()),
        hasher,
    };
    Peer { broker: Broker::new(ports, Options::default()), counts, bell }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_herd_costs_one_call_and_a_handful_of_statements() {
    let mut bed = Bed::new().await;
    bed.claim_life = Duration::from_secs(180);
    bed.lanes = WireOptions::default();
    let provider = RotatingProvider::new(Duration::from_millis(200), 3_600);
    let peers = join_all((0..PROCESSES).map(|_| peer(&bed, &provider))).await;
    // As in a server, which watches all the time. The first herd leaves time to prove that notices arrive.
    let mut news: Vec<_> = peers.iter().map(|peer| peer.broker.events()).collect();
    soon(join_all(peers.iter().map(|peer| peer.broker.watched()))).await;
    herd(&peers, &mut news, &provider, "first").await;
    for peer in &peers {
        let heard = async {
            while !peer.bell.trouble().await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon(heard).await;
    }
    let counted = herd(&peers, &mut news, &provider, "second").await;
    assert_eq!((provider.calls(), provider.reuses()), (2, 0));
    let leaders = counted.iter().filter(|(_, _, transactions)| *transactions > 1).count();
    for (reads, looks, transactions) in &counted {
        let (reads_max, transactions_max) = if *transactions > 1 { (4, 3) } else { (3, 1) };
        assert!(*reads <= reads_max && *transactions <= transactions_max, "{counted:?}");
        assert!(*looks <= LOOKS_MAX, "{counted:?}");
    }
    assert_eq!(leaders, 1, "{counted:?}");
}

/// Many callers in every process ask for one expired credential; what it cost each process.
async fn herd(
    peers: &[Peer],
    news: &mut [Receiver<Arc<StoredEvent>>],
    provider: &RotatingProvider,
    name: &str,
) -> Vec<(usize, usize, usize)> {
    let fields = DraftFields {
        name: name.into(),
        provider: "acme".into(),
        access_token: Some("ended".into()),
        expires_at: Some(keyherd_core::time::Timestamp::from_millis(1)),
        refresh_token: Some(provider.account().into()),
        token_url: Some("https://acme.example/token".into()),
        ..DraftFields::default()
    };
    let actor = Actor::new("test");
    let connecting = peers[0].broker.connect(Draft::parse(fields).unwrap(), ConnectMode::Create, &actor);
    connecting.await.unwrap();
    for (peer, news) in peers.iter().zip(news) {
        // What was told of its making is not the herd's.
        soon(async { while news.recv().await.unwrap().subject != name {} }).await;
        peer.counts.taken();
    }
    let ask = Ask::foreground(Duration::from_secs(30));
    let asking = peers.iter().flat_map(|peer| (0..CALLERS).map(|_| peer.broker.acquire(name, &ask, &actor)));
    for answer in join_all(asking).await {
        assert!(matches!(answer, Ok(Acquired::Token(token)) if token.generation() == 1));
    }
    peers.iter().map(|peer| peer.counts.taken()).collect()
}
