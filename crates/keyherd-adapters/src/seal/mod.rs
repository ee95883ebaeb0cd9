//! Sealing: what lies on a disk of ours is closed, and opens only in the place it was closed for.
//!
//! Owns the sealed format, the master keys in memory and where they come from ([`KeySource`]). A sealed value is
//! bound to its installation, kind, row and generation: moved anywhere else, it does not open. Never stores a sealed
//! value, and never lets key or plaintext into an error.
//!
//! The format: version (1 byte), id of the key (8), nonce (24), XChaCha20-Poly1305 ciphertext with its tag.

mod key;
mod source;

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

pub use self::key::{KEY_LEN, KeyId, MasterKey};
pub use self::source::{KEY_FILE_LEN_MAX, KeyError, KeySource};
use crate::system::{NoEntropy, random};

/// The most keys a keyring holds.
pub const KEYS_MAX: usize = 8;

/// How many bytes a sealed value is longer than its plaintext.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + KeyId::LEN + NONCE_LEN;

/// Why something could not be sealed or opened. Holds no key and no plaintext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A keyring without keys.
    #[error("no master key: give 32 random bytes in base64")]
    NoKey,
    /// More than [`KEYS_MAX`] keys.
    #[error(
        "more than {KEYS_MAX} master keys: leave out those that seal nothing any more ('keyherd doctor' says which)"
    )]
    TooManyKeys,
    /// One of the keys is not one; the number counts from 1.
    #[error("master key {number} {problem}: a key is {KEY_LEN} random bytes in base64")]
    BadKey {
        /// Which of the keys.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Sealed under a key that is not in the keyring.
    #[error("sealed under master key {0}, which is not here: add it behind the first one")]
    UnknownKey(KeyId),
    /// Cut off, changed, or moved here from another row, generation, kind or installation.
    #[error("the sealed value is damaged, or was moved here from another place")]
    Damaged,
    /// The operating system gives no random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Where a sealed value belongs: opening it for any other place fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The installation's id.
    pub installation: &'a [u8; 16],
    /// What it is, such as `chain.access_token`.
    pub kind: &'static str,
    /// The row it stands in.
    pub row: i64,
    /// The row's generation; 0 where it has none.
    pub generation: u64,
}

/// Master keys at work: the first one seals, all of them open. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<[Slot]>);

struct Slot {
    id: KeyId,
    master: MasterKey,
    cipher: XChaCha20Poly1305,
}

impl Keyring {
    /// A keyring of 1 to [`KEYS_MAX`] keys. A key that is there twice counts once.
    ///
    /// # Errors
    /// [`SealError::NoKey`], [`SealError::TooManyKeys`].
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, SealError> {
        let mut slots: Vec<Slot> = Vec::with_capacity(keys.len());
        for slot in keys.into_iter().map(Slot::new) {
            if slots.iter().all(|other| other.id != slot.id) {
                slots.push(slot);
            }
        }
        match slots.len() {
            0 => Err(SealError::NoKey),
            1..=KEYS_MAX => Ok(Self(slots.into())),
            _ => Err(SealError::TooManyKeys),
        }
    }

