//! Signing synthetic tokens with a key of the installation's.
//!
//! HMAC-SHA-256 (`HS256`, RFC 7518, section 3.2): nobody but keyherd need tell its phantoms from others.

use hmac::{Hmac, KeyInit, Mac};
use keyherd_core::ports::TokenSigner;
use keyherd_core::secret::Hasher;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The installation's signer.
pub struct Hs256Signer {
    key: Zeroizing<[u8; 32]>,
    key_id: String,
}

impl Hs256Signer {
    /// With a key made from the installation's own.
    pub fn new(hasher: &Hasher) -> Self {
        let key_id = hasher.labelled(b"phantom.key_id", b"").to_hex().chars().take(8).collect();
        Self { key: hasher.derive(b"phantom.jwt"), key_id }
    }
}

impl TokenSigner for Hs256Signer {
    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else {
            unreachable!("HMAC takes keys of any length (RFC 2104, section 2)")
        };
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }
}

impl std::fmt::Debug for Hs256Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hs256Signer({})", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_the_installations() {
        let (one, other) = (Hs256Signer::new(&Hasher::new([1; 32])), Hs256Signer::new(&Hasher::new([2; 32])));
        assert_eq!(one.sign(b"m"), Hs256Signer::new(&Hasher::new([1; 32])).sign(b"m"));
        assert_ne!(one.sign(b"m"), other.sign(b"m"));
        assert_ne!(one.sign(b"m"), one.sign(b"n"));
        assert_ne!(one.key_id(), other.key_id());
        assert_eq!((one.sign(b"m").len(), one.key_id().len()), (32, 8));
    }
}
