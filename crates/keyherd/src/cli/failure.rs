//! How a command ends that did not do what it was asked: one exit code and one line.
//!
//! Owns the mapping from outcomes and errors to exit codes. No line holds a secret: the errors it is made of do not.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use keyherd_api::documents::{BadDocument, pool_refusal_line, refusal_line};
use keyherd_core::broker::{AcquireError, AnswerError, ChannelError, ConnectError, ManageError, RuleError};
use keyherd_core::credential::DraftError;
use keyherd_core::ports::{JournalError, ProfileError, ShelfError, StoreError};
use keyherd_core::refresh::Refusal;

use crate::config::ConfigError;
use crate::wire::{DoorError, WireError};

/// What the calling program learns. The numbers are the outside surface's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed; trying again will not help by itself.
    Failed,
    /// It was called wrongly.
    Usage,
    /// A human must log in again.
    Reauth,
    /// Not now: try again.
    NotNow,
    /// Switched off.
    Denied,
    /// Ended by this signal, as shells count it.
    Signal(u8),
    /// As another program ended, or as one of its kind does.
    Code(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Reauth => 3,
            Self::NotNow => 4,
            Self::Denied => 5,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::Code(code) => code,
        }
    }

    fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Disabled => Self::Denied,
            Refusal::ReauthRequired { .. } => Self::Reauth,
            Refusal::Removed => Self::Failed,
            Refusal::Cooling { .. }
            | Refusal::Blocked { .. }
            | Refusal::Unavailable { .. }
            | Refusal::Uncertain { .. }
            | Refusal::TimedOut => Self::NotNow,
        }
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    line: Option<String>,
}

impl Failure {
    /// An end with its line.
    pub(crate) fn new(exit: Exit, line: impl Display) -> Self {
        Self { exit, line: Some(line.to_string()) }
    }

    /// It failed, and this is why.
    pub(crate) fn failed(line: impl Display) -> Self {
        Self::new(Exit::Failed, line)
    }

    /// It was called wrongly.
    pub(crate) fn usage(line: impl Display) -> Self {
        Self::new(Exit::Usage, line)
    }

    /// An end without a line: whoever it would be for knows.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, line: None }
    }

    /// The same with another end, unless it is one of another program's kind already.
    pub(crate) fn ending(self, exit: Exit) -> Self {
        if matches!(self.exit, Exit::Code(_)) { self } else { Self { exit, ..self } }
    }

    /// The same, with what stands before it.
    pub(crate) fn within(self, context: impl Display) -> Self {
        Self { line: self.line.map(|line| format!("{context}: {line}")), ..self }
    }

    /// The same, with what stands behind it.
    pub(crate) fn noting(self, note: impl Display) -> Self {
        Self { line: self.line.map(|line| format!("{line}{note}")), ..self }
    }

    /// Says it on standard error; what is left is the exit code.
    pub(crate) fn told(self) -> Self {
        if let Some(line) = self.line() {
            // There is nobody left to tell that standard error is closed.
            let _ = writeln!(io::stderr(), "keyherd: {line}");
        }
        Self::silent(self.exit)
    }

    /// What it says, without the program's name.
    pub(crate) fn line(&self) -> Option<String> {
        // One line, whatever an error's text may hold.
        self.line.as_ref().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Whether it may go well when it is tried again.
    pub(crate) fn is_for_now(&self) -> bool {
        self.exit == Exit::NotNow
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.exit.code().into()
    }

    /// A credential's refusal: what, which, what to do.
    pub(crate) fn refused(name: &str, refusal: &Refusal) -> Self {
        Self::new(Exit::of(refusal), refusal_line(name, refusal))
    }

    /// A pool's.
    pub(crate) fn refused_pool(name: &str, refusal: &Refusal) -> Self {
        Self::new(Exit::of(refusal), pool_refusal_line(name, refusal))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Unavailable(_) | StoreError::Unanswered(_) | StoreError::Unwritable(_) => {
                Exit::NotNow
            }
            StoreError::Misconfigured(_) | StoreError::Corrupt(_) | StoreError::Sealed(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<RuleError> for Failure {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Store(error) => error.into(),
            AnswerError::Time { .. } => Self::usage(error),
            other => Self::failed(other),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Store(error) => error.into(),
            taken @ ConnectError::NameTaken(_) => {
                Self::failed(format!("{taken}: reconnect it with --replace, or leave it with --if-absent"))
            }
            other => Self::failed(other),
        }
    }
}

impl From<ShelfError> for Failure {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(if error.is_usage() { Exit::Usage } else { Exit::Failed }, error)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::new(if error.is_passing() { Exit::NotNow } else { Exit::Failed }, error)
    }
}

impl From<DoorError> for Failure {
    fn from(error: DoorError) -> Self {
        let exit = if matches!(error, DoorError::Bare(_)) { Exit::Usage } else { Exit::Failed };
        Self::new(exit, error)
    }
}

macro_rules! simply_failed {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::failed(error)
            }
        }
    )*};
}

simply_failed!(BadDocument, DraftError, JournalError, ProfileError);

/// Standard output that is closed is its reader's wish: no line, and the code that a shell gives for SIGPIPE.
pub(super) fn closed_output(error: &io::Error) -> Failure {
    const SIGPIPE: u8 = 13;
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Signal(SIGPIPE)),
        _ => Failure::failed(format!("standard output cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As through a server, which says `store_unavailable` to all of these.
    #[test]
    fn a_store_that_takes_nothing_now_may_later() {
        let code = |error: StoreError| Failure::from(error).exit.code();
        for error in [StoreError::Unavailable("x".into()), StoreError::Unwritable("x".into())] {
            assert_eq!(code(error), 4);
        }
        assert_eq!(code(StoreError::Corrupt("x".into())), 1);
    }
}
