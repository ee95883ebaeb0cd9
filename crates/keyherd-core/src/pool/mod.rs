//! Pools: credentials that stand in for one another, in order, under one name.
//!
//! Owns what a pool is, whose turn it is, and what an edit of its members makes of it. Never awaits, never reads a
//! clock, and never looks a member up: how each one stands is a parameter.

mod edit;
mod pick;
mod turns;

pub use self::edit::{Edit, MEMBERS_MAX, PoolConflict, successor};
pub use self::pick::{Pick, Standing, pick};
pub use self::turns::{Look, Turns};
use crate::ids::{CredentialId, Name, PoolId};
use crate::time::Timestamp;

/// How a pool's turns go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// Stays with the active member until it rests, then goes on to the next in order, and never snaps back.
    #[default]
    Failover,
    /// Each request the next one in order. Turns are each process's own.
    RoundRobin,
    /// Each request the one that this process has not given for longest.
    LeastRecentlyUsed,
}

impl Strategy {
    /// The word used in documents and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::RoundRobin => "round_robin",
            Self::LeastRecentlyUsed => "least_recently_used",
        }
    }

    /// The strategy of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Failover, Self::RoundRobin, Self::LeastRecentlyUsed];
        all.into_iter().find(|strategy| strategy.as_str() == word)
    }
}

/// A credential in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its incarnation: another credential of the same name is no member.
    pub id: CredentialId,
    /// Its name.
    pub name: Name,
}

/// A pool as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// This incarnation.
    pub id: PoolId,
    /// What callers ask for: no credential has the same name.
    pub name: Name,
    /// How its turns go.
    pub strategy: Strategy,
    /// In order, never empty; a credential is in one pool at most.
    pub members: Vec<Member>,
    /// The place of the active member: the pointer, the same on every host.
    pub active: usize,
    /// Whether a person chose the active member. Then it is the first choice, too, while all rest.
    pub is_rotated: bool,
    /// +1 at every move of the pointer and every edit: what a move is conditional on.
    pub epoch: u64,
    /// All rested, it was said, and the first would recover then.
    pub exhausted_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Pool {
    /// The active member. A pool is never empty, and its pointer never beyond it.
    pub fn active_member(&self) -> Option<&Member> {
        self.members.get(self.active)
    }

    /// The member of that name.
    pub fn member(&self, name: &Name) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// The places from the active member's on, all around.
    pub fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (active, count) = (self.active, self.members.len());
        (0..count).map(move |step| (active + step) % count)
    }
}

#[cfg(test)]
mod tests;
