//! The installation: what makes a store this one, whatever process works on it. Sealed in its only row.
//!
//! Owns the birth of its keys and their opening. Never makes keys for a store that has some: an engine's opening asks
//! only where the row is missing.

use keyherd_core::audit::ChainKey;
use keyherd_core::ports::{Clock, Entropy};
use keyherd_core::secret::Hasher;
use zeroize::Zeroizing;

use super::vault::{AUDIT_KEY, HASH_KEY, Slot, Vault};
use crate::seal::{KeyId, KeySource, Keyring};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

/// What makes one installation, whatever process works on it.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Its id, in what is sealed.
    pub id: [u8; 16],
    /// Makes its token hashes.
    pub hasher: Hasher,
    /// Chains its audit log.
    pub audit: ChainKey,
}

/// The installation as it stands in its row.
pub(in crate::store) struct Sealed {
    id: [u8; 16],
    pub(in crate::store) key_id: KeyId,
    pub(super) hash_key: Vec<u8>,
    pub(super) audit_key: Vec<u8>,
}

/// Why an installation does not open.
pub(in crate::store) enum Unopened {
    /// The key in force is not here.
    WrongKey {
        /// The key that it needs.
        wanted: KeyId,
        /// The keys that were given, in words.
        given: String,
    },
    /// Anything else.
    Fault(Fault),
}

impl Sealed {
    /// From the row that [`sql::INSTALLATION`] reads.
    pub(in crate::store) fn of_row(row: &Row) -> Result<Self, Fault> {
        let unreadable = |_| Fault::Damaged("the installation's row is not as keyherd writes it".into());
        Ok(Self {
            id: row.try_get::<&[u8]>("id")?.try_into().map_err(unreadable)?,
            key_id: KeyId::from_bytes(row.try_get::<&[u8]>("key_id")?.try_into().map_err(unreadable)?),
            hash_key: row.try_get("hash_key")?,
            audit_key: row.try_get("audit_key")?,
        })
    }

    pub(in crate::store) fn unseal(
        &self,
        keyring: Keyring,
        keys: Option<KeySource>,
    ) -> Result<(Vault, Installation), Unopened> {
        let vault = Vault::new(self.id, keyring, keys);
        match self.keys(&vault) {
            Ok(installation) => Ok((vault, installation)),
            Err(Fault::Sealed(_)) if !vault.keyring().holds(self.key_id) => {
                let given = vault.keyring().ids().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
                Err(Unopened::WrongKey { wanted: self.key_id, given })
            }
            Err(fault) => Err(Unopened::Fault(fault)),
        }
    }

    fn keys(&self, vault: &Vault) -> Result<Installation, Fault> {
        let open =
            |column, sealed: &[u8]| vault.open(Slot::of(column, 1, 0), sealed).and_then(|key| array(&key));
        let (hash, audit) = (open(HASH_KEY, &self.hash_key)?, open(AUDIT_KEY, &self.audit_key)?);
        Ok(Installation { id: self.id, hasher: Hasher::new(hash), audit: ChainKey::new(audit) })
    }
}

/// A new installation with keys of its own, ready to be inserted.
pub(in crate::store) fn install(
    keyring: &Keyring,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
) -> Result<Statement, Fault> {
    let (mut id, mut hash_key, mut audit_key) = ([0; 16], Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    entropy.fill(&mut id);
    entropy.fill(&mut *hash_key);
    entropy.fill(&mut *audit_key);
    let vault = Vault::new(id, keyring.clone(), None);
    Ok(query(sql::INSTALL)
        .bind(id.to_vec())
        .bind(keyring.sealing().as_bytes().to_vec())
        .bind(vault.seal(Slot::of(HASH_KEY, 1, 0), &*hash_key)?)
        .bind(vault.seal(Slot::of(AUDIT_KEY, 1, 0), &*audit_key)?)
        .bind(clock.now().as_millis()))
}

fn array(plain: &[u8]) -> Result<[u8; 32], Fault> {
    plain.try_into().map_err(|_| Fault::Damaged("an installation key is not 32 bytes long".into()))
}
