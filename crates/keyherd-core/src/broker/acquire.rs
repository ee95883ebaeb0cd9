//! The verb `acquire`: a valid token for a caller, or the reason why there is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::flight::Answer;
use super::lead::{End, FlightEnd};
use super::probe::{Entry, Probe};
use super::snapshot::Known;
use super::{AcquireError, Acquired, Broker, Token};
use crate::audit::Actor;
use crate::credential::{Chain, Cooldown, Loaded};
use crate::ids::{CredentialId, Name};
use crate::ports::StoreError;
use crate::refresh::{Ask, Plan, Refusal, Rules, plan};
use crate::time::Timestamp;

/// Flights a caller sits through at most: one that began before it came, and two that did not suit its window.
const ROUNDS_MAX: usize = 3;

/// Who has no time to wait has so long for a look at the store, where memory knows nothing.
const LOOK_MIN: Duration = Duration::from_millis(100);

/// Whether a credential's rest keeps a caller from its token. All of a pool's members may rest; then one is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Heeded,
    Ignored,
}

/// What a read of a credential may be answered from. Those who must have the store's word share reads of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// What another read brought since.
    Memory,
    Store,
}

/// What a read brings. `None`: there is no such credential.
pub(super) type Loading = Result<Option<Arc<Loaded>>, StoreError>;

impl Broker {
    /// The hot path: the token in memory, if it answers this caller. No lock, no I/O, one allocation.
    pub fn hot(&self, name: &str, ask: &Ask) -> Option<Token> {
        let now = self.0.ports.clock.now();
        match self.hot_credential(name, None, ask, now) {
            None => self.hot_pooled(name, ask, now),
            hot => hot,
        }
    }

    /// The same of just a credential; `id` where it must be that incarnation.
    #[inline]
    pub(super) fn hot_credential(
        &self,
        name: &str,
        id: Option<CredentialId>,
        ask: &Ask,
        now: Timestamp,
    ) -> Option<Token> {
        let scope = ask.scope.as_deref();
        self.0.snapshots.token(name, now, |known, ready| {
            let window = ask.min_valid.unwrap_or(known.window);
            let plain = ask.rejected.is_none() && !ask.forced && !known.is_resting(scope, now);
            let serves =
                plain && ready.outlasts(window, now) && id.is_none_or(|id| id == known.credential.id);
            let may_go = serves && known.enter(scope, now, &self.0.options.cooldown) == Entry::Go;
            if may_go && self.0.snapshots.is_aged(known, now) {
                // Nobody waits for it.
                drop(self.load(&known.credential.name, Source::Store));
            }
            may_go
        })
    }

    /// A token that is valid in the caller's window, within the caller's time.
    pub async fn acquire(&self, name: &str, ask: &Ask, actor: &Actor) -> Result<Acquired, AcquireError> {
        if let Some(token) = self.hot(name, ask) {
            return Ok(Acquired::Token(token));
        }
        let name = Name::parse(name)?;
        let begun = self.0.ports.clock.uptime();
        // A name is a credential's or a pool's. Where nobody knows yet it is asked for as what most names are.
        if self.0.snapshots.old_pool(name.as_str()).is_none() {
            let wait = ask.wait.max(LOOK_MIN);
            match tokio::time::timeout(wait, self.acquire_one(&name, ask, actor, Rest::Heeded)).await {
                Ok(Err(AcquireError::NotFound(_))) => {}
                Ok(outcome) => return outcome,
                Err(_elapsed) => return Ok(self.at_deadline(&name, ask)),
            }
        }
        // Set aside: the many who wait for a credential must stay small.
        Box::pin(self.acquire_by_pool(&name, ask, actor, begun)).await
    }

