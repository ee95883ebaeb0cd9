//! Why a process cannot begin its work; every message is the adapter's own, which names the thing and the way out.

use std::path::PathBuf;

use keyherd_adapters::provider::BadCaBundle;
use keyherd_adapters::seal::KeyError;
use keyherd_adapters::store::{postgres, sqlite};
use keyherd_adapters::system::NoEntropy;
use keyherd_core::ports::{JournalError, StoreError};

use crate::config::ConfigError;

/// What stands in the way: each variant is the adapter's error that it holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    File(#[from] sqlite::OpenError),
    #[error(transparent)]
    Fleet(#[from] postgres::OpenError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    CaBundle(#[from] BadCaBundle),
    #[error(
        "the store {} is missing or empty, but {} holds answers that belong to one: restore a backup of the store, or move \
         the journal away to begin anew",
        database.display(),
        journal.display()
    )]
    StoreLost { database: PathBuf, journal: PathBuf },
    #[error(
        "the master key file {} is missing, and {place} has a store that another host made: bring the master key of that \
         host (copy the file, or set KEYHERD_MASTER_KEY)",
        path.display()
    )]
    KeyElsewhere { path: PathBuf, place: String },
    #[error("the roots that upstreams are verified by cannot be read: {0}")]
    Roots(std::io::Error),
    #[error("{0}: try again, or look at the sandbox this runs in")]
    Entropy(#[from] NoEntropy),
}

impl WireError {
    /// Whether the same may well succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::File(error) => {
                matches!(
                    error,
                    sqlite::OpenError::Upgrading { .. }
                        | sqlite::OpenError::Store(StoreError::Unavailable(_) | StoreError::Unanswered(_))
                )
            }
            Self::Fleet(error) => matches!(
                error,
                postgres::OpenError::Rotating { .. }
                    | postgres::OpenError::Store(StoreError::Unavailable(_) | StoreError::Unanswered(_))
            ),
            _ => false,
        }
    }
}
