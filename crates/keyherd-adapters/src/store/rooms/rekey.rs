//! Another master key, while everybody works on.
//!
//! Owns the order: first the installation says which key is in force, from then on the fences let nothing in that is
//! sealed under another; then every row is sealed anew, in bounded transactions. A process that meets a key it does not
//! know reads its key source again. Interrupted, it is simply run again: what is done is passed over.

use keyherd_core::audit::Note;
use keyherd_core::ports::StoreError;

use super::SqlStore;
use super::installation::Sealed;
use super::row::unsigned;
use super::vault::{
    ACCESS_TOKEN, AGENT_DOC, AUDIT_KEY, BINDING_DOC, CHANNEL_DOC, CLIENT_SECRET, HASH_KEY, NAMED_SECRET,
    PROFILE_TEXT, REFRESH_TOKEN, Slot,
};
use super::write::Write;
use crate::seal::{KeyId, Keyring};
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

impl SqlStore {
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
    pub(in crate::store) async fn take_over(&self, in_force: KeyId) -> Result<(), Fault> {
        if !self.vault.keyring().holds(in_force) {
            return Ok(());
        }
        let detail = serde_json::json!({"key": self.vault.keyring().sealing().to_hex()});
        let actor = keyherd_core::audit::Actor::new("keyherd");
        let note = Note { action: "key.enforce", actor, subject: "master key".into(), detail };
        self.insist(|| self.bring_into_force(note.clone())).await
    }

    async fn bring_into_force(&self, note: Note) -> Result<(), Fault> {
        let mut write = self.begin(Kind::Rotating).await?;
        self.enforce(&mut write).await?;
        write.note(note).await?;
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
        if let Err(fault) = self.insist(|| self.bring_into_force(note.clone())).await {
            self.vault.replace(before);
            return Err(fault);
        }
        let total = self.count(query(sql::SEALED_ROWS)).await?;
        let (mut sealed, mut looked) = (0, 0);
        let small = [Table::CLIENTS, Table::PROFILES, Table::AGENTS, Table::BINDINGS, Table::CHANNELS];
        for table in small.into_iter().chain([Table::CHAINS]) {
            let (more, seen) = self.reseal(&table, looked, total, progress).await?;
            (sealed, looked) = (sealed + more, seen);
        }
        Ok(sealed)
    }

    /// Makes the keyring's first key the one in force, and seals the installation's keys under it.
    async fn enforce(&self, write: &mut Write<'_>) -> Result<(), Fault> {
        let row = Sealed::of_row(&write.one(query(sql::INSTALLATION)).await?)?;
        let reseal = |column, sealed: &[u8]| {
            let slot = Slot::of(column, 1, 0);
            self.vault.seal(slot, &self.vault.open(slot, sealed)?)
        };
        let update = query(sql::RESEAL_INSTALLATION)
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
        while let Some(batch) = self.insist(|| self.reseal_batch(table, after)).await? {
            after = batch.last;
            sealed += batch.sealed;
            looked += batch.rows;
            progress(looked.min(total), total);
        }
        Ok((sealed, looked))
    }

    /// `None`: nothing comes after that row.
    async fn reseal_batch(&self, table: &Table, after: i64) -> Result<Option<Batch>, Fault> {
        let mut write = self.begin_sealed(Kind::Rotating).await?;
        let rows = write.fetch(query(table.select).bind(after).bind(self.bounds.rekey_batch)).await?;
        let Some(last) = rows.last() else {
            write.cancel().await?;
            return Ok(None);
        };
        let mut batch = Batch { last: last.try_get("id")?, rows: rows.len() as u64, sealed: 0 };
        for row in &rows {
            if let Some(statement) = (table.reseal)(self, row)? {
                batch.sealed += u64::from(write.run(statement).await?);
            }
        }
        write.commit_silently().await?;
        Ok(Some(batch))
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

/// Rows that one transaction looked at.
struct Batch {
    last: i64,
    rows: u64,
    sealed: u64,
}

/// A table with sealed columns.
struct Table {
    select: &'static str,
    reseal: fn(&SqlStore, &Row) -> Result<Option<Statement>, Fault>,
}

impl Table {
    const CHAINS: Self = Self { select: sql::SEALED_CHAINS, reseal: chain };
    const CLIENTS: Self = Self { select: sql::SEALED_CLIENTS, reseal: client };
    const PROFILES: Self = Self { select: sql::SEALED_PROFILES, reseal: profile };
    const AGENTS: Self = Self { select: sql::SEALED_AGENTS, reseal: agent };
    const BINDINGS: Self = Self { select: sql::SEALED_BINDINGS, reseal: binding };
    const CHANNELS: Self = Self { select: sql::SEALED_CHANNELS, reseal: channel };
}

fn chain(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    let (id, generation) = (row.try_get("id")?, unsigned(row, "generation")?);
    let mut is_changed = false;
    let mut column = |name, slot| -> Result<Option<Vec<u8>>, Fault> {
        let old = row.try_get::<Option<&[u8]>>(name)?;
        let new = store.resealed(slot, old)?;
        is_changed |= new.is_some();
        Ok(new.or_else(|| old.map(<[u8]>::to_vec)))
    };
    let access = column("access_token", Slot::of(ACCESS_TOKEN, id, generation))?;
    let refresh = column("refresh_token", Slot::of(REFRESH_TOKEN, id, generation))?;
    let secret = column("client_secret", Slot::of(CLIENT_SECRET, id, 0))?;
    Ok(is_changed.then(|| query(sql::RESEAL_CHAIN).bind(access).bind(refresh).bind(secret).bind(id)))
}

fn client(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    let (id, version) = (row.try_get("id")?, unsigned(row, "version")?);
    let secret = store.resealed(Slot::of(NAMED_SECRET, id, version), row.try_get("secret")?)?;
    Ok(secret.map(|secret| query(sql::RESEAL_CLIENT).bind(secret).bind(id)))
}

fn profile(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    let (id, version) = (row.try_get("id")?, unsigned(row, "version")?);
    let text = store.resealed(Slot::of(PROFILE_TEXT, id, version), row.try_get("text")?)?;
    Ok(text.map(|text| query(sql::RESEAL_PROFILE).bind(text).bind(id)))
}

fn agent(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    document(store, row, AGENT_DOC, sql::RESEAL_AGENT)
}

fn binding(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    document(store, row, BINDING_DOC, sql::RESEAL_BINDING)
}

fn channel(store: &SqlStore, row: &Row) -> Result<Option<Statement>, Fault> {
    document(store, row, CHANNEL_DOC, sql::RESEAL_CHANNEL)
}

fn document(
    store: &SqlStore,
    row: &Row,
    column: &'static str,
    reseal: &'static str,
) -> Result<Option<Statement>, Fault> {
    let id = row.try_get("id")?;
    let doc = store.resealed(Slot::of(column, id, 0), row.try_get("doc")?)?;
    Ok(doc.map(|doc| query(reseal).bind(doc).bind(id)))
}
