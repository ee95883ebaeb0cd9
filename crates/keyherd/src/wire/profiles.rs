//! The profiles of a process: the data folder's before those imported into a fleet's store, before the built-in ones.
//!
//! Owns what was imported, as it was last read, and its following. A profile that cannot be read is an error where it is
//! asked for; the one below does not step in for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use keyherd_adapters::profile::FolderProfiles;
use keyherd_core::broker::Broker;
use keyherd_core::ports::store::{PROFILE_CHANGED, ProfileStore, StoredProfile};
use keyherd_core::ports::{ProfileError, Profiles, StoreError};
use keyherd_core::provider::Profile;
use keyherd_core::spell::Spell;
use tokio::sync::broadcast::error::RecvError;

/// A profile and where it is from, for people.
pub(crate) type Found = (Arc<Profile>, &'static str);

/// Profiles in their layers.
pub(crate) struct LayeredProfiles {
    folder: FolderProfiles,
    imported: RwLock<BTreeMap<String, Imported>>,
}

/// One from the store: its text, and what became of reading it.
struct Imported {
    text: String,
    read: Result<Arc<Profile>, ProfileError>,
}

impl LayeredProfiles {
    /// Over the data folder, with nothing imported.
    pub(crate) fn open(data: &Path) -> Self {
        Self { folder: FolderProfiles::open(Some(data)), imported: RwLock::default() }
    }

    /// The profile of that name, and where it is from.
    pub(crate) fn locate(&self, name: &str) -> Result<Option<Found>, ProfileError> {
        if let Some(own) = self.folder.find_own(name)? {
            return Ok(Some((own, "data folder")));
        }
        if let Some(imported) = self.imported().get(name) {
            return imported.read.clone().map(|profile| Some((profile, "store")));
        }
        Ok(self.folder.find_builtin(name)?.map(|profile| (profile, "built in")))
    }

    /// Whether a built-in profile has that name, whatever stands before it.
    pub(crate) fn is_builtin(&self, name: &str) -> bool {
        self.folder.find_builtin(name).is_ok_and(|found| found.is_some())
    }

    /// The text of the profile that is in force, to be shown.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ProfileError> {
        match self.folder.find_own(name) {
            Ok(None) => match self.imported().get(name) {
                Some(imported) => Ok(Some(imported.text.clone())),
                None => self.folder.text(name),
            },
            _ => self.folder.text(name),
        }
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, ProfileError> {
        let names: BTreeSet<_> =
            self.folder.names()?.into_iter().chain(self.imported().keys().cloned()).collect();
        Ok(names.into_iter().collect())
    }

    /// Reads what was imported into the store.
    pub(crate) async fn reload(&self, store: &dyn ProfileStore) -> Result<(), StoreError> {
        let read = |StoredProfile { name, text }| {
            let read = FolderProfiles::parse(&name, &text).map(Arc::new);
            (name, Imported { text, read })
        };
        let imported = store.profiles().await?.into_iter().map(read).collect();
        *self.imported.write().unwrap_or_else(PoisonError::into_inner) = imported;
        Ok(())
    }

    /// Reads again whenever another process imports one, and now and then, should its notice be lost.
    pub(super) async fn follow(self: Arc<Self>, broker: Broker, every: Duration) {
        let (mut events, unread) = (broker.events(), Spell::default());
        loop {
            match self.reload(&*broker.ports().store).await {
                Err(error) if unread.failed() => {
                    tracing::warn!(%error, "imported profiles cannot be read: those that are known stay in force");
                }
                Err(_) => {}
                Ok(()) => {
                    if let Some(times) = unread.over() {
                        tracing::info!(times, "imported profiles are read again");
                    }
                }
            }
            let changed = async {
                loop {
                    match events.recv().await {
                        Ok(event) if event.kind != PROFILE_CHANGED => {}
                        Ok(_) | Err(RecvError::Lagged(_)) => return,
                        // The broker ends.
                        Err(RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            let _ = tokio::time::timeout(every, changed).await;
        }
    }

    fn imported(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Imported>> {
        self.imported.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Profiles for LayeredProfiles {
    fn find(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        Ok(self.locate(name)?.map(|(profile, _)| profile))
    }

    /// A folder that cannot be listed shows the others alone; [`LayeredProfiles::names`] says why.
    fn names(&self) -> Vec<String> {
        self.names().unwrap_or_else(|_| Profiles::names(&self.folder))
    }
}
