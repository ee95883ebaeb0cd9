//! The environment and the command line's own surroundings: the one place where they are read.
//!
//! Owns the names of the variables. What a file with a newline at its end leaves around a text is dropped. An empty variable counts as one that is not set.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use keyherd_core::secret::Secret;

use super::ConfigError;

/// The variables that mean something to keyherd, as they stood when the process began.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    known: HashMap<&'static str, OsString>,
    /// Every variable that is keyherd's by its name, known or not.
    own_names: Vec<OsString>,
}

/// Everything that is read. A variable that is missing here is never looked at.
const NAMES: [&str; 21] = [
    "KEYHERD_DATA",
    "KEYHERD_CONFIG",
    "KEYHERD_DATABASE_URL",
    "KEYHERD_LISTEN_URL",
    "KEYHERD_REDIS_URL",
    "KEYHERD_MASTER_KEY",
    "KEYHERD_MASTER_KEY_FILE",
    "KEYHERD_SERVER",
    "KEYHERD_TOKEN",
    "KEYHERD_API",
    "KEYHERD_PROXY",
    "KEYHERD_TLS_CERT",
    "KEYHERD_TLS_KEY",
    "KEYHERD_CA_BUNDLE",
    "KEYHERD_EGRESS_PROXY",
    "KEYHERD_LOG",
    "XDG_DATA_HOME",
    "HOME",
    "TMPDIR",
    "JAVA_TOOL_OPTIONS",
    "NO_COLOR",
];

impl Environment {
    /// The process's own.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub(crate) fn of_process() -> Self {
        let known = NAMES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
        let is_own = |name: &OsString| name.as_encoded_bytes().starts_with(b"KEYHERD_");
        Self { known, own_names: std::env::vars_os().map(|(name, _)| name).filter(is_own).collect() }
    }

    /// One for tests.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&'static str, &str)]) -> Self {
        let known = variables.iter().map(|(name, value)| (*name, value.into())).collect();
        Self { known, own_names: Vec::new() }
    }

    /// The folder that the process is in. `None`: it is gone.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        std::env::current_dir().ok()
    }

    /// The names of all variables that are keyherd's by their names, for who takes them away.
    pub(crate) fn own_names(&self) -> Vec<OsString> {
        self.own_names.clone()
    }

    /// Whether it is set to anything.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.raw(name).is_some()
    }

    /// A path, which need not be text.
    pub(crate) fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        match value.to_str() {
            Some(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            None => Err(ConfigError::Variable { name, problem: "is not valid UTF-8".into() }),
        }
    }

    /// A text that never prints.
    pub(crate) fn secret(&self, name: &'static str) -> Result<Option<Secret>, ConfigError> {
        Ok(self.text(name)?.map(Secret::from))
    }

    fn raw(&self, name: &'static str) -> Option<&OsString> {
        debug_assert!(NAMES.contains(&name), "{name} is not among the names that are read");
        self.known.get(name).filter(|value| !value.is_empty())
    }
}
