//! Agents and bindings, and what they keep from being removed.
//!
//! A row says nothing in the clear but what is searched for. The rest is sealed with its row, like a profile's text:
//! whoever can write to the database must not be able to send a secret elsewhere, nor to allow an agent more.

use std::sync::Arc;

use async_trait::async_trait;
use keyherd_core::agent::{Agent, AgentConflict};
use keyherd_core::audit::Actor;
use keyherd_core::binding::{Binding, BindingConflict, BindingDraft, Injection, User};
use keyherd_core::ids::{AgentId, ApprovalId, BindingId, Name};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AccessStore, AgentCreated, BindingAdded, Record, withdrawal};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SqlStore;
use super::row::name;
use super::vault::{AGENT_DOC, BINDING_DOC, Slot};
use super::write::Write;
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, query};

/// Room for a document with secrets: those have their bounds.
const DOC_LEN: usize = 16 * 1024;

/// An agent as it is sealed.
#[derive(Serialize, Deserialize)]
struct AgentDoc {
    name: String,
    key_hash: [u8; 32],
    allowed: Vec<String>,
    may_fetch_tokens: bool,
    created_at: i64,
}

/// A binding as it is sealed.
#[derive(Serialize, Deserialize)]
struct BindingDoc {
    name: String,
    host: String,
    port: Option<u16>,
    header: Option<String>,
    query: Option<String>,
    template: String,
    upstream: Option<String>,
    created_at: i64,
}

#[async_trait]
impl AccessStore for SqlStore {
    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        let rows = self.told(self.engine.read(query(sql::AGENTS)).await)?;
        self.told(rows.iter().map(|row| self.agent(row)).collect())
    }

    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError> {
        self.told(self.insist(|| self.make_agent(&agent, agents_max, record.clone())).await)
    }

    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.drop_agent(id, record.clone())).await)
    }

    async fn bindings(&self) -> Result<Vec<Binding>, StoreError> {
        let rows = self.told(self.engine.read(query(sql::BINDINGS)).await)?;
        let bindings: Result<Vec<_>, Fault> = rows.iter().map(|row| self.binding(row)).collect();
        let mut bindings = self.told(bindings)?;
        bindings.sort_by_key(|binding| (binding.created_at, binding.id));
        Ok(bindings)
    }

    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError> {
        self.told(self.insist(|| self.insert_binding(&binding, bindings_max, record.clone())).await)
    }

    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError> {
        self.told(self.change(query(sql::REMOVE_BINDING).bind(id.as_i64()), record).await)
    }
}

