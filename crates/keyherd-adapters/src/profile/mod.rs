//! Provider profiles from text: the built-in ones and the user's folder.
//!
//! Owns where profiles are looked for and which one wins. Never asks a store (profiles imported for a fleet are laid
//! between the two by who wires them), and parses no profile that nobody asked for.

mod bounds;
mod builtin;
mod document;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use keyherd_core::ids::Name;
use keyherd_core::ports::{ProfileError, Profiles};
use keyherd_core::provider::Profile;

/// The built-in profiles and, before them, the user's: `DIR/providers/NAME.toml`. Each is read when it is first asked
/// for; a user's file that has changed since is read again.
#[derive(Debug)]
pub struct FolderProfiles {
    folder: Option<PathBuf>,
    parsed: Mutex<HashMap<String, Parsed>>,
}

/// A profile and the version of the text it came from.
#[derive(Debug, Clone)]
struct Parsed {
    version: Version,
    profile: Arc<Profile>,
}

/// What tells one text of a profile from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Builtin,
    File { modified: Option<SystemTime>, len: u64 },
}

impl FolderProfiles {
    /// Over the data folder `dir`, or over the built-in profiles alone. Touches no file yet.
    pub fn open(dir: Option<&Path>) -> Self {
        Self { folder: dir.map(|dir| dir.join("providers")), parsed: Mutex::default() }
    }

    /// The profile of that name: the user's own, else the built-in one, else none.
    ///
    /// # Errors
    /// The user's file is no profile, or cannot be read: the built-in one does not step in for it.
    pub fn find(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        match self.find_own(name)? {
            Some(profile) => Ok(Some(profile)),
            None => self.find_builtin(name),
        }
    }

    /// The profile of that name in the user's folder.
    ///
    /// # Errors
    /// As [`FolderProfiles::find`].
    pub fn find_own(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        let Some(path) = self.path(name) else { return Ok(None) };
        let Some(version) = file_version(&path)? else { return Ok(None) };
        self.cached(name, version, || match read(&path)? {
            Some(text) => document::parse(name, &text, &path.display().to_string()).map(Some),
            None => Ok(None),
        })
    }

    /// The built-in profile of that name, whatever stands in the user's folder.
    ///
    /// # Errors
    /// None that a released keyherd can have: its built-in profiles are tested.
    pub fn find_builtin(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        let Some(text) = builtin::text(name) else { return Ok(None) };
        self.cached(name, Version::Builtin, || {
            document::parse(name, text, &format!("'{name}' (built in)")).map(Some)
        })
    }

    /// All names, sorted: the user's and the built-in ones.
    ///
    /// # Errors
    /// The user's folder is there and cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, ProfileError> {
        let own = self.folder.as_deref().map_or_else(|| Ok(Vec::new()), file_names)?;
        let all: BTreeSet<String> = builtin::names().map(str::to_owned).chain(own).collect();
        Ok(all.into_iter().collect())
    }

    /// The text of the profile that [`FolderProfiles::find`] would give, to be shown.
    ///
    /// # Errors
    /// The user's file cannot be read.
    pub fn text(&self, name: &str) -> Result<Option<String>, ProfileError> {
        let own = self.path(name).map_or(Ok(None), |path| read(&path))?;
        Ok(own.or_else(|| builtin::text(name).map(str::to_owned)))
    }

    /// Reads a profile from a text that shall be called `name`, as `provider import` does.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`]: names the line, the key and what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Profile, ProfileError> {
        document::parse(name, text, &format!("'{name}'"))
    }

    /// The user's file for a name; none for what is no name, so that no path leaves the folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let name = Name::parse(name).ok()?;
        Some(self.folder.as_ref()?.join(format!("{name}.toml")))
    }

    fn cached(
        &self,
        name: &str,
        version: Version,
        load: impl FnOnce() -> Result<Option<Profile>, ProfileError>,
    ) -> Result<Option<Arc<Profile>>, ProfileError> {
        let key = match version {
            Version::Builtin => format!("{name} (built in)"),
            Version::File { .. } => name.to_owned(),
        };
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed.get(&key).filter(|known| known.version == version) {
            return Ok(Some(known.profile.clone()));
        }
        let Some(profile) = load()?.map(Arc::new) else { return Ok(None) };
        parsed.insert(key, Parsed { version, profile: profile.clone() });
        Ok(Some(profile))
    }
}

impl Profiles for FolderProfiles {
    fn find(&self, name: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        self.find(name)
    }

    /// A folder that cannot be listed shows the built-in names alone; [`FolderProfiles::names`] says why.
    fn names(&self) -> Vec<String> {
        self.names().unwrap_or_else(|_| builtin::names().map(str::to_owned).collect())
    }
}

fn file_version(path: &Path) -> Result<Option<Version>, ProfileError> {
    let metadata = present(path, fs::metadata(path))?;
    Ok(metadata.map(|found| Version::File { modified: found.modified().ok(), len: found.len() }))
}

fn read(path: &Path) -> Result<Option<String>, ProfileError> {
    let bound = document::TEXT_LEN_MAX;
    match present(path, fs::metadata(path))? {
        // A pipe would be waited for until somebody writes.
        Some(found) if !found.is_file() => Err(unreadable(path, &"it is no regular file")),
        Some(found) if found.len() > bound as u64 => {
            Err(unreadable(path, &format_args!("longer than {bound} bytes")))
        }
        _ => present(path, fs::read_to_string(path)),
    }
}

fn file_names(folder: &Path) -> Result<Vec<String>, ProfileError> {
    let Some(entries) = present(folder, fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(files.filter_map(|file| Some(Name::parse(file.strip_suffix(".toml")?).ok()?.to_string())).collect())
}

/// Turns "not there" into none, and any other failure into an error that names the file.
fn present<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, ProfileError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> ProfileError {
    ProfileError::Unreadable(format!(
        "provider profile {}: {why}: make it readable or remove it",
        path.display()
    ))
}

#[cfg(test)]
mod tests;
