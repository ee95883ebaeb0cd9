//! What all hosts of a run share: the store, the provider, the dice, the record; and who is up.
//!
//! One lock, held for no await. Never part of what is under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyherd_core::broker::Broker;
use keyherd_core::fakes::{Backup, FixedProfiles, Installation, MemoryJournal, PausedClock, Terms};
use keyherd_core::ids::{ChainId, Name, OwnerId};
use keyherd_core::ports::{Clock, JournalEntry};
use keyherd_core::provider::{ClientAuth, Profile, Rotates};
use keyherd_core::secret::{Hasher, Secret, TokenHash};
use tokio::sync::Notify;

use crate::accounts::{Accounts, Habit};
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::mutants::Mutant;
use crate::plan::{CLAIM_LIFE, GRACE, LATECOMERS, Plan};
use crate::tally::{Event, Tally};
use crate::trace::Line;

/// A host that is up, unpaused and in reach of the store this long has committed what its journal has.
const RECOVERY_MAX: Duration = Duration::from_secs(45);

/// Everything.
pub(crate) struct World {
    pub(crate) installation: Arc<Installation>,
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) hasher: Hasher,
    pub(crate) profiles: Arc<FixedProfiles>,
    pub(crate) mutant: Option<Mutant>,
    state: Mutex<State>,
}

/// What changes.
pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    pub(crate) hosts: Vec<Host>,
    pub(crate) accounts: Accounts,
    pub(crate) ledger: Ledger,
    pub(crate) lines: Vec<Line>,
    pub(crate) steps: u64,
    pub(crate) tally: Tally,
    pub(crate) incarnations: i64,
    pub(crate) store_down_until: Duration,
    /// The store as it was, for a failover that loses what came after.
    pub(crate) backup: Option<(Duration, Backup)>,
    /// Answers left with the coordinator.
    pub(crate) copies: BTreeMap<TokenHash, JournalEntry>,
    pub(crate) turns: BTreeMap<ChainId, (OwnerId, Duration)>,
    /// Every name's lives: which account and chain it stood for, and since when.
    pub(crate) names: BTreeMap<Name, Vec<Life>>,
    /// Who asked and has no answer yet.
    pub(crate) asking: BTreeMap<u64, Asking>,
    pub(crate) questions: u64,
    /// The last token that anybody got, by name.
    pub(crate) last_served: BTreeMap<Name, String>,
    /// The time of faults is over.
    pub(crate) is_calm: bool,
    /// Some clock was wrong at some time.
    pub(crate) has_skewed: bool,
    pub(crate) served: u64,
    pub(crate) refused: u64,
}

/// A question that was not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) name: Name,
    pub(crate) host: usize,
    pub(crate) owner: OwnerId,
    pub(crate) begun: Duration,
    pub(crate) due: Duration,
}

/// What a name stood for, for a time.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) account: String,
    /// Whose tokens were handed in for it later on.
    pub(crate) also: Vec<String>,
    pub(crate) habit: Habit,
    pub(crate) chain: Option<ChainId>,
    pub(crate) until: Option<Duration>,
}

