//! `[api]`: where the REST door is, its certificate, and its bounds.

use std::path::PathBuf;

use serde::Deserialize;

use super::file::FileSettings;
use super::{ConfigError, Environment, ListenFlags};

/// Where the API listens unless it is told otherwise.
const LISTEN: &str = "127.0.0.1:8484";

/// `[api]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ApiKeys {
    listen: Option<String>,
}

/// The API's settings, resolved.
#[derive(Debug, Clone)]
pub(crate) struct ApiSettings {
    /// `ADDRESS:PORT`; the address may be a name.
    pub(crate) listen: String,
    /// Certificate and key.
    pub(crate) tls: Option<TlsFiles>,
}

/// A server's certificate chain and its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, the server's own first.
    pub(crate) cert: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

/// What the file says of listening, kept until a command wants to listen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listening {
    api: ApiKeys,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    proxy: Option<String>,
}

impl Listening {
    pub(super) fn of(file: &FileSettings) -> Self {
        Self {
            api: file.api.clone(),
            tls_cert: file.tls_cert.clone(),
            tls_key: file.tls_key.clone(),
            proxy: file.proxy.clone(),
        }
    }

    /// Flag before environment before file.
    pub(crate) fn resolve(
        &self,
        flags: &ListenFlags,
        environment: &Environment,
    ) -> Result<ApiSettings, ConfigError> {
        if flags.proxy.is_some() || environment.has("KEYHERD_PROXY") || self.proxy.is_some() {
            return Err(ConfigError::NotYet { setting: "--proxy", what: "the proxy" });
        }
        let listen = match &flags.api {
            Some(listen) => Some(listen.clone()),
            None => environment.text("KEYHERD_API")?.or_else(|| self.api.listen.clone()),
        };
        let given = |flag: &Option<PathBuf>, variable, file: &Option<PathBuf>| {
            flag.clone().or_else(|| environment.path(variable)).or_else(|| file.clone())
        };
        let cert = given(&flags.tls_cert, "KEYHERD_TLS_CERT", &self.tls_cert);
        let key = given(&flags.tls_key, "KEYHERD_TLS_KEY", &self.tls_key);
        Ok(ApiSettings { listen: listen.unwrap_or_else(|| LISTEN.to_owned()), tls: tls(cert, key)? })
    }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    let alone = |setting, other| ConfigError::Unfit { setting, problem: format!("needs {other} with it") };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (Some(_), None) => Err(alone("--tls-cert", "--tls-key")),
        (None, Some(_)) => Err(alone("--tls-key", "--tls-cert")),
        (None, None) => Ok(None),
    }
}
