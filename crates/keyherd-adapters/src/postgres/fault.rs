//! What can go wrong between here and PostgreSQL, told apart by what a caller may conclude.
//!
//! Owns the reading of SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). A server's message or
//! detail may quote a row's values: neither is passed on but for classes that name objects and roles only.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// A statement that did not do what it was sent for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The server cannot be reached, or is not up: nothing was changed.
    #[error("PostgreSQL is unavailable: {0}")]
    Unavailable(String),
    /// A bounded wait passed, which one it says: nothing was changed.
    #[error("PostgreSQL is too slow: {0}")]
    TimedOut(&'static str),
    /// A row with the same key is there already.
    #[error("a row with this key is there already ({0})")]
    Unique(String),
    /// Two transactions stood in each other's way, and this one was rolled back: it may be tried again.
    #[error("another transaction stood in the way")]
    Serialization,
    /// The session does not know a statement that was prepared in it, or knows it otherwise: nothing was changed, and it
    /// may be tried again.
    #[error("a prepared statement is not known any more")]
    Forgotten,
    /// The server takes no writes: a standby, or set so.
    #[error("PostgreSQL takes no writes here: a standby, or default_transaction_read_only is on")]
    ReadOnly,
    /// No space, memory or connection is left on the server.
    #[error("PostgreSQL has no room left: {0}")]
    Full(String),
    /// The server does not let this role do this.
    #[error("PostgreSQL does not permit it: {0}")]
    Permission(String),
    /// The server does not let this role in.
    #[error("PostgreSQL refuses the login: {0}")]
    Login(String),
    /// There is no such database, or a table is not where `search_path` leads: nothing is said to be damaged.
    #[error("{0}")]
    Missing(String),
    /// TLS cannot be had as the URL asks for it: so it stays until somebody changes something.
    #[error("{0}")]
    Tls(String),
    /// The connection was lost after COMMIT was sent and before its reply: whether it was committed has to be looked up.
    #[error("the reply to a commit was lost: {0}")]
    UnknownOutcome(String),
    /// Anything else, by SQLSTATE and what it names.
    #[error("PostgreSQL refused a statement ({code}): {problem}")]
    Other {
        /// SQLSTATE; "client" where the error is on this side.
        code: String,
        /// What is known of it; never a row's value.
        problem: String,
    },
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(told) => told_by_server(told),
            None => found_here(&error),
        }
    }
}

impl WireError {
    /// What went wrong in a few words of ours, for whoever may ask without a name: a server's own words tell of roles,
    /// databases and addresses.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "it cannot be reached",
            Self::TimedOut(_) => "it is too slow",
            Self::ReadOnly => "it takes no writes",
            Self::Full(_) => "it has no room left",
            Self::Permission(_) => "it does not permit it",
            Self::Login(_) => "it refuses the login",
            Self::Missing(_) => "there is no such database or table",
            Self::Tls(_) => "TLS cannot be had as its URL asks",
            Self::UnknownOutcome(_) => "a reply was lost",
            Self::Unique(_) | Self::Serialization | Self::Forgotten | Self::Other { .. } => {
                "it refused a statement"
            }
        }
    }

    /// Whether the connection that this came from is of no use any more, as far as this tells.
    pub(super) fn breaks(&self) -> bool {
        let is_lost = matches!(self, Self::Unavailable(_) | Self::TimedOut(_) | Self::UnknownOutcome(_));
        is_lost || self.is_of_session()
    }

    /// Whether another session may be another matter. One to a server that became a standby would stay for ever: the next
    /// one may be led to the server that takes writes now. And a role's or database's settings, such as `search_path`, are
    /// those of the moment at which a session began, whoever corrects them.
    pub(super) fn is_of_session(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::Forgotten | Self::Missing(_) | Self::Permission(_))
    }
}

