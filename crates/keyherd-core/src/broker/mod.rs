//! The verbs. They alone await; they know ports, never adapters.
//!
//! A [`Broker`] is one process's view of one store. Every process is a peer: a server, a command, an embedding
//! program; each opens the same store through this same code.

mod access;
mod acquire;
mod acquired;
mod behind;
mod choose;
mod connect;
mod cool;
mod doubt;
mod endpoints;
mod flight;
mod follow;
mod judge;
mod later;
mod lead;
mod manage;
mod mutant;
mod outbox;
mod phantoms;
mod pools;
mod probe;
mod reading;
mod recover;
mod report;
mod settle;
mod snapshot;
mod spend;
mod sweep;
mod tenure;
mod tidy;
mod token;
// Rules and approvals.
mod answer;
mod ask;
mod keep;
mod permit;
mod rooms;
mod rules;
mod ungranted;
// Channels.
mod announce;
mod channels;
mod listen;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::access::AccessLoading;
pub use self::access::{Access, NewAgent};
use self::acquire::Source;
pub use self::acquired::{AcquireError, Acquired};
pub use self::behind::{Behind, RealSecret};
pub use self::connect::{ConnectError, ConnectMode, Connected, NewTokens};
use self::cool::CoolKey;
pub use self::endpoints::TokenEndpoint;
pub use self::flight::{Flights, Lost, Spawn};
use self::follow::Notices;
pub use self::judge::Judge;
use self::lead::FlightEnd;
pub use self::manage::{ManageError, PAGE_MAX, Page};
#[cfg(feature = "mutants")]
pub use self::mutant::set_window_in_key;
pub use self::phantoms::Looks;
pub use self::pools::PoolStatus;
pub use self::reading::ReadHosts;
pub use self::report::{Followed, Report};
use self::snapshot::Snapshots;
pub use self::sweep::BackgroundBounds;
// Rules and approvals.
pub use self::answer::AnswerError;
pub use self::ask::{ApprovalAsk, AskError, Consent};
pub use self::permit::{Permit, PermittedBy};
pub use self::rules::{RuleError, RulesImport, RulesImported};
pub use self::token::Token;
// Channels.
pub use self::channels::{ChannelError, Tested};
use crate::ids::{ChainId, ClaimId, Name, PoolId};
use crate::pool::Pool;
use crate::ports::store::{Record, Settling, StoredEvent};
use crate::ports::{
    Clock, Coordinator, Courier, Entropy, Journal, JournalEntry, Profiles, ProviderClient, Store, StoreError,
};
use crate::refresh::RefreshBounds;
use crate::secret::{Hasher, TokenHash};
use crate::spell::Spell;
use crate::upstream::CooldownBounds;

/// Everything a broker needs of the world.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is a port, described there")]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub coordinator: Arc<dyn Coordinator>,
    pub provider: Arc<dyn ProviderClient>,
    pub profiles: Arc<dyn Profiles>,
    pub journal: Arc<dyn Journal>,
    pub courier: Arc<dyn Courier>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// The installation's: the same in every process on one store.
    pub hasher: Hasher,
}

/// Bounds of a broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the refresh engine.
    pub refresh: RefreshBounds,
    /// Of cooldowns.
    pub cooldown: CooldownBounds,
    /// Of the sweep.
    pub background: BackgroundBounds,
    /// The most credentials kept in memory; past it the memory starts anew.
    pub snapshots_max: usize,
    /// Events that a slow listener may lag behind before it misses some.
    pub events_lag_max: usize,
    /// The longest sleep between two looks at a claim that another process holds.
    pub follow_poll_max: Duration,
    /// How long a coordinator may take to say whose turn it is. One that takes longer is not waited for.
    pub coordinator_timeout: Duration,
    /// How long a process heeds the coordinator's word that another is at it, before it looks at the store itself.
    pub turn_wait: Duration,
    /// Event numbers waited for at once, where events may appear out of order; past it nothing in memory is trusted.
    pub event_holes_max: usize,
    /// Where events may be missed: what memory serves is read anew when it is older than this, while it serves on.
    pub memory_age_max: Duration,
    /// The most agents of an installation: all are in memory.
    pub agents_max: usize,
    /// The most bindings of an installation: likewise.
    pub bindings_max: usize,
    /// How long a removal waits for a refresh that is under way.
    pub remove_wait: Duration,
    /// How long journal entries stay after their commit, at least.
    pub journal_keep: Duration,
    /// Of asking humans.
    pub approvals: crate::approval::ApprovalBounds,
    /// Rules, remembered answers included, at most.
    pub rules_max: u64,
    /// Of channels.
    pub channels: crate::channel::ChannelBounds,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            refresh: RefreshBounds::default(),
            cooldown: CooldownBounds::default(),
            background: BackgroundBounds::default(),
            snapshots_max: 100_000,
            events_lag_max: 1_024,
            follow_poll_max: Duration::from_millis(100),
            coordinator_timeout: Duration::from_millis(250),
            turn_wait: Duration::from_millis(100),
            event_holes_max: 1_024,
            memory_age_max: Duration::from_secs(60),
            agents_max: 10_000,
            bindings_max: 10_000,
            remove_wait: Duration::from_secs(10),
            journal_keep: Duration::from_secs(24 * 3600),
            approvals: crate::approval::ApprovalBounds::default(),
            rules_max: 200_000,
            channels: crate::channel::ChannelBounds::default(),
        }
    }
}

