//! Acquiring by a pool's name: the member whose turn it is, and the pointer's move when that one rests.
//!
//! The ordinary case looks at memory and at one member. How the pointer moves is `settle`'s.

use std::sync::Arc;

use super::acquire::Rest;
use super::flight::Answer;
use super::report::needs_a_person;
use super::{AcquireError, Acquired, Broker, Token};
use crate::audit::Actor;
use crate::credential::{Loaded, State};
use crate::ids::{CredentialId, Name};
use crate::pool::{Look, Member, Pick, Pool, Standing, Strategy, pick};
use crate::ports::StoreError;
use crate::refresh::{Ask, Refusal};
use crate::time::Timestamp;

/// Looks at a pool that keeps changing, at most.
const LOOKS_MAX: usize = 8;

/// Who is to serve a request.
struct Chosen {
    pool: Arc<Pool>,
    member: Member,
    /// All rest: this one until then, and is used all the same.
    cooling_until: Option<Timestamp>,
}

impl Broker {
    /// The hot path of a pool: the member whose turn it is, if it is in memory and serves.
    pub(super) fn hot_pooled(&self, name: &str, ask: &Ask, now: Timestamp) -> Option<Token> {
        self.0.snapshots.with_pool(name, now, |known| {
            let pool = &*known.pool;
            if self.0.snapshots.is_aged_pool(known, now) {
                // Nobody waits for it.
                drop(self.load_pool(&pool.name));
            }
            let serve =
                |member: &Member| self.hot_credential(member.name.as_str(), Some(member.id), ask, now);
            let token = match pool.strategy {
                Strategy::Failover => serve(pool.active_member()?),
                Strategy::RoundRobin | Strategy::LeastRecentlyUsed => known.turns.take(|place| {
                    let Some(member) = pool.members.get(place) else { return Look::Stop };
                    match serve(member) {
                        Some(token) => Look::Take(token),
                        None if self.is_passed(member, ask, now) => Look::Pass,
                        None => Look::Stop,
                    }
                }),
            };
            token.map(|token| token.of_pool(pool.epoch))
        })?
    }

    fn is_passed(&self, member: &Member, ask: &Ask, now: Timestamp) -> bool {
        self.standing_here(member, ask, now).is_some_and(|standing| standing != Standing::Ready)
    }

    /// Whether that was a pool's name when it was last asked for here.
    pub fn knows_pool(&self, name: &str) -> bool {
        self.0.snapshots.old_pool(name).is_some()
    }

    /// The pool of that name as it is known here, or as the store has it. With the store gone, as it last was.
    pub(super) async fn pool_standing(&self, name: &Name) -> Result<Option<Arc<Pool>>, AcquireError> {
        let known = self.0.snapshots.with_pool(name.as_str(), self.now(), |known| Arc::clone(&known.pool));
        match known {
            Some(pool) => Ok(Some(pool)),
            None => self.read_pool(name).await,
        }
    }

    async fn read_pool(&self, name: &Name) -> Result<Option<Arc<Pool>>, AcquireError> {
        match self.load_pool(name).await.map_err(AcquireError::Lost)? {
            Ok(pool) => Ok(pool),
            Err(error) => {
                self.0.snapshots.old_pool(name.as_str()).map(Some).ok_or(AcquireError::Store(error))
            }
        }
    }

    fn load_pool(&self, name: &Name) -> Answer<Result<Option<Arc<Pool>>, StoreError>> {
        let (broker, wanted) = (self.clone(), name.clone());
        let (answer, _) = self.0.pool_loads.board(name.clone(), || async move {
            let (stamp, read_at) = (broker.0.snapshots.stamp(), broker.now());
            let pool = broker.0.ports.store.pool(&wanted).await?.map(Arc::new);
            match &pool {
                Some(pool) => broker.keep_pool(stamp, pool, read_at),
                None => broker.0.snapshots.drop_pool(wanted.as_str()),
            }
            Ok(pool)
        });
        answer
    }

