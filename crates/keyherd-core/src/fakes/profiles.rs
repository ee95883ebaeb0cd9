//! A fixed set of profiles.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::{ProfileError, Profiles};
use crate::provider::Profile;

/// Profiles by name, as they were given.
#[derive(Debug, Default)]
pub struct FixedProfiles(BTreeMap<String, Arc<Profile>>);

impl FixedProfiles {
    /// These, by their names.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        Self(profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect())
    }
}

impl Profiles for FixedProfiles {
    fn find(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        Ok(self.0.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
