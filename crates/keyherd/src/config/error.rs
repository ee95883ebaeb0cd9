//! What can be wrong with the settings, each with the way out. No message holds a setting's secret.

use std::path::PathBuf;

/// Why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// An environment variable.
    #[error("the environment variable {name} {problem}")]
    Variable {
        /// Which.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The named file is not there.
    #[error("the configuration file {} is missing: give another one with --config, or none", path.display())]
    FileMissing {
        /// Which.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {problem}", path.display())]
    FileUnreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file says something that is not a setting.
    #[error("the configuration file {place}: {problem}")]
    FileWrong {
        /// File, line and key.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A setting's value cannot be used.
    #[error("{setting}: {problem}")]
    Unfit {
        /// The setting, by its flag's name.
        setting: &'static str,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// There is no home folder to put the data folder into.
    #[error(
        "there is no home folder (HOME is not set): say where the data folder is with --data or KEYHERD_DATA"
    )]
    NoHome,
    /// The data folder cannot be made or looked at.
    #[error("the data folder {} cannot be used: {problem}: choose another one with --data", dir.display())]
    DataUnusable {
        /// Which.
        dir: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Others could put their own key or store there.
    #[error("the data folder {} can be written by others (mode {mode:04o}): run 'chmod 700 {}'", dir.display(), dir.display())]
    DataTooOpen {
        /// Which.
        dir: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl ConfigError {
    /// Whether how keyherd was called is at fault, rather than this machine.
    pub(crate) fn is_usage(&self) -> bool {
        !matches!(self, Self::FileUnreadable { .. } | Self::DataUnusable { .. } | Self::DataTooOpen { .. })
    }
}
