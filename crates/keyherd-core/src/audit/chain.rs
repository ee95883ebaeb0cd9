//! Linking and checking: an entry's hash covers its content, its predecessor's hash and what it has seen of other chains,
//! under the installation's key; a chain's recorded end is sealed under it.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::ids::OwnerId;
use crate::secret::Hasher;
use crate::time::Timestamp;

use super::{Anchor, Anchors, Entry, Floors};

/// What most entries take that are hashed, in bytes.
const TEXT_LEN: usize = 320;

/// The key that entries are chained under.
#[derive(Debug, Clone)]
pub struct ChainKey(Hasher);

impl ChainKey {
    /// From the installation's audit key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Hasher::new(key))
    }

    /// The hash of an entry that follows `previous` (zeros for a chain's first). `seq` is not covered: the store gives
    /// it on insertion, and its order is checked against the places.
    pub fn hash(&self, previous: &[u8; 32], entry: &Entry) -> [u8; 32] {
        let Entry { chain, place, at, action, actor, subject, detail, anchors, .. } = entry;
        let (chain, place, at, anchors) = (*chain, *place, *at, anchors.as_ref());
        self.hash_of(previous, &Content { chain, place, at, action, actor, subject, detail, anchors })
    }

    /// The same of what will be an entry.
    pub fn hash_of(&self, previous: &[u8; 32], content: &Content<'_>) -> [u8; 32] {
        let mut text = Vec::with_capacity(TEXT_LEN);
        text.extend_from_slice(previous);
        text.extend_from_slice(&content.chain.as_i64().to_be_bytes());
        text.extend_from_slice(&content.place.to_be_bytes());
        text.extend_from_slice(&content.at.as_millis().to_be_bytes());
        for part in [content.action, content.actor, content.subject, content.detail] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        if let Some(anchors) = content.anchors {
            text.extend_from_slice(&anchors.to_bytes());
            return *self.0.labelled(b"audit with anchors", &text).as_bytes();
        }
        *self.0.labelled(b"audit", &text).as_bytes()
    }

    /// The seal of a chain's recorded end: who has no key cannot make one for an earlier entry.
    pub fn seal(&self, chain: OwnerId, end: &Link) -> [u8; 32] {
        let text = [&chain.as_i64().to_be_bytes()[..], &end.place.to_be_bytes(), &end.hash].concat();
        self.sealed(b"audit head", &text)
    }

    pub(super) fn sealed(&self, label: &[u8], text: &[u8]) -> [u8; 32] {
        *self.0.labelled(label, text).as_bytes()
    }
}

/// What an entry's hash covers beside its predecessor's.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The process whose chain it belongs to.
    pub chain: OwnerId,
    /// Its place in that chain, from 1.
    pub place: u64,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// What was done.
    pub action: &'a str,
    /// By whom.
    pub actor: &'a str,
    /// To what.
    pub subject: &'a str,
    /// A JSON object's text.
    pub detail: &'a str,
    /// What it has seen of other chains.
    pub anchors: Option<&'a Anchors>,
}

/// The end of a chain: where the next entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// The last entry's place; 0 before the first.
    pub place: u64,
    /// The last entry's hash; zeros before the first.
    pub hash: [u8; 32],
}

/// A chain's end as the store has recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last entry.
    pub end: Link,
    /// See [`ChainKey::seal`]. None where a program recorded it that knew of no seals.
    pub seal: Option<[u8; 32]>,
}

impl From<Link> for Head {
    fn from(end: Link) -> Self {
        Self { end, seal: None }
    }
}

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The content does not match the hash: edited, or written under another key.
    #[error("entry {seq} was changed after it was written")]
    Edited {
        /// Which.
        seq: i64,
    },
    /// The same of entries that were written as one: which of them cannot be told.
    #[error("one of the entries {seq} to {through}, which were written together, was changed afterwards")]
    EditedAmong {
        /// The first.
        seq: i64,
        /// The last.
        through: i64,
    },
    /// The place does not follow its chain's last one: something before it was removed or moved.
    #[error("entry {seq} does not follow its predecessor: an entry before it was removed or moved")]
    Gap {
        /// Which.
        seq: i64,
    },
    /// A chain ends before its recorded end, or that was not recorded by a program of ours.
    #[error("{}", truncated(*seq))]
    Truncated {
        /// The last entry that is there; 0 where none is.
        seq: i64,
    },
    /// An entry has seen one of another chain that is not there, or is another one.
    #[error(
        "entry {seq} has seen an entry of another process that is not there: entries before it were removed"
    )]
    Unseen {
        /// Which has seen it.
        seq: i64,
    },
    /// What is recorded of entries that were cut was not recorded by a program of ours, or is not all there.
    #[error("the record of where the log was trimmed was changed: entries before its first one were removed")]
    Floor {
        /// The number through which the log was cut, as it is recorded.
        seq: i64,
    },
}

