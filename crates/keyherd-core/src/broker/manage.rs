//! Looking after credentials and client apps: list, show, switch, amend, remove.

use std::time::Duration;

use serde_json::json;

use super::Broker;
use super::connect::told;
use super::{AcquireError, Acquired};
use crate::agent::AgentConflict;
use crate::audit::{Actor, Note};
use crate::binding::{BadBinding, BindingConflict, User};
use crate::credential::{Amendment, Chain, Loaded};
use crate::ids::{BindingId, Name};
use crate::pool::PoolConflict;
use crate::ports::StoreError;
use crate::ports::store::{Amended, Change, ClientRemoved, Conflict, Event, NamedClient, Record, Removed};
use crate::refresh::{Ask, due_at};

/// The most items on one page of a list.
pub const PAGE_MAX: usize = 1_000;

/// How often a removal waits anew because another claim was taken between its look and its write.
const REMOVE_TRIES: u32 = 3;

/// Part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// Nothing of that name.
    #[error("no {what} is named '{name}': see 'keyherd {list}'")]
    NotFound {
        /// `credential`, `pool`, `agent` or `client`.
        what: &'static str,
        /// Its name.
        name: Name,
        /// The command that lists what there is.
        list: &'static str,
    },
    /// Something still uses it.
    #[error("{what} '{name}' is in use by credential '{by}': change that one first")]
    InUse {
        /// `client`.
        what: &'static str,
        /// Its name.
        name: Name,
        /// Who uses it.
        by: Name,
    },
    /// It is a member of a pool.
    #[error(
        "credential '{name}' is a member of pool '{pool}': drop it there first, with 'keyherd pool drop {pool} {name}'"
    )]
    Pooled {
        /// Which credential.
        name: Name,
        /// Which pool.
        pool: Name,
    },
    /// An agent is allowed it, or a binding is of it.
    #[error("{what} '{name}' is in use: {user}")]
    Used {
        /// `credential` or `pool`.
        what: &'static str,
        /// Its name.
        name: Name,
        /// Who would miss it.
        user: User,
    },
    /// An agent cannot be made like that.
    #[error("agent '{name}': {conflict}")]
    Agent {
        /// Which agent.
        name: Name,
        /// Why.
        conflict: AgentConflict,
    },
    /// A binding cannot be added like that.
    #[error("binding of '{name}': {conflict}")]
    Binding {
        /// The credential or pool that it is of.
        name: Name,
        /// Why.
        conflict: BindingConflict,
    },
    /// What was handed in is no binding.
    #[error(transparent)]
    BadBinding(#[from] BadBinding),
    /// No binding has that id.
    #[error("no binding is {0}: see 'keyherd binding list'")]
    NoBinding(BindingId),
    /// A pool cannot be made or changed like that.
    #[error("pool '{name}': {conflict}")]
    Pool {
        /// Which pool.
        name: Name,
        /// Why.
        conflict: PoolConflict,
    },
    /// Its token is being spent, and that takes long.
    #[error(
        "credential '{0}' is being refreshed: its new token would be lost; try again when that has ended, which takes a few minutes at most"
    )]
    Refreshing(Name),
    /// The store's rules forbid it.
    #[error("credential '{name}': {conflict}")]
    Conflict {
        /// Whose.
        name: Name,
        /// Why.
        conflict: Conflict,
    },
    /// It does not fit.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// One credential as the store has it.
    pub async fn show(&self, name: &Name) -> Result<Loaded, ManageError> {
        self.0.ports.store.credential(name).await?.ok_or_else(|| no_credential(name))
    }

    /// Credentials in order of names, after the cursor.
    pub async fn list(&self, after: Option<&Name>, limit: usize) -> Result<Page<Loaded>, ManageError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut items = self.0.ports.store.credentials(after, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.credential.name.to_string());
        Ok(Page { items, next })
    }

    /// Changes what an amendment names; tokens stay as they are.
    pub async fn amend(
        &self,
        name: &Name,
        amendment: Amendment,
        actor: &Actor,
    ) -> Result<Loaded, ManageError> {
        let current = self.show(name).await?;
        self.check(&current, &amendment)?;
        let is_woken =
            amendment.disabled == Some(false) || amendment.client.is_some() || amendment.token_url.is_some();
        let change = Change {
            due_at: if is_woken { self.due_again(&current) } else { None },
            disabled: amendment.disabled,
            attributes: amendment.attributes,
            client: amendment.client,
            token_url: amendment.token_url,
            scopes: amendment.scopes,
        };
        let action = match change.disabled {
            Some(true) => "credential.disable",
            Some(false) => "credential.enable",
            None => "credential.amend",
        };
        let record = told(actor, action, "credential_changed", name, current.chain.id, json!({}));
        match self.0.ports.store.amend(name, change, record).await? {
            Amended::Done(loaded) => {
                self.changed(name);
                self.0.snapshots.publish(&loaded.chain);
                Ok(*loaded)
            }
            Amended::NotFound => Err(no_credential(name)),
            Amended::Conflict(conflict) => Err(ManageError::Conflict { name: name.clone(), conflict }),
        }
    }

    fn check(&self, current: &Loaded, amendment: &Amendment) -> Result<(), ManageError> {
        if let Some(url) = &amendment.token_url {
            let profile = self
                .profile(&current.chain.provider)
                .map_err(|error| ManageError::Unfit(error.to_string()))?;
            profile.resolve_token_url(Some(url)).map_err(|error| ManageError::Unfit(error.to_string()))?;
        }
        amendment.check().map_err(ManageError::Unfit)
    }

    fn due_again(&self, current: &Loaded) -> Option<crate::time::Timestamp> {
        let rules = self.rules(&current.chain.provider).ok()?;
        due_at(&current.chain, &rules, self.0.ports.entropy.share())
    }

    /// A new token now, although the current one may be valid; coalesced.
    pub async fn refresh(&self, name: &str, wait: Duration, actor: &Actor) -> Result<Acquired, AcquireError> {
        self.acquire(name, &Ask { forced: true, ..Ask::foreground(wait) }, actor).await
    }

    /// Removes a credential; its chain goes with its last member. A refresh that is under way is waited for: with the
    /// chain gone nobody would know that its token is being spent, and the same document could be imported once more.
    pub async fn remove(&self, name: &Name, actor: &Actor) -> Result<(), ManageError> {
        for _ in 0..REMOVE_TRIES {
            let Loaded { credential, chain } = self.at_rest(name).await?;
            let record = told(actor, "credential.remove", "credential_removed", name, chain.id, json!({}));
            let seen = chain.claim.map(|claim| claim.id);
            let removed = self.0.ports.store.remove(credential.id, seen, record).await?;
            self.changed(name);
            match removed {
                Removed::Done => return Ok(()),
                Removed::NotFound => return Err(no_credential(name)),
                Removed::Claimed => {}
                Removed::Used(user) => {
                    return Err(ManageError::Used { what: "credential", name: name.clone(), user });
                }
                Removed::Pooled(pool) => return Err(ManageError::Pooled { name: name.clone(), pool }),
            }
        }
        Err(ManageError::Refreshing(name.clone()))
    }

    /// The credential when no living process is spending its token.
    async fn at_rest(&self, name: &Name) -> Result<Loaded, ManageError> {
        let current = self.show(name).await?;
        if !current.chain.is_claimed() {
            return Ok(current);
        }
        let ended = self.follow(name, current.chain.id, None, Chain::is_claimed);
        match tokio::time::timeout(self.0.options.remove_wait, ended).await {
            Ok(found) => found?.ok_or_else(|| no_credential(name)),
            Err(_elapsed) => Err(ManageError::Refreshing(name.clone())),
        }
    }

    /// The client apps.
    pub async fn clients(&self) -> Result<Vec<NamedClient>, ManageError> {
        Ok(self.0.ports.store.clients().await?)
    }

    /// Makes or replaces a client app; a new configuration lifts its block. `true`: it is new.
    pub async fn put_client(&self, client: NamedClient, actor: &Actor) -> Result<bool, ManageError> {
        self.profile(&client.provider).map_err(|error| ManageError::Unfit(error.to_string()))?;
        let detail = json!({"provider": client.provider, "client_id": client.id});
        let record = client_record(actor, "client.set", &client.name, detail);
        let is_new = self.0.ports.store.put_client(client, record).await?;
        self.clients_changed();
        Ok(is_new)
    }

    /// Removes a client app that no credential of its provider uses. Without a provider: the only one of that name.
    pub async fn remove_client(
        &self,
        provider: Option<&str>,
        name: &Name,
        actor: &Actor,
    ) -> Result<(), ManageError> {
        let provider = match provider {
            Some(provider) => provider.to_owned(),
            None => self.only_provider(name).await?,
        };
        let record = client_record(actor, "client.remove", name, json!({"provider": provider}));
        match self.0.ports.store.remove_client(&provider, name, record).await? {
            ClientRemoved::Done => {
                self.clients_changed();
                Ok(())
            }
            ClientRemoved::NotFound => Err(no_client(name)),
            ClientRemoved::InUse(by) => Err(ManageError::InUse { what: "client", name: name.clone(), by }),
        }
    }

    /// The provider of the client app of that name, which must not leave a choice.
    async fn only_provider(&self, name: &Name) -> Result<String, ManageError> {
        let clients = self.0.ports.store.clients().await?;
        let mut named = clients.into_iter().filter(|client| client.name == *name);
        match (named.next(), named.next()) {
            (None, _) => Err(no_client(name)),
            (Some(client), None) => Ok(client.provider),
            (Some(one), Some(other)) => Err(ManageError::Unfit(format!(
                "client '{name}' exists for '{}' and for '{}': say which",
                one.provider, other.provider
            ))),
        }
    }

    fn clients_changed(&self) {
        self.0.snapshots.mark_all_stale();
        self.0.ports.coordinator.announce();
    }
}

fn client_record(actor: &Actor, action: &'static str, name: &Name, detail: serde_json::Value) -> Record {
    let subject = name.to_string();
    Record {
        note: Note { action, actor: actor.clone(), subject: subject.clone(), detail: detail.clone() },
        event: Some(Event { kind: "client_changed", chain: None, subject, detail }),
    }
}

fn no_client(name: &Name) -> ManageError {
    no("client", name, "client list")
}

pub(super) fn no_credential(name: &Name) -> ManageError {
    no("credential", name, "cred list")
}

pub(super) fn no(what: &'static str, name: &Name, list: &'static str) -> ManageError {
    ManageError::NotFound { what, name: name.clone(), list }
}
