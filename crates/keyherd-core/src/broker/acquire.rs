//! The verb `acquire`: a valid token for a caller, or the reason why there is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::flight::Answer;
use super::lead::{End, FlightEnd};
use super::{AcquireError, Acquired, Broker, Token};
use crate::audit::{Actor, Note};
use crate::credential::{Chain, Cooldown, Loaded};
use crate::ids::Name;
use crate::ports::StoreError;
use crate::ports::store::{Event, Record};
use crate::refresh::{Ask, Plan, Refusal, Rules, plan};

/// Flights a caller sits through at most: one that began before it came, and two that did not suit its window.
const ROUNDS_MAX: usize = 3;

impl Broker {
    /// The hot path: the token in memory, if it answers this caller. No lock, no I/O, one allocation.
    pub fn hot(&self, name: &str, ask: &Ask) -> Option<Token> {
        let now = self.0.ports.clock.now();
        self.0.snapshots.with(name, now, |known| {
            let chain = known.cell.fresh()?;
            let window = ask.min_valid.unwrap_or(known.window);
            let plain = ask.rejected.is_none() && !ask.forced && !known.is_resting(now);
            let token = (plain && chain.tokens.outlasts(window, now))
                .then(|| Token::of(&known.credential, &chain))?;
            if self.0.snapshots.is_aged(known, now) {
                // Nobody waits for it.
                drop(self.load(&known.credential.name));
            }
            token
        })?
    }

    /// A token that is valid in the caller's window, within the caller's time.
    pub async fn acquire(&self, name: &str, ask: &Ask, actor: &Actor) -> Result<Acquired, AcquireError> {
        if let Some(token) = self.hot(name, ask) {
            return Ok(Acquired::Token(token));
        }
        let name = Name::parse(name)?;
        match tokio::time::timeout(ask.wait, self.acquire_cold(&name, ask, actor)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Ok(self.at_deadline(&name, ask)),
        }
    }

    /// The caller's time is over: a token that is still valid is better than none.
    fn at_deadline(&self, name: &Name, ask: &Ask) -> Acquired {
        let valid = self.last_known(name).filter(|standing| self.gate(standing).is_none());
        let token = valid.and_then(|standing| self.still_valid(&standing, &standing.chain, ask));
        token.map_or(Acquired::Refused(Refusal::TimedOut), Acquired::Token)
    }

