//! The demo's provider: a token endpoint on loopback, as strict as the strictest real ones.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyherd_adapters::system::OsEntropy;
use keyherd_core::ports::Entropy;
use keyherd_core::secret::Secret;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::account::{Account, Counts};
use super::{BACKLOG_MAX, http};
use crate::wire::bind;

/// Connections served at once; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// A request that takes longer than this is nobody's.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A token endpoint and its accounts, one for each client id.
pub(super) struct DemoProvider {
    address: SocketAddr,
    accounts: Mutex<HashMap<String, Account>>,
    lifetime_seconds: AtomicU64,
    latency: Duration,
    entropy: OsEntropy,
}

impl DemoProvider {
    /// Listens on a free port of this machine until the process ends.
    pub(super) async fn start(lifetime: Duration, latency: Duration) -> io::Result<Arc<Self>> {
        let listener = bind(&[(Ipv4Addr::LOCALHOST, 0).into()], BACKLOG_MAX)?;
        let provider = Arc::new(Self {
            address: listener.local_addr()?,
            accounts: Mutex::default(),
            lifetime_seconds: AtomicU64::new(lifetime.as_secs()),
            latency,
            entropy: OsEntropy::new().map_err(io::Error::other)?,
        });
        tokio::spawn(Arc::clone(&provider).accept(listener));
        Ok(provider)
    }

    pub(super) fn token_url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// How long its access tokens live.
    pub(super) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_seconds.load(Ordering::Relaxed))
    }

    /// From now on they live so long.
    pub(super) fn grants_for(&self, lifetime: Duration) {
        self.lifetime_seconds.store(lifetime.as_secs(), Ordering::Relaxed);
    }

    /// Opens an account, and gives its first refresh token.
    pub(super) fn open_account(&self, client_id: &str) -> Secret {
        let token = self.mint("rt");
        self.accounts().insert(client_id.to_owned(), Account::new(token.clone()));
        token.into()
    }

    /// What came for an account so far.
    pub(super) fn counts(&self, client_id: &str) -> Counts {
        self.accounts().get(client_id).map(Account::counts).unwrap_or_default()
    }

    /// Whether an account was revoked.
    pub(super) fn is_revoked(&self, client_id: &str) -> bool {
        self.accounts().get(client_id).is_some_and(Account::is_revoked)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let provider = Arc::clone(&self);
            tokio::spawn(async move {
                let _place = place;
                // A client that left has its own deadline.
                let _ = tokio::time::timeout(REQUEST_TIMEOUT, provider.serve(stream)).await;
            });
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(asked) = http::read(&mut stream).await else { return Ok(()) };
        let (status, body) = self.decide(&asked);
        tokio::time::sleep(self.latency).await;
        http::answer(&mut stream, status, &body).await
    }

    fn decide(&self, asked: &http::Asked) -> (&'static str, String) {
        if !asked.head.starts_with("POST /token ") {
            return ("404 Not Found", json!({"error": "not_found"}).to_string());
        }
        let (client, token) = (asked.param("client_id"), asked.param("refresh_token"));
        let next = self.mint("rt");
        let mut accounts = self.accounts();
        let account = client.and_then(|client| accounts.get_mut(&client));
        match account.zip(token).is_some_and(|(account, token)| account.spend(&token, next.clone())) {
            true => ("200 OK", self.granted(&next)),
            false => ("400 Bad Request", json!({"error": "invalid_grant"}).to_string()),
        }
    }

    fn granted(&self, refresh_token: &str) -> String {
        let answer = json!({
            "access_token": self.mint("at"),
            "token_type": "Bearer",
            "expires_in": self.lifetime().as_secs(),
            "refresh_token": refresh_token,
        });
        answer.to_string()
    }

    fn mint(&self, kind: &str) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        bytes.iter().fold(format!("demo-{kind}-"), |mut token, byte| {
            // Writing to a String cannot fail.
            let _ = write!(token, "{byte:02x}");
            token
        })
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
