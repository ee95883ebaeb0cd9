//! Where provider profiles come from: built in, the user's folder, or the store.

use std::sync::Arc;

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
