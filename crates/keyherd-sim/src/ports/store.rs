//! The store as one host reaches it: cut off, slow, failing before or after it took effect.
//!
//! Owns the faults of the way there. What the store does is the memory store's.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::{Entry, Note};
use keyherd_core::credential::{Chain, Client, Cooldown, Loaded, Trouble};
use keyherd_core::fakes::MemoryStore;
use keyherd_core::ids::{ChainId, ClaimId, CredentialId, Name};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    Amended, AuditStore, ChainStore, Change, ClaimAsk, Claimed, ClientRemoved, ClientStore, Created,
    CredentialStore, Due, EventStore, NamedClient, NewCredential, ProfileStore, Reconnected, Record, Removed,
    Settled, Settling, StoredEvent, StoredProfile, Verified,
};
use keyherd_core::refresh::Settlement;
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::{Seat, since_start};
use crate::mutants::BentStore;
use crate::rows;
use crate::tally::Event;
use crate::world::State;

/// Looks that go on all the time: left out of the trace where they fail.
const POLLS: [&str; 4] = ["events", "last event", "due", "trim"];

/// What changes something.
const WRITES: [&str; 10] = [
    "claim",
    "renew",
    "settle",
    "commit",
    "create",
    "reconnect",
    "amend",
    "remove",
    "put client",
    "reschedule",
];

pub(crate) struct SimStore {
    seat: Seat,
    inner: MemoryStore,
    bent: BentStore,
}

/// What the way to the store does to one call.
struct Way {
    out: Duration,
    back: Duration,
    fails_before: bool,
    fails_after: bool,
}

impl SimStore {
    pub(crate) fn new(seat: &Seat) -> Self {
        let inner = seat.world.installation.open(seat.owner);
        Self { seat: seat.clone(), bent: BentStore::new(seat, inner.clone()), inner }
    }

    fn way(&self) -> Way {
        let mut state = self.seat.world.lock();
        let (before, after, slow) = (state.plan.store_before, state.plan.store_after, state.plan.store_slow);
        let longest = if state.dice.chance(slow) { 2_000 } else { 4 };
        if longest > 4 {
            state.tally.count(Event::StoreSlow);
        }
        Way {
            out: state.dice.millis(0, longest),
            back: state.dice.millis(0, longest),
            fails_before: state.dice.chance(before),
            fails_after: state.dice.chance(after),
        }
    }

    fn is_cut_off(&self) -> bool {
        let at = self.seat.world.at();
        let state = self.seat.world.lock();
        at < state.store_down_until || at < state.hosts[self.seat.host].cut_until
    }

    /// One call: there, its effect, and back.
    async fn step<R>(
        &self,
        name: &str,
        chain: Option<ChainId>,
        act: impl Future<Output = Result<R, StoreError>> + Send,
        shown: impl FnOnce(&R) -> Option<String> + Send,
    ) -> Result<R, StoreError> {
        let seat = &self.seat;
        seat.moment(name).await;
        let way = self.way();
        tokio::time::sleep(way.out).await;
        seat.held().await;
        if way.fails_before || self.is_cut_off() {
            if way.fails_before {
                seat.world.count(Event::StoreBefore);
            }
            if !POLLS.contains(&name) {
                seat.tell(chain, format!("store: {name} fails"));
            }
            return Err(StoreError::Unavailable("cut off".into()));
        }
        let outcome = act.await;
        if let Some(what) = outcome.as_ref().ok().and_then(shown) {
            seat.tell(chain, format!("store: {name}: {what}"));
        }
        if WRITES.contains(&name) {
            rows::check(&seat.world);
        }
        seat.world.check();
        tokio::time::sleep(way.back).await;
        seat.moment(name).await;
        if way.fails_after {
            seat.world.count(Event::StoreAfter);
            if WRITES.contains(&name) {
                seat.world.count(Event::WriteUnanswered);
            }
            if !POLLS.contains(&name) {
                seat.tell(chain, format!("store: {name} was done, its answer is lost"));
            }
            return Err(StoreError::Unavailable("the answer is lost".into()));
        }
        outcome
    }

