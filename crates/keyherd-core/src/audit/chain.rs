//! Linking and checking: an entry's hash covers its content, its predecessor's hash and what it has seen of other chains,
//! under the installation's key; a chain's recorded end is sealed under it.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::ids::OwnerId;
use crate::secret::Hasher;

use super::{Anchor, Entry};

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
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(previous);
        text.extend_from_slice(&entry.chain.as_i64().to_be_bytes());
        text.extend_from_slice(&entry.place.to_be_bytes());
        text.extend_from_slice(&entry.at.as_millis().to_be_bytes());
        for part in [&entry.action, &entry.actor, &entry.subject, &entry.detail] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        if let Some(anchors) = &entry.anchors {
            text.extend_from_slice(&anchors.to_bytes());
            return *self.0.labelled(b"audit with anchors", &text).as_bytes();
        }
        *self.0.labelled(b"audit", &text).as_bytes()
    }

    /// The seal of a chain's recorded end: who has no key cannot make one for an earlier entry.
    pub fn seal(&self, chain: OwnerId, end: &Link) -> [u8; 32] {
        let text = [&chain.as_i64().to_be_bytes()[..], &end.place.to_be_bytes(), &end.hash].concat();
        *self.0.labelled(b"audit head", &text).as_bytes()
    }
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
    /// The place does not follow its chain's last one: something before it was removed or moved.
    #[error("entry {seq} does not follow its predecessor: an entry before it was removed or moved")]
    Gap {
        /// Which.
        seq: i64,
    },
    /// A chain ends before its recorded end, or that was not recorded by a program of ours.
    #[error("the log ends early after entry {seq}: later entries of the same process were removed")]
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
}

