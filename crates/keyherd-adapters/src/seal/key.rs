//! One master key, and what is derived from it: its id and its cipher.
//!
//! Owns the derivations and the written form of a key. Never seals anything, never reads a file.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SealError;
use crate::system::random;

/// The length of a master key, in bytes.
pub const KEY_LEN: usize = 32;

/// Each derivation has a label of its own, so that none of them says anything about another.
const ID_LABEL: &[u8] = b"keyherd master key id v1\0";
const SEAL_LABEL: &[u8] = b"keyherd seal xchacha20-poly1305 v1";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// 32 secret bytes from which an installation's sealing keys are derived. Wiped on drop, never printed.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

impl MasterKey {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// [`SealError::NoEntropy`].
    pub fn random() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// Names the key without giving it away.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::new_with_prefix(ID_LABEL).chain_update(&self.0[..]).finalize();
        let mut id = [0; KeyId::LEN];
        id.copy_from_slice(&digest[..KeyId::LEN]);
        KeyId(id)
    }

    /// From base64. `number` is what an error calls it.
    pub(super) fn parse(word: &str, number: usize) -> Result<Self, SealError> {
        let bad = |problem| SealError::BadKey { number, problem };
        let engine = if word.contains(['-', '_']) { BASE64_URL } else { BASE64 };
        // More room than a key needs, so that what is too long is told apart from what is no base64.
        let mut bytes = Zeroizing::new([0; 4 * KEY_LEN]);
        let len = match engine.decode_slice(word, &mut *bytes) {
            Ok(len) => len,
            Err(base64::DecodeSliceError::OutputSliceTooSmall) => return Err(bad("is too long")),
            Err(base64::DecodeSliceError::DecodeError(_)) => return Err(bad("is not base64")),
        };
        match len {
            ..KEY_LEN => Err(bad("is too short")),
            KEY_LEN => Ok(Self::from_slice(&bytes[..KEY_LEN])),
            _ => Err(bad("is too long")),
        }
    }

    /// Base64, as [`MasterKey::parse`] takes it.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.0[..]))
    }

    /// The cipher that seals (HKDF-SHA-256, RFC 5869). Derived once per keyring: it costs some microseconds.
    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let Ok(()) = Hkdf::<Sha256>::new(None, &*self.0).expand(SEAL_LABEL, &mut *key) else {
            unreachable!("HKDF-SHA-256 gives up to 8160 bytes (RFC 5869, section 2.3)")
        };
        XChaCha20Poly1305::new((&*key).into())
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(bytes);
        Self(key)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

/// Names a master key: the first 8 bytes of a labelled SHA-256 over it. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; KeyId::LEN]);

impl KeyId {
    /// Its length in bytes.
    pub const LEN: usize = 8;

    /// From the bytes a store kept.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// For a store to keep.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Lower-case hexadecimal, 16 characters.
    pub fn to_hex(self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