    /// What a settlement that took effect says of its claim.
    fn settled(&self, settling: &Settling, settled: &Settled) {
        if !matches!(settled, Settled::Done(_)) {
            return;
        }
        let (at, owner) = (self.seat.world.at(), self.seat.owner);
        let State { ledger, tally, .. } = &mut *self.seat.world.lock();
        match &settling.settlement {
            Settlement::Troubled(Trouble::Verdict(verdict)) => ledger.condemned(
                (owner, settling.claim),
                settling.chain,
                (verdict.hash, verdict.reason, verdict.at),
                at,
            ),
            Settlement::Troubled(Trouble::Uncertain(uncertain)) if uncertain.code == "owner_gone" => {
                tally.count(Event::Ownerless);
                if let Some(hash) = settling.spend_hash {
                    ledger.gives_up(hash, settling.claim, at);
                }
            }
            Settlement::Blocked(_) => ledger.blocked(owner, settling.claim, settling.chain, at),
            _ => {}
        }
    }

    fn row(&self, chain: &Chain) -> String {
        self.bent.was_read(chain);
        let world = &self.seat.world;
        let token = chain.spend_hash.map(|hash| world.lock().ledger.name(&hash)).unwrap_or_default();
        let trouble = match &chain.trouble {
            Trouble::None => "well".to_owned(),
            Trouble::Backoff(backoff) => format!("backoff until {}", since_start(world, backoff.retry_at)),
            Trouble::Uncertain(uncertain) => format!(
                "uncertain, {} probes, until {}",
                uncertain.probes,
                since_start(world, uncertain.retry_at)
            ),
            Trouble::Verdict(verdict) => format!("verdict {}", verdict.reason.as_str()),
        };
        let claim = chain.claim.as_ref().map_or_else(String::new, |claim| {
            format!(
                ", claimed by process {} for {} ({:?})",
                claim.owner.as_i64(),
                claim.purpose.as_str(),
                claim.holder
            )
        });
        format!("generation {} {token}, {trouble}{claim}", chain.generation)
    }

    fn settled_text(&self, settled: &Settled) -> String {
        match settled {
            Settled::Done(row) => format!("done: {}", self.row(row)),
            Settled::Superseded(Some(row)) => format!("superseded: {}", self.row(row)),
            Settled::Superseded(None) => "superseded: gone".into(),
        }
    }
}

#[async_trait]
impl ChainStore for SimStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.step("read chain", Some(id), self.inner.chain(id), |row| {
            Some(row.as_ref().map_or_else(|| "gone".to_owned(), |row| self.row(row)))
        })
        .await
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        let act = async {
            let claimed = self.bent.claim(ask, record).await;
            if let Ok(Claimed::Granted(row)) = &claimed {
                let at = self.seat.world.at();
                let ledger = &mut self.seat.world.lock().ledger;
                ledger.claimed(self.seat.owner, row, ask.id, ask.purpose, at);
            }
            claimed
        };
        self.step("claim", Some(ask.chain), act, |claimed| {
            Some(match claimed {
                Claimed::Granted(row) => format!("granted: {}", self.row(row)),
                Claimed::Missed(Some(row)) => format!("missed: {}", self.row(row)),
                Claimed::Missed(None) => "missed: gone".into(),
            })
        })
        .await
    }

    fn claim_life(&self) -> Option<Duration> {
        self.bent.claim_life()
    }

    async fn renew(&self, chain: ChainId, claim: ClaimId) -> Result<bool, StoreError> {
        let shown = |ours: &bool| Some(if *ours { "ours" } else { "not ours" }.to_owned());
        self.step("renew", Some(chain), self.inner.renew(chain, claim), shown).await
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let chain = settling.chain;
        let act = async {
            let settled = self.bent.settle(settling.clone(), record).await;
            if let Ok(settled) = &settled {
                self.settled(&settling, settled);
            }
            settled
        };
        self.step("settle", Some(chain), act, |settled| Some(self.settled_text(settled))).await
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        let chain = settling.chain;
        let is_recovery = record.note.action == "refresh.recover";
        let act = async {
            let settled = self.inner.roll_forward(spent, settling, record).await;
            if is_recovery && matches!(settled, Ok(Settled::Done(_))) {
                self.seat.world.count(Event::Recovered);
            }
            settled
        };
        self.step("commit", Some(chain), act, |settled| Some(self.settled_text(settled))).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.step("due", None, self.inner.due(now, limit), |_| None).await
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.step("reschedule", Some(chain), self.inner.reschedule(chain, seen, due_at), |()| None).await
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.step("unresolved", None, self.inner.unresolved(), |_| None).await
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.step("claimed before", None, self.inner.claimed_before(at), |_| None).await
    }
}

