//! Client apps that credentials share by name.

use async_trait::async_trait;
use keyherd_core::credential::Client;
use keyherd_core::ids::Name;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ClientRemoved, ClientStore, NamedClient, Record};

use super::SqlStore;
use super::row::{block, name, unsigned};
use super::vault::{NAMED_SECRET, Slot};
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, query};

#[async_trait]
impl ClientStore for SqlStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.told(self.read_clients().await)
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.write_client(&client, record.clone())).await)
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.told(self.insist(|| self.delete_client(provider, name, record.clone())).await)
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.told(self.read_client(provider, name).await)
    }
}

impl SqlStore {
    async fn read_clients(&self) -> Result<Vec<NamedClient>, Fault> {
        let rows = self.engine.read(query(sql::CLIENTS)).await?;
        rows.iter().map(|row| self.named_client(row)).collect()
    }

    async fn read_client(&self, provider: &str, name: &Name) -> Result<Option<Client>, Fault> {
        let query = query(sql::CLIENT).bind(provider).bind(name.as_str());
        let row = self.read_first(query).await?;
        let named = row.map(|row| self.named_client(&row)).transpose()?;
        Ok(named.map(|named| Client { name: Some(named.name), id: Some(named.id), secret: named.secret }))
    }

    fn named_client(&self, row: &Row) -> Result<NamedClient, Fault> {
        let slot = Slot::of(NAMED_SECRET, row.try_get("id")?, unsigned(row, "version")?);
        Ok(NamedClient {
            name: name(row, "name")?,
            provider: row.try_get("provider")?,
            id: row.try_get("client_id")?,
            secret: self.vault.open_secret(slot, row.try_get("secret")?)?,
            block: block(row)?,
        })
    }

    /// One row changes, and with it the client of every chain that names it. Those that the old one's block held are due.
    async fn write_client(&self, client: &NamedClient, record: Record) -> Result<bool, Fault> {
        let mut write = self.administer().await?;
        let found = query(sql::CLIENT).bind(&client.provider).bind(client.name.as_str());
        let found = write.first(found).await?;
        let (id, version) = match &found {
            Some(row) => (row.try_get("id")?, unsigned(row, "version")? + 1),
            None => (self.entropy.id(), 1),
        };
        let secret = self.vault.seal_secret(Slot::of(NAMED_SECRET, id, version), client.secret.as_ref())?;
        let hash = self.client_hash(&client.provider, Some(&client.id), client.secret.as_ref());
        let woken = query(sql::WAKE_BLOCKED)
            .bind(self.clock.now().as_millis())
            .bind(client.provider.as_str())
            .bind(client.name.as_str());
        write.run(woken).await?;
        let put = query(sql::PUT_CLIENT)
            .bind(id)
            .bind(&client.provider)
            .bind(client.name.to_string())
            .bind(&client.id)
            .bind(secret)
            .bind(hash.clone())
            .bind(i64::try_from(version).unwrap_or(i64::MAX));
        write.run(put).await?;
        write.run(query(sql::UNBLOCK_CLIENT).bind(hash)).await?;
        write.commit(record).await?;
        Ok(found.is_none())
    }

    async fn delete_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, Fault> {
        let mut write = self.administer().await?;
        if let Some(user) = user(&mut write, provider, name).await? {
            write.cancel().await?;
            return Ok(ClientRemoved::InUse(user));
        }
        if !write.run(query(sql::REMOVE_CLIENT).bind(name.as_str()).bind(provider)).await? {
            write.cancel().await?;
            return Ok(ClientRemoved::NotFound);
        }
        write.commit(record).await?;
        Ok(ClientRemoved::Done)
    }
}

async fn user(write: &mut Write<'_>, provider: &str, client: &Name) -> Result<Option<Name>, Fault> {
    let row = write.first(query(sql::CLIENT_USER).bind(client.as_str()).bind(provider)).await?;
    row.map(|row| name(&row, "name")).transpose()
}