    fn keep_pool(&self, stamp: super::snapshot::Stamp, pool: &Arc<Pool>, read_at: Timestamp) {
        self.0.snapshots.put_pool(stamp, pool, read_at, self.first_turn(pool));
    }

    fn first_turn(&self, pool: &Pool) -> usize {
        // Processes that live for one request must not all begin with the same member.
        match pool.strategy {
            Strategy::Failover => pool.active,
            Strategy::RoundRobin | Strategy::LeastRecentlyUsed => {
                usize::try_from(self.0.ports.entropy.id().unsigned_abs()).unwrap_or_default()
            }
        }
    }

    /// A pool as a change of ours left it, which began at `stamp`.
    pub(super) fn pool_is(&self, stamp: super::snapshot::Stamp, pool: &Arc<Pool>) {
        self.0.snapshots.pool_is(stamp, pool, self.now(), self.first_turn(pool));
        self.0.ports.coordinator.announce();
    }

    /// A token of whichever member's turn it is; each one is tried once.
    pub(super) async fn acquire_pooled(
        &self,
        pool: Arc<Pool>,
        ask: &Ask,
        actor: &Actor,
    ) -> Result<Acquired, AcquireError> {
        let (mut pool, mut passed, mut tried) = (pool, Vec::new(), Vec::new());
        let mut last = Ok(Acquired::Refused(Refusal::Removed));
        for _ in 0..pool.members.len() + LOOKS_MAX {
            let Some(chosen) = self.choose(&pool, ask, &passed, actor).await? else { return last };
            let rest = if chosen.cooling_until.is_some() { Rest::Ignored } else { Rest::Heeded };
            let outcome = self.acquire_one(&chosen.member.name, ask, actor, rest).await;
            match &outcome {
                Ok(Acquired::Token(token)) if token.credential_id() == chosen.member.id => {
                    let token = token.clone().of_pool(chosen.pool.epoch);
                    return Ok(Acquired::Token(token.cooling_until(chosen.cooling_until)));
                }
                // Found only now. It is known here from now on, so that the next look goes past it, for everyone.
                Ok(Acquired::Refused(refusal))
                    if is_lasting(refusal) && !tried.contains(&chosen.member.id) =>
                {
                    tried.push(chosen.member.id);
                    if needs_a_person(refusal) && self.is_refused(&chosen.member, ask) {
                        // The token that upstream refused is all it has: everyone is to leave it alone.
                        self.rest(&*self.standing(&chosen.member.name).await?, actor).await?;
                    }
                }
                // What cannot be helped now says nothing of the others.
                Ok(Acquired::Refused(_)) => passed.push(chosen.member.id),
                // Removed, or another one by that name: the pool is another one, too.
                Ok(Acquired::Token(_)) | Err(AcquireError::NotFound(_)) => {
                    self.0.snapshots.pool_changed(chosen.pool.name.as_str());
                }
                Err(_) => passed.push(chosen.member.id),
            }
            last = outcome;
            pool = match self.pool_standing(&chosen.pool.name).await? {
                Some(pool) => pool,
                None => return Err(AcquireError::NotFound(chosen.pool.name.clone())),
            };
        }
        last
    }

    /// Who serves this request. `None`: nobody is left to try.
    async fn choose(
        &self,
        pool: &Arc<Pool>,
        ask: &Ask,
        passed: &[CredentialId],
        actor: &Actor,
    ) -> Result<Option<Chosen>, AcquireError> {
        if let Some(place) = self.by_turns(pool, ask, passed) {
            return Ok(chosen(pool, place, None));
        }
        if let Pick::Use(place) = self.pick_here(pool, ask, passed) {
            return Ok(chosen(pool, place, None));
        }
        // Nobody passes the active member over for good by himself: the pool is looked at as a whole, once for all.
        let pool = self.settle_pool(pool, actor).await?;
        Ok(match self.pick_here(&pool, ask, passed) {
            Pick::Use(place) | Pick::Turn(place) => chosen(&pool, place, None),
            Pick::Soonest { until: Timestamp::NEVER, .. } => None,
            Pick::Soonest { place, until } => chosen(&pool, place, Some(until)),
            Pick::Nobody if passed.is_empty() => chosen(&pool, pool.active, None),
            Pick::Nobody => None,
        })
    }