/// Whether a failed COMMIT certainly committed nothing. A server that ends while it commits may have done so before.
pub(super) fn is_definite(error: &Error) -> bool {
    error.as_db_error().is_some_and(|told| {
        let lasting = matches!(told.parsed_severity(), Some(Severity::Error));
        lasting && !matches!(told.code().code(), "40003" | "08007")
    })
}

fn told_by_server(told: &DbError) -> WireError {
    let code = told.code().code();
    // Names, never values: what these classes are about.
    let message = || format!("{} (SQLSTATE {code})", told.message());
    match code {
        "23505" => WireError::Unique(told.constraint().unwrap_or("a unique index").to_owned()),
        "40001" | "40P01" => WireError::Serialization,
        "25006" => WireError::ReadOnly,
        // A name that is not known; one whose plan a change of the schema has outdated; and the session's own question.
        // Statements of ours divide by nothing else.
        "26000" | "0A000" | "22012" => WireError::Forgotten,
        "57014" => WireError::TimedOut("a statement passed statement_timeout, or was cancelled"),
        "55P03" => WireError::TimedOut("a lock was not had in time"),
        "25P03" => WireError::TimedOut("a transaction was idle for too long"),
        "42501" => WireError::Permission(message()),
        _ => match &code[..2] {
            "53" => WireError::Full(message()),
            "28" => WireError::Login(message()),
            "08" | "57" => WireError::Unavailable(message()),
            "3D" => WireError::Missing(format!("{}: create it, or correct the URL", message())),
            "3F" => WireError::Missing(format!("{}: {SEARCH_PATH}", message())),
            _ if code == "42P01" => WireError::Missing(format!(
                "{}: {SEARCH_PATH}; or it was dropped: restore a backup",
                message()
            )),
            "42" => WireError::Other { code: code.into(), problem: told.message().into() },
            _ => WireError::Other { code: code.into(), problem: named(told) },
        },
    }
}

/// What an error is about, without its words.
fn named(told: &DbError) -> String {
    let names = [("table", told.table()), ("column", told.column()), ("constraint", told.constraint())];
    let names = names.iter().filter_map(|(what, name)| name.map(|name| format!("{what} {name}")));
    let named = names.collect::<Vec<_>>().join(", ");
    if named.is_empty() { "see the server's log".to_owned() } else { named }
}

/// A table that is not seen need not be gone.
const SEARCH_PATH: &str = "no schema in search_path has it: create the schema, or correct search_path, in the URL's options \
     or by ALTER ROLE … SET search_path";

/// The driver's words for a server that answers the request for TLS with no.
const NO_TLS: &str = "server does not support TLS";

/// Why a handshake failed that will fail again. One that was cut off may be the server's end.
fn tls_problem(error: &Error) -> Option<String> {
    let cause = error.source()?;
    if cause.to_string() == NO_TLS {
        return Some(
            "the server does not speak TLS, and sslmode asks for it: switch ssl on there, or ask for less (sslmode=prefer or \
             disable, which verify nothing)"
                .into(),
        );
    }
    let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    inner.is::<rustls::Error>().then(|| {
        format!(
            "the server's TLS is refused ({inner}): give its authority with --ca-bundle, or the name that its certificate has"
        )
    })
}

/// The client's own errors. Those of encoding and decoding may quote a value: only their kind is told.
fn found_here(error: &Error) -> WireError {
    let broken =
        error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    let text = error.to_string();
    // What `target_session_attrs` found.
    if error.source().is_some_and(|cause| cause.to_string() == "database does not allow writes") {
        return WireError::ReadOnly;
    }
    if text.starts_with("error performing TLS")
        && let Some(problem) = tls_problem(error)
    {
        return WireError::Tls(problem);
    }
    if broken || text.starts_with("error connecting") || text.starts_with("error performing TLS") {
        return WireError::Unavailable(chain(error));
    }
    if text.starts_with("authentication") || text.starts_with("invalid configuration") {
        return WireError::Login(chain(error));
    }
    let kind = text.split(':').next().unwrap_or_default().to_owned();
    WireError::Other { code: "client".into(), problem: kind }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