    /// The same for a name that is, or was, a pool's.
    async fn acquire_by_pool(
        &self,
        name: &Name,
        ask: &Ask,
        actor: &Actor,
        begun: Duration,
    ) -> Result<Acquired, AcquireError> {
        let acquired = async {
            match self.pool_standing(name).await? {
                Some(pool) => self.acquire_pooled(pool, ask, actor).await,
                None => self.acquire_one(name, ask, actor, Rest::Heeded).await,
            }
        };
        let left = ask.wait.max(LOOK_MIN).saturating_sub(self.0.ports.clock.uptime().saturating_sub(begun));
        match tokio::time::timeout(left, acquired).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Ok(self.at_deadline(name, ask)),
        }
    }

    /// The caller's time is over: a token that is still valid is better than none.
    fn at_deadline(&self, name: &Name, ask: &Ask) -> Acquired {
        let valid = self.last_known(name).filter(|standing| self.gate(standing, ask, Rest::Heeded).is_none());
        let token = valid.and_then(|standing| self.still_valid(&standing, &standing.chain, ask));
        token.map_or(Acquired::Refused(Refusal::TimedOut), Acquired::Token)
    }

    /// A token of just this credential.
    pub(super) async fn acquire_one(
        &self,
        name: &Name,
        ask: &Ask,
        actor: &Actor,
        rest: Rest,
    ) -> Result<Acquired, AcquireError> {
        let mut may_go = rest == Rest::Ignored || self.waited_for_probe(name, ask).await;
        for round in 0..ROUNDS_MAX {
            let (answer, led) = match self.board_known(name, ask, actor) {
                Some(boarded) => boarded,
                None => {
                    let standing = self.standing(name).await?;
                    if let Some(refusal) = self.gate(&standing, ask, rest) {
                        return Ok(Acquired::Refused(refusal));
                    }
                    if !may_go {
                        // Known only now: whoever came with it waits as the others do.
                        may_go = self.waited_for_probe(name, ask).await;
                        if let Some(refusal) = self.rest_here(name, ask) {
                            return Ok(Acquired::Refused(refusal));
                        }
                    }
                    if let Some(token) = self.without_flight(&standing, ask)? {
                        return Ok(Acquired::Token(token));
                    }
                    self.board(name, &standing.chain, ask, actor)
                }
            };
            let end = answer.await.unwrap_or_else(FlightEnd::lost);
            if let Some(token) = self.hot_credential(name.as_str(), None, ask, self.now()) {
                return Ok(Acquired::Token(token));
            }
            let suits = led || round > 0;
            // Switched off or removed while the flight was under way: acted on as it is now.
            let standing = self.standing(name).await?;
            if let Some(refusal) = self.gate(&standing, ask, rest) {
                return Ok(Acquired::Refused(refusal));
            }
            if let Some(outcome) = self.judge(&standing, &end, ask, suits, actor).await? {
                return Ok(outcome);
            }
        }
        Ok(Acquired::Refused(Refusal::Unavailable {
            code: "contended".into(),
            retry_at: self.now() + Duration::from_secs(1),
        }))
    }

    /// Waits while another caller tries whether a rest that has ended really has, for so long as that may take. `false`:
    /// the credential is not known here yet.
    async fn waited_for_probe(&self, name: &Name, ask: &Ask) -> bool {
        match self.probe_in_the_way(name, ask) {
            None => false,
            Some(None) => true,
            Some(Some(probe)) => Box::pin(self.wait_for_probes(name, ask, probe)).await,
        }
    }

    fn probe_in_the_way(&self, name: &Name, ask: &Ask) -> Option<Option<Arc<Probe>>> {
        let (scope, now) = (ask.scope.as_deref(), self.now());
        let look = |known: &Known| known.waits_for(scope, now, &self.0.options.cooldown);
        self.0.snapshots.with(name.as_str(), now, look)
    }

    async fn wait_for_probes(&self, name: &Name, ask: &Ask, first: Arc<Probe>) -> bool {
        let mut next = Some(first);
        while let Some(probe) = next {
            let told = probe.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            // Once more: what was told before this caller listened is not told again.
            if let Entry::Wait(left) = probe.look(self.now(), &self.0.options.cooldown) {
                let _ = tokio::time::timeout(left, told).await;
            }
            next = self.probe_in_the_way(name, ask).flatten();
        }
        true
    }

    /// The rest that began while this caller waited.
    fn rest_here(&self, name: &Name, ask: &Ask) -> Option<Refusal> {
        let now = self.now();
        self.0.snapshots.with(name.as_str(), now, |known| {
            let rest = known.credential.resting(ask.scope.as_deref(), now)?;
            Some(Refusal::Cooling { until: rest.until, reason: rest.reason.clone() })
        })?
    }

    /// Boards straight from memory where nothing else could follow: a caller without a wish of its own, and a token
    /// that has ended. So of a herd each copies no row.
    fn board_known(&self, name: &Name, ask: &Ask, actor: &Actor) -> Option<(Answer<FlightEnd>, bool)> {
        let now = self.now();
        self.0.snapshots.with(name.as_str(), now, |known| {
            let chain = known.cell.fresh()?;
            let is_plain =
                ask.rejected.is_none() && !ask.forced && !known.is_resting(ask.scope.as_deref(), now);
            (is_plain && !chain.tokens.is_valid(now)).then(|| self.board(name, &chain, ask, actor))
        })?
    }

    /// The credential as it is known here, or as the store has it. Reads of one name are shared.
    pub(super) async fn standing(&self, name: &Name) -> Result<Arc<Loaded>, AcquireError> {
        match self.known(name) {
            Some(standing) => Ok(standing),
            None => self.read(name, Source::Memory).await,
        }
    }

    fn known(&self, name: &Name) -> Option<Arc<Loaded>> {
        self.0.snapshots.with(name.as_str(), self.now(), |known| {
            let chain = known.cell.fresh()?;
            Some(Arc::new(Loaded { credential: known.credential.clone(), chain: Chain::clone(&chain) }))
        })?
    }

    /// The credential as the store has it. With the store gone, and where memory will do, the last that was known here, if
    /// its token is valid.
    pub(super) async fn read(&self, name: &Name, source: Source) -> Result<Arc<Loaded>, AcquireError> {
        let (answer, led) = self.load(name, source);
        let mut read = answer.await;
        // It began before this caller came: what is known since then it may not know.
        let is_enough = || source == Source::Memory && self.known(name).is_some();
        if !led && matches!(read, Ok(Ok(_))) && !is_enough() {
            read = self.load(name, source).0.await;
        }
        match read {
            Ok(Ok(Some(loaded))) => Ok(loaded),
            Ok(Ok(None)) => Err(AcquireError::NotFound(name.clone())),
            Ok(Err(error)) if source == Source::Store => Err(AcquireError::Store(error)),
            Ok(Err(error)) => self.last_known(name).ok_or(AcquireError::Store(error)),
            Err(lost) => Err(AcquireError::Lost(lost)),
        }
    }

    /// A read that is shared, and whether this caller began it.
    fn load(&self, name: &Name, source: Source) -> (Answer<Loading>, bool) {
        let (broker, wanted) = (self.clone(), name.clone());
        self.0.loads.board((name.clone(), source), || async move {
            // A read may have ended since its caller looked.
            if let Some(known) = broker.known(&wanted).filter(|_| source == Source::Memory) {
                return Ok(Some(known));
            }
            let (stamp, read_at) = (broker.0.snapshots.stamp(), broker.now());
            let mut loaded = broker.0.ports.store.credential(&wanted).await?;
            match &mut loaded {
                Some(loaded) => {
                    broker.0.snapshots.resting(loaded, broker.now());
                    let window = broker.window(&loaded.chain.provider);
                    broker.0.snapshots.put(stamp, loaded, window, read_at);
                }
                None => broker.0.snapshots.forget(wanted.as_str()),
            }
            Ok(loaded.map(Arc::new))
        })
    }

    fn last_known(&self, name: &Name) -> Option<Arc<Loaded>> {
        self.0.snapshots.with_old(name.as_str(), |known| {
            let chain = Chain::clone(&known.cell.last());
            let loaded = Loaded { credential: known.credential.clone(), chain };
            loaded.chain.tokens.is_valid(self.now()).then(|| Arc::new(loaded))
        })?
    }

    /// The switches that stand before any token.
    fn gate(&self, standing: &Loaded, ask: &Ask, rest: Rest) -> Option<Refusal> {
        if standing.credential.disabled {
            return Some(Refusal::Disabled);
        }
        let resting = standing.credential.resting(ask.scope.as_deref(), self.now());
        let cooldown = resting.filter(|_| rest == Rest::Heeded)?;
        // What has to be done comes before how long it rests for the lack of it.
        if cooldown.reason == Cooldown::AUTHENTICATION
            && let Some(verdict) = standing.chain.verdict()
        {
            return Some(Refusal::ReauthRequired { code: verdict.code.clone() });
        }
        Some(Refusal::Cooling { until: cooldown.until, reason: cooldown.reason.clone() })
    }

    /// Where the row's token serves, or nothing may be done now and it is still valid. A token needs no profile until it
    /// has to be refreshed.
    fn without_flight(&self, standing: &Loaded, ask: &Ask) -> Result<Option<Token>, AcquireError> {
        let rules = match self.rules(&standing.chain.provider) {
            Ok(rules) => rules,
            Err(error) => return self.still_valid(standing, &standing.chain, ask).map(Some).ok_or(error),
        };
        Ok(match plan(&standing.chain, ask, &rules, self.now()) {
            Plan::Serve => Token::of(&standing.credential, &standing.chain),
            Plan::Refuse(_) => self.still_valid(standing, &standing.chain, ask),
            _ => None,
        })
    }

    fn still_valid(&self, standing: &Loaded, chain: &Chain, ask: &Ask) -> Option<Token> {
        let rejected = ask.rejected.as_ref().is_some_and(|token| chain.tokens.is_access_token(token));
        let serves = !rejected && !ask.forced && chain.tokens.is_valid(self.now());
        serves.then(|| Token::of(&standing.credential, chain))?
    }

    /// What a flight's end means for this caller. `None`: it was another one's question; ask once more.
    /// `suits`: the flight began after this caller came, so that any window is satisfied by it.
    async fn judge(
        &self,
        standing: &Loaded,
        end: &FlightEnd,
        ask: &Ask,
        suits: bool,
        actor: &Actor,
    ) -> Result<Option<Acquired>, AcquireError> {
        // A name that was removed and made again meanwhile is another credential.
        let chain =
            end.chain.as_deref().filter(|chain| chain.id == standing.chain.id).unwrap_or(&standing.chain);
        let rejected = ask.rejected.as_ref().is_some_and(|token| chain.tokens.is_access_token(token));
        match &end.end {
            End::Minted if rejected => Box::pin(self.rests(standing, actor)).await.map(Some),
            End::Minted | End::Found if !rejected && chain.tokens.is_valid(self.now()) => {
                let rules = self.rules(&chain.provider)?;
                let answers = suits || plan(chain, ask, &rules, self.now()) == Plan::Serve;
                Ok(answers.then(|| Token::of(&standing.credential, chain).map(Acquired::Token)).flatten())
            }
            End::Minted if suits => Ok(Some(Acquired::Refused(Refusal::Unavailable {
                code: "born_expired".into(),
                retry_at: self.now() + self.0.options.refresh.backoff_first,
            }))),
            End::Minted | End::Found | End::Skipped => Ok(None),
            End::Rest if rejected => Box::pin(self.rests(standing, actor)).await.map(Some),
            End::Rest => Ok(None),
            End::Refused(refusal) => Ok(Some(match self.still_valid(standing, chain, ask) {
                Some(token) => Acquired::Token(token),
                None => Acquired::Refused(refusal.clone()),
            })),
            End::Failed(error) => match self.still_valid(standing, chain, ask) {
                Some(token) => Ok(Some(Acquired::Token(token))),
                None => Err(error.clone()),
            },
        }
    }

    async fn rests(&self, standing: &Loaded, actor: &Actor) -> Result<Acquired, AcquireError> {
        let Cooldown { until, reason, .. } = self.rest(standing, actor).await?;
        Ok(Acquired::Refused(Refusal::Cooling { until, reason }))
    }

    /// Upstream refuses what cannot be cured by refreshing: the credential rests, once for all who found out.
    pub(super) async fn rest(&self, standing: &Loaded, actor: &Actor) -> Result<Cooldown, AcquireError> {
        let end = self.now() + self.0.options.refresh.authentication_cooldown;
        let cooldown = Cooldown::whole(self.0.options.cooldown.rounded(end), Cooldown::AUTHENTICATION);
        let seen = || json!({"generation": standing.chain.generation});
        let (cooldown, _) = self.cool_by_evidence(standing, cooldown, seen, actor).await?;
        Ok(cooldown)
    }

    /// The window of callers who name none. A profile that cannot be read is said when it is needed.
    pub(super) fn window(&self, provider: &str) -> Duration {
        self.rules(provider).map_or(self.0.options.refresh.min_valid, |rules| rules.bounds.min_valid)
    }

    /// The provider's rules, or why the credential cannot be used.
    pub(super) fn rules(&self, provider: &str) -> Result<Rules, AcquireError> {
        Ok(Rules::new(&self.0.options.refresh, &*self.profile(provider)?))
    }

    pub(super) fn profile(&self, provider: &str) -> Result<Arc<crate::provider::Profile>, AcquireError> {
        match self.0.ports.profiles.find(provider) {
            Ok(Some(profile)) => Ok(profile),
            Ok(None) => Err(AcquireError::Unusable(format!(
                "provider '{provider}' has no profile: see 'keyherd provider list', or add providers/{provider}.toml to the data folder"
            ))),
            Err(error) => Err(AcquireError::Unusable(error.to_string())),
        }
    }
}
