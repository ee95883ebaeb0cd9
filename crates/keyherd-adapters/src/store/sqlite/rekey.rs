//! Another master key, while everybody works on.
//!
//! Owns the order: first the installation says which key is in force, from then on the fences let nothing in that is
//! sealed under another; then every row is sealed anew, in bounded transactions. A process that meets a key it does not
//! know reads its key source again. Interrupted, it is simply run again: what is done is passed over.

use std::fs::File;

use keyherd_core::audit::Note;
use keyherd_core::ports::StoreError;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::connection::Write;
use super::credentials::Statement;
use super::fault::Fault;
use super::open::{OpenError, Sealed, hold};
use super::row::unsigned;
use super::vault::{ACCESS_TOKEN, AUDIT_KEY, CLIENT_SECRET, HASH_KEY, NAMED_SECRET, REFRESH_TOKEN, Slot};
use crate::seal::{KeyId, Keyring};

const CHAINS: &str = "SELECT id, generation, access_token, refresh_token, client_secret FROM chains \
     WHERE id > $1 ORDER BY id LIMIT $2";
const RESEAL_CHAIN: &str =
    "UPDATE chains SET access_token = $1, refresh_token = $2, client_secret = $3 WHERE id = $4";
const CLIENTS: &str = "SELECT id, version, secret FROM clients WHERE id > $1 ORDER BY id LIMIT $2";
const RESEAL_CLIENT: &str = "UPDATE clients SET secret = $1 WHERE id = $2";
const RESEAL_INSTALLATION: &str = "UPDATE installation SET key_id = $1, hash_key = $2, audit_key = $3";

