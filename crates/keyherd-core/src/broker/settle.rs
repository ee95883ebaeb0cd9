//! A pool as a whole: the pointer moves on where the active member rests, or it is said that all do. Once for all who ask.
//!
//! The compare-and-set on the pool's epoch is the truth; where it is missed, the newer pool is looked at.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::choose::standing_of;
use super::{AcquireError, Broker};
use crate::audit::{Actor, Note};
use crate::credential::Loaded;
use crate::ids::Name;
use crate::pool::{Member, Pick, Pool, Standing, Strategy, pick};
use crate::ports::StoreError;
use crate::ports::store::{Event, PoolTurn, PoolTurned, Record};
use crate::refresh::Ask;
use crate::time::Timestamp;

/// Looks at a pool that keeps changing, at most.
const LOOKS_MAX: usize = 8;

impl Broker {
    /// Moves the pointer on where the active member rests, or says that all do: once for all who ask.
    pub(super) async fn settle_pool(
        &self,
        pool: &Arc<Pool>,
        actor: &Actor,
    ) -> Result<Arc<Pool>, AcquireError> {
        let (broker, first, by) = (self.clone(), Arc::clone(pool), actor.clone());
        let (answer, _) =
            self.0.settles.board(pool.id, || async move { broker.settle_pool_once(first, &by).await });
        answer.await.map_err(AcquireError::Lost)?
    }

    async fn settle_pool_once(&self, mut pool: Arc<Pool>, actor: &Actor) -> Result<Arc<Pool>, AcquireError> {
        for _ in 0..LOOKS_MAX {
            let standings = self.standings(&pool).await?;
            let at = |place: usize| standings.get(place).copied().unwrap_or(Standing::Out);
            let picked =
                if pool.strategy == Strategy::Failover { pick(&pool, at) } else { by_soonest(&pool, at) };
            match picked {
                Pick::Turn(place) => match self.move_on(&pool, place, at(pool.active), actor).await? {
                    Turned::Here(newer) => return Ok(newer),
                    Turned::Elsewhere(newer) => pool = newer,
                },
                Pick::Soonest { until, .. } => return Ok(self.exhausted(pool, until, actor).await),
                Pick::Use(_) | Pick::Nobody => return Ok(pool),
            }
        }
        Ok(pool)
    }

    async fn move_on(
        &self,
        pool: &Arc<Pool>,
        place: usize,
        why: Standing,
        actor: &Actor,
    ) -> Result<Turned, AcquireError> {
        let Some(to) = pool.members.get(place) else { return Ok(Turned::Here(Arc::clone(pool))) };
        let turn = PoolTurn { pool: pool.id, epoch: pool.epoch, to: to.id, is_rotated: false };
        let stamp = self.0.snapshots.stamp();
        match self.0.ports.store.turn_pool(turn, failover_record(pool, to, why, actor)).await {
            Ok(PoolTurned::Done(newer)) => {
                let newer = Arc::new(*newer);
                self.pool_is(stamp, &newer);
                metrics::counter!("keyherd_failovers_total", "pool" => pool.name.to_string()).increment(1);
                Ok(Turned::Here(newer))
            }
            Ok(PoolTurned::Missed(Some(newer))) => {
                let newer = Arc::new(*newer);
                self.pool_is(stamp, &newer);
                Ok(Turned::Elsewhere(newer))
            }
            Ok(PoolTurned::Missed(None)) => {
                self.0.snapshots.drop_pool(pool.name.as_str());
                Err(AcquireError::NotFound(pool.name.clone()))
            }
            // Requests go to the next one all the same; the pointer follows when the store is back.
            Err(error) => {
                tracing::warn!(%error, pool = %pool.name, "a failover could not be written");
                Ok(Turned::Here(Arc::clone(pool)))
            }
        }
    }

