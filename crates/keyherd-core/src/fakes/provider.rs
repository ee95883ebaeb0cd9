//! Providers without a network: one that follows a script, and one that rotates and detects reuse.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::ports::{CallLimits, Delivery, ProviderClient, SendGate};
use crate::provider::{Reply, TokenRequest};

/// A complete JSON answer.
pub fn json_reply(status: u16, body: &Value) -> Delivery {
    Delivery::Answered(Reply {
        status,
        content_type: Some("application/json".into()),
        retry_after: None,
        body: body.to_string().into_bytes().into(),
    })
}

/// A granted pair, valid for an hour.
pub fn granted(access: &str, refresh: &str) -> Delivery {
    json_reply(
        200,
        &json!({"access_token": access, "refresh_token": refresh, "expires_in": 3600, "token_type": "Bearer"}),
    )
}

/// Answers as it was told, in order; then that it cannot be reached. Counts calls.
#[derive(Clone)]
pub struct ScriptedProvider(Arc<Script>);

struct Script {
    answers: Mutex<VecDeque<Delivery>>,
    requests: Mutex<Vec<TokenRequest>>,
    open: Semaphore,
    took: Mutex<Duration>,
}

impl ScriptedProvider {
    /// With these answers. Every call takes a second of (paused) time.
    pub fn new(answers: impl IntoIterator<Item = Delivery>) -> Self {
        Self(Arc::new(Script {
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
            open: Semaphore::new(Semaphore::MAX_PERMITS),
            took: Mutex::new(Duration::from_secs(1)),
        }))
    }

    /// Appends an answer.
    pub fn then(&self, answer: Delivery) {
        lock(&self.0.answers).push_back(answer);
    }

    /// How long a call takes from now on.
    pub fn takes(&self, time: Duration) {
        *lock(&self.0.took) = time;
    }

    /// How many requests were sent.
    pub fn calls(&self) -> usize {
        lock(&self.0.requests).len()
    }

    /// The requests, in order.
    pub fn requests(&self) -> Vec<TokenRequest> {
        lock(&self.0.requests).clone()
    }

    /// The bodies of the requests, in order.
    pub fn bodies(&self) -> Vec<String> {
        let requests = lock(&self.0.requests);
        requests
            .iter()
            .filter_map(|request| request.body.as_ref())
            .map(|body| body.expose().to_owned())
            .collect()
    }
}

#[async_trait]
impl ProviderClient for ScriptedProvider {
    async fn call(&self, request: &TokenRequest, limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        let _open = self.0.open.acquire().await;
        if !gate() {
            return Delivery::NotSent { code: "gate_closed".into(), detail: String::new() };
        }
        lock(&self.0.requests).push(request.clone());
        let answer = lock(&self.0.answers).pop_front();
        let took = *lock(&self.0.took);
        if tokio::time::timeout(limits.answer_timeout, tokio::time::sleep(took)).await.is_err() {
            return Delivery::Unanswered { code: "timeout".into(), detail: String::new() };
        }
        answer.unwrap_or(Delivery::NotSent {
            code: "connect_failed".into(),
            detail: "the script is over".into(),
        })
    }
}

/// Rotates at every refresh, and revokes the family when a spent token comes back: as a strict provider does.
#[derive(Clone, Default)]
pub struct RotatingProvider(Arc<Mutex<Families>>);

#[derive(Default)]
struct Families {
    current: HashMap<String, (u64, u64)>,
    spent: HashMap<String, u64>,
    revoked: Vec<u64>,
    next: u64,
    calls: usize,
    reuses: usize,
    took: Duration,
    expires_in: u64,
}

impl RotatingProvider {
    /// Every call takes this long, every token lives this many seconds.
    pub fn new(took: Duration, expires_in: u64) -> Self {
        Self(Arc::new(Mutex::new(Families { took, expires_in, ..Families::default() })))
    }

    /// A new account: its first refresh token.
    pub fn account(&self) -> String {
        let mut families = lock(&self.0);
        families.next += 1;
        let family = families.next;
        let token = format!("refresh-{family}-0");
        families.current.insert(token.clone(), (family, 0));
        token
    }

    /// Requests received.
    pub fn calls(&self) -> usize {
        lock(&self.0).calls
    }

    /// Spent tokens that came back.
    pub fn reuses(&self) -> usize {
        lock(&self.0).reuses
    }

    fn answer(&self, token: &str) -> Delivery {
        let mut families = lock(&self.0);
        families.calls += 1;
        if let Some(family) = families.spent.get(token).copied() {
            families.reuses += 1;
            families.revoked.push(family);
            families.current.retain(|_, (other, _)| *other != family);
        }
        let Some((family, generation)) = families.current.remove(token) else {
            return json_reply(400, &json!({"error": "invalid_grant"}));
        };
        families.spent.insert(token.to_owned(), family);
        let next = format!("refresh-{family}-{}", generation + 1);
        families.current.insert(next.clone(), (family, generation + 1));
        let access = format!("access-{family}-{}", generation + 1);
        json_reply(
            200,
            &json!({"access_token": access, "refresh_token": next, "expires_in": families.expires_in}),
        )
    }
}

#[async_trait]
impl ProviderClient for RotatingProvider {
    async fn call(&self, request: &TokenRequest, _limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        if !gate() {
            return Delivery::NotSent { code: "gate_closed".into(), detail: String::new() };
        }
        let body = request.body.as_ref().map_or("", |body| body.expose());
        let token = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "refresh_token");
        let answer = self.answer(token.as_ref().map_or("", |(_, token)| token));
        let took = lock(&self.0).took;
        tokio::time::sleep(took).await;
        answer
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
