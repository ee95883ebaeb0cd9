//! Where a PostgreSQL is, and how it is spoken to: a `postgres://` URL, with libpq's meaning of `sslmode`.
//!
//! Owns reading the URL. Never shows its password.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use url::Url;

use super::tls::{Tls, Trust};

/// A URL that cannot be used. Never quotes it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the PostgreSQL URL cannot be used: {0}")]
pub struct BadTarget(pub String);

/// What the server has not acknowledged for so long is given up, together with its connection: a statement whose reply was
/// waited for in vain must not arrive when everybody has stopped reckoning with it.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

const ESCAPE: &str = "in a password, what is neither letter nor digit is written as %XX";

/// A server and a database in it.
#[derive(Clone)]
pub struct Target {
    pub(super) config: Config,
    pub(super) tls: Arc<Tls>,
    shown: String,
}

impl Target {
    /// From `postgres://user:password@host:port/database?sslmode=…`. Several hosts stand after one another, by comma.
    ///
    /// `sslmode` is `disable`, `prefer` (the default), `require` (encrypted; the certificate is verified where there is
    /// a CA bundle, as libpq does where there is a root file), `verify-ca` or `verify-full`. `target_session_attrs` is
    /// `read-write` unless it says otherwise, and `tcp_user_timeout` five seconds.
    ///
    /// # Errors
    /// [`BadTarget`] says which part.
    pub fn parse(url: &str, ca_bundle: Option<PathBuf>) -> Result<Self, BadTarget> {
        let (rest, mode) = without_sslmode(url)?;
        let mut config: Config = rest.parse().map_err(|error| BadTarget(reason(&error)))?;
        let trust = match (mode.as_str(), &ca_bundle) {
            ("disable" | "prefer", _) | ("require", None) => Trust::Anyone,
            ("require" | "verify-ca", _) => Trust::Roots,
            ("verify-full", _) => Trust::RootsAndName,
            _ => {
                return Err(BadTarget(
                    "sslmode is disable, prefer, require, verify-ca or verify-full".into(),
                ));
            }
        };
        config.ssl_mode(match mode.as_str() {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if !url.contains("target_session_attrs=") {
            // Of several hosts the one that takes writes, and no standby that once was that one.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("keyherd");
        }
        if config.get_hosts().is_empty() {
            return Err(BadTarget("it names no host".into()));
        }
        // The rest of a password with an at sign in it, which would be shown as a host; or, with a slash after that, as
        // the database.
        let has_rest = |part: &str| part.contains('@');
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if has_rest(name)))
            || config.get_dbname().is_some_and(has_rest)
        {
            return Err(BadTarget(ESCAPE.into()));
        }
        let shown = shown(&config);
        Ok(Self { config, tls: Arc::new(Tls::new(trust, ca_bundle)), shown })
    }
}

impl Target {
    /// Whether it is the same server, reached in the same way.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.config == other.config
    }

    /// Who logs in, for messages; none: whoever runs this process.
    pub(crate) fn user(&self) -> Option<&str> {
        self.config.get_user()
    }
}

/// Host, port and database: for messages.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

/// The driver knows fewer modes than libpq.
fn without_sslmode(url: &str) -> Result<(String, String), BadTarget> {
    let Some((place, query)) = url.split_once('?') else { return Ok((url.into(), "prefer".into())) };
    let mut mode = "prefer".to_owned();
    // Only the query is read as a URL: a list of hosts is none.
    let parsed = Url::parse(&format!("x://x?{query}")).map_err(|_| BadTarget("its parameters".into()))?;
    let mut others = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parsed.query_pairs() {
        if name == "sslmode" {
            mode = value.into_owned();
        } else {
            others.append_pair(&name, &value);
        }
    }
    // What the form writes as a plus the driver would read as one.
    Ok((format!("{place}?{}", others.finish().replace('+', "%20")), mode))
}

/// The driver's words name the part and do not quote it, but for a parameter's name: that may be the rest of a password
/// with a question mark in it.
fn reason(error: &tokio_postgres::Error) -> String {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    match reason.starts_with("unknown option") {
        true => {
            "it has a parameter that there is not; in a password, write what is not a letter or digit as %XX"
                .into()
        }
        false => reason,
    }
}

fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| {
        let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{hosts}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}
