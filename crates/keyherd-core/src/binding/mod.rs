//! Bindings: where a credential or pool may go, and how it is injected there.
//!
//! Owns what a sound binding is, and which ones are for a host. Never injects and never sends.

mod directory;
mod draft;
mod template;
mod upstream;

use std::fmt;

pub use self::directory::Bindings;
pub use self::draft::{BadBinding, BindingDraft};
pub use self::template::{TEMPLATE_LEN_MAX, TOKEN, Template};
pub use self::upstream::{BadUpstream, Upstream};
use crate::host::{Host, HostGlob};
use crate::ids::{BindingId, Name};
use crate::time::Timestamp;

/// One way of a credential or pool out of here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// This incarnation, and what people call it.
    pub id: BindingId,
    /// The credential or pool.
    pub name: Name,
    /// Where it may go.
    pub host: HostGlob,
    /// To which port; `None`: to any.
    pub port: Option<u16>,
    /// How it is injected.
    pub injection: Injection,
    /// Where the gateway sends what is asked of it for this name.
    pub upstream: Option<Upstream>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where in a request the secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// In a header of that name, in lower case.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        template: Template,
    },
    /// In the query parameter of that name.
    Query {
        /// Its name, as it is before it is encoded.
        parameter: String,
        /// Its value, likewise.
        template: Template,
    },
}

impl Injection {
    /// What the secret is put into.
    pub fn template(&self) -> &Template {
        match self {
            Self::Header { template, .. } | Self::Query { template, .. } => template,
        }
    }

    /// Whether both would write to the same place.
    fn is_in_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name: one, .. }, Self::Header { name: other, .. }) => one == other,
            (Self::Query { parameter: one, .. }, Self::Query { parameter: other, .. }) => one == other,
            (Self::Header { .. }, Self::Query { .. }) | (Self::Query { .. }, Self::Header { .. }) => false,
        }
    }
}

/// Why a binding was not added: nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingConflict {
    /// Neither a credential nor a pool.
    #[error("no credential and no pool is named '{0}': see 'keyherd cred list' and 'keyherd pool list'")]
    UnknownName(Name),
    /// The same name, host and place in the request.
    #[error(
        "binding {0} says already what is injected there: remove it first, with 'keyherd binding remove {0}'"
    )]
    Duplicate(BindingId),
    /// The gateway sends what is asked of it for a name to one upstream.
    #[error(
        "binding {0} names an upstream for it already, and a name has one: remove it first, with 'keyherd binding remove {0}'"
    )]
    SecondUpstream(BindingId),
    /// More than there may be.
    #[error("there are {0} bindings, and no more may be made: remove some, or raise bindings_max")]
    TooMany(usize),
}

impl Binding {
    /// Whether it is for that host and port.
    pub fn covers(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }

    /// What stands in its way among the bindings of its name.
    pub fn conflict<'a>(&self, of_name: impl IntoIterator<Item = &'a Self>) -> Option<BindingConflict> {
        of_name.into_iter().find_map(|other| {
            let is_there = self.host == other.host && (self.port == other.port);
            if is_there && self.injection.is_in_place_of(&other.injection) {
                return Some(BindingConflict::Duplicate(other.id));
            }
            let are_both = self.upstream.is_some() && other.upstream.is_some();
            are_both.then_some(BindingConflict::SecondUpstream(other.id))
        })
    }
}

/// Who would miss a credential or pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// This agent is allowed it.
    Agent(Name),
    /// This binding is of it.
    Binding(BindingId),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => {
                write!(
                    f,
                    "agent '{name}' is allowed it: revoke that agent first, with 'keyherd agent revoke {name}'"
                )
            }
            Self::Binding(id) => {
                write!(f, "binding {id} is of it: remove that first, with 'keyherd binding remove {id}'")
            }
        }
    }
}

#[cfg(test)]
mod tests;
