//! Edits of a pool's members, and every reason to refuse one.

use super::{Pool, Strategy};
use crate::ids::Name;

/// The most members of a pool.
pub const MEMBERS_MAX: usize = 10_000;

/// What becomes of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// These, in this order.
    Replace(Vec<Name>),
    /// One more, at the end.
    Add(Name),
    /// One fewer.
    Drop(Name),
}

/// Why a pool was not made, or not changed: nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolConflict {
    /// A credential has the name.
    #[error("a credential is named '{0}' already: pools and credentials share one namespace")]
    NameOfCredential(Name),
    /// A pool has the name.
    #[error("a pool is named '{0}' already")]
    NameOfPool(Name),
    /// No such credential.
    #[error("no credential is named '{0}': a pool's members are credentials; see 'keyherd cred list'")]
    UnknownMember(Name),
    /// Named twice.
    #[error("'{0}' is named twice: a credential has one place in a pool")]
    Duplicate(Name),
    /// A credential is in one pool at most.
    #[error("credential '{member}' is in pool '{pool}' already: a credential is in one pool at most")]
    Pooled {
        /// Which credential.
        member: Name,
        /// Where it is.
        pool: Name,
    },
    /// No member would be left.
    #[error("a pool has one member at least: remove the pool instead")]
    Empty,
    /// More than a pool may have.
    #[error("a pool has {MEMBERS_MAX} members at most")]
    TooMany,
    /// Who is not in it cannot be dropped, nor be chosen.
    #[error("credential '{0}' is no member of the pool")]
    NotAMember(Name),
}

impl Edit {
    /// The members' names afterwards. Whether they are credentials, and free, is for the store to say.
    pub fn apply(self, before: &[Name]) -> Result<Vec<Name>, PoolConflict> {
        let after = match self {
            Self::Replace(names) => names,
            Self::Add(name) => before.iter().cloned().chain([name]).collect(),
            Self::Drop(name) if before.contains(&name) => {
                before.iter().filter(|known| **known != name).cloned().collect()
            }
            Self::Drop(name) => return Err(PoolConflict::NotAMember(name)),
        };
        check(&after)?;
        Ok(after)
    }
}

fn check(names: &[Name]) -> Result<(), PoolConflict> {
    if names.is_empty() {
        return Err(PoolConflict::Empty);
    }
    if names.len() > MEMBERS_MAX {
        return Err(PoolConflict::TooMany);
    }
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(PoolConflict::Duplicate(twice.clone())),
        None => Ok(()),
    }
}

/// Where the pointer is after an edit: with the same member; where that one is gone, with the first after it who stays.
pub fn successor(before: &[Name], active: usize, after: &[Name]) -> usize {
    let count = before.len();
    let in_order = (0..count).filter_map(|step| before.get((active + step) % count));
    in_order.filter_map(|name| after.iter().position(|kept| kept == name)).next().unwrap_or_default()
}

impl Pool {
    /// The members' names, in order.
    pub fn names(&self) -> Vec<Name> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// Whether an edit would leave all as it is.
    pub fn is_already(&self, names: &[Name], strategy: Strategy) -> bool {
        self.strategy == strategy && self.members.iter().map(|member| &member.name).eq(names)
    }
}