    async fn acquire_cold(&self, name: &Name, ask: &Ask, actor: &Actor) -> Result<Acquired, AcquireError> {
        for round in 0..ROUNDS_MAX {
            let (answer, led) = match self.board_known(name, ask, actor) {
                Some(boarded) => boarded,
                None => {
                    let standing = self.standing(name).await?;
                    if let Some(refusal) = self.gate(&standing) {
                        return Ok(Acquired::Refused(refusal));
                    }
                    if let Some(token) = self.without_flight(&standing, ask)? {
                        return Ok(Acquired::Token(token));
                    }
                    self.board(name, &standing.chain, ask, actor)
                }
            };
            let end = answer.await.unwrap_or_else(FlightEnd::lost);
            if let Some(token) = self.hot(name.as_str(), ask) {
                return Ok(Acquired::Token(token));
            }
            let suits = led || round > 0;
            // Switched off or removed while the flight was under way: acted on as it is now.
            let standing = self.standing(name).await?;
            if let Some(refusal) = self.gate(&standing) {
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

    /// Boards straight from memory where nothing else could follow: a caller without a wish of its own, and a token
    /// that has ended. So of a herd each copies no row.
    fn board_known(&self, name: &Name, ask: &Ask, actor: &Actor) -> Option<(Answer<FlightEnd>, bool)> {
        let now = self.now();
        self.0.snapshots.with(name.as_str(), now, |known| {
            let chain = known.cell.fresh()?;
            let is_plain = ask.rejected.is_none() && !ask.forced && !known.is_resting(now);
            (is_plain && !chain.tokens.is_valid(now)).then(|| self.board(name, &chain, ask, actor))
        })?
    }

    /// The credential as it is known here, or as the store has it. Reads of one name are shared.
    pub(super) async fn standing(&self, name: &Name) -> Result<Arc<Loaded>, AcquireError> {
        let known = self.0.snapshots.with(name.as_str(), self.now(), |known| {
            let chain = known.cell.fresh()?;
            Some(Arc::new(Loaded { credential: known.credential.clone(), chain: Chain::clone(&chain) }))
        });
        match known.flatten() {
            Some(standing) => Ok(standing),
            None => self.read(name).await,
        }
    }

    /// The credential as the store has it. With the store gone, the last that was known here, if its token is valid.
    pub(super) async fn read(&self, name: &Name) -> Result<Arc<Loaded>, AcquireError> {
        match self.load(name).await {
            Ok(Ok(Some(loaded))) => Ok(loaded),
            Ok(Ok(None)) => Err(AcquireError::NotFound(name.clone())),
            Ok(Err(error)) => self.last_known(name).ok_or(AcquireError::Store(error)),
            Err(lost) => Err(AcquireError::Lost(lost)),
        }
    }

    fn load(&self, name: &Name) -> Answer<Result<Option<Arc<Loaded>>, StoreError>> {
        let (broker, wanted) = (self.clone(), name.clone());
        let (answer, _) = self.0.loads.board(name.clone(), || async move {
            let (stamp, read_at) = (broker.0.snapshots.stamp(), broker.now());
            let loaded = broker.0.ports.store.credential(&wanted).await?;
            match &loaded {
                Some(loaded) => {
                    let window = broker.window(&loaded.chain.provider);
                    broker.0.snapshots.put(stamp, loaded, window, read_at);
                }
                None => broker.0.snapshots.forget(wanted.as_str()),
            }
            Ok(loaded.map(Arc::new))
        });
        answer
    }

    fn last_known(&self, name: &Name) -> Option<Arc<Loaded>> {
        self.0.snapshots.with_old(name.as_str(), |known| {
            let chain = Chain::clone(&known.cell.last());
            let loaded = Loaded { credential: known.credential.clone(), chain };
            loaded.chain.tokens.is_valid(self.now()).then(|| Arc::new(loaded))
        })?
    }

    /// The switches that stand before any token.
    pub(super) fn gate(&self, standing: &Loaded) -> Option<Refusal> {
        if standing.credential.disabled {
            return Some(Refusal::Disabled);
        }
        let cooldown = standing.cooling(self.now())?;
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
            End::Minted if rejected => self.rest(standing, actor).await.map(Some),
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
            End::Rest if rejected => self.rest(standing, actor).await.map(Some),
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

    /// Upstream refuses what cannot be cured by refreshing: the credential rests, once for all who found out.
    async fn rest(&self, standing: &Loaded, actor: &Actor) -> Result<Acquired, AcquireError> {
        let (broker, name, by) = (self.clone(), standing.credential.name.clone(), actor.clone());
        let (answer, _) =
            self.0.rests.board(standing.credential.id, || async move { broker.rest_once(&name, &by).await });
        let cooldown = answer.await.map_err(AcquireError::Lost)??;
        Ok(Acquired::Refused(Refusal::Cooling { until: cooldown.until, reason: cooldown.reason }))
    }

    async fn rest_once(&self, name: &Name, actor: &Actor) -> Result<Cooldown, AcquireError> {
        let standing = self.read(name).await?;
        if let Some(cooldown) = standing.cooling(self.now()) {
            return Ok(cooldown.clone());
        }
        let until = self.now() + self.0.options.refresh.authentication_cooldown;
        let cooldown = Cooldown { until, reason: "authentication".into() };
        self.cool_loaded(&standing, &cooldown, actor).await?;
        Ok(cooldown)
    }

    pub(super) async fn cool_loaded(
        &self,
        standing: &Loaded,
        cooldown: &Cooldown,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let name = standing.credential.name.to_string();
        let detail = json!({"reason": cooldown.reason, "until_ms": cooldown.until.as_millis()});
        let record = Record {
            note: Note {
                action: "cooldown.set",
                actor: actor.clone(),
                subject: name.clone(),
                detail: detail.clone(),
            },
            event: Some(Event {
                kind: "cooldown",
                chain: Some(standing.chain.id),
                subject: name.clone(),
                detail,
            }),
        };
        let changed = self.0.ports.store.cool(standing.credential.id, cooldown, record).await?;
        self.0.snapshots.forget(&name);
        if changed {
            metrics::counter!("keyherd_cooldowns_total", "reason" => reason_label(&cooldown.reason))
                .increment(1);
            self.0.ports.coordinator.announce();
        }
        Ok(changed)
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

/// Metrics have a bounded set of labels: a caller's own word counts as `other`.
fn reason_label(reason: &str) -> &'static str {
    match reason {
        "rate_limit" => "rate_limit",
        "authentication" => "authentication",
        "manual" => "manual",
        _ => "other",
    }
}