    /// Where every request has another turn, and somebody serves.
    fn by_turns(&self, pool: &Arc<Pool>, ask: &Ask, passed: &[CredentialId]) -> Option<usize> {
        if pool.strategy == Strategy::Failover {
            return None;
        }
        let now = self.now();
        // Whose token was refused is tried again first: refreshing may cure it.
        let refused = pool.members.iter().position(|member| self.is_refused(member, ask));
        if let Some(place) = refused.filter(|_| passed.is_empty()) {
            return Some(place);
        }
        self.0.snapshots.with_pool(pool.name.as_str(), now, |known| {
            known.turns.take(|place| match pool.members.get(place) {
                Some(member) if self.standing_for(member, ask, passed, now) == Standing::Ready => {
                    Look::Take(place)
                }
                Some(_) => Look::Pass,
                None => Look::Stop,
            })
        })?
    }

    fn is_refused(&self, member: &Member, ask: &Ask) -> bool {
        let Some(rejected) = &ask.rejected else { return false };
        let look = |known: &super::snapshot::Known| known.cell.last().tokens.is_access_token(rejected);
        self.0.snapshots.with_old(member.name.as_str(), look).unwrap_or_default()
    }

    fn pick_here(&self, pool: &Pool, ask: &Ask, passed: &[CredentialId]) -> Pick {
        let now = self.now();
        pick(pool, |place| match pool.members.get(place) {
            Some(member) => self.standing_for(member, ask, passed, now),
            None => Standing::Out,
        })
    }

    /// Whoever is not known here may be ready: asking for its token finds out.
    pub(super) fn standing_for(
        &self,
        member: &Member,
        ask: &Ask,
        passed: &[CredentialId],
        now: Timestamp,
    ) -> Standing {
        if passed.contains(&member.id) {
            return Standing::Aside(Timestamp::NEVER);
        }
        self.standing_here(member, ask, now).unwrap_or(Standing::Ready)
    }

    /// How a member stands, as far as it is known here.
    pub(super) fn standing_here(&self, member: &Member, ask: &Ask, now: Timestamp) -> Option<Standing> {
        let scope = ask.scope.as_deref();
        self.0.snapshots.with(member.name.as_str(), now, |known| {
            if known.credential.id != member.id {
                return None;
            }
            let chain = known.cell.fresh()?;
            if known.is_probed(scope, now, &self.0.options.cooldown) {
                return Some(Standing::Probing);
            }
            Some(standing_of(&known.credential, &chain, scope, now))
        })?
    }
}

fn chosen(pool: &Arc<Pool>, place: usize, cooling_until: Option<Timestamp>) -> Option<Chosen> {
    let member = pool.members.get(place)?.clone();
    Some(Chosen { pool: Arc::clone(pool), member, cooling_until })
}

/// What keeps everyone from a member, until it recovers or a person acts.
fn is_lasting(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Cooling { .. }
            | Refusal::Disabled
            | Refusal::ReauthRequired { .. }
            | Refusal::Blocked { .. }
    )
}

/// How a credential stands for a request in that scope.
pub(super) fn standing_of(
    credential: &crate::credential::Credential,
    chain: &crate::credential::Chain,
    scope: Option<&str>,
    now: Timestamp,
) -> Standing {
    if credential.disabled {
        return Standing::Out;
    }
    if let Some(rest) = credential.resting(None, now) {
        return Standing::Resting(rest.until);
    }
    if let Some(rest) = credential.resting(scope, now) {
        return Standing::Aside(rest.until);
    }
    // What a person must mend serves as long as its token lasts.
    let needs_a_person =
        matches!(Loaded::state_of(credential, chain, now), State::ReauthRequired | State::Blocked);
    if needs_a_person && !chain.tokens.is_valid(now) { Standing::Out } else { Standing::Ready }
}
