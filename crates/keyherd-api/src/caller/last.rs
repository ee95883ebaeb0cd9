//! The agent's key that a connection showed last, and its hash: those that follow show the same one, mostly.
//!
//! Owns that a key is hashed once for a connection, not for each request. Never says who has a key: that is asked each
//! time, by the hash.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use keyherd_core::secret::{TokenHash, is_same};
use zeroize::Zeroizing;

/// See the module. What it holds is wiped with the connection.
#[derive(Default)]
pub(crate) struct LastKey(Mutex<Option<Hashed>>);

struct Hashed {
    key: Zeroizing<Box<[u8]>>,
    hash: TokenHash,
}

impl LastKey {
    /// The hash of that key, if it is the one that was shown last; compared in constant time.
    pub(crate) fn hash_of(&self, key: &[u8]) -> Option<TokenHash> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|last| is_same(&last.key, key)).map(|last| last.hash)
    }

    /// That key was an agent's, and no administrator's.
    pub(crate) fn keep(&self, key: &[u8], hash: TokenHash) {
        let hashed = Hashed { key: Zeroizing::new(key.into()), hash };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hashed);
    }
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
        assert_eq!(last.hash_of(b""), None);
        last.keep(b"one", hash(1));
        assert_eq!(last.hash_of(b"one"), Some(hash(1)));
        for other in [&b"on"[..], b"ones", b"two", b""] {
            assert_eq!(last.hash_of(other), None);
        }
        last.keep(b"two", hash(2));
        assert_eq!((last.hash_of(b"one"), last.hash_of(b"two")), (None, Some(hash(2))));
        assert!(!format!("{last:?}").contains("two"));
    }
}
