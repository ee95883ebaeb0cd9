//! What `acquire` gives: a token or a refusal as values, and what can go wrong.

use super::{Lost, Token};
use crate::ids::{BadName, Name};
use crate::ports::{JournalError, StoreError};
use crate::refresh::Refusal;

/// What a caller gets.
#[derive(Debug, Clone)]
pub enum Acquired {
    /// A valid token.
    Token(Token),
    /// None now, and why.
    Refused(Refusal),
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The name is none.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// Nothing of that name.
    #[error("no credential or pool is named '{0}': see 'keyherd cred list' and 'keyherd pool list'")]
    NotFound(Name),
    /// The store failed, and no valid token is at hand.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The credential, its profile or this installation cannot be used as they are; says which and how to mend it.
    #[error("{0}")]
    Unusable(String),
    /// A mistake of ours: the shared work panicked. Nothing is lost; the next caller starts anew.
    #[error("keyherd failed while refreshing; try again, and report it if it comes back: {0}")]
    Lost(#[from] Lost),
}

impl From<JournalError> for AcquireError {
    fn from(error: JournalError) -> Self {
        match error {
            // It is kept beside the store, and ends as that does: a disk that is full, or not permitted.
            JournalError::Io(_) => Self::Store(StoreError::Unwritable(error.to_string())),
            JournalError::Sealed { .. } | JournalError::Unreadable { .. } => {
                Self::Unusable(error.to_string())
            }
        }
    }
}
