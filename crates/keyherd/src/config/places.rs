//! Where keyherd keeps its things on this machine.
//!
//! Owns the data folder's default, its making and its permissions. Never touches what is in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{ConfigError, Environment};

const DIR_MODE: u32 = 0o700;
/// What group and others may not: whoever can write the folder can put another key or store there.
const FORBIDDEN: u32 = 0o022;

/// The platform's data folder for this user: XDG's, or Apple's.
pub(super) fn default_data(environment: &Environment) -> Result<PathBuf, ConfigError> {
    let home = || environment.path("HOME").ok_or(ConfigError::NoHome);
    if cfg!(target_os = "macos") {
        return Ok(home()?.join("Library/Application Support/keyherd"));
    }
    // XDG Base Directory Specification: a relative path there is to be ignored.
    match environment.path("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        Some(base) => Ok(base.join("keyherd")),
        None => Ok(home()?.join(".local/share/keyherd")),
    }
}

/// Makes the folder for its owner alone where it is missing; refuses one that others may write.
pub(super) fn prepare(dir: &Path) -> Result<(), ConfigError> {
    let unusable =
        |error: io::Error| ConfigError::DataUnusable { dir: dir.into(), problem: error.to_string() };
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(unusable)?;
    let found = fs::metadata(dir).map_err(unusable)?;
    if !found.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    match found.permissions().mode() & 0o7777 {
        mode if mode & FORBIDDEN != 0 => Err(ConfigError::DataTooOpen { dir: dir.into(), mode }),
        _ => Ok(()),
    }
}
