//! Where provider profiles come from: built in, the user's folder, or the store; and where those go that users give.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::audit::Actor;
use crate::ids::Name;
use crate::provider::Profile;

/// Why a profile could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is no profile: says where and why.
    #[error("{0}")]
    Invalid(String),
    /// The file could not be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Profiles by name.
pub trait Profiles: Send + Sync + 'static {
    /// The profile of that name, the user's own before the built-in one.
    fn find(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError>;

    /// All names, sorted.
    fn names(&self) -> Vec<String>;
}

/// A profile that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Shelved {
    /// What it says.
    pub profile: Profile,
    /// Whether there was none of that name.
    pub is_new: bool,
    /// Where it is kept, for people.
    pub place: String,
}

/// Why a profile was not taken in, or not given up: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShelfError {
    /// The text is none.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// None of that name was imported.
    #[error("{place} has no profile '{name}': see 'keyherd provider list'")]
    NotFound {
        /// Which.
        name: Name,
        /// Where it was looked for.
        place: String,
    },
    /// Credentials could not be refreshed without it.
    #[error(
        "profile '{name}' is in use by {users} credential(s), which could not be refreshed without it: remove them first \
         ('keyherd cred list'), or import another profile of that name"
    )]
    InUse {
        /// Which.
        name: Name,
        /// How many.
        users: u64,
    },
    /// The file cannot be written or removed.
    #[error("{0}")]
    File(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where profiles that users give are kept, for every process of the installation.
#[async_trait]
pub trait ProfileShelf: Send + Sync + 'static {
    /// Reads a profile from its text, and keeps it before the built-in one of its name, or in the place of the one that was
    /// imported before.
    async fn import(&self, text: &str, actor: &Actor) -> Result<Shelved, ShelfError>;

    /// Gives one up that was imported; unless credentials use it, and no built-in one of that name steps in. Where it was.
    async fn remove(&self, name: &Name, actor: &Actor) -> Result<String, ShelfError>;
}