impl Broken {
    /// The entry that it names.
    pub fn seq(&self) -> i64 {
        let (Self::Edited { seq } | Self::Gap { seq } | Self::Truncated { seq } | Self::Unseen { seq }) =
            self;
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
    /// A verifier under the installation's key. `starts` are where chains begin whose first entries were trimmed.
    pub fn new(key: ChainKey, starts: impl IntoIterator<Item = (OwnerId, Link)>) -> Self {
        let ends = starts.into_iter().map(|(chain, link)| (chain, (link, 0))).collect();
        Self { key, ends, seeing: HashSet::new(), window: Window::default() }
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Broken> {
        let (end, _) = self.ends.get(&entry.chain).copied().unwrap_or_default();
        if entry.place != end.place + 1 {
            return Err(Broken::Gap { seq: entry.seq });
        }
        if self.key.hash(&end.hash, entry) != entry.hash {
            return Err(Broken::Edited { seq: entry.seq });
        }
        if let Some(anchors) = &entry.anchors {
            if !anchors.iter().all(|anchor| self.has(anchor)) {
                return Err(Broken::Unseen { seq: entry.seq });
            }
            if entry.place == 1 {
                self.seeing.insert(entry.chain);
            }
        }
        self.ends.insert(entry.chain, (Link { place: entry.place, hash: entry.hash }, entry.seq));
        self.window.keep(entry);
        Ok(())
    }

    /// Whether the entry that was seen has come. What is seen was committed before, and has a lower number.
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
mod tests {
    use super::*;
    use crate::audit::Anchors;
    use crate::time::Timestamp;

    type Ends = HashMap<OwnerId, Link>;

    /// Two chains in turns; each entry but the first has seen the other chain's end.
    fn log(key: &ChainKey) -> (Vec<Entry>, Ends) {
        let mut ends = Ends::new();
        let entries = (1..=6)
            .map(|seq| {
                let chain = OwnerId::from_i64(seq % 2);
                let others = ends.iter().filter(|(other, _)| **other != chain);
                let anchors = Anchors::new(others.map(|(other, end)| Anchor::new(*other, end)));
                let end = ends.entry(chain).or_default();
                let mut entry = Entry {
                    seq,
                    chain,
                    place: end.place + 1,
                    at: Timestamp::from_millis(seq),
                    action: "refresh".into(),
                    actor: "cli".into(),
                    subject: "acme".into(),
                    detail: "{}".into(),
                    anchors: Some(anchors),
                    hash: [0; 32],
                };
                entry.hash = key.hash(&end.hash, &entry);
                *end = Link { place: entry.place, hash: entry.hash };
                entry
            })
            .collect();
        (entries, ends)
    }

    fn sealed(key: &ChainKey, chain: OwnerId, end: Link) -> (OwnerId, Head) {
        (chain, Head { end, seal: Some(key.seal(chain, &end)) })
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<Entry>, &mut Ends), expected: &Result<(), Broken>) {
        let key = ChainKey::new([1; 32]);
        let (mut entries, mut ends) = log(&key);
        damage(&mut entries, &mut ends);
        let mut verifier = Verifier::new(key.clone(), []);
        let heads: Vec<_> = ends.into_iter().map(|(chain, end)| sealed(&key, chain, end)).collect();
        let got =
            entries.iter().try_for_each(|entry| verifier.take(entry)).and_then(|()| verifier.finish(heads));
        assert_eq!(&got, expected);
    }

    #[test]
    fn damage_is_found_where_it_is() {
        check(|_, _| {}, &Ok(()));
        check(|log, _| log[2].subject = "other".into(), &Err(Broken::Edited { seq: 3 }));
        check(|log, _| log[2].detail = "{\"a\":1}".into(), &Err(Broken::Edited { seq: 3 }));
        check(|log, _| log[2].anchors = None, &Err(Broken::Edited { seq: 3 }));
        check(|log, _| drop(log.remove(2)), &Err(Broken::Unseen { seq: 4 }));
        check(|log, _| drop(log.drain(2..4)), &Err(Broken::Gap { seq: 5 }));
        check(|log, _| log.swap(1, 3), &Err(Broken::Gap { seq: 4 }));
        check(|log, _| log.truncate(5), &Err(Broken::Truncated { seq: 4 }));
        check(|log, _| log.clear(), &Err(Broken::Truncated { seq: 0 }));
    }

    /// As one who has kept an older copy of the chain's recorded end would do it.
    #[test]
    fn a_chain_that_was_taken_back_was_seen() {
        let (one, zero) = (OwnerId::from_i64(1), OwnerId::from_i64(0));
        let back = |log: &mut Vec<Entry>, ends: &mut Ends| {
            log.retain(|entry| entry.chain != one || entry.place < 3);
            let end = log.iter().rfind(|entry| entry.chain == one).expect("is there");
            ends.insert(one, Link { place: end.place, hash: end.hash });
        };
        check(back, &Err(Broken::Unseen { seq: 6 }));
        let dropped = |log: &mut Vec<Entry>, ends: &mut Ends| {
            log.retain(|entry| entry.chain != one);
            ends.remove(&one);
        };
        check(dropped, &Err(Broken::Unseen { seq: 2 }));
        // What nobody has seen, and all at once: see SECURITY.md.
        let last = |log: &mut Vec<Entry>, ends: &mut Ends| {
            log.truncate(5);
            ends.insert(zero, Link { place: 2, hash: log[3].hash });
        };
        check(last, &Ok(()));
    }

    #[test]
    fn a_recorded_end_is_sealed_where_the_chain_says_so() {
        let key = ChainKey::new([1; 32]);
        let (entries, ends) = log(&key);
        let check = |seal: Option<[u8; 32]>, is_whole: bool| {
            let mut verifier = Verifier::new(key.clone(), []);
            entries.iter().for_each(|entry| verifier.take(entry).expect("is whole"));
            let heads = ends.iter().map(|(chain, end)| (*chain, Head { end: *end, seal }));
            assert_eq!(verifier.finish(heads).is_ok(), is_whole);
        };
        check(None, false);
        check(Some([0; 32]), false);
        let old = Verifier::new(key.clone(), []);
        assert_eq!(
            old.recorded(OwnerId::from_i64(9), &Link::default().into()),
            Ok(()),
            "as older programs did"
        );
    }

    #[test]
    fn what_was_seen_of_a_chain_that_went_on_is_compared() {
        let key = ChainKey::new([1; 32]);
        let (mut entries, _) = log(&key);
        // Entry 6 of chain 0 comes after chain 1's fifth, and has seen its third.
        let seen = |hash| Anchors::new([Anchor::new(OwnerId::from_i64(1), &Link { place: 2, hash })]);
        let third = entries[2].hash;
        for (hash, expected) in [(third, Ok(())), ([9; 32], Err(Broken::Unseen { seq: 6 }))] {
            let previous = entries[3].hash;
            entries[5].anchors = Some(seen(hash));
            entries[5].hash = key.hash(&previous, &entries[5]);
            let mut verifier = Verifier::new(key.clone(), []);
            assert_eq!(entries.iter().try_for_each(|entry| verifier.take(entry)), expected);
        }
    }
}
