//! What SQLite says, and how it is told: which file, what, and the way out.
//!
//! Owns the reading of SQLite's result codes (<https://www.sqlite.org/rescode.html>). No message holds a bound value:
//! SQLite's own texts name tables and files only.

use std::path::Path;

use keyherd_core::ports::StoreError;

use crate::store::fault::Fault;

/// What to do before a damaged file is replaced.
const RESCUE: &str =
    "stop keyherd, keep a copy of the file, then restore a backup ('keyherd doctor' checks it)";

/// A failure inside SQLite's own part, before it is told whose file it is.
#[derive(Debug)]
pub(super) enum FileFault {
    /// SQLite, or the way to it.
    Sql(sqlx::Error),
    /// Anything else.
    Store(Fault),
}

impl From<sqlx::Error> for FileFault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for FileFault {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}

impl FileFault {
    /// For callers outside: with the file's name and the way out.
    pub(super) fn explain(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => explain_sql(&path.display(), &error),
            Self::Store(fault) => explain(fault, path),
        }
    }

    /// For the rooms.
    pub(super) fn told(self, path: &Path) -> Fault {
        match self {
            Self::Sql(error) => Fault::Told(explain_sql(&path.display(), &error)),
            Self::Store(fault) => fault,
        }
    }
}

pub(super) fn explain(fault: Fault, path: &Path) -> StoreError {
    fault.explain(&path.display(), RESCUE)
}

/// SQLite's primary result codes, as far as they are told apart here.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const CONSTRAINT_TRIGGER: i32 = 1811;
    pub(super) const NOTADB: i32 = 26;
}

/// SQLite's extended result code, where the error is SQLite's.
fn code_of(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn explain_sql(path: &impl std::fmt::Display, error: &sqlx::Error) -> StoreError {
    let Some(extended) = code_of(error) else { return explain_driver(path, error) };
    if extended == code::CONSTRAINT_TRIGGER {
        return StoreError::Sealed(format!(
            "{path}: the master key was rotated, and this process still has the old one: give it the new one, then start it again"
        ));
    }
    match extended & 0xff {
        code::BUSY | code::LOCKED => StoreError::Unavailable(format!(
            "{path} is held by another process for too long: find it with 'fuser {path}', or try again"
        )),
        code::FULL => {
            StoreError::Unwritable(format!("there is no space left for {path}: free some on its disk"))
        }
        code::READONLY | code::PERM => StoreError::Unwritable(format!(
            "{path} may not be written: give this user the file and its folder, and see that the disk is not mounted read-only"
        )),
        code::CANTOPEN => StoreError::Unavailable(format!(
            "{path} or a file beside it cannot be opened: give this user the file and its folder"
        )),
        code::IOERR => StoreError::Unanswered(format!(
            "reading or writing {path} failed (SQLite code {extended}): check the disk and its space, then try again"
        )),
        code::NOTADB => StoreError::Corrupt(format!(
            "{path} is not a database: if it was one, stop keyherd and restore a backup; else choose another --data or --database-url"
        )),
        code::CORRUPT => StoreError::Corrupt(damaged(path, &format!("SQLite code {extended}"))),
        _ => StoreError::Corrupt(damaged(path, &error.to_string())),
    }
}

fn explain_driver(path: &impl std::fmt::Display, error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            StoreError::Unanswered(format!("{path} cannot be reached: {error}"))
        }
        _ => StoreError::Corrupt(damaged(path, &error.to_string())),
    }
}

fn damaged(path: &impl std::fmt::Display, problem: &str) -> String {
    format!("{path}: {problem}: {RESCUE}")
}
