//! Claims and compare-and-set.

use std::time::Duration;

use async_trait::async_trait;

use super::{ChainRow, MemoryStore, Rows, clients};
use crate::credential::{Chain, Claim, Holder, Trouble};
use crate::ids::{ChainId, ClaimId};
use crate::ports::StoreError;
use crate::ports::store::{ChainStore, ClaimAsk, Claimed, Due, Record, Settled, Settling};
use crate::refresh::Settlement;
use crate::secret::TokenHash;
use crate::time::Timestamp;

impl MemoryStore {
    fn settle_if(
        &self,
        settling: Settling,
        record: Record,
        is_current: impl FnOnce(&Rows, &ChainRow) -> bool,
    ) -> Result<Settled, StoreError> {
        let id = settling.chain;
        self.write(record, |rows| {
            let Some(row) = rows.chains.get(&id) else { return (Settled::Superseded(None), false) };
            if !is_current(rows, row) {
                let view = Box::new(self.view(rows, row));
                let is_ours = matches!(settling.settlement, Settlement::Granted(_))
                    && row.chain.generation == settling.generation + 1
                    && row.chain.spend_hash == settling.spend_hash;
                return (if is_ours { Settled::Done(view) } else { Settled::Superseded(Some(view)) }, false);
            }
            self.apply(rows, settling);
            let view = rows.chains.get(&id).map(|row| Box::new(self.view(rows, row)));
            (view.map_or(Settled::Superseded(None), Settled::Done), true)
        })
    }

    /// Where claims expire, another's claim is ended only then. On one machine a claim's id is proof enough.
    fn may_end(&self, rows: &Rows, row: &ChainRow) -> bool {
        let Some(held) = row.chain.claim.as_ref().filter(|_| row.claimed_until.is_some()) else {
            return true;
        };
        held.owner == self.owner || self.is_gone(rows, held.owner, row.claimed_until)
    }

    fn apply(&self, rows: &mut Rows, settling: Settling) {
        let now = self.shared.clock.now();
        let Some(row) = rows.chains.get_mut(&settling.chain) else { return };
        row.chain.revision += 1;
        (row.chain.claim, row.claimed_until) = (None, None);
        let claimed_client = row.claimed_client.take();
        row.chain.due_at = settling.due_at;
        match settling.settlement {
            Settlement::Granted(tokens) => {
                if let Some(spent) =
                    row.chain.spend_hash.filter(|_| row.chain.spend_hash != settling.spend_hash)
                {
                    rows.spent.insert(spent, (settling.chain, row.chain.generation));
                }
                row.chain.generation += 1;
                row.chain.tokens = *tokens;
                row.chain.spend_hash = settling.spend_hash;
                row.chain.refreshed_at = Some(now);
                row.chain.minted_by_rejection = settling.minted_by_rejection;
                row.chain.trouble = Trouble::None;
            }
            Settlement::Troubled(trouble) => row.chain.trouble = trouble,
            Settlement::Blocked(block) => {
                if let Some(client) = claimed_client {
                    rows.blocks.insert(client, block);
                }
            }
            Settlement::Released => {}
        }
    }
}

#[async_trait]
impl ChainStore for MemoryStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.read(|rows| rows.chains.get(&id).map(|row| self.view(rows, row)))
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| {
            let Some(row) = rows.chains.get(&ask.chain) else { return (Claimed::Missed(None), false) };
            let client = clients::fingerprint(&self.shared.hasher, rows, row);
            let is_blocked = rows.blocks.contains_key(&client);
            let is_free = row.chain.claim.is_none() && row.chain.revision == ask.revision && !is_blocked;
            if let Some(row) = rows.chains.get_mut(&ask.chain).filter(|_| is_free) {
                row.chain.revision += 1;
                row.claimed_client = Some(client);
                row.claimed_until = self.shared.terms.claim_life.map(|life| now + life);
                row.chain.claim = Some(Claim {
                    id: ask.id,
                    owner: self.owner,
                    purpose: ask.purpose,
                    at: now,
                    holder: Holder::Mine,
                });
            }
            let view = rows.chains.get(&ask.chain).map(|row| Box::new(self.view(rows, row)));
            match view {
                Some(view) if is_free => (Claimed::Granted(view), true),
                view => (Claimed::Missed(view), false),
            }
        })
    }

    fn claim_life(&self) -> Option<Duration> {
        self.shared.terms.claim_life
    }

    async fn renew(&self, chain: ChainId, claim: ClaimId) -> Result<bool, StoreError> {
        let until = self.shared.terms.claim_life.map(|life| self.shared.clock.now() + life);
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        let Some(row) = rows.chains.get_mut(&chain) else { return Ok(false) };
        let held = row.chain.claim.as_ref();
        let is_ours = held.is_some_and(|held| held.id == claim && held.owner == self.owner);
        if is_ours {
            row.claimed_until = until;
        }
        Ok(is_ours)
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let (claim, generation) = (settling.claim, settling.generation);
        self.settle_if(settling, record, |rows, row| {
            row.chain.generation == generation
                && row.chain.claim.as_ref().is_some_and(|held| held.id == claim && self.may_end(rows, row))
        })
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        let generation = settling.generation;
        self.settle_if(settling, record, |_, row| {
            row.chain.generation == generation && row.chain.spend_hash == Some(*spent)
        })
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.read(|rows| {
            let mut due: Vec<Due> =
                rows.chains.values().filter_map(|row| self.due_of(rows, row, now)).collect();
            due.sort_by_key(|due| due.due_at);
            due.truncate(limit);
            due
        })
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        if let Some(row) = rows.chains.get_mut(&chain).filter(|row| row.chain.due_at == seen) {
            row.chain.due_at = due_at;
        }
        Ok(())
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.read(|rows| rows.chains.values().filter(|row| row.chain.claim.is_some()).count() as u64)
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        let is_before = |row: &&ChainRow| row.chain.claim.as_ref().is_some_and(|claim| claim.at < at);
        self.read(|rows| rows.chains.values().filter(is_before).count() as u64)
    }
}

impl MemoryStore {
    fn due_of(&self, rows: &Rows, row: &ChainRow, now: Timestamp) -> Option<Due> {
        let due_at = row.chain.due_at.filter(|at| *at <= now)?;
        let mut members = rows.credentials.values();
        let member = members.find(|member| member.chain == row.chain.id && !member.disabled)?;
        Some(Due {
            chain: row.chain.id,
            name: member.name.clone(),
            provider: row.chain.provider.clone(),
            token_url: row.chain.token_url.clone(),
            due_at,
        })
    }
}
