//! Sealing at the store: where a value stands, and the keyring that follows the master key's rotation.
//!
//! Owns the keyring at work. A key id that is not here, or a key that the store has retired, makes it read its source
//! again: so a rotation in another process reaches this one without a restart.

use std::sync::{PoisonError, RwLock};

use keyherd_core::secret::Secret;
use zeroize::Zeroizing;

use crate::seal::{Context, KeyId, KeySource, Keyring, SealError};
use crate::store::fault::Fault;

/// A sealed column: its name and its row are sealed in, so that a value moved elsewhere does not open.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Slot {
    pub(in crate::store) column: &'static str,
    pub(in crate::store) row: i64,
    pub(in crate::store) generation: u64,
}

pub(in crate::store) const ACCESS_TOKEN: &str = "chains.access_token";
pub(in crate::store) const REFRESH_TOKEN: &str = "chains.refresh_token";
pub(in crate::store) const CLIENT_SECRET: &str = "chains.client_secret";
pub(in crate::store) const NAMED_SECRET: &str = "clients.secret";
pub(in crate::store) const PROFILE_TEXT: &str = "profiles.text";
pub(in crate::store) const AGENT_DOC: &str = "agents.doc";
pub(in crate::store) const BINDING_DOC: &str = "bindings.doc";
pub(in crate::store) const CHANNEL_DOC: &str = "channels.doc";
pub(in crate::store) const HASH_KEY: &str = "installation.hash_key";
pub(in crate::store) const AUDIT_KEY: &str = "installation.audit_key";

impl Slot {
    /// A column of a row whose values change with its generation.
    pub(in crate::store) fn of(column: &'static str, row: i64, generation: u64) -> Self {
        Self { column, row, generation }
    }
}

/// The keyring, bound to an installation.
pub(in crate::store) struct Vault {
    installation: [u8; 16],
    keyring: RwLock<Keyring>,
    source: Option<KeySource>,
}

impl Vault {
    pub(in crate::store) fn new(installation: [u8; 16], keyring: Keyring, source: Option<KeySource>) -> Self {
        Self { installation, keyring: RwLock::new(keyring), source }
    }

    pub(in crate::store) fn keyring(&self) -> Keyring {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::store) fn replace(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = keyring;
    }

    /// Sees to it that what is sealed next is sealed under the key that the store has in force. Any key that is here will
    /// do: while a new one is brought to many hosts it is the first one on some of them only.
    pub(in crate::store) fn follow(&self, in_force: KeyId) -> Result<(), Fault> {
        if self.keyring().sealing() == in_force {
            return Ok(());
        }
        self.reload()?;
        let given = self.keyring();
        match given.led_by(in_force) {
            Some(keyring) => {
                self.replace(keyring);
                Ok(())
            }
            None => Err(Fault::Sealed(format!(
                "master key {in_force} is in force, but this process seals under {}: put {in_force} first, then start it again",
                given.sealing()
            ))),
        }
    }

    pub(in crate::store) fn seal(&self, slot: Slot, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let sealed = self.keyring().seal(&self.context(slot), plain);
        sealed.map_err(|error| Fault::seal(slot.column, slot.row, &error))
    }

    pub(in crate::store) fn seal_secret(
        &self,
        slot: Slot,
        secret: Option<&Secret>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        secret.map(|secret| self.seal(slot, secret.expose().as_bytes())).transpose()
    }

    pub(in crate::store) fn open(&self, slot: Slot, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.keyring().open(&self.context(slot), sealed) {
            Err(SealError::UnknownKey(_)) if self.source.is_some() => {
                self.reload()?;
                self.keyring().open(&self.context(slot), sealed)
            }
            opened => opened,
        }
        .map_err(|error| Fault::seal(slot.column, slot.row, &error))
    }

    pub(in crate::store) fn open_secret(
        &self,
        slot: Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Option<Secret>, Fault> {
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.open(slot, sealed)?;
        match std::str::from_utf8(&plain) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(_) => Err(Fault::Damaged(format!("{} of row {} is no text", slot.column, slot.row))),
        }
    }

    fn reload(&self) -> Result<(), Fault> {
        if let Some(source) = &self.source {
            self.replace(source.load()?);
        }
        Ok(())
    }

    fn context(&self, slot: Slot) -> Context<'_> {
        Context {
            installation: &self.installation,
            kind: slot.column,
            row: slot.row,
            generation: slot.generation,
        }
    }
}
