//! Where master keys come from: a file that only its owner can read, or a text from the environment.
//!
//! Owns the key file: its permissions, its making and its replacement. Never makes a key where one is missing unless
//! asked to: a store that is not empty needs the key it had. No error shows a part of a key.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keyherd_core::secret::Secret;
use zeroize::Zeroizing;

use super::{Keyring, MasterKey, SealError};
use crate::durable;

/// The largest key file, in bytes: eight keys and their comments are a tenth of it.
pub const KEY_FILE_LEN_MAX: usize = 8_192;

const FILE_HEAD: &str = "# keyherd's master key: without it the store cannot be opened. Keep a copy elsewhere.\n\
                         # The first key seals, all of them open.\n";

/// Where the keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In a file that only its owner can read.
    File(PathBuf),
    /// In a text, as the environment variable gave it.
    Text(Secret),
}

/// Why the keys could not be had or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no such file.
    #[error("the master key file {path} is missing: bring back the one that the store was made with")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner can read or write the file.
    #[error("the master key file {path} is open to others (mode {mode:04o}): run 'chmod 600 {path}'")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is longer than [`KEY_FILE_LEN_MAX`], or no text.
    #[error("{path} is no master key file: it should hold 32 random bytes in base64")]
    NotKeys {
        /// The file.
        path: PathBuf,
    },
    /// A key in the file is none.
    #[error("in the master key file {path}: {problem}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: SealError,
    },
    /// A key in the text is none.
    #[error("in KEYHERD_MASTER_KEY: {problem}")]
    BadText {
        /// What is wrong.
        problem: SealError,
    },
    /// A new key was to be made where there is one.
    #[error("the master key file {path} is there already: it was left as it is")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The keys are not in a file, so that they cannot be replaced from here.
    #[error("the master key is given as a text: put the new key in front of it, separated by a comma")]
    NotAFile,
    /// The operating system gives no random bytes for a new key.
    #[error("no new master key can be made: {problem}")]
    NoNewKey {
        /// What is wrong.
        problem: SealError,
    },
    /// The file system said no.
    #[error("the master key file {path} cannot be {action}: {problem}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// What the system says.
        problem: String,
    },
}

impl KeySource {
    /// The keys.
    ///
    /// # Errors
    /// Says which file, what is wrong and what to do; see [`KeyError`].
    pub fn load(&self) -> Result<Keyring, KeyError> {
        match self {
            Self::Text(text) => {
                Keyring::parse(text.expose()).map_err(|problem| KeyError::BadText { problem })
            }
            Self::File(path) => {
                let text = read(path)?;
                Keyring::parse(&text).map_err(|problem| KeyError::BadFile { path: path.clone(), problem })
            }
        }
    }

    /// Makes the file with a new random key in it, for its owner only. When this returns, it survives a power cut. Of
    /// several processes that try at once, one succeeds.
    ///
    /// # Errors
    /// [`KeyError::Exists`] where there is one: load that instead.
    pub fn create_file(path: &Path) -> Result<Keyring, KeyError> {
        let made = MasterKey::random().and_then(|key| Keyring::new(vec![key]));
        let keyring = made.map_err(|problem| KeyError::NoNewKey { problem })?;
        match durable::create(path, written(&keyring).as_bytes()) {
            Ok(()) => Ok(keyring),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyError::Exists { path: path.into() })
            }
            Err(error) => Err(io_error(path, "written", &error)),
        }
    }

    /// Puts these keys in the place of those in the file, in one step. A symbolic link stays one.
    ///
    /// # Errors
    /// [`KeyError::NotAFile`], [`KeyError::Io`].
    pub fn replace(&self, keyring: &Keyring) -> Result<(), KeyError> {
        let Self::File(path) = self else { return Err(KeyError::NotAFile) };
        let target = fs::canonicalize(path).map_err(|error| io_error(path, "written", &error))?;
        durable::replace(&target, written(keyring).as_bytes(), None)
            .map_err(|error| io_error(path, "written", &error))
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.into() },
        _ => io_error(path, "read", &error),
    })?;
    check_closed(path, &file)?;
    // One byte more than allowed, all at once: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN_MAX + 1));
    let limit = u64::try_from(KEY_FILE_LEN_MAX).unwrap_or(u64::MAX) + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| io_error(path, "read", &error))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() <= KEY_FILE_LEN_MAX => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(KeyError::NotKeys { path: path.into() }),
    }
}

/// Asks the open file, not the path: what was checked is what is read.
fn check_closed(path: &Path, file: &File) -> Result<(), KeyError> {
    let found = file.metadata().map_err(|error| io_error(path, "read", &error))?;
    match found.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(KeyError::TooOpen { path: path.into(), mode }),
        _ => Ok(()),
    }
}

fn written(keyring: &Keyring) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_LEN_MAX));
    text.push_str(FILE_HEAD);
    for key in keyring.masters() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", *key.to_text());
    }
    text
}

fn io_error(path: &Path, action: &'static str, error: &io::Error) -> KeyError {
    KeyError::Io { path: path.into(), action, problem: error.to_string() }
}

#[cfg(test)]
mod tests;
