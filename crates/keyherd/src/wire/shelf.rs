//! Where profiles that users give are kept: in the data folder of one machine, in a fleet in the store.
//!
//! Owns the way there for commands and for the REST door alike, and what the audit log is told of it. A profile is read
//! before anything is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_adapters::durable;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_adapters::store::SqlStore;
use keyherd_core::audit::{Actor, Note};
use keyherd_core::ids::Name;
use keyherd_core::ports::store::{AuditStore, Event, PROFILE_CHANGED, ProfileStore, Record, StoredProfile};
use keyherd_core::ports::{Coordinator, ProfileError, ProfileShelf, ShelfError, Shelved};
use keyherd_core::provider::Profile;
use serde::Deserialize;
use serde_json::json;

use super::LayeredProfiles;

/// How much of a key is repeated, in bytes.
const KEY_SHOWN_MAX: usize = 64;
/// What the REST door calls a text that came in a request.
const SENT: &str = "as it was sent";

/// The shelf of an open store.
pub(crate) struct Shelf {
    /// The data folder, where that is the place.
    folder: Option<PathBuf>,
    /// The store, for people.
    place: String,
    store: Arc<SqlStore>,
    coordinator: Arc<dyn Coordinator>,
    profiles: Arc<LayeredProfiles>,
}

/// What a profile's file is called after; all else is read by the adapter.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// A data folder's own profile of that name.
pub(crate) fn own_file(data: &Path, name: &Name) -> PathBuf {
    data.join("providers").join(format!("{name}.toml"))
}

/// Reads a profile and the name that it gives itself; `place` is what errors call the text.
pub(crate) fn read(text: &str, place: &str) -> Result<(Name, Profile), ProfileError> {
    let wrong = |problem: String| ProfileError::Invalid(format!("provider profile {place}: {problem}"));
    let named: Named = toml::from_str(text).map_err(|error| wrong(at_line(text, &error)))?;
    let name = Name::parse(&named.name).map_err(|error| wrong(error.to_string()))?;
    let profile = FolderProfiles::parse(name.as_str(), text)?;
    Ok((name, profile))
}

/// Keeps a profile's text in a data folder that is there. Where, and whether there was none of that name.
pub(crate) fn into_folder(data: &Path, name: &Name, text: &str) -> Result<(PathBuf, bool), ShelfError> {
    let path = own_file(data, name);
    let is_new = !path.exists();
    let folder = path.parent().unwrap_or(data);
    durable::create_dir(folder)
        .and_then(|()| durable::replace(&path, text.as_bytes(), None))
        .map_err(|error| ShelfError::File(format!("{} cannot be written: {error}", path.display())))?;
    Ok((path, is_new))
}

/// Takes a profile out of a data folder. Where it was.
pub(crate) fn out_of_folder(data: &Path, name: &Name) -> Result<PathBuf, ShelfError> {
    let path = own_file(data, name);
    match fs::remove_file(&path) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ShelfError::NotFound { name: name.clone(), place: "the data folder".into() })
        }
        Err(error) => Err(ShelfError::File(format!("{} cannot be removed: {error}", path.display()))),
    }
}

impl Shelf {
    pub(super) fn new(
        folder: Option<PathBuf>,
        place: String,
        store: Arc<SqlStore>,
        coordinator: Arc<dyn Coordinator>,
        profiles: Arc<LayeredProfiles>,
    ) -> Self {
        Self { folder, place, store, coordinator, profiles }
    }

    /// A profile that credentials use stays, unless a built-in one of its name steps in. A profile that another host has in
    /// its own folder is not seen from here; and a credential that comes between the look and the removal keeps its token.
    pub(crate) async fn refuse_in_use(&self, name: &Name) -> Result<(), ShelfError> {
        if self.profiles.is_builtin(name.as_str()) {
            return Ok(());
        }
        match self.store.users_of_provider(name.as_str()).await? {
            0 => Ok(()),
            users => Err(ShelfError::InUse { name: name.clone(), users }),
        }
    }

    /// Other hosts hear of it, and whoever asks this one next finds it as it is now.
    async fn changed(&self) -> Result<(), ShelfError> {
        self.coordinator.announce();
        Ok(self.profiles.reload(&*self.store).await?)
    }
}

#[async_trait]
impl ProfileShelf for Shelf {
    async fn import(&self, text: &str, actor: &Actor) -> Result<Shelved, ShelfError> {
        let (name, profile) = read(text, SENT)?;
        let record = record("provider.import", &name, actor);
        if let Some(data) = &self.folder {
            let (path, is_new) = into_folder(data, &name, text)?;
            self.store.append(record.note).await?;
            return Ok(Shelved { profile, is_new, place: format!("as {}", path.display()) });
        }
        let stored = StoredProfile { name: name.to_string(), text: text.to_owned() };
        let is_new = self.store.put_profile(stored, record).await?;
        self.changed().await?;
        Ok(Shelved { profile, is_new, place: format!("into {}", self.place) })
    }

    async fn remove(&self, name: &Name, actor: &Actor) -> Result<String, ShelfError> {
        let record = record("provider.remove", name, actor);
        if let Some(data) = &self.folder {
            if own_file(data, name).exists() {
                self.refuse_in_use(name).await?;
            }
            let path = out_of_folder(data, name)?;
            self.store.append(record.note).await?;
            return Ok(format!("{} is gone", path.display()));
        }
        self.refuse_in_use(name).await?;
        if !self.store.remove_profile(name.as_str(), record).await? {
            return Err(ShelfError::NotFound { name: name.clone(), place: "the store".into() });
        }
        self.changed().await?;
        Ok(format!("it is no more in {}", self.place))
    }
}

/// What the audit log and the other hosts are told.
fn record(action: &'static str, name: &Name, actor: &Actor) -> Record {
    let subject = name.to_string();
    let event = Event { kind: PROFILE_CHANGED, chain: None, subject: subject.clone(), detail: json!({}) };
    Record { note: Note { action, actor: actor.clone(), subject, detail: json!({}) }, event: Some(event) }
}

/// What is wrong with a text, and on which line of it.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let lines = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let key = |at: std::ops::Range<usize>| {
        text.get(at).filter(|key| key.len() <= KEY_SHOWN_MAX && !key.contains(['\n', '"']))
    };
    match error.span() {
        None => error.message().to_owned(),
        Some(at) if error.message().contains("duplicate key") => {
            let key = key(at.clone()).map_or_else(String::new, |key| format!(" '{key}'"));
            format!("line {}: {}{key}", lines(at.start), error.message())
        }
        Some(at) => format!("line {}: {}", lines(at.start), error.message()),
    }
}