impl SqlStore {
    async fn make_agent(
        &self,
        agent: &Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, Fault> {
        let mut write = self.administer().await?;
        if let Some(conflict) = write.obstacle_to_agent(agent, agents_max).await? {
            write.cancel().await?;
            return Ok(AgentCreated::Conflict(conflict));
        }
        let id = agent.id.as_i64();
        let insert = query(sql::INSERT_AGENT)
            .bind(id)
            .bind(agent.name.as_str())
            .bind(self.seal_doc(Slot::of(AGENT_DOC, id, 0), &AgentDoc::of(agent))?);
        write.execute(insert).await?;
        for allowed in &agent.allowed {
            write.lastly(query(sql::INSERT_ALLOWED).bind(allowed.as_str()).bind(id));
        }
        write.commit(record).await?;
        Ok(AgentCreated::Done)
    }

    async fn drop_agent(&self, id: AgentId, record: Record) -> Result<bool, Fault> {
        // Nobody opens or answers meanwhile.
        let mut write = self.begin(Kind::Administrative).await?;
        write.execute(query(sql::FORGET_ANSWERS).bind(id.as_i64())).await?;
        self.withdraw_questions(&mut write, id, &record.note.actor).await?;
        if !write.run(query(sql::REMOVE_AGENT).bind(id.as_i64())).await? {
            write.cancel().await?;
            return Ok(false);
        }
        write.lastly(query(sql::REMOVE_ALLOWED).bind(id.as_i64()));
        write.commit(record).await?;
        Ok(true)
    }

    async fn withdraw_questions(&self, write: &mut Write<'_>, id: AgentId, by: &Actor) -> Result<(), Fault> {
        let now = self.clock.now().as_millis();
        for row in write.fetch(query(sql::QUESTIONS_OF).bind(id.as_i64()).bind(now)).await? {
            let approval = ApprovalId::from_i64(row.try_get("id")?);
            write.lastly(query(sql::NOTICES_ENDED).bind(approval.as_i64()).bind(now));
            write.record(withdrawal(approval, row.try_get("agent")?, by)).await?;
        }
        let withdraw = query(sql::WITHDRAW_QUESTIONS).bind(id.as_i64()).bind(now).bind(Arc::clone(&by.0));
        write.execute(withdraw).await?;
        Ok(())
    }

    async fn insert_binding(
        &self,
        binding: &Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, Fault> {
        let mut write = self.administer().await?;
        if let Some(conflict) = self.obstacle_to_binding(&mut write, binding, bindings_max).await? {
            write.cancel().await?;
            return Ok(BindingAdded::Conflict(conflict));
        }
        let id = binding.id.as_i64();
        let insert = query(sql::INSERT_BINDING)
            .bind(id)
            .bind(binding.name.as_str())
            .bind(self.seal_doc(Slot::of(BINDING_DOC, id, 0), &BindingDoc::of(binding))?);
        write.execute(insert).await?;
        write.commit(record).await?;
        Ok(BindingAdded::Done)
    }

    async fn obstacle_to_binding(
        &self,
        write: &mut Write<'_>,
        binding: &Binding,
        bindings_max: usize,
    ) -> Result<Option<BindingConflict>, Fault> {
        if !write.is_known(&binding.name).await? {
            return Ok(Some(BindingConflict::UnknownName(binding.name.clone())));
        }
        let rows = write.fetch(query(sql::BINDINGS_OF).bind(binding.name.as_str())).await?;
        let of_name = rows.iter().map(|row| self.binding(row)).collect::<Result<Vec<_>, _>>()?;
        if let Some(conflict) = binding.conflict(&of_name) {
            return Ok(Some(conflict));
        }
        let there_are = write.count(sql::COUNT_BINDINGS).await?;
        Ok((there_are >= bindings_max).then_some(BindingConflict::TooMany(there_are)))
    }

    fn agent(&self, row: &Row) -> Result<Agent, Fault> {
        let (id, label) = (row.try_get("id")?, name(row, "name")?);
        let doc: AgentDoc = self.open_doc(Slot::of(AGENT_DOC, id, 0), row, |doc: &AgentDoc| &doc.name)?;
        Ok(Agent {
            id: AgentId::from_i64(id),
            actor: Agent::actor_of(&label),
            name: label,
            key_hash: TokenHash::from_bytes(doc.key_hash),
            allowed: names(&doc.allowed, id)?,
            may_fetch_tokens: doc.may_fetch_tokens,
            created_at: Timestamp::from_millis(doc.created_at),
        })
    }

    fn binding(&self, row: &Row) -> Result<Binding, Fault> {
        let (id, label) = (row.try_get("id")?, name(row, "name")?);
        let slot = Slot::of(BINDING_DOC, id, 0);
        let doc: BindingDoc = self.open_doc(slot, row, |doc: &BindingDoc| &doc.name)?;
        let created_at = Timestamp::from_millis(doc.created_at);
        let draft = BindingDraft {
            name: label,
            host: doc.host,
            port: doc.port,
            header: doc.header,
            query: doc.query,
            template: Some(doc.template),
            upstream: doc.upstream,
        };
        draft
            .check(BindingId::from_i64(id), created_at)
            .map_err(|error| Fault::Damaged(format!("{BINDING_DOC} of row {id}: {error}")))
    }

    pub(super) fn seal_doc(&self, slot: Slot, doc: &impl Serialize) -> Result<Vec<u8>, Fault> {
        // Some of them hold secrets: no copy is left behind where it grows, nor when it is dropped.
        let mut text = Zeroizing::new(Vec::with_capacity(DOC_LEN));
        serde_json::to_writer(&mut *text, doc)
            .map_err(|error| Fault::Damaged(format!("{} cannot be written: {error}", slot.column)))?;
        self.vault.seal(slot, &text)
    }

    /// What is sealed in the row, which names itself as the row does.
    pub(super) fn open_doc<D: DeserializeOwned>(
        &self,
        slot: Slot,
        row: &Row,
        name: impl Fn(&D) -> &str,
    ) -> Result<D, Fault> {
        let plain = self.vault.open(slot, row.try_get("doc")?)?;
        let doc: Option<D> = serde_json::from_slice(&plain).ok();
        match doc.filter(|doc| row.try_get::<&str>("name").is_ok_and(|label| label == name(doc))) {
            Some(doc) => Ok(doc),
            None => Err(Fault::Damaged(format!("{} of row {} is not its own", slot.column, slot.row))),
        }
    }
}

impl Write<'_> {
    async fn obstacle_to_agent(
        &mut self,
        agent: &Agent,
        agents_max: usize,
    ) -> Result<Option<AgentConflict>, Fault> {
        if self.first(query(sql::AGENT_OF_NAME).bind(agent.name.as_str())).await?.is_some() {
            return Ok(Some(AgentConflict::NameTaken));
        }
        let there_are = self.count(sql::COUNT_AGENTS).await?;
        if there_are >= agents_max {
            return Ok(Some(AgentConflict::TooMany(there_are)));
        }
        for allowed in &agent.allowed {
            if !self.is_known(allowed).await? {
                return Ok(Some(AgentConflict::UnknownName(allowed.clone())));
            }
        }
        Ok(None)
    }

    /// Whether a credential or a pool has that name.
    async fn is_known(&mut self, name: &Name) -> Result<bool, Fault> {
        let row = self.one(query(sql::POOL_NAME).bind(name.as_str())).await?;
        let columns = [row.try_get::<Option<i64>>("credential")?, row.try_get::<Option<i64>>("pool")?];
        Ok(columns.iter().any(Option::is_some))
    }

    async fn count(&mut self, statement: &'static str) -> Result<usize, Fault> {
        let number: i64 = self.one(query(statement)).await?.try_get("number")?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Who would miss the credential or pool of that name.
    pub(super) async fn user_of(&mut self, name: &Name) -> Result<Option<User>, Fault> {
        let row = self.one(query(sql::USER_OF_NAME).bind(name.as_str())).await?;
        user(&row)
    }
}

/// Of a row with the columns of [`sql::USER_OF_NAME`].
pub(super) fn user(row: &Row) -> Result<Option<User>, Fault> {
    if row.try_get::<Option<&str>>("user_agent")?.is_some() {
        return Ok(Some(User::Agent(name(row, "user_agent")?)));
    }
    let binding: Option<i64> = row.try_get("user_binding")?;
    Ok(binding.map(|id| User::Binding(BindingId::from_i64(id))))
}

fn names(texts: &[String], row: i64) -> Result<Vec<Name>, Fault> {
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| Name::parse(text)).collect();
    parsed.map_err(|_| Fault::Damaged(format!("{AGENT_DOC} of row {row} allows what is no name")))
}

impl AgentDoc {
    fn of(agent: &Agent) -> Self {
        Self {
            name: agent.name.to_string(),
            key_hash: *agent.key_hash.as_bytes(),
            allowed: agent.allowed.iter().map(Name::to_string).collect(),
            may_fetch_tokens: agent.may_fetch_tokens,
            created_at: agent.created_at.as_millis(),
        }
    }
}

impl BindingDoc {
    fn of(binding: &Binding) -> Self {
        let (header, query) = match &binding.injection {
            Injection::Header { name, .. } => (Some(name.clone()), None),
            Injection::Query { parameter, .. } => (None, Some(parameter.clone())),
        };
        Self {
            name: binding.name.to_string(),
            host: binding.host.to_string(),
            port: binding.port,
            header,
            query,
            template: binding.injection.template().as_str().to_owned(),
            upstream: binding.upstream.as_ref().map(ToString::to_string),
            created_at: binding.created_at.as_millis(),
        }
    }
}