/// One process's view of one store. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    ports: Ports,
    options: Options,
    snapshots: Snapshots,
    access_loads: Flights<(), AccessLoading>,
    /// Until when, in nanoseconds, readings for keys that nobody has are paid for.
    strangers: AtomicU64,
    loads: Flights<(Name, Source), acquire::Loading>,
    flights: Flights<mutant::FlightKey, FlightEnd>,
    cools: Flights<CoolKey, Result<bool, StoreError>>,
    pool_loads: Flights<Name, Result<Option<Arc<Pool>>, StoreError>>,
    settles: Flights<PoolId, Result<Arc<Pool>, AcquireError>>,
    notices: Notices,
    /// Answers that neither journal nor store could take yet: this process's memory is all there is of them.
    homeless: Mutex<HashMap<TokenHash, JournalEntry>>,
    /// Answers that the store has and no journal could take, the newest of each chain: a store that fails over may lose them.
    unjournaled: Mutex<HashMap<ChainId, JournalEntry>>,
    /// How claims of this process ended that the store could not be told yet.
    unsettled: Mutex<HashMap<ClaimId, (Settling, Record)>>,
    /// Renewals that failed, of any claim.
    unrenewed: Spell,
    /// Refreshes in the background that neither store nor journal had room for.
    unstored: Spell,
    /// Answers in the journal that the store could not be asked for, and a journal that could not be read.
    unrecovered: Spell,
    events: broadcast::Sender<Arc<StoredEvent>>,
    /// The rules in memory.
    policy: rules::Policy,
    /// Questions to humans that are open here.
    asking: ask::Asking,
    /// Rings for those who look after channels.
    errands: announce::Errands,
    /// Whether tidying is taken care of in this process.
    tidies: AtomicBool,
    tasks: TaskTracker,
    /// Where the background runs, and what many wait for: not on the thread of whoever asked first.
    home: Arc<OnceLock<Handle>>,
    stop: CancellationToken,
    /// Nobody is asked, and nobody waits for an answer: at the latest when everything stops.
    hush: CancellationToken,
}

impl Broker {
    /// A broker over these ports. Needs a tokio runtime when its verbs are called.
    pub fn new(ports: Ports, options: Options) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (tracked, home) = (tasks.clone(), Arc::<OnceLock<Handle>>::default());
        let at_home = Arc::clone(&home);
        let spawn: Spawn = Arc::new(move |work: BoxFuture<'static, ()>| match at_home.get() {
            Some(home) => drop(tracked.spawn_on(work, home)),
            None => drop(tracked.spawn(work)),
        });
        Self(Arc::new(Inner {
            snapshots: Snapshots::new(
                options.snapshots_max,
                ports.store.latecomers().map(|_| options.memory_age_max),
            ),
            strangers: AtomicU64::new(0),
            access_loads: Flights::new(Arc::clone(&spawn)),
            loads: Flights::new(Arc::clone(&spawn)),
            flights: Flights::new(Arc::clone(&spawn)),
            cools: Flights::new(Arc::clone(&spawn)),
            pool_loads: Flights::new(Arc::clone(&spawn)),
            settles: Flights::new(Arc::clone(&spawn)),
            policy: rules::Policy::new(Arc::clone(&spawn)),
            asking: ask::Asking::new(spawn),
            errands: announce::Errands::default(),
            notices: Notices::default(),
            homeless: Mutex::default(),
            unjournaled: Mutex::default(),
            unsettled: Mutex::default(),
            unrenewed: Spell::default(),
            unstored: Spell::default(),
            unrecovered: Spell::default(),
            events: broadcast::Sender::new(options.events_lag_max),
            tidies: AtomicBool::new(false),
            tasks,
            home,
            hush: stop.child_token(),
            stop,
            ports,
            options,
        }))
    }

    /// Events as they are committed, by any process on the store, from when the watch has begun ([`Self::watched`]). A
    /// listener that lags misses some and is told so.
    pub fn events(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.watch();
        self.0.events.subscribe()
    }

    /// The wall clock that expiry is judged on.
    pub fn now(&self) -> crate::time::Timestamp {
        self.0.ports.clock.now()
    }

    fn homeless(&self) -> MutexGuard<'_, HashMap<TokenHash, JournalEntry>> {
        self.0.homeless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unjournaled(&self) -> MutexGuard<'_, HashMap<ChainId, JournalEntry>> {
        self.0.unjournaled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsettled(&self) -> MutexGuard<'_, HashMap<ClaimId, (Settling, Record)>> {
        self.0.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ports, for doors that only read.
    pub fn ports(&self) -> &Ports {
        &self.0.ports
    }

    /// Stops background work and waits until every flight has committed, at most `patience`. `false`: some had not;
    /// what they received is in the journal.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        self.0.stop.cancel();
        self.0.tasks.close();
        tokio::time::timeout(patience, self.0.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
