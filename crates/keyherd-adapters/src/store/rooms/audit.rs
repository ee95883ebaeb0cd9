//! The audit log's rows: writing an entry that stands for itself, reading, and looking through all of it.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use keyherd_core::audit::{Broken, ChainKey, Entry, Floors, Head, Link, Note, Sheaf, TextNote, Verifier};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, Verified};

use super::SqlStore;
use super::credentials::signed;
use super::row::{bytes32, entry, unsigned};
use super::trim::{floor, log_floor};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

#[async_trait]
impl AuditStore for SqlStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        let note = TextNote::from(note);
        self.told(self.insist(|| self.append_note(&note)).await)
    }

    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError> {
        self.told(self.insist(|| self.append_sheaves(sheaves)).await)
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

/// Looks at a log that is cut meanwhile.
const LOOKS_MAX: usize = 100;

/// The log's recorded ends and floors, all of one moment.
struct Ends {
    /// The number that the last entry ever written was given.
    last: i64,
    heads: HashMap<OwnerId, Head>,
    floors: Floors,
}

impl SqlStore {
    async fn append_note(&self, note: &TextNote) -> Result<(), Fault> {
        let mut write = self.write().await?;
        write.note(note.clone()).await?;
        write.commit_silently().await
    }

    async fn append_sheaves(&self, sheaves: &[Sheaf]) -> Result<(), Fault> {
        let mut write = self.write().await?;
        for sheaf in sheaves {
            write.lines(sheaf).await?;
        }
        write.commit_silently().await
    }

    /// One look, but at the log's end, and where someone has made a hole in it.
    async fn read_entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let (mut found, mut last) = (Vec::new(), after);
        while found.len() < limit {
            let rows = self.read_rows(last, limit - found.len()).await?;
            let Some(newest) = rows.last() else { break };
            last = newest.seq;
            let entries = rows.into_iter().flat_map(Entry::unbound).filter(|entry| entry.seq > after);
            found.extend(entries.take(limit - found.len()));
        }
        Ok(found)
    }

    /// As the log has them, of so many entries: some carry several lines.
    async fn read_rows(&self, after: i64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let query = query(sql::AUDIT_ENTRIES).bind(after).bind(bounded(limit));
        self.engine.read(query).await?.iter().map(entry).collect()
    }

    async fn read_tail(&self, limit: usize) -> Result<Vec<Entry>, Fault> {
        let (mut found, mut first) = (VecDeque::new(), i64::MAX);
        while found.len() < limit {
            let query = query(sql::AUDIT_TAIL).bind(first).bind(bounded(limit - found.len()));
            let rows = self.engine.read(query).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let entry = entry(row)?;
                first = entry.seq;
                entry.unbound().into_iter().rev().for_each(|entry| found.push_front(entry));
            }
        }
        found.drain(..found.len().saturating_sub(limit));
        Ok(found.into())
    }

    /// What looks broken while the log is cut is looked at again, from its new floors on.
    async fn look_through(&self) -> Result<Verified, Fault> {
        for _ in 0..LOOKS_MAX {
            let ends = self.read_ends().await?;
            let floors = ends.floors.clone();
            let found = self.look_up_to(ends).await?;
            if found.broken.is_none() || self.read_ends().await?.floors == floors {
                return Ok(found);
            }
        }
        let problem = "the audit log is trimmed faster than it can be checked: check it again later";
        Err(Fault::Told(StoreError::Unavailable(problem.into())))
    }

    /// The ends were read first, then come the entries up to them: what is appended meanwhile is the next look's.
    async fn look_up_to(&self, ends: Ends) -> Result<Verified, Fault> {
        let mut check = match Check::new(self.installation.audit.clone(), ends) {
            Ok(check) => check,
            Err(broken) => return Ok(Verified { entries: 0, broken: Some(broken) }),
        };
        let (mut after, mut entries, mut number) = (0, 0, check.ends.floors.seq());
        loop {
            let mut batch = self.read_rows(after, self.batch()).await?;
            batch.retain(|entry| entry.seq <= check.ends.last);
            for entry in &batch {
                entries += entry.count();
                let is_next = entry.first() == number + 1 || !self.engine.numbers_every_entry();
                let broken = match check.take(entry).err() {
                    broken if is_next => broken,
                    broken => Some(out_of_order(entry, number, broken)),
                };
                if broken.is_some() {
                    return Ok(Verified { entries, broken });
                }
                (after, number) = (entry.seq, entry.seq);
            }
            if batch.is_empty() {
                return Ok(Verified { entries, broken: self.finish(check, number).await?.err() });
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
        let heads = HashMap::with_capacity(rows.len());
        let mut ends = Ends { last: 0, heads, floors: Floors::default() };
        for row in rows {
            ends.last = row.try_get("last")?;
            ends.floors.log = log_floor(&row)?;
            if let Some(chain) = row.try_get::<Option<i64>>("chain")? {
                let end = Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? };
                let seal =
                    row.try_get::<Option<&[u8]>>("seal")?.map(|seal| seal.try_into().unwrap_or_default());
                ends.heads.insert(OwnerId::from_i64(chain), Head { end, seal });
                ends.floors.chains.extend(floor(&row)?.map(|floor| (OwnerId::from_i64(chain), floor)));
            }
        }
        Ok(ends)
    }
}

/// A row that does not follow the log's number. How many it stands for is believed where its content is; what was found
/// sound before is never named.
fn out_of_order(entry: &Entry, number: i64, broken: Option<Broken>) -> Broken {
    let may_be_one = entry.seq.saturating_sub(number) <= signed(Sheaf::LINES_MAX);
    if may_be_one && broken.is_some_and(|broken| broken.is_edit()) {
        return Broken::edited(number + 1, entry.seq);
    }
    Broken::Gap { seq: entry.first().max(number + 1) }
}

/// A limit that numbers can be added to.
fn bounded(limit: usize) -> i64 {
    signed(limit).min(i64::from(i32::MAX))
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
    /// A chain that was cut whole ends where it begins.
    fn new(key: ChainKey, ends: Ends) -> Result<Self, Broken> {
        let verifier = Verifier::new(key, &ends.floors)?;
        let mut missed: HashMap<_, _> = ends.heads.iter().map(|(chain, head)| (*chain, head.end)).collect();
        missed.retain(|chain, end| ends.floors.chains.get(chain).is_none_or(|floor| floor.end != *end));
        Ok(Self { verifier, ends, last: HashMap::new(), missed })
    }

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
        if let Some(seq) = self.missed.keys().map(last).min() {
            return Err(Broken::Truncated { seq });
        }
        let heads = self.ends.heads.iter().chain(&later.heads);
        let forged = heads.filter_map(|(chain, head)| self.verifier.recorded(*chain, head).err());
        forged.min_by_key(Broken::seq).map_or(Ok(()), Err)
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