fn truncated(seq: i64) -> String {
    if seq == 0 {
        return "the log ends early: of a process that wrote entries none is left".into();
    }
    format!("the log ends early after entry {seq}: later entries of the same process were removed")
}

impl Broken {
    /// Of entries up to that number, from the first that may be meant on.
    pub fn edited(first: i64, through: i64) -> Self {
        if first < through {
            return Self::EditedAmong { seq: first, through };
        }
        Self::Edited { seq: through }
    }

    /// Whether it is the content that does not match.
    pub fn is_edit(&self) -> bool {
        matches!(self, Self::Edited { .. } | Self::EditedAmong { .. })
    }

    /// The entry that it names.
    pub fn seq(&self) -> i64 {
        let (Self::Edited { seq }
        | Self::EditedAmong { seq, .. }
        | Self::Gap { seq }
        | Self::Truncated { seq }
        | Self::Unseen { seq }
        | Self::Floor { seq }) = self;
        *seq
    }
}

/// Entries whose hashes are remembered, so that what was seen of a chain that has gone on meanwhile can be compared:
/// between its look and its entry's number a transaction takes a moment.
const WINDOW: usize = 4_096;

/// Checks a whole log, entry by entry in order of `seq`. Memory grows with the number of chains, not of entries.
#[derive(Debug)]
pub struct Verifier {
    key: ChainKey,
    ends: HashMap<OwnerId, (Link, i64)>,
    /// Chains whose first entry says that they see others: their ends are sealed too.
    seeing: HashSet<OwnerId>,
    window: Window,
}

/// The last entries' hashes.
#[derive(Debug, Default)]
struct Window {
    order: VecDeque<(OwnerId, u64)>,
    hashes: HashMap<(OwnerId, u64), [u8; 32]>,
}

impl Window {
    fn keep(&mut self, entry: &Entry) {
        let key = (entry.chain, entry.place);
        self.order.push_back(key);
        self.hashes.insert(key, entry.hash);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }
}

impl Verifier {
    /// A verifier under the installation's key. Each chain begins at its floor.
    pub fn new(key: ChainKey, floors: &Floors) -> Result<Self, Broken> {
        floors.check(&key)?;
        let ends = floors.chains.iter().map(|(chain, floor)| (*chain, (floor.end, 0))).collect();
        let seeing = floors.chains.iter().filter(|(_, floor)| floor.sees).map(|(chain, _)| *chain);
        Ok(Self { key, ends, seeing: seeing.collect(), window: Window::default() })
    }

    /// How far a chain has come, and whether it sees others.
    pub(super) fn reached(&self, chain: OwnerId) -> (Link, bool) {
        let (end, _) = self.ends.get(&chain).copied().unwrap_or_default();
        (end, self.seeing.contains(&chain))
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Broken> {
        let (end, _) = self.ends.get(&entry.chain).copied().unwrap_or_default();
        if entry.place != end.place + 1 {
            return Err(Broken::Gap { seq: entry.first() });
        }
        if self.key.hash(&end.hash, entry) != entry.hash {
            return Err(Broken::edited(entry.first(), entry.seq));
        }
        if let Some(anchors) = &entry.anchors {
            if !anchors.iter().all(|anchor| self.has(anchor)) {
                return Err(Broken::Unseen { seq: entry.first() });
            }
            if entry.place == 1 {
                self.seeing.insert(entry.chain);
            }
        }
        self.ends.insert(entry.chain, (Link { place: entry.place, hash: entry.hash }, entry.seq));
        self.window.keep(entry);
        Ok(())
    }

    /// Whether the entry that was seen has come. What is seen was committed before, and has a lower number. What was
    /// seen below a floor cannot be compared, and is passed over.
    fn has(&self, anchor: &Anchor) -> bool {
        let (end, _) = self.ends.get(&anchor.chain).copied().unwrap_or_default();
        if end.place == anchor.place {
            return anchor.is_of(&end.hash);
        }
        let then = self.window.hashes.get(&(anchor.chain, anchor.place));
        end.place > anchor.place && then.is_none_or(|hash| anchor.is_of(hash))
    }

    /// Checks that every chain reaches its recorded end.
    pub fn finish(&self, heads: impl IntoIterator<Item = (OwnerId, Head)>) -> Result<(), Broken> {
        for (chain, head) in heads {
            let (end, seq) = self.ends.get(&chain).copied().unwrap_or_default();
            if end != head.end {
                return Err(Broken::Truncated { seq });
            }
            self.recorded(chain, &head)?;
        }
        Ok(())
    }

    /// Checks that a program of ours has recorded that end.
    pub fn recorded(&self, chain: OwnerId, head: &Head) -> Result<(), Broken> {
        let is_sealed = head.seal == Some(self.key.seal(chain, &head.end));
        if is_sealed || (head.seal.is_none() && !self.seeing.contains(&chain)) {
            return Ok(());
        }
        let (_, seq) = self.ends.get(&chain).copied().unwrap_or_default();
        Err(Broken::Truncated { seq })
    }
}

#[cfg(test)]
mod tests;