#[async_trait]
impl CredentialStore for SimStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        let chain = self.seat.world.chain_of(name);
        self.step("read credential", chain, self.inner.credential(name), |loaded| {
            Some(loaded.as_ref().map_or_else(|| "none".to_owned(), |loaded| self.row(&loaded.chain)))
        })
        .await
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.step("list", None, self.inner.credentials(after, limit), |_| None).await
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.step("census", None, self.inner.census(now), |_| None).await
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        let (name, world) = (new.draft.name.clone(), &self.seat.world);
        let act = async {
            let created = self.inner.create(new, record).await;
            if let Ok(Created::Done { loaded, .. }) = &created {
                world.born(&name, loaded.chain.id);
            }
            created
        };
        self.step("create", None, act, |created| {
            Some(match created {
                Created::Done { loaded, .. } => format!("done: {}", self.row(&loaded.chain)),
                Created::NameTaken(_) => "the name is taken".into(),
                Created::Conflict(conflict) => conflict.to_string(),
            })
        })
        .await
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        let (name, world) = (new.draft.name.clone(), &self.seat.world);
        let act = async {
            let done = self.inner.reconnect(new, record).await;
            if let Ok(Reconnected::Done(loaded)) = &done
                && let Some(token) = &loaded.chain.tokens.refresh_token
            {
                world.reconnected(&name, token.expose());
            }
            done
        };
        self.step("reconnect", world.chain_of(&name), act, |done| match done {
            Reconnected::Done(loaded) => Some(format!("done: {}", self.row(&loaded.chain))),
            Reconnected::NotFound => Some("not found".into()),
            Reconnected::Conflict(conflict) => Some(conflict.to_string()),
        })
        .await
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        let chain = self.seat.world.chain_of(name);
        self.step("amend", chain, self.inner.amend(name, change, record), |_| Some("done".into())).await
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        self.step("cool", None, self.inner.cool(id, cooldown, record), |_| None).await
    }

    async fn warm(&self, id: CredentialId, reason: &str, record: Record) -> Result<bool, StoreError> {
        self.step("warm", None, self.inner.warm(id, reason, record), |_| None).await
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.step("remove", None, self.inner.remove(id, seen, record), |end| Some(format!("{end:?}"))).await
    }
}

#[async_trait]
impl ClientStore for SimStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.step("clients", None, self.inner.clients(), |_| None).await
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.step("put client", None, self.inner.put_client(client, record), |_| Some("done".into())).await
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.step("remove client", None, self.inner.remove_client(provider, name, record), |_| None).await
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.step("client", None, self.inner.client(provider, name), |_| None).await
    }
}

#[async_trait]
impl ProfileStore for SimStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.step("profiles", None, self.inner.profiles(), |_| None).await
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.step("put profile", None, self.inner.put_profile(profile, record), |_| None).await
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.step("remove profile", None, self.inner.remove_profile(name, record), |_| None).await
    }
}

#[async_trait]
impl AuditStore for SimStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.step("append", None, self.inner.append(note), |()| None).await
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step("entries", None, self.inner.entries(after, limit), |_| None).await
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step("tail", None, self.inner.tail(limit), |_| None).await
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.step("verify", None, self.inner.verify(), |_| None).await
    }
}

#[async_trait]
impl EventStore for SimStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.step("last event", None, self.inner.last_event(), |_| None).await
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.step("events", None, self.inner.events(after, limit), |_| None).await
    }

    fn latecomers(&self) -> Option<Duration> {
        self.inner.latecomers()
    }

    async fn trim(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.step("trim", None, self.inner.trim(now), |_| None).await
    }
}