    /// All rest: said once, until the first of them recovers.
    async fn exhausted(&self, pool: Arc<Pool>, until: Timestamp, actor: &Actor) -> Arc<Pool> {
        if pool.exhausted_until.is_some_and(|said| self.now() < said) {
            return pool;
        }
        let detail = json!({"until_ms": until.as_millis(), "epoch": pool.epoch});
        let record = pool_record(&pool.name, "pool.exhausted", "pool_exhausted", detail, actor);
        let stamp = self.0.snapshots.stamp();
        match self.0.ports.store.exhaust_pool(pool.id, pool.epoch, until, record).await {
            Ok(true) => {
                let said = Arc::new(Pool { exhausted_until: Some(until), ..Pool::clone(&pool) });
                self.pool_is(stamp, &said);
                said
            }
            // It was said already, or the pool is another one by now.
            Ok(false) => {
                self.0.snapshots.pool_changed(pool.name.as_str());
                self.pool_standing(&pool.name).await.ok().flatten().unwrap_or(pool)
            }
            Err(error) => {
                tracing::warn!(%error, pool = %pool.name, "that all of a pool rest could not be written");
                pool
            }
        }
    }

    /// How all members stand, whatever the scope: from memory, or else by one read of all of them.
    async fn standings(&self, pool: &Pool) -> Result<Vec<Standing>, AcquireError> {
        let (now, ask) = (self.now(), Ask::foreground(Duration::ZERO));
        let here: Option<Vec<Standing>> =
            pool.members.iter().map(|member| self.standing_here(member, &ask, now)).collect();
        if let Some(here) = here {
            return Ok(here);
        }
        let rows = match self.read_members(pool).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, pool = %pool.name, "a pool's members cannot be read");
                return Ok(pool
                    .members
                    .iter()
                    .map(|member| self.standing_for(member, &ask, &[], now))
                    .collect());
            }
        };
        let row = |member: &Member| rows.iter().find(|row| row.credential.id == member.id);
        let standing = |member: &Member| match (row(member), self.standing_here(member, &ask, now)) {
            (_, Some(known)) => known,
            (Some(row), None) => standing_of(&row.credential, &row.chain, None, now),
            (None, None) => Standing::Out,
        };
        Ok(pool.members.iter().map(standing).collect())
    }

    /// The members as the store has them, which memory keeps.
    pub(super) async fn read_members(&self, pool: &Pool) -> Result<Vec<Loaded>, StoreError> {
        let (stamp, read_at) = (self.0.snapshots.stamp(), self.now());
        let mut rows = self.0.ports.store.members(pool.id).await?;
        for row in &mut rows {
            self.0.snapshots.resting(row, self.now());
            self.0.snapshots.put(stamp, row, self.window(&row.chain.provider), read_at);
        }
        Ok(rows)
    }
}

enum Turned {
    Here(Arc<Pool>),
    Elsewhere(Arc<Pool>),
}

/// Where turns go round the pointer never moves by itself; what is left to say is that all rest.
fn by_soonest(pool: &Pool, at: impl Fn(usize) -> Standing) -> Pick {
    match pick(pool, at) {
        Pick::Turn(place) => Pick::Use(place),
        other => other,
    }
}

fn failover_record(pool: &Pool, to: &Member, why: Standing, actor: &Actor) -> Record {
    let (reason, until) = match why {
        Standing::Resting(until) => ("cooling", Some(until.as_millis())),
        _ => ("unusable", None),
    };
    let detail = json!({
        "from": pool.active_member().map(|member| member.name.as_str()),
        "to": to.name.as_str(),
        "epoch": pool.epoch + 1,
        "reason": reason,
        "until_ms": until,
    });
    pool_record(&pool.name, "failover", "failover", detail, actor)
}

pub(super) fn pool_record(
    name: &Name,
    action: &'static str,
    kind: &'static str,
    detail: Value,
    actor: &Actor,
) -> Record {
    let subject = name.to_string();
    Record {
        note: Note { action, actor: actor.clone(), subject: subject.clone(), detail: detail.clone() },
        event: Some(Event { kind, chain: None, subject, detail }),
    }
}
