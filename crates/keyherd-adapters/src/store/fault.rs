//! What can go wrong inside a store, before it is told whose store it is.
//!
//! Owns what every engine can meet. What only one engine can say, it has explained itself by the time it is here. No
//! message holds a bound value.

use keyherd_core::ports::StoreError;

use crate::seal::{KeyError, SealError};

/// A failure inside a store.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The engine has said all there is to say.
    Told(StoreError),
    /// The bounded wait for this process's own connections passed.
    Busy,
    /// Another transaction stood in the way, and nothing was changed: it may be tried again.
    Contended(String),
    /// Sealed under a key that is not here.
    Sealed(String),
    /// A row says what no program of ours writes.
    Damaged(String),
}

impl From<KeyError> for Fault {
    fn from(error: KeyError) -> Self {
        Self::Sealed(error.to_string())
    }
}

impl From<SealError> for Fault {
    fn from(error: SealError) -> Self {
        Self::Sealed(error.to_string())
    }
}

impl Fault {
    /// A sealed value of `kind` in `row` that does not open, or cannot be made.
    pub(crate) fn seal(kind: &str, row: i64, error: &SealError) -> Self {
        match error {
            SealError::UnknownKey(_) => Self::Sealed(format!("{kind} is {error}")),
            SealError::Damaged => Self::Damaged(format!("{kind} of row {row}: {error}")),
            _ => Self::Sealed(error.to_string()),
        }
    }

    /// NULL where no program of ours leaves one.
    pub(crate) fn missing(column: &'static str) -> Self {
        Self::Damaged(format!("column '{column}' is empty"))
    }

    /// For callers outside: with the store's name and the way out. `copy` says what to do before a restore.
    pub(crate) fn explain(self, place: &dyn std::fmt::Display, rescue: &str) -> StoreError {
        match self {
            Self::Told(error) => error,
            Self::Busy => StoreError::Unavailable(format!(
                "this process has more to do with {place} than it can do in time: try again"
            )),
            Self::Contended(problem) => StoreError::Unavailable(format!("{place}: {problem}: try again")),
            Self::Sealed(problem) => StoreError::Sealed(format!("{place}: {problem}")),
            Self::Damaged(problem) => StoreError::Corrupt(format!("{place}: {problem}: {rescue}")),
        }
    }
}
