//! `--server` and `[server]`: a server that runs the verbs instead, who asks it, and the bounds of asking.

use std::path::PathBuf;
use std::time::Duration;

use keyherd_core::provider::{BadEndpoint, check_endpoint};
use keyherd_core::secret::Secret;
use serde::Deserialize;
use url::Url;

use super::file::FileSettings;
use super::number::{count, seconds};
use super::{ConfigError, Environment, Flags};

/// The variable with the bearer. It is never a flag: arguments are seen by everyone on the machine.
const TOKEN: &str = "KEYHERD_TOKEN";

/// `[client]`: the bounds of one request to a server.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerBounds {
    /// Name, address and TLS.
    #[serde(rename = "connect_timeout_seconds", deserialize_with = "seconds::<_, 100, 600_000>")]
    pub(crate) connect_timeout: Duration,
    /// A whole request, connecting and answer, where the caller does not say how long it waits.
    #[serde(rename = "answer_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    pub(crate) answer_timeout: Duration,
    /// What a request may take beyond the caller's own `--wait`: the way there and back.
    #[serde(rename = "wait_margin_seconds", deserialize_with = "seconds::<_, 100, 60_000>")]
    pub(crate) wait_margin: Duration,
    /// A look through the whole audit log.
    #[serde(rename = "verify_timeout_seconds", deserialize_with = "seconds::<_, 100, 86_400_000>")]
    pub(crate) verify_timeout: Duration,
    /// The largest answer, in bytes.
    #[serde(rename = "answer_bytes_max", deserialize_with = "count::<_, _, 1_024, 1_073_741_824>")]
    pub(crate) answer_len_max: usize,
}

impl Default for ServerBounds {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // Longer than a server lets a removal wait for a refresh under way.
            answer_timeout: Duration::from_secs(15),
            wait_margin: Duration::from_secs(2),
            verify_timeout: Duration::from_secs(600),
            answer_len_max: 64 * 1024 * 1024,
        }
    }
}

/// A server that runs the verbs instead.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    /// Where it is: https, or http to this machine.
    pub(crate) url: Url,
    /// Who asks.
    pub(crate) token: Secret,
    /// More roots towards it.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Bounds of a request.
    pub(crate) bounds: ServerBounds,
}

/// Flag before environment before file; none: this process opens the store.
pub(super) fn server(
    flags: &Flags,
    file: &FileSettings,
    environment: &Environment,
    ca_bundle: Option<&PathBuf>,
) -> Result<Option<ServerSettings>, ConfigError> {
    let url = match &flags.server {
        Some(url) => Some(url.clone()),
        None => environment.text("KEYHERD_SERVER")?.or_else(|| file.server.clone()),
    };
    let Some(url) = url else { return Ok(None) };
    if flags.database_url.is_some() {
        let problem = "and --database-url exclude each other: the server has the store".into();
        return Err(ConfigError::Unfit { setting: "--server", problem });
    }
    let token = environment.secret(TOKEN)?.ok_or_else(|| ConfigError::Variable {
        name: TOKEN,
        problem: "is not set: --server needs the bearer that the server knows this caller by".into(),
    })?;
    // What cannot stand in a header would be told much later, as if the server were at fault.
    if token.expose().chars().any(|c| !c.is_ascii_graphic()) {
        return Err(ConfigError::Variable {
            name: TOKEN,
            problem: "has a space, a line break or another character that no bearer has: give it as it stands in the \
                      server's file 'admin.token'"
                .into(),
        });
    }
    Ok(Some(ServerSettings { url: parse(&url)?, token, ca_bundle: ca_bundle.cloned(), bounds: file.client }))
}

/// The text is not repeated: it may hold a password.
fn parse(text: &str) -> Result<Url, ConfigError> {
    let unfit = |problem: String| ConfigError::Unfit { setting: "--server", problem };
    let url = check_endpoint("the server's URL", text).map_err(|error| match error {
        BadEndpoint::UserInfo { host, .. } => unfit(format!(
            "the server's URL to '{host}' has a user or password in it: leave them out, and give the bearer in KEYHERD_TOKEN"
        )),
        other => unfit(other.to_string()),
    })?;
    match url.query() {
        Some(_) => Err(unfit("takes no query: write it as https://host:8484".into())),
        None => Ok(url),
    }
}
