//! Provider profiles by name.

use async_trait::async_trait;

use super::MemoryStore;
use crate::ports::StoreError;
use crate::ports::store::{ProfileStore, Record, StoredProfile};

#[async_trait]
impl ProfileStore for MemoryStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.read(|rows| {
            let profile =
                |(name, text): (&String, &String)| StoredProfile { name: name.clone(), text: text.clone() };
            rows.profiles.iter().map(profile).collect()
        })
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let old = rows.profiles.insert(profile.name, profile.text.clone());
            (old.is_none(), old != Some(profile.text))
        })
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let was_there = rows.profiles.remove(name).is_some();
            (was_there, was_there)
        })
    }
}
