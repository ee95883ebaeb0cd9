//! Linking and checking: an entry's hash covers its content and its predecessor's hash, under the installation's key.

use std::collections::HashMap;

use crate::ids::OwnerId;
use crate::secret::Hasher;

use super::Entry;

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
        *self.0.labelled(b"audit", &text).as_bytes()
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
    /// A chain ends before its recorded end.
    #[error("the log ends early after entry {seq}: later entries of the same process were removed")]
    Truncated {
        /// The last entry that is there; 0 where none is.
        seq: i64,
    },
}

/// Checks a whole log, entry by entry in order of `seq`. Memory grows with the number of chains, not of entries.
#[derive(Debug)]
pub struct Verifier {
    key: ChainKey,
    ends: HashMap<OwnerId, (Link, i64)>,
}

impl Verifier {
    /// A verifier under the installation's key. `starts` are where chains begin whose first entries were trimmed.
    pub fn new(key: ChainKey, starts: impl IntoIterator<Item = (OwnerId, Link)>) -> Self {
        Self { key, ends: starts.into_iter().map(|(chain, link)| (chain, (link, 0))).collect() }
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
        self.ends.insert(entry.chain, (Link { place: entry.place, hash: entry.hash }, entry.seq));
        Ok(())
    }

    /// Checks that every chain reaches its recorded end.
    pub fn finish(&self, heads: impl IntoIterator<Item = (OwnerId, Link)>) -> Result<(), Broken> {
        for (chain, head) in heads {
            let (end, seq) = self.ends.get(&chain).copied().unwrap_or_default();
            if end != head {
                return Err(Broken::Truncated { seq });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn log(key: &ChainKey) -> (Vec<Entry>, Vec<(OwnerId, Link)>) {
        let mut ends: HashMap<OwnerId, Link> = HashMap::new();
        let entries = (1..=6)
            .map(|seq| {
                let chain = OwnerId::from_i64(seq % 2);
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
                    hash: [0; 32],
                };
                entry.hash = key.hash(&end.hash, &entry);
                *end = Link { place: entry.place, hash: entry.hash };
                entry
            })
            .collect();
        (entries, ends.into_iter().collect())
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<Entry>), expected: &Result<(), Broken>) {
        let key = ChainKey::new([1; 32]);
        let (mut entries, heads) = log(&key);
        damage(&mut entries);
        let mut verifier = Verifier::new(key, []);
        let got =
            entries.iter().try_for_each(|entry| verifier.take(entry)).and_then(|()| verifier.finish(heads));
        assert_eq!(&got, expected);
    }

    #[test]
    fn damage_is_found_where_it_is() {
        check(|_| {}, &Ok(()));
        check(|log| log[2].subject = "other".into(), &Err(Broken::Edited { seq: 3 }));
        check(|log| log[2].detail = "{\"a\":1}".into(), &Err(Broken::Edited { seq: 3 }));
        check(|log| drop(log.remove(2)), &Err(Broken::Gap { seq: 5 }));
        check(|log| log.swap(1, 3), &Err(Broken::Gap { seq: 4 }));
        check(|log| log.truncate(5), &Err(Broken::Truncated { seq: 4 }));
        check(Vec::clear, &Err(Broken::Truncated { seq: 0 }));
    }
}
