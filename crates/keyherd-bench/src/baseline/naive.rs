//! Refreshing as a program does without a broker: each task for itself, or one at a time under a mutex.
//!
//! Nothing is journaled and nothing is kept: they are faster than anything that survives its process.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use crate::{InProcessProvider, Outcome, Stopwatch};

/// The tokens, and how long the access token lives on.
#[derive(Debug, Clone, Default)]
struct Held {
    access: String,
    refresh: String,
    minted: Option<(Stopwatch, u64)>,
}

impl Held {
    fn fresh(&self) -> Option<String> {
        let (since, expires_in) = self.minted?;
        (since.elapsed().as_secs() < expires_in).then(|| self.access.clone())
    }

    async fn refresh(&self, provider: &InProcessProvider) -> Outcome<Self> {
        let body = format!("grant_type=refresh_token&refresh_token={}", self.refresh);
        let (status, text) = provider.send(&body).await;
        if status != 200 {
            return Err(format!("the provider says {status}").into());
        }
        let answer: Value = serde_json::from_str(&text)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            access: text("access_token").ok_or("no access token")?,
            refresh: text("refresh_token").ok_or("no refresh token")?,
            minted: answer.get("expires_in").and_then(Value::as_u64).map(|life| (Stopwatch::start(), life)),
        })
    }
}

/// One mutex around look, refresh and keep: the textbook's double check.
#[derive(Debug, Clone)]
pub struct Naive {
    held: Arc<Mutex<Held>>,
    provider: InProcessProvider,
}

impl Naive {
    /// With that refresh token, and no access token.
    pub fn new(provider: InProcessProvider, refresh: String) -> Self {
        Self { held: Arc::new(Mutex::new(Held { refresh, ..Held::default() })), provider }
    }

    /// A valid access token.
    ///
    /// # Errors
    /// The provider refuses.
    pub async fn token(&self) -> Outcome<String> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.fresh() {
            return Ok(token);
        }
        *held = held.refresh(&self.provider).await?;
        Ok(held.access.clone())
    }
}

/// Each for itself: looks, refreshes, keeps; nobody waits for anybody.
#[derive(Debug, Clone)]
pub struct Uncoordinated(Naive);

impl Uncoordinated {
    /// As [`Naive::new`].
    pub fn new(provider: InProcessProvider, refresh: String) -> Self {
        Self(Naive::new(provider, refresh))
    }

    /// A valid access token.
    ///
    /// # Errors
    /// The provider refuses: somebody else has spent the token.
    pub async fn token(&self) -> Outcome<String> {
        let held = self.0.held.lock().await.clone();
        if let Some(token) = held.fresh() {
            return Ok(token);
        }
        let next = held.refresh(&self.0.provider).await?;
        let token = next.access.clone();
        *self.0.held.lock().await = next;
        Ok(token)
    }
}
