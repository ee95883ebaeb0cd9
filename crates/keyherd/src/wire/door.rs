//! The REST door over a wired process: its key, its listener, its certificate.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyherd_adapters::durable;
use keyherd_adapters::signer::Hs256Signer;
use keyherd_adapters::system::OsEntropy;
use keyherd_api::{Annex, Api, ApiState, Callers, Metrics, serve};
use keyherd_core::ports::Entropy;
use keyherd_core::secret::Secret;
use keyherd_core::workers::Workers;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Wired;
use super::listener::bind;
use super::tls::server_config;
use crate::config::{ApiSettings, ConfigError};

/// The admin token's file, in the data folder.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";
/// What the token begins with, so that it is known for what it is where it turns up.
const ADMIN_TOKEN_PREFIX: &str = "keyherd_admin_";
/// Shorter ones could be guessed.
const ADMIN_TOKEN_LEN_MIN: usize = 16;
/// More is not read of the file, in bytes.
const ADMIN_TOKEN_LEN_MAX: u64 = 64 * 1024;

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Plain HTTP is for this machine only.
    #[error(
        "the API would listen on {0} without TLS: give --tls-cert and --tls-key, or listen on a loopback address"
    )]
    Bare(SocketAddr),
    /// The address cannot be had.
    #[error("the API cannot listen on {listen}: {problem}: choose another address with --api")]
    Listen {
        /// As it was given.
        listen: String,
        /// What the system says.
        problem: io::Error,
    },
    /// The proxy cannot be opened.
    #[error("the proxy cannot listen on {listen}: {problem}: choose another address with --proxy")]
    Proxy {
        /// As it was given.
        listen: String,
        /// What is wrong.
        problem: String,
    },
    /// The admin token's file cannot be read or made.
    #[error("the admin token {} {problem}", path.display())]
    AdminToken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// Certificate or key.
    #[error("{} {problem}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Its settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Metrics are recorded elsewhere in this process already.
    #[error(transparent)]
    Metrics(#[from] keyherd_api::MetricsError),
}

/// An open door: bound, not yet serving.
pub(crate) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    api: Api,
}

impl Door {
    /// Binds the address. Off loopback only with a certificate.
    pub(crate) async fn open(
        settings: &ApiSettings,
        wired: &Wired,
        metrics: Metrics,
        admin_token: &Secret,
        annex: Arc<dyn Annex>,
    ) -> Result<Self, DoorError> {
        let failed = |problem| DoorError::Listen { listen: settings.listen.clone(), problem };
        let tls = settings.tls.as_ref().map(server_config).transpose()?;
        let addresses: Vec<_> = tokio::net::lookup_host(&settings.listen).await.map_err(failed)?.collect();
        if let Some(open) = addresses.iter().find(|address| tls.is_none() && !address.ip().is_loopback()) {
            return Err(DoorError::Bare(*open));
        }
        let listener = bind(&addresses, settings.limits.backlog_max).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = ApiState {
            broker: wired.broker.clone(),
            callers: Callers::new(admin_token),
            metrics,
            hosts: settings.hosts.clone(),
            annex: Some(annex),
            signer: Arc::new(Hs256Signer::new(&wired.broker.ports().hasher)),
            shelf: wired.shelf.clone(),
        };
        Ok(Self { listener, address, tls, api: Api::new(state, settings.limits.clone()) })
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, where it has one: the proxy's too.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop`; then finishes what is in flight. `false`: some requests had to be cut off.
    pub(crate) async fn serve(self, workers: &Workers, stop: CancellationToken) -> bool {
        serve(self.listener, self.api, self.tls, workers, stop).await
    }
}

/// The data folder's admin token; made where it is missing.
pub(crate) fn admin_token(data: &Path) -> Result<Secret, DoorError> {
    let path = data.join(ADMIN_TOKEN_FILE);
    let wrong = |problem: String| DoorError::AdminToken { path: path.clone(), problem };
    let unreadable = |error: io::Error| wrong(format!("cannot be read or made: {error}"));
    let found = match read_private(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = durable::create(&path, format!("{}\n", *new_token().map_err(unreadable)?).as_bytes());
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => read_private(&path),
            }
        }
        found => found,
    };
    let (text, mode) = found.map_err(unreadable)?;
    let text = Zeroizing::new(text);
    if mode & 0o077 != 0 {
        let shown = path.display();
        return Err(wrong(format!("is open to others (mode {mode:04o}): run 'chmod 600 {shown}'")));
    }
    match text.trim() {
        token if token.len() < ADMIN_TOKEN_LEN_MIN => {
            Err(wrong("is too short to be one: remove the file, and a new one is made".into()))
        }
        token => Ok(Secret::from(token)),
    }
}

/// The file's text, and what its permissions are.
fn read_private(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    let mut text = String::new();
    file.take(ADMIN_TOKEN_LEN_MAX).read_to_string(&mut text)?;
    Ok((text, mode))
}

fn new_token() -> io::Result<Zeroizing<String>> {
    use std::fmt::Write;
    let mut bytes = Zeroizing::new([0; 32]);
    OsEntropy::new().map_err(io::Error::other)?.fill(&mut *bytes);
    let mut token = Zeroizing::new(String::with_capacity(ADMIN_TOKEN_PREFIX.len() + 2 * bytes.len()));
    token.push_str(ADMIN_TOKEN_PREFIX);
    for byte in &*bytes {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    Ok(token)
}
