//! Provider profiles that the user gave, for every process of the installation.

use async_trait::async_trait;

use super::{Record, StoreError};

/// The kind of the event that every change of a profile tells. It belongs to no chain.
pub const PROFILE_CHANGED: &str = "profile_changed";

/// A profile's text as it was given. Reading it as a profile is the reader's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProfile {
    /// Its name, unique in the store.
    pub name: String,
    /// The document.
    pub text: String,
}

/// Provider profiles by name.
#[async_trait]
pub trait ProfileStore: Send + Sync + 'static {
    /// All of them, in order of names.
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError>;

    /// Makes or replaces one. `true`: it is new. The same text again changes nothing, and nothing is told.
    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError>;

    /// Removes one. `false`: it was not there.
    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError>;
}
