//! Cutting the audit log: its oldest entries go, in order and so many at a time, and what they were is recorded, sealed, in
//! the same transaction.
//!
//! Never cuts what is not sound: the record would say that it was. Several processes may cut one log; each entry goes once.

use std::collections::BTreeSet;

use keyherd_core::audit::{Broken, Cut, Entry, Floor, Floors, Link, LogFloor, Retention};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::store::Trimmed;
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::row::{bytes32, entry, unsigned};
use super::write::Write;
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

impl SqlStore {
    /// As much as one clean-up may.
    pub(super) async fn trim_audit(&self, now: Timestamp) -> Result<Trimmed, Fault> {
        let mut rows = 0;
        for _ in 0..self.bounds.trim_batches_max {
            // Mostly there is nothing to do: one read, and no transaction.
            let oldest = self.engine.read(oldest(1)).await?;
            let gone = match self.outlived(&oldest, now)? {
                0 => 0,
                _ => self.insist(|| self.cut_once(now)).await?,
            };
            rows += gone;
            if gone < u64::from(self.cut_max()) {
                return Ok(Trimmed { rows, has_more: false });
            }
        }
        Ok(Trimmed { rows, has_more: true })
    }

    /// Entries that one transaction cuts: more than the one that it adds.
    fn cut_max(&self) -> u32 {
        self.bounds.trim_batch.max(2)
    }

    /// How many of the log's oldest entries go.
    fn outlived(&self, oldest: &[Row], now: Timestamp) -> Result<usize, Fault> {
        let Some(first) = oldest.first() else { return Ok(0) };
        let place = |row: &Row| -> Result<_, Fault> {
            Ok((row.try_get("seq")?, Timestamp::from_millis(row.try_get("at")?)))
        };
        let places: Vec<_> = oldest.iter().map(place).collect::<Result<_, _>>()?;
        let (keep, entries_max) = (self.bounds.audit_keep, self.bounds.audit_entries_max);
        Ok(Retention { keep, entries_max }.outlived(places, first.try_get("last")?, now))
    }

    /// One transaction; nobody else cuts meanwhile. How many entries went.
    async fn cut_once(&self, now: Timestamp) -> Result<u64, Fault> {
        let mut write = self.begin(Kind::Administrative).await?;
        let oldest = write.fetch(oldest(self.cut_max())).await?;
        let count = self.outlived(&oldest, now)?;
        let entries: Vec<_> = oldest.iter().take(count).map(entry).collect::<Result<_, _>>()?;
        if entries.is_empty() {
            write.cancel().await?;
            return Ok(0);
        }
        let floors = floors_of(&mut write, &entries).await?;
        match self.sound_cut(&floors, &entries) {
            Ok(cut) => commit_cut(write, cut, entries.len() as u64).await,
            Err(broken) => {
                write.cancel().await?;
                tracing::error!(%broken, "the audit log is broken, and is not trimmed");
                Ok(0)
            }
        }
    }

    fn sound_cut(&self, floors: &Floors, entries: &[Entry]) -> Result<Cut, Broken> {
        if self.engine.numbers_every_entry() {
            let mut last = floors.seq();
            let mut is_next = |entry: &Entry| entry.first() == std::mem::replace(&mut last, entry.seq) + 1;
            if let Some(odd) = entries.iter().find(|entry| !is_next(entry)) {
                return Err(Broken::Gap { seq: odd.seq });
            }
        }
        floors.cut(&self.installation.audit, entries)
    }
}

/// Of so many of the oldest entries.
fn oldest(entries: u32) -> Statement {
    query(sql::AUDIT_OLDEST).bind(entries)
}

async fn commit_cut(mut write: Write<'_>, cut: Cut, rows: u64) -> Result<u64, Fault> {
    // An entry that was numbered before these and is committed only now was not looked at, and must not go with them.
    if write.execute(query(sql::AUDIT_CUT).bind(cut.through)).await? != rows {
        write.cancel().await?;
        return Err(Fault::Contended("entries of the audit log came among those that are cut".into()));
    }
    for (chain, floor) in &cut.floors.chains {
        write.lastly(raised(*chain, floor));
    }
    if let Some(log) = cut.floors.log {
        write.lastly(query(sql::AUDIT_RAISE_LOG).bind(log.seq).bind(log.seal.to_vec()));
    }
    write.note(cut.note()).await?;
    write.commit_silently().await?;
    Ok(cut.entries)
}

fn raised(chain: OwnerId, floor: &Floor) -> Statement {
    query(sql::AUDIT_RAISE)
        .bind(chain.as_i64())
        .bind(i64::try_from(floor.end.place).unwrap_or(i64::MAX))
        .bind(floor.end.hash.to_vec())
        .bind(floor.sees)
        .bind(floor.seal.to_vec())
}

/// The log's floor, and those of the chains that entries are of, or have seen.
async fn floors_of(write: &mut Write<'_>, entries: &[Entry]) -> Result<Floors, Fault> {
    let mut chains: BTreeSet<_> = entries.iter().map(|entry| entry.chain.as_i64()).collect();
    let seen = entries.iter().flat_map(|entry| &entry.anchors).flat_map(|anchors| anchors.iter());
    chains.extend(seen.map(|anchor| anchor.chain.as_i64()));
    let chains = serde_json::json!(chains).to_string();
    let log = write.first(query(sql::AUDIT_FLOOR)).await?;
    let mut floors = Floors { log: log.as_ref().map(log_floor).transpose()?.flatten(), ..Floors::default() };
    for row in write.fetch(query(sql::AUDIT_FLOORS).bind(chains)).await? {
        if let Some(floor) = floor(&row)? {
            floors.chains.insert(OwnerId::from_i64(row.try_get("chain")?), floor);
        }
    }
    Ok(floors)
}

/// A chain's floor in its row.
pub(super) fn floor(row: &Row) -> Result<Option<Floor>, Fault> {
    if row.try_get::<Option<i64>>("floor_place")?.is_none() {
        return Ok(None);
    }
    let end = Link { place: unsigned(row, "floor_place")?, hash: bytes32(row, "floor_hash")? };
    let sees = row.try_get("floor_sees")?;
    Ok(Some(Floor { end, sees, seal: bytes32(row, "floor_seal")? }))
}

pub(super) fn log_floor(row: &Row) -> Result<Option<LogFloor>, Fault> {
    let Some(seq) = row.try_get::<Option<i64>>("floor")? else { return Ok(None) };
    Ok(Some(LogFloor { seq, seal: bytes32(row, "log_seal")? }))
}
