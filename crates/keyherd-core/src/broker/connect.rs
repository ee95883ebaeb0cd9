//! The verb `connect`: credentials made, joined to a chain, and reconnected after a login.

use serde_json::json;

use super::AcquireError;
use super::Broker;
use super::spend::spend_hash;
use crate::audit::{Actor, Note};
use crate::credential::{Chain, Client, Draft, Kind, Loaded, Tokens, Trouble};
use crate::ids::{ChainId, CredentialId, Name};
use crate::ports::StoreError;
use crate::ports::store::{Conflict, Created, Event, NewCredential, Reconnected, Record};
use crate::refresh::due_at;
use crate::secret::Secret;
use crate::time::Timestamp;

/// What to do where the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectMode {
    /// Refuse.
    Create,
    /// Reconnect it with these tokens.
    Replace,
    /// Leave it as it is.
    IfAbsent,
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Connected {
    /// A new credential.
    Created(Box<Loaded>),
    /// A new credential on an existing chain, whose tokens are unchanged.
    Joined(Box<Loaded>),
    /// An existing one with new tokens.
    Replaced(Box<Loaded>),
    /// An existing one, untouched.
    Kept(Box<Loaded>),
}

impl Connected {
    /// The credential, whatever became of the draft.
    pub fn loaded(&self) -> &Loaded {
        match self {
            Self::Created(loaded) | Self::Joined(loaded) | Self::Replaced(loaded) | Self::Kept(loaded) => {
                loaded
            }
        }
    }
}

