//! Secrets and their hashes: text that never prints, is wiped when dropped, and is compared in constant time.
//!
//! Owns the one way out of a secret (`expose`) and the keyed hash by which a secret may be spoken of.
//! Never serializes, never logs, and never seals: sealing is an adapter's work.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Whether two secrets are the same, in a time that tells their lengths alone. By words: a byte at a time is what every request
/// would wait for.
pub fn is_same(one: &[u8], two: &[u8]) -> bool {
    let ((one_words, one_rest), (two_words, two_rest)) = (one.as_chunks::<8>(), two.as_chunks::<8>());
    let pairs = one_words.iter().zip(two_words);
    let alike = pairs.fold(Choice::from(1), |so_far, (one, two)| {
        so_far & u64::from_ne_bytes(*one).ct_eq(&u64::from_ne_bytes(*two))
    });
    // Of different lengths, words may be left over; what is left of less than a word tells the rest.
    one.len() == two.len() && (alike & one_rest.ct_eq(two_rest)).into()
}

/// A token, key or client secret. `Debug` prints no part of it; the memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes the text over. The caller's own copies are its own to wipe.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. The only way out: search for this name to find every place where a secret leaves.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        is_same(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// A keyed hash of a secret: names it in rows, file names and logs without giving it away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// From the bytes a store kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, compared in constant time: for whoever lets in by it.
    pub fn is(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }

    /// Lower-case hexadecimal, 64 characters.
    pub fn to_hex(self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Makes [`TokenHash`]es with an installation's own key (HMAC-SHA-256, RFC 2104), so that a copied store
/// cannot be matched against guessed or leaked tokens.
#[derive(Clone)]
pub struct Hasher {
    /// With the key taken in already: most texts are as short as the key's own blocks. Wiped on drop, as is its buffer.
    keyed: Hmac<Sha256>,
}

impl Hasher {
    /// A hasher over an installation's hash key.
    pub fn new(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        let Ok(keyed) = Hmac::new_from_slice(&*key) else {
            unreachable!("HMAC takes keys of any length (RFC 2104, section 2)")
        };
        Self { keyed }
    }

    /// The hash of one secret's text.
    pub fn token(&self, secret: &Secret) -> TokenHash {
        self.labelled(b"token", secret.expose().as_bytes())
    }

    /// Another key made from this one, for a purpose: who has it has neither this one nor any other.
    pub fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let TokenHash(key) = self.labelled(b"derive", purpose);
        Zeroizing::new(key)
    }

    /// The hash of some other text, in a space of its own: equal texts under different labels differ.
    pub fn labelled(&self, label: &[u8], text: &[u8]) -> TokenHash {
        let mut mac = self.keyed.clone();
        mac.update(label);
        mac.update(&[0]);
        mac.update(text);
        TokenHash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::from("plain-as-day")), "Secret(…)");
        assert_eq!(format!("{:?}", Hasher::new([7; 32])), "Hasher(…)");
    }

    #[test]
    fn the_same_has_every_byte_and_no_more() {
        for len in 0..40_u8 {
            let one: Vec<u8> = (0..len).collect();
            assert!(is_same(&one, &one.clone()), "{len}");
            assert!(!is_same(&one, &(0..=len).collect::<Vec<_>>()), "{len}");
            for at in 0..one.len() {
                let mut other = one.clone();
                other[at] ^= 0x40;
                assert!(!is_same(&one, &other), "{at} of {len}");
            }
        }
    }

    #[test]
    fn hashes_differ_by_key_label_and_text() {
        let one = Hasher::new([1; 32]);
        let hash = one.token(&Secret::from("a"));
        assert_eq!(hash, one.token(&Secret::from("a")));
        assert_ne!(hash, one.token(&Secret::from("b")));
        assert_ne!(hash, one.labelled(b"other", b"a"));
        assert_ne!(hash, Hasher::new([2; 32]).token(&Secret::from("a")));
        assert_eq!(hash.to_hex().len(), 64);
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
        assert_ne!(*one.derive(b"a"), *hash.as_bytes());
    }
}
