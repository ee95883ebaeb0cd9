//! Agents: asked for, shown, and the one answer that holds a new agent's key.

use std::borrow::Cow;
use std::fmt;

use keyherd_core::agent::{Agent, RIGHT_TOKEN, rights};
use keyherd_core::broker::NewAgent;
use keyherd_core::ids::Name;
use keyherd_core::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BadDocument, Moment};

/// An agent to be made, for `POST /v1/agents`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentDocument {
    /// What people call it.
    #[schema(example = "builder")]
    pub name: String,
    /// The credentials and pools that it may use. None where it is left out.
    #[serde(default)]
    pub allow: Vec<String>,
    /// `token`: it may have the tokens themselves, of what it is allowed, and report on them. Without it they are
    /// injected where a binding says, and it never sees one.
    #[serde(default)]
    pub may: Vec<String>,
}

impl AgentDocument {
    /// The agent that it stands for.
    pub fn into_new(self) -> Result<NewAgent, BadDocument> {
        let named = |field: &'static str| {
            move |error: keyherd_core::ids::BadName| BadDocument::field(field, error.to_string())
        };
        let name = Name::parse(&self.name).map_err(named("name"))?;
        let allowed: Result<Vec<_>, _> = self.allow.iter().map(|text| Name::parse(text)).collect();
        if self.may.iter().any(|right| right != RIGHT_TOKEN) {
            return Err(BadDocument::field("may", format!("has a word other than '{RIGHT_TOKEN}'")));
        }
        Ok(NewAgent {
            name,
            allowed: allowed.map_err(named("allow"))?,
            may_fetch_tokens: !self.may.is_empty(),
        })
    }
}

/// What may be shown of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// What people call it.
    pub name: String,
    /// The credentials and pools that it may use.
    pub allow: Vec<String>,
    /// What it may do beside that.
    pub may: Vec<String>,
    /// When it was made.
    pub created_at: Moment,
}

impl AgentView {
    /// Of the domain's.
    pub fn new(agent: &Agent) -> Self {
        Self {
            name: agent.name.to_string(),
            allow: agent.allowed.iter().map(Name::to_string).collect(),
            may: rights(agent).into_iter().map(str::to_owned).collect(),
            created_at: agent.created_at.into(),
        }
    }
}

/// A new agent and its key, which is shown here and never again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentKeyView<'a> {
    /// The agent.
    #[serde(flatten)]
    pub agent: AgentView,
    /// Its key: a bearer, the gateway's `x-api-key`, and its password at the proxy.
    #[schema(value_type = String)]
    pub key: Cow<'a, str>,
}

impl<'a> AgentKeyView<'a> {
    /// Of a new agent: the one place where a key goes into a view.
    pub fn new(agent: &Agent, key: &'a Secret) -> Self {
        Self { agent: AgentView::new(agent), key: key.expose().into() }
    }
}

// No part of the key.
impl fmt::Debug for AgentKeyView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentKeyView").field("agent", &self.agent).finish_non_exhaustive()
    }
}