/// One machine.
pub(crate) struct Host {
    /// The process that runs there now, if one does.
    pub(crate) running: Option<(OwnerId, Broker)>,
    /// Commands that run beside it, each for one question: processes of their own on the same disk.
    pub(crate) commands: BTreeSet<OwnerId>,
    pub(crate) paused_until: Duration,
    pub(crate) cut_until: Duration,
    pub(crate) booted_at: Duration,
    pub(crate) journal: MemoryJournal,
    pub(crate) bell: Arc<Notify>,
    pub(crate) skew_ms: i64,
    pub(crate) uptime_offset: Duration,
    pub(crate) has_background: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, mut dice: Dice, mutant: Option<Mutant>) -> Arc<Self> {
        let clock = Arc::new(PausedClock::new());
        let hasher = Hasher::new([3; 32]);
        let terms = Terms { claim_life: Some(CLAIM_LIFE), latecomers: Some(LATECOMERS) };
        let hosts = (0..plan.hosts).map(|_| Host {
            running: None,
            commands: BTreeSet::new(),
            paused_until: Duration::ZERO,
            cut_until: Duration::ZERO,
            booted_at: Duration::ZERO,
            journal: MemoryJournal::default(),
            bell: Arc::default(),
            skew_ms: 0,
            uptime_offset: dice.millis(0, 1_000_000),
            has_background: dice.chance(600),
        });
        let hosts = hosts.collect();
        let state = State {
            dice,
            plan,
            hosts,
            accounts: Accounts::default(),
            ledger: Ledger::default(),
            lines: Vec::new(),
            steps: 0,
            tally: Tally::default(),
            asking: BTreeMap::new(),
            questions: 0,
            incarnations: 0,
            store_down_until: Duration::ZERO,
            backup: None,
            copies: BTreeMap::new(),
            turns: BTreeMap::new(),
            names: BTreeMap::new(),
            last_served: BTreeMap::new(),
            is_calm: false,
            has_skewed: false,
            served: 0,
            refused: 0,
        };
        Arc::new(Self {
            installation: Installation::on_terms(clock.clone(), hasher.clone(), terms),
            profiles: Arc::new(FixedProfiles::new(Habit::ALL.map(profile))),
            clock,
            hasher,
            mutant,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the start.
    pub(crate) fn at(&self) -> Duration {
        self.clock.uptime()
    }

    pub(crate) fn hash(&self, token: &str) -> TokenHash {
        self.hasher.token(&Secret::from(token))
    }

    /// A name leads to this chain from now on.
    pub(crate) fn born(&self, name: &Name, chain: ChainId) {
        let mut state = self.lock();
        if let Some(life) = state.names.get_mut(name).and_then(|lives| lives.last_mut()) {
            life.chain = Some(chain);
        }
    }

    /// A name's chain has this refresh token from now on: whoever it is of. After a failover that may be a chain which
    /// was removed and is there again.
    pub(crate) fn reconnected(&self, name: &Name, chain: ChainId, refresh_token: &str) {
        let mut state = self.lock();
        let account = state.accounts.family(refresh_token).map(|family| family.account.clone());
        let Some(lives) = state.names.get_mut(name) else { return };
        if let Some(life) = lives.iter_mut().rfind(|life| life.chain == Some(chain)) {
            life.also.extend(account);
        }
    }

    /// The chain that a name leads to now.
    pub(crate) fn chain_of(&self, name: &Name) -> Option<ChainId> {
        self.lock().names.get(name)?.last()?.chain
    }

    pub(crate) fn tell(&self, host: Option<usize>, chain: Option<ChainId>, text: String) {
        let at = self.at();
        self.lock().lines.push(Line { at, host, chain, text });
    }

    pub(crate) fn count(&self, event: Event) {
        self.lock().tally.count(event);
    }

    /// Whether the store has a claim of that process.
    pub(crate) fn holds_claim(&self, owner: OwnerId) -> bool {
        let chains = self.installation.chains();
        chains.iter().any(|(row, _)| row.claim.as_ref().is_some_and(|claim| claim.owner == owner))
    }

    /// Whether somebody has a claim on the chain that a name leads to now.
    pub(crate) fn is_under_way(&self, name: &Name) -> bool {
        let row = self.chain_of(name).and_then(|chain| self.installation.chain(chain));
        row.is_some_and(|(row, _)| row.claim.is_some())
    }

    /// What must hold after every step, whoever took it.
    pub(crate) fn check(&self) {
        self.check_answers();
        self.check_receipts();
    }

    /// Everyone is answered in bounded time, but who asks a host that died or stood still.
    fn check_answers(&self) {
        let at = self.at();
        let mut state = self.lock();
        let State { asking, hosts, ledger, .. } = &mut *state;
        let is_late = |asking: &Asking| {
            let host = &hosts[asking.host];
            asking.due < at && host.runs(asking.owner) && host.paused_until <= asking.begun
        };
        let late: Vec<u64> = asking.iter().filter(|(_, asking)| is_late(asking)).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(late) = asking.remove(&id) {
                let what = format!("{} waits at host{} since {:?}", late.name, late.host, late.begun);
                ledger.blame(at, "everyone is answered in time", None, what);
            }
        }
    }

    /// What was received still reaches the store.
    fn check_receipts(&self) {
        let at = self.at();
        let mut state = self.lock();
        let State { ledger, hosts, store_down_until, .. } = &mut *state;
        let mut late = Vec::new();
        ledger.open.retain(|hash| {
            let row =
                ledger.receipts.get(hash).map(|receipt| (receipt, self.installation.chain(receipt.chain)));
            row.is_some_and(|(receipt, row)| row.is_some_and(|(row, _)| row.generation <= receipt.generation))
        });
        for hash in &ledger.open {
            let Some(receipt) = ledger.receipts.get(hash) else { continue };
            let host = &hosts[receipt.host];
            let is_able = host.running.is_some() && host.has_background;
            let since = host.able_since().max(*store_down_until).max(receipt.at);
            if is_able && receipt.excuse.is_none() && since + RECOVERY_MAX < at {
                late.push((*hash, receipt.chain, receipt.host));
            }
        }
        for (hash, chain, host) in late {
            if ledger.cut_short.contains(&hash) {
                continue;
            }
            let name = ledger.name(&hash);
            let what = format!(
                "the answer for {name} is in the journal of host{host}, which could commit it and does not"
            );
            ledger.blame(at, "no received rotation lost", Some(chain), what);
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.lock().ledger.violations.is_empty()
    }
}

impl Host {
    fn runs(&self, owner: OwnerId) -> bool {
        let stays = self.running.as_ref().is_some_and(|(running, _)| *running == owner);
        stays || self.commands.contains(&owner)
    }

    /// Since when it is up, unpaused and not cut off; in the future where it is not.
    fn able_since(&self) -> Duration {
        self.booted_at.max(self.paused_until).max(self.cut_until)
    }
}

impl State {
    /// Since when that host is up, unpaused and in reach of the store; in the future where it is not.
    pub(crate) fn able_since(&self, host: usize) -> Duration {
        self.hosts[host].able_since().max(self.store_down_until)
    }

    /// Whether that process runs on that host.
    pub(crate) fn runs(&self, host: usize, owner: OwnerId) -> bool {
        self.hosts[host].runs(owner)
    }

    /// One of the hosts that are up. `None`: none is.
    pub(crate) fn some_host_up(&mut self) -> Option<usize> {
        let up: Vec<usize> =
            (0..self.hosts.len()).filter(|&host| self.hosts[host].running.is_some()).collect();
        self.dice.pick(&up).copied()
    }

    /// How far the clock is off that this host judges by.
    pub(crate) fn skew_ms(&self, host: usize) -> i64 {
        if self.plan.own_clocks { self.hosts[host].skew_ms } else { 0 }
    }

    pub(crate) fn reaches_coordinator(&mut self, host: usize) -> bool {
        use crate::plan::Coordination;
        match self.plan.coordinator {
            Coordination::None => false,
            Coordination::Half => host.is_multiple_of(2),
            Coordination::Honest | Coordination::Lying => true,
        }
    }
}

fn profile(habit: Habit) -> Profile {
    Profile {
        name: habit.profile().into(),
        token_url: url::Url::parse("https://id.example/token").ok(),
        client_auth: ClientAuth::Post,
        rotates: match habit {
            Habit::Never => Rotates::Never,
            Habit::Strict | Habit::Graceful => Rotates::Always,
        },
        reuse_grace: if habit == Habit::Graceful { GRACE } else { Duration::ZERO },
        ..Profile::default()
    }
}