/// Why it was not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name is taken.
    #[error("credential '{0}' exists already")]
    NameTaken(Name),
    /// No credential of that name.
    #[error("no credential is named '{0}': see 'keyherd cred list'")]
    NotFound(Name),
    /// The store's rules forbid it.
    #[error("credential '{name}': {conflict}")]
    Conflict {
        /// Whose.
        name: Name,
        /// Why.
        conflict: Conflict,
    },
    /// The draft does not fit its provider.
    #[error("credential '{name}': {problem}")]
    Unfit {
        /// Whose.
        name: Name,
        /// What, and the way out.
        problem: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// New tokens for a credential that keeps all else.
#[derive(Debug, Clone, Default)]
pub struct NewTokens {
    /// The one secret of a static credential.
    pub secret: Option<Secret>,
    /// The access token.
    pub access_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// When the access token ends, where known.
    pub expires_at: Option<Timestamp>,
}

impl Broker {
    /// Makes a credential of a draft, or does with an existing one what `mode` says.
    pub async fn connect(
        &self,
        draft: Draft,
        mode: ConnectMode,
        actor: &Actor,
    ) -> Result<Connected, ConnectError> {
        let new = self.prepare(draft)?;
        let name = new.draft.name.clone();
        let detail = json!({"provider": new.draft.provider, "kind": new.draft.kind.as_str()});
        let record = told(actor, "credential.create", "credential_created", &name, new.chain, detail);
        match self.0.ports.store.create(new.clone(), record).await? {
            Created::Done { loaded, joined } => {
                self.changed(&name);
                Ok(if joined { Connected::Joined(loaded) } else { Connected::Created(loaded) })
            }
            Created::NameTaken(loaded) => match mode {
                ConnectMode::IfAbsent => Ok(Connected::Kept(loaded)),
                ConnectMode::Create => Err(ConnectError::NameTaken(name)),
                ConnectMode::Replace => Ok(Connected::Replaced(self.replace(new, &loaded, actor).await?)),
            },
            Created::Conflict(conflict) => Err(ConnectError::Conflict { name, conflict }),
        }
    }

    /// Reconnects a credential: new tokens, all else as it is. Wins over a refresh in flight.
    pub async fn reconnect(
        &self,
        name: &Name,
        tokens: NewTokens,
        actor: &Actor,
    ) -> Result<Loaded, ConnectError> {
        let Some(current) = self.0.ports.store.credential(name).await? else {
            return Err(ConnectError::NotFound(name.clone()));
        };
        self.reconnect_as(current, tokens, actor).await
    }

    /// The same for a credential as it was just seen.
    pub(super) async fn reconnect_as(
        &self,
        current: Loaded,
        tokens: NewTokens,
        actor: &Actor,
    ) -> Result<Loaded, ConnectError> {
        let new = self.prepare(draft_of(&current, tokens)?)?;
        self.replace(new, &current, actor).await.map(|loaded| *loaded)
    }

    async fn replace(
        &self,
        new: NewCredential,
        current: &Loaded,
        actor: &Actor,
    ) -> Result<Box<Loaded>, ConnectError> {
        let name = new.draft.name.clone();
        if new.draft.kind != current.chain.kind || new.draft.provider != current.chain.provider {
            let problem = format!(
                "it is of kind {} at provider '{}' and cannot become another: remove it first",
                current.chain.kind.as_str(),
                current.chain.provider
            );
            return Err(ConnectError::Unfit { name, problem });
        }
        let new = self.with_refresh_token_of(new, current);
        let detail = json!({"generation_before": current.chain.generation});
        let chain = current.chain.id;
        let record = told(actor, "credential.reconnect", "reconnected", &name, chain, detail);
        match self.0.ports.store.reconnect(new, record).await? {
            Reconnected::Done(loaded) => {
                self.changed(&name);
                self.0.snapshots.publish(&loaded.chain);
                Ok(loaded)
            }
            Reconnected::NotFound => Err(ConnectError::NotFound(name)),
            Reconnected::Conflict(conflict) => Err(ConnectError::Conflict { name, conflict }),
        }
    }

    /// New access tokens without a refresh token: the one that is there stays, and so does its generation, by which an answer that
    /// the store lacks still finds its row.
    fn with_refresh_token_of(&self, mut new: NewCredential, current: &Loaded) -> NewCredential {
        let old = &current.chain.tokens;
        if new.draft.kind == Kind::OAuth2 && new.draft.refresh_token.is_none() && old.refresh_token.is_some()
        {
            new.draft.refresh_token.clone_from(&old.refresh_token);
            new.tokens.refresh_token.clone_from(&old.refresh_token);
            new.tokens.refresh_expires_at = old.refresh_expires_at;
            new.spend_hash = current.chain.spend_hash;
            let mut row = current.chain.clone();
            row.tokens = new.tokens.clone();
            let rules = self.rules(&row.provider).ok();
            new.due_at = rules.and_then(|rules| due_at(&row, &rules, self.0.ports.entropy.share()));
        }
        new
    }

    /// Checks a draft against its provider and completes it.
    fn prepare(&self, mut draft: Draft) -> Result<NewCredential, ConnectError> {
        let name = draft.name.clone();
        let unfit = |problem: String| ConnectError::Unfit { name: name.clone(), problem };
        let profile =
            self.profile(&draft.provider).map_err(|error: AcquireError| unfit(error.to_string()))?;
        if profile.access_token_refreshes && draft.refresh_token.is_none() && draft.kind == Kind::OAuth2 {
            draft.refresh_token = draft.access_token.clone();
        }
        let is_refreshable = draft.refresh_token.is_some() || draft.kind == Kind::ClientCredentials;
        if is_refreshable || draft.token_url.is_some() {
            profile
                .resolve_token_url(draft.token_url.as_deref())
                .map_err(|error| unfit(error.to_string()))?;
        }
        let rules = self.rules(&draft.provider).map_err(|error| unfit(error.to_string()))?;
        let (id, chain) =
            (CredentialId::from_i64(self.0.ports.entropy.id()), ChainId::from_i64(self.0.ports.entropy.id()));
        let tokens = first_tokens(&draft, profile.default_expires_in, self.now());
        let spend_hash = spend_hash(&self.0.ports.hasher, draft.kind, chain, 0, &tokens);
        let mut row = new_row(chain, &draft, tokens.clone());
        row.spend_hash = spend_hash;
        let due_at = due_at(&row, &rules, self.0.ports.entropy.share());
        Ok(NewCredential { id, chain, draft, tokens, spend_hash, due_at })
    }

    /// A credential's own fields changed here: forget them here, and tell the others to look.
    pub(super) fn changed(&self, name: &Name) {
        self.0.snapshots.forget(name.as_str());
        self.0.ports.coordinator.announce();
    }
}

fn first_tokens(draft: &Draft, default_expires_in: std::time::Duration, now: Timestamp) -> Tokens {
    let is_assumed = draft.kind == Kind::OAuth2 && draft.access_token.is_some() && draft.expires_at.is_none();
    Tokens {
        access_token: draft.access_token.clone(),
        token_type: "Bearer".into(),
        expires_at: if is_assumed { Some(now + default_expires_in) } else { draft.expires_at },
        expires_assumed: is_assumed,
        issued_at: now,
        refresh_token: draft.refresh_token.clone(),
        refresh_expires_at: None,
        scopes: draft.scopes.clone(),
    }
}

/// The row as the store will make it, for decisions that look at a row.
fn new_row(id: ChainId, draft: &Draft, tokens: Tokens) -> Chain {
    Chain {
        id,
        revision: 0,
        generation: 0,
        name: draft.chain.clone(),
        provider: draft.provider.clone(),
        kind: draft.kind,
        client: Client::default(),
        token_url: draft.token_url.clone(),
        resource: draft.resource.clone(),
        scopes: draft.scopes.clone(),
        tokens,
        spend_hash: None,
        refreshed_at: None,
        minted_by_rejection: false,
        trouble: Trouble::None,
        claim: None,
        block: None,
        due_at: None,
    }
}

/// The draft that a reconnect stands for: the credential as it is, with these tokens.
fn draft_of(current: &Loaded, tokens: NewTokens) -> Result<Draft, ConnectError> {
    let name = current.credential.name.clone();
    let unfit = |problem: &str| ConnectError::Unfit { name: name.clone(), problem: problem.into() };
    match current.chain.kind {
        Kind::ClientCredentials => {
            return Err(unfit("client_credentials has no tokens to reconnect: set its client"));
        }
        Kind::Static if tokens.secret.is_none() => {
            return Err(unfit("a static credential is one secret: give 'secret'"));
        }
        Kind::OAuth2 if tokens.secret.is_some() => {
            return Err(unfit(
                "'secret' is for static credentials: give 'refresh_token', 'access_token', or both",
            ));
        }
        Kind::OAuth2 if tokens.access_token.is_none() && tokens.refresh_token.is_none() => {
            return Err(unfit("'refresh_token' is missing: give new tokens"));
        }
        _ => {}
    }
    Ok(Draft {
        name: name.clone(),
        provider: current.chain.provider.clone(),
        kind: current.chain.kind,
        access_token: tokens.access_token.or(tokens.secret),
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
        client: crate::credential::ClientChoice::None,
        token_url: current.chain.token_url.clone(),
        scopes: current.chain.scopes.clone(),
        resource: current.chain.resource.clone(),
        chain: current.chain.name.clone(),
        attributes: current.credential.attributes.clone(),
    })
}

pub(super) fn told(
    actor: &Actor,
    action: &'static str,
    kind: &'static str,
    name: &Name,
    chain: ChainId,
    detail: serde_json::Value,
) -> Record {
    let subject = name.to_string();
    Record {
        note: Note { action, actor: actor.clone(), subject: subject.clone(), detail: detail.clone() },
        event: Some(Event { kind, chain: Some(chain), subject, detail }),
    }
}
