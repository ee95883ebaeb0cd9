//! Agents: programs with keys of their own, and what each may use.
//!
//! Owns the shape of a key and who has one. Never keeps a key: only its hash, made with the installation's own.

mod directory;

pub use self::directory::Agents;
use crate::audit::Actor;
use crate::ids::{AgentId, Name};
use crate::ports::Entropy;
use crate::secret::{Hasher, Secret, TokenHash};
use crate::time::Timestamp;

/// What every key begins with: a key that was left somewhere is known for what it is.
pub const KEY_PREFIX: &str = "kha_";
/// Random bytes in a key.
const KEY_BYTES: usize = 32;
/// A key's length: the prefix and two digits for each byte.
pub const KEY_LEN: usize = KEY_PREFIX.len() + 2 * KEY_BYTES;
/// The most credentials and pools that one agent may be allowed.
pub const ALLOWED_MAX: usize = 1_000;

/// A program that may use some credentials and pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// This incarnation.
    pub id: AgentId,
    /// What people call it. Not of the namespace of credentials and pools.
    pub name: Name,
    /// As the audit log names it: every request of its does.
    pub actor: Actor,
    /// Of its key, which nobody but the agent has.
    pub key_hash: TokenHash,
    /// The credentials and pools that it may use, in order.
    pub allowed: Vec<Name>,
    /// Whether it may have the tokens themselves.
    pub may_fetch_tokens: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why an agent was not made: nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentConflict {
    /// The name is taken.
    #[error("an agent of that name exists already: revoke it first, or choose another name")]
    NameTaken,
    /// Neither a credential nor a pool.
    #[error(
        "it cannot be allowed '{0}': no credential and no pool has that name; see 'keyherd cred list' and 'keyherd pool list'"
    )]
    UnknownName(Name),
    /// Named twice.
    #[error("'{0}' is allowed twice")]
    Duplicate(Name),
    /// More than an agent may be allowed.
    #[error("an agent may be allowed {ALLOWED_MAX} credentials and pools at most: put some into a pool")]
    TooManyAllowed,
    /// More than there may be.
    #[error("there are {0} agents, and no more may be made: revoke some, or raise agents_max")]
    TooMany(usize),
}

impl Agent {
    /// Whether it may use that credential or pool.
    pub fn is_allowed(&self, name: &str) -> bool {
        self.allowed.binary_search_by(|allowed| allowed.as_str().cmp(name)).is_ok()
    }

    /// As the audit log names an agent of that name.
    pub fn actor_of(name: &Name) -> Actor {
        Actor::new(["agent:", name.as_str()].concat())
    }
}

/// The word for having the tokens themselves.
pub const RIGHT_TOKEN: &str = "token";

/// What an agent may do beside using what it is allowed, in words.
pub fn rights(agent: &Agent) -> Vec<&'static str> {
    if agent.may_fetch_tokens { vec![RIGHT_TOKEN] } else { Vec::new() }
}

/// What an agent is allowed, in order; each once.
pub fn allowed(mut names: Vec<Name>) -> Result<Vec<Name>, AgentConflict> {
    if names.len() > ALLOWED_MAX {
        return Err(AgentConflict::TooManyAllowed);
    }
    names.sort_unstable();
    match names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())) {
        Some(twice) => {
            Err(twice.map_or(AgentConflict::TooManyAllowed, |name| AgentConflict::Duplicate(name.clone())))
        }
        None => Ok(names),
    }
}

/// A new key.
pub fn new_key(entropy: &dyn Entropy) -> Secret {
    use std::fmt::Write;
    let mut bytes = zeroize::Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(&mut *bytes);
    // Never grows, so that no part of the key is left behind in memory that is freed.
    let mut text = String::with_capacity(KEY_LEN);
    text.push_str(KEY_PREFIX);
    for byte in bytes.iter() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// The hash by which a key is known. `None`: it has not the shape of one, and nobody has it.
pub fn key_hash(hasher: &Hasher, key: &[u8]) -> Option<TokenHash> {
    let has_shape = key.len() == KEY_LEN && key.starts_with(KEY_PREFIX.as_bytes());
    has_shape.then(|| hasher.labelled(b"agent", key))
}

#[cfg(test)]
mod tests;