/// Held from before a new key is put into the key source until the old one is taken out of it: two rotations at once
/// would each take the other's key away.
#[derive(Debug)]
pub struct Rotation(#[expect(dead_code, reason = "dropping it frees the lock")] File);

impl SqliteStore {
    /// The right to rotate the master key: one process at a time. Waits as an opening does.
    ///
    /// # Errors
    /// [`OpenError::Upgrading`] while another process rotates, or makes the store over.
    pub async fn rotation(&self) -> Result<Rotation, OpenError> {
        hold(&self.place, self.bounds.upgrade_timeout).await.map(Rotation)
    }

    /// Seals everything under the first key of `new`, which must hold the key in force as well. `progress` hears the
    /// rows that were looked at and all there are. Returns how many rows were sealed anew. `note` is the audit's.
    ///
    /// The key source must hold `new` before this is called: other processes read it when they meet the new key.
    ///
    /// # Errors
    /// As every change of the store. What was sealed anew stays so; call it again.
    pub async fn rekey(
        &self,
        new: Keyring,
        note: Note,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<u64, StoreError> {
        self.told(self.reseal_all(new, note, &progress).await)
    }

    /// The keyring's first key is not the one in force: it is from now on.
    pub(super) async fn take_over(&self, in_force: KeyId) -> Result<(), Fault> {
        if !self.vault.keyring().holds(in_force) {
            return Ok(());
        }
        let mut write = self.write().await?;
        self.enforce(&mut write).await?;
        let detail = serde_json::json!({"key": self.vault.keyring().sealing().to_hex()});
        let actor = keyherd_core::audit::Actor::new("keyherd");
        write.note(Note { action: "key.enforce", actor, subject: "master key".into(), detail }).await?;
        write.commit_silently().await
    }

    async fn reseal_all(
        &self,
        new: Keyring,
        note: Note,
        progress: &(impl Fn(u64, u64) + Send + Sync),
    ) -> Result<u64, Fault> {
        let before = self.vault.keyring();
        self.vault.replace(new);
        let mut write = self.write().await?;
        if let Err(fault) = self.enforce(&mut write).await {
            self.vault.replace(before);
            return Err(fault);
        }
        write.note(note).await?;
        write.commit_silently().await?;
        let total =
            self.count("SELECT (SELECT COUNT(*) FROM chains) + (SELECT COUNT(*) FROM clients)").await?;
        let (clients, looked) = self.reseal(&Table::CLIENTS, 0, total, progress).await?;
        let (chains, _) = self.reseal(&Table::CHAINS, looked, total, progress).await?;
        Ok(clients + chains)
    }

    /// Makes the keyring's first key the one in force, and seals the installation's keys under it.
    async fn enforce(&self, write: &mut Write<'_>) -> Result<(), Fault> {
        let row = Sealed::read(write.connection()).await?;
        let reseal = |column, sealed: &[u8]| {
            let slot = Slot::of(column, 1, 0);
            self.vault.seal(slot, &self.vault.open(slot, sealed)?)
        };
        let update = sqlx::query(RESEAL_INSTALLATION)
            .bind(self.vault.keyring().sealing().as_bytes().to_vec())
            .bind(reseal(HASH_KEY, &row.hash_key)?)
            .bind(reseal(AUDIT_KEY, &row.audit_key)?);
        write.run(update).await?;
        Ok(())
    }

    async fn reseal(
        &self,
        table: &Table,
        mut looked: u64,
        total: u64,
        progress: &(impl Fn(u64, u64) + Send + Sync),
    ) -> Result<(u64, u64), Fault> {
        let (mut after, mut sealed) = (i64::MIN, 0);
        loop {
            let mut write = self.write_sealed().await?;
            let rows = sqlx::query(table.select).bind(after).bind(self.bounds.rekey_batch);
            let rows = rows.fetch_all(write.connection()).await?;
            let Some(last) = rows.last() else {
                write.cancel().await?;
                return Ok((sealed, looked));
            };
            after = last.try_get("id")?;
            for row in &rows {
                if let Some(statement) = (table.reseal)(self, row)? {
                    sealed += u64::from(write.run(statement).await?);
                }
            }
            write.commit_silently().await?;
            looked += rows.len() as u64;
            progress(looked.min(total), total);
        }
    }

    /// The value under the key in force; `None`: it is already.
    fn resealed(&self, slot: Slot, sealed: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let Some(sealed) = sealed else { return Ok(None) };
        if Keyring::key_of(sealed) == Some(self.vault.keyring().sealing()) {
            return Ok(None);
        }
        self.vault.seal(slot, &self.vault.open(slot, sealed)?).map(Some)
    }
}

/// A table with sealed columns.
struct Table {
    select: &'static str,
    reseal: fn(&SqliteStore, &SqliteRow) -> Result<Option<Statement>, Fault>,
}

impl Table {
    const CHAINS: Self = Self { select: CHAINS, reseal: chain };
    const CLIENTS: Self = Self { select: CLIENTS, reseal: client };
}

fn chain(store: &SqliteStore, row: &SqliteRow) -> Result<Option<Statement>, Fault> {
    let (id, generation) = (row.try_get("id")?, unsigned(row, "generation")?);
    let mut is_changed = false;
    let mut column = |name, slot| -> Result<Option<Vec<u8>>, Fault> {
        let old = row.try_get::<Option<&[u8]>, _>(name)?;
        let new = store.resealed(slot, old)?;
        is_changed |= new.is_some();
        Ok(new.or_else(|| old.map(<[u8]>::to_vec)))
    };
    let access = column("access_token", Slot::of(ACCESS_TOKEN, id, generation))?;
    let refresh = column("refresh_token", Slot::of(REFRESH_TOKEN, id, generation))?;
    let secret = column("client_secret", Slot::of(CLIENT_SECRET, id, 0))?;
    Ok(is_changed.then(|| sqlx::query(RESEAL_CHAIN).bind(access).bind(refresh).bind(secret).bind(id)))
}

fn client(store: &SqliteStore, row: &SqliteRow) -> Result<Option<Statement>, Fault> {
    let (id, version) = (row.try_get("id")?, unsigned(row, "version")?);
    let secret = store.resealed(Slot::of(NAMED_SECRET, id, version), row.try_get("secret")?)?;
    Ok(secret.map(|secret| sqlx::query(RESEAL_CLIENT).bind(secret).bind(id)))
}
