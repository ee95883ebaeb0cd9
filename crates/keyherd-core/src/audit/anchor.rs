//! What one process's chain has seen of the others': their ends, taken into an entry.
//!
//! Who takes a chain's last entries away, with their recorded end, leaves behind the entries that have seen them. Owns
//! the form in which an entry carries anchors; never which chains are looked at, which is the store's to choose.

use crate::ids::OwnerId;

use super::Link;

/// What is kept of an anchored entry's hash.
const HASH_LEN: usize = 16;
/// A chain, a place, a hash.
const ANCHOR_LEN: usize = 8 + 8 + HASH_LEN;

/// The end of another chain, as it was when an entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Whose chain.
    pub chain: OwnerId,
    /// The last entry's place there.
    pub place: u64,
    hash: [u8; HASH_LEN],
}

/// All that one entry has seen. Its first entry says for each chain that it is one of those that see others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchors(Vec<Anchor>);

impl Anchor {
    /// Of a chain that ends there.
    pub fn new(chain: OwnerId, end: &Link) -> Self {
        Self { chain, place: end.place, hash: clipped(&end.hash) }
    }

    /// Whether it is that entry that was seen.
    pub fn is_of(&self, hash: &[u8; 32]) -> bool {
        self.hash == clipped(hash)
    }
}

impl Anchors {
    /// These.
    pub fn new(anchors: impl IntoIterator<Item = Anchor>) -> Self {
        Self(anchors.into_iter().collect())
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.0.iter()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For a store to keep, and a hash to cover.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * ANCHOR_LEN);
        for anchor in &self.0 {
            bytes.extend_from_slice(&anchor.chain.as_i64().to_be_bytes());
            bytes.extend_from_slice(&anchor.place.to_be_bytes());
            bytes.extend_from_slice(&anchor.hash);
        }
        bytes
    }

    /// From what a store kept. `None`: it is nothing that was written so.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let anchors = bytes.chunks(ANCHOR_LEN).map(|bytes| {
            let (chain, rest) = bytes.split_first_chunk::<8>()?;
            let (place, hash) = rest.split_first_chunk::<8>()?;
            Some(Anchor {
                chain: OwnerId::from_i64(i64::from_be_bytes(*chain)),
                place: u64::from_be_bytes(*place),
                hash: hash.try_into().ok()?,
            })
        });
        anchors.collect::<Option<_>>().map(Self)
    }
}

fn clipped(hash: &[u8; 32]) -> [u8; HASH_LEN] {
    let mut clipped = [0; HASH_LEN];
    clipped.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_read_as_they_were_written() {
        let anchor = |chain, place| Anchor::new(OwnerId::from_i64(chain), &Link { place, hash: [7; 32] });
        for anchors in [vec![], vec![anchor(-1, 3)], vec![anchor(i64::MAX, 1), anchor(5, u64::MAX)]] {
            let anchors = Anchors::new(anchors);
            let bytes = anchors.to_bytes();
            assert_eq!(Anchors::from_bytes(&bytes), Some(anchors));
            assert_eq!(Anchors::from_bytes(&[&bytes[..], &[0]].concat()), None);
        }
    }
}
