//! Refreshing between processes as the studied peers do it: a lock with a time to live, and polling.
//!
//! Kept as they have it, faults included, on files instead of a Redis and a database, which makes it faster: the token
//! that is spent was read *before* the lock was had; the lock ends by itself after 10 s, whatever the provider takes;
//! it is deleted blindly; a follower looks every 100 ms, and gives up after 3 s.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_adapters::system::SystemClock;
use keyherd_core::ports::{CallLimits, Clock, Delivery, ProviderClient};
use keyherd_core::provider::{Body, ClientApp, Profile, refresh_request};
use keyherd_core::refresh::RefreshBounds;
use keyherd_core::secret::Secret;
use serde_json::{Value, json};
use url::Url;

use crate::{Outcome, Stopwatch};

/// How long a lock holds.
pub const LOCK_TTL: Duration = Duration::from_secs(10);
/// How long a follower waits.
pub const FOLLOWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it looks.
const FOLLOWER_POLL: Duration = Duration::from_millis(100);

/// One process.
#[derive(Debug)]
pub struct LockFilePeer {
    tokens: PathBuf,
    lock: PathBuf,
    unfinished: PathBuf,
    token_url: Url,
    client: HttpProvider,
    profile: Profile,
}

struct Held {
    access: String,
    refresh: String,
    expires_at_ms: i64,
}

impl LockFilePeer {
    /// A process of that number on a shared folder.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(folder: &Path, number: usize, token_url: &str) -> Outcome<Self> {
        Ok(Self {
            tokens: folder.join("tokens.json"),
            lock: folder.join("tokens.lock"),
            unfinished: folder.join(format!("tokens.{number}.tmp")),
            token_url: Url::parse(token_url)?,
            client: HttpProvider::new(HttpOptions::default())?,
            profile: Profile::default(),
        })
    }

    /// Logs in: a refresh token, and no access token yet.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn log_in(folder: &Path, refresh: &str) -> Outcome {
        let body = json!({"access_token": "", "refresh_token": refresh, "expires_at_ms": 0});
        Ok(fs::write(folder.join("tokens.json"), body.to_string())?)
    }

    /// A valid access token.
    ///
    /// # Errors
    /// The provider refuses, or the follower's time is up.
    pub async fn token(&self) -> Outcome<String> {
        // Before the lock: what is spent below may be spent already by then.
        let held = self.read()?;
        if is_fresh(&held) {
            return Ok(held.access);
        }
        if !self.take_lock()? {
            return self.follow().await;
        }
        let refreshed = self.refresh(&held.refresh).await;
        // Blindly: it may be another's by now.
        let _ = fs::remove_file(&self.lock);
        refreshed
    }

    async fn follow(&self) -> Outcome<String> {
        let watch = Stopwatch::start();
        while watch.elapsed() < FOLLOWER_TIMEOUT {
            tokio::time::sleep(FOLLOWER_POLL).await;
            let held = self.read()?;
            if is_fresh(&held) {
                return Ok(held.access);
            }
        }
        Err("nobody refreshed in time".into())
    }

    async fn refresh(&self, token: &str) -> Outcome<String> {
        let client = ClientApp { id: Some("bench"), secret: None };
        let request =
            refresh_request(&self.profile, &self.token_url, &client, &Secret::from(token), &[], None);
        let bounds = RefreshBounds::default();
        let limits = CallLimits {
            connect_timeout: bounds.connect_timeout,
            answer_timeout: bounds.provider_timeout,
            body_len_max: bounds.answer_len_max,
        };
        match self.client.call(&request, &limits, &|| true).await {
            Delivery::Answered(reply) if reply.status == 200 => match &reply.body {
                Body::Bytes(bytes) => self.keep(&serde_json::from_slice(bytes)?),
                _ => Err("the answer is not whole".into()),
            },
            Delivery::Answered(reply) => Err(format!("the provider says {}", reply.status).into()),
            other => Err(format!("no answer: {other:?}").into()),
        }
    }

    fn keep(&self, answer: &Value) -> Outcome<String> {
        let life = answer.get("expires_in").and_then(Value::as_i64).ok_or("no lifetime")?;
        let access = answer.get("access_token").and_then(Value::as_str).ok_or("no access token")?;
        let body = json!({
            "access_token": access,
            "refresh_token": answer.get("refresh_token").ok_or("no refresh token")?,
            "expires_at_ms": SystemClock.now().as_millis() + 1_000 * life,
        });
        fs::write(&self.unfinished, body.to_string())?;
        fs::rename(&self.unfinished, &self.tokens)?;
        Ok(access.to_owned())
    }

    fn read(&self) -> Outcome<Held> {
        let body: Value = serde_json::from_slice(&fs::read(&self.tokens)?)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Held {
            access: text("access_token"),
            refresh: text("refresh_token"),
            expires_at_ms: body.get("expires_at_ms").and_then(Value::as_i64).unwrap_or_default(),
        })
    }

    fn take_lock(&self) -> Outcome<bool> {
        let is_over = |lock: &Path| Some(age(fs::metadata(lock).ok()?.modified().ok()?)? > LOCK_TTL);
        if is_over(&self.lock).unwrap_or(false) {
            let _ = fs::remove_file(&self.lock);
        }
        match OpenOptions::new().write(true).create_new(true).open(&self.lock) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_fresh(held: &Held) -> bool {
    SystemClock.now().as_millis() < held.expires_at_ms
}

fn age(since: SystemTime) -> Option<Duration> {
    let since = since.duration_since(UNIX_EPOCH).ok()?;
    Duration::from_millis(SystemClock.now().as_millis().try_into().ok()?).checked_sub(since)
}
