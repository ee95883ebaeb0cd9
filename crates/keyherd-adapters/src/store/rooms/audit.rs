//! The audit log's rows: writing an entry that stands for itself, reading, and looking through all of it.

use std::collections::HashMap;

use async_trait::async_trait;
use keyherd_core::audit::{Broken, Entry, Link, Note, Verifier};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, Verified};

use super::SqlStore;
use super::credentials::signed;
use super::row::{bytes32, entry, unsigned};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

#[async_trait]
impl AuditStore for SqlStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.told(self.insist(|| self.append_notes(std::slice::from_ref(&note))).await)
    }

    async fn append_all(&self, notes: &[Note]) -> Result<(), StoreError> {
        self.told(self.insist(|| self.append_notes(notes)).await)
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.told(self.read_entries(after, limit).await)
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.told(self.read_tail(limit).await)
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.told(self.look_through().await)
    }
}

/// The log's recorded ends, all of one moment.
struct Ends {
    /// The number that the last entry ever written was given.
    last: i64,
    heads: HashMap<OwnerId, Link>,
}

impl SqlStore {
    pub(super) async fn append_notes(&self, notes: &[Note]) -> Result<(), Fault> {
        let mut write = self.write().await?;
        for note in notes {
            write.note(note).await?;
        }
        write.commit_silently().await
    }

    async fn read_entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let query = query(sql::AUDIT_ENTRIES).bind(after).bind(signed(limit));
        let rows = self.engine.read(query).await?;
        rows.iter().map(entry).collect()
    }

    async fn read_tail(&self, limit: usize) -> Result<Vec<Entry>, Fault> {
        let rows = self.engine.read(query(sql::AUDIT_TAIL).bind(signed(limit))).await?;
        rows.iter().rev().map(entry).collect()
    }

    /// The ends first, then the entries up to them: what is appended meanwhile is the next look's.
    async fn look_through(&self) -> Result<Verified, Fault> {
        let ends = self.read_ends().await?;
        let verifier = Verifier::new(self.installation.audit.clone(), []);
        let mut check = Check { verifier, ends, last: HashMap::new(), missed: HashMap::new() };
        check.missed.clone_from(&check.ends.heads);
        let (mut after, mut entries) = (0, 0);
        loop {
            let mut batch = self.read_entries(after, self.batch()).await?;
            batch.retain(|entry| entry.seq <= check.ends.last);
            for entry in &batch {
                entries += 1;
                let is_next = entry.seq == after + 1 || !self.engine.numbers_every_entry();
                let broken =
                    if is_next { check.take(entry).err() } else { Some(Broken::Gap { seq: entry.seq }) };
                if broken.is_some() {
                    return Ok(Verified { entries, broken });
                }
                after = entry.seq;
            }
            if batch.is_empty() {
                return Ok(Verified { entries, broken: self.finish(check, after).await?.err() });
            }
        }
    }

    async fn finish(&self, check: Check, last: i64) -> Result<Result<(), Broken>, Fault> {
        if self.engine.numbers_every_entry() {
            return Ok(check.finish(last));
        }
        Ok(check.finish_among(&self.read_ends().await?))
    }

    fn batch(&self) -> usize {
        usize::try_from(self.bounds.verify_batch).unwrap_or(usize::MAX).max(1)
    }

    async fn read_ends(&self) -> Result<Ends, Fault> {
        let rows = self.engine.read(query(sql::AUDIT_ENDS)).await?;
        let mut ends = Ends { last: 0, heads: HashMap::with_capacity(rows.len()) };
        for row in rows {
            ends.last = row.try_get("last")?;
            if let Some(chain) = row.try_get::<Option<i64>>("chain")? {
                let link = Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? };
                ends.heads.insert(OwnerId::from_i64(chain), link);
            }
        }
        Ok(ends)
    }
}

/// The domain's check, and what the log's recorded ends add.
struct Check {
    verifier: Verifier,
    ends: Ends,
    /// Each chain's last entry by the log's own number.
    last: HashMap<OwnerId, i64>,
    /// Recorded ends that were not come across yet.
    missed: HashMap<OwnerId, Link>,
}

impl Check {
    fn take(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.last.insert(entry.chain, entry.seq);
        let is_end = |end: &Link| *end == Link { place: entry.place, hash: entry.hash };
        if self.missed.get(&entry.chain).is_some_and(is_end) {
            self.missed.remove(&entry.chain);
        }
        self.verifier.take(entry)
    }

    /// Where the log's numbers have no holes and no entry comes late.
    fn finish(self, last: i64) -> Result<(), Broken> {
        self.endless(&self.ends)?;
        let expected = self.ends.last;
        let mut heads: Vec<_> = self.ends.heads.into_iter().collect();
        heads.sort_by_key(|(chain, _)| self.last.get(chain).copied().unwrap_or(0));
        self.verifier.finish(heads)?;
        if last == expected { Ok(()) } else { Err(Broken::Truncated { seq: last }) }
    }

    /// Where transactions end in another order than their entries are numbered in: chains may have grown beyond the
    /// ends that were read first, and new ones may have begun, which `later` ends know of.
    fn finish_among(self, later: &Ends) -> Result<(), Broken> {
        self.endless(later)?;
        let last = |chain| self.last.get(chain).copied().unwrap_or(0);
        match self.missed.keys().map(last).min() {
            Some(seq) => Err(Broken::Truncated { seq }),
            None => Ok(()),
        }
    }

    /// Every chain has a recorded end.
    fn endless(&self, ends: &Ends) -> Result<(), Broken> {
        let endless = self.last.iter().filter(|(chain, _)| !ends.heads.contains_key(chain));
        match endless.map(|(_, seq)| *seq).min() {
            Some(seq) => Err(Broken::Truncated { seq }),
            None => Ok(()),
        }
    }
}
