//! The agent's key that a connection showed last, and its hash: those that follow show the same one, mostly.
//!
//! Owns that a key is hashed once for a connection, not for each request. Never says who has a key: that is asked each
//! time, by the hash.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use keyherd_core::agent::KEY_LEN;
use keyherd_core::secret::TokenHash;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// See the module. What it holds is wiped with the connection.
#[derive(Default)]
pub(crate) struct LastKey(Mutex<Option<Hashed>>);

struct Hashed {
    key: Zeroizing<Words>,
    hash: TokenHash,
}

/// A key, so much at once as is compared at once: byte by byte it takes as long as much else of a request.
type Words = [u64; WORDS];

/// Longer ones are not remembered: no agent has one.
const WORDS: usize = KEY_LEN.div_ceil(size_of::<u64>());

impl LastKey {
    /// The hash of that key, if it is the one that was shown last; compared in constant time.
    pub(crate) fn hash_of(&self, key: &[u8]) -> Option<TokenHash> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = words(key)?;
        last.as_ref().filter(|last| last.key.ct_eq(&*key).into()).map(|last| last.hash)
    }

    /// That key was an agent's, and no administrator's.
    pub(crate) fn keep(&self, key: &[u8], hash: TokenHash) {
        let hashed = words(key).map(|key| Hashed { key, hash });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = hashed;
    }
}

/// `None`: it has not a key's length.
fn words(key: &[u8]) -> Option<Zeroizing<Words>> {
    let mut words = Zeroizing::new([0; WORDS]);
    let (whole, rest) = key.as_chunks();
    if key.len() != KEY_LEN {
        return None;
    }
    let mut last = [0; size_of::<u64>()];
    last[..rest.len()].copy_from_slice(rest);
    for (word, bytes) in words.iter_mut().zip(whole.iter().chain([&last])) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Some(words)
}

impl fmt::Debug for LastKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_one_is_known() {
        let (last, hash) = (LastKey::default(), |byte| TokenHash::from_bytes([byte; 32]));
        let key = |digit: u8| [b"kha_", [digit; KEY_LEN - 4].as_slice()].concat();
        let (one, two) = (key(b'1'), key(b'2'));
        assert_eq!(last.hash_of(b""), None);
        last.keep(&one, hash(1));
        assert_eq!(last.hash_of(&one), Some(hash(1)));
        for at in 0..KEY_LEN {
            let mut other = one.clone();
            other[at] ^= 1;
            assert_eq!(last.hash_of(&other), None, "{at}");
        }
        for other in [&one[1..], &one[..KEY_LEN - 1], &[&*one, b"1"].concat(), b"", &two] {
            assert_eq!(last.hash_of(other), None);
        }
        last.keep(&two, hash(2));
        assert_eq!((last.hash_of(&one), last.hash_of(&two)), (None, Some(hash(2))));
        assert!(!format!("{last:?}").contains("222"));
        last.keep(b"short", hash(3));
        assert_eq!((last.hash_of(b"short"), last.hash_of(&two)), (None, None));
    }
}