    /// Keys in base64 (either alphabet, padded or not), separated by commas or line ends. Lines that begin with `#`
    /// are comments.
    ///
    /// # Errors
    /// [`SealError::BadKey`] names the first key that is none; else as [`Keyring::new`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let words =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| line.split(','));
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        let keys =
            words.zip(1..).map(|(word, number)| MasterKey::parse(word, number)).collect::<Result<_, _>>()?;
        Self::new(keys)
    }

    /// The id of the key that seals.
    pub fn sealing(&self) -> KeyId {
        self.first().id
    }

    /// Whether that key is here, so that what it sealed can be opened.
    pub fn holds(&self, id: KeyId) -> bool {
        self.slot(id).is_some()
    }

    /// The ids of all keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|slot| slot.id)
    }

    /// The same keys behind a new random one.
    ///
    /// # Errors
    /// [`SealError::TooManyKeys`], [`SealError::NoEntropy`].
    pub fn rotated(&self) -> Result<Self, SealError> {
        let old = self.0.iter().map(|slot| slot.master.clone());
        Self::new(std::iter::once(MasterKey::random()?).chain(old).collect())
    }

    /// The same keys with that one first. `None`: it is not here.
    pub fn led_by(&self, id: KeyId) -> Option<Self> {
        let leader = self.slot(id)?.master.clone();
        let others = self.masters().filter(|master| master.id() != id).cloned();
        Some(Self(std::iter::once(leader).chain(others).map(Slot::new).collect()))
    }

    /// The first key alone: for when nothing is sealed under the others any more.
    pub fn sealing_only(&self) -> Self {
        Self([Slot::new(self.first().master.clone())].into())
    }

    /// Seals with the first key.
    ///
    /// # Errors
    /// [`SealError::NoEntropy`]; [`SealError::Damaged`] for a plaintext beyond the cipher's 256 GiB.
    pub fn seal(&self, context: &Context<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let Slot { id, cipher, .. } = self.first();
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        // All of it is allocated at once: a buffer that grew would leave plaintext behind, unwiped.
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let data = context.associated_data(*id);
        let text = (&mut sealed[HEADER_LEN..]).into();
        let tag = cipher.encrypt_inout_detached(&XNonce::from(nonce), &data, text);
        sealed.extend_from_slice(&tag.map_err(|_| SealError::Damaged)?);
        Ok(sealed)
    }

    /// Opens what [`Keyring::seal`] closed for the same place.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::Damaged`].
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let parts = Parts::split(sealed).ok_or(SealError::Damaged)?;
        let slot = self.slot(parts.key).ok_or(SealError::UnknownKey(parts.key))?;
        let mut plain = Zeroizing::new(parts.ciphertext.to_vec());
        slot.cipher
            .decrypt_in_place(&XNonce::from(parts.nonce), &context.associated_data(parts.key), &mut *plain)
            .map_err(|_| SealError::Damaged)?;
        Ok(plain)
    }

    /// The key that a value says it was sealed under; `None` where it is no sealed value.
    pub fn key_of(sealed: &[u8]) -> Option<KeyId> {
        Parts::split(sealed).map(|parts| parts.key)
    }

    fn first(&self) -> &Slot {
        // `new` lets no empty keyring come to be.
        &self.0[0]
    }

    fn slot(&self, id: KeyId) -> Option<&Slot> {
        self.0.iter().find(|slot| slot.id == id)
    }

    /// The keys themselves, for the file they are kept in.
    fn masters(&self) -> impl Iterator<Item = &MasterKey> {
        self.0.iter().map(|slot| &slot.master)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Slot {
    fn new(master: MasterKey) -> Self {
        Self { id: master.id(), cipher: master.cipher(), master }
    }
}

impl Context<'_> {
    /// What is authenticated beside the text. All but the last part have a fixed length: no two places are written
    /// alike.
    fn associated_data(&self, key: KeyId) -> Vec<u8> {
        let mut data = Vec::with_capacity(1 + KeyId::LEN + 16 + 8 + 8 + self.kind.len());
        data.push(VERSION);
        data.extend_from_slice(key.as_bytes());
        data.extend_from_slice(self.installation);
        data.extend_from_slice(&self.row.to_be_bytes());
        data.extend_from_slice(&self.generation.to_be_bytes());
        data.extend_from_slice(self.kind.as_bytes());
        data
    }
}

/// A sealed value, taken apart.
struct Parts<'a> {
    key: KeyId,
    nonce: [u8; NONCE_LEN],
    ciphertext: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(sealed: &'a [u8]) -> Option<Self> {
        let (version, rest) = sealed.split_first()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        let whole = *version == VERSION && ciphertext.len() >= TAG_LEN;
        whole.then(|| Self { key: KeyId::from_bytes(*key), nonce: *nonce, ciphertext })
    }
}

#[cfg(test)]
mod tests;
