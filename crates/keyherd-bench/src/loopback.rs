//! The accounts behind a real HTTP server on loopback, or behind the port itself; either takes its time to answer.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use keyherd_core::ports::{CallLimits, Delivery, ProviderClient, SendGate};
use keyherd_core::provider::{Reply, TokenRequest};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::worker::shared_now;
use crate::{Accounts, Outcome, Stopwatch};

/// More than a timer may be late.
const GRAIN: Duration = Duration::from_millis(2);

/// A token endpoint that answers after a while. The token is spent when the request arrives, as real ones do.
#[derive(Debug, Clone)]
struct Endpoint {
    accounts: Accounts,
    took_millis: Arc<AtomicU64>,
    is_exact: Arc<AtomicBool>,
    answered_nanos: Arc<AtomicU64>,
}

impl Endpoint {
    fn new(accounts: Accounts, took: Duration) -> Self {
        let endpoint = Self {
            accounts,
            took_millis: Arc::default(),
            is_exact: Arc::default(),
            answered_nanos: Arc::default(),
        };
        endpoint.takes(took);
        endpoint
    }

    fn takes(&self, took: Duration) {
        self.took_millis.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    async fn answer(&self, body: &str) -> (u16, String) {
        let token = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "refresh_token");
        let answer = self.accounts.spend(token.as_ref().map_or("", |(_, token)| token));
        let took = Duration::from_millis(self.took_millis.load(Ordering::Relaxed));
        if self.is_exact.load(Ordering::Relaxed) {
            sleep_exactly(took).await;
        } else {
            tokio::time::sleep(took).await;
        }
        let now = u64::try_from(shared_now().as_nanos()).unwrap_or(u64::MAX);
        self.answered_nanos.store(now, Ordering::Relaxed);
        answer
    }
}

/// The runtime's timers go by milliseconds, and so up to two too late: what is measured to the millisecond is waited for
/// closer. The last of it costs a core, when all that ask for something have asked for it.
async fn sleep_exactly(time: Duration) {
    let watch = Stopwatch::start();
    tokio::time::sleep(time.saturating_sub(GRAIN)).await;
    while watch.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

/// A provider at `http://127.0.0.1:PORT/token`, until it is dropped.
#[derive(Debug)]
pub struct LoopbackProvider {
    endpoint: Endpoint,
    url: String,
    server: AbortHandle,
}

impl LoopbackProvider {
    /// Listens on a free port. Each answer takes that long.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(accounts: Accounts, took: Duration) -> Outcome<Self> {
        let endpoint = Endpoint::new(accounts, took);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/token", listener.local_addr()?);
        let router = Router::new().route("/token", post(token)).with_state(endpoint.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { endpoint, url, server })
    }

    /// The token endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on to a tenth of a millisecond, at the price of a core while it waits for the last of it.
    pub fn exactly(self) -> Self {
        self.endpoint.is_exact.store(true, Ordering::Relaxed);
        self
    }

    /// How long answers take from now on.
    pub fn takes(&self, took: Duration) {
        self.endpoint.takes(took);
    }

    /// When it last answered, on the clock that all processes share.
    pub fn answered(&self) -> Option<Duration> {
        let nanos = self.endpoint.answered_nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.endpoint.accounts
    }
}

impl Drop for LoopbackProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn token(State(endpoint): State<Endpoint>, body: String) -> Response {
    let (status, text) = endpoint.answer(&body).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The same accounts behind the port: no socket in between.
#[derive(Debug, Clone)]
pub struct InProcessProvider(Endpoint);

impl InProcessProvider {
    /// Each answer takes that long.
    pub fn new(accounts: Accounts, took: Duration) -> Self {
        Self(Endpoint::new(accounts, took))
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// From now on to a tenth of a millisecond, at the price of a core while it waits for the last of it.
    pub fn exactly(self) -> Self {
        self.0.is_exact.store(true, Ordering::Relaxed);
        self
    }

    /// Sends a form, as a client without keyherd would: status and body.
    pub async fn send(&self, body: &str) -> (u16, String) {
        self.0.answer(body).await
    }
}

#[async_trait]
impl ProviderClient for InProcessProvider {
    async fn call(&self, request: &TokenRequest, _limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        if !gate() {
            return Delivery::NotSent { code: "gate_closed".into(), detail: String::new() };
        }
        let body = request.body.as_ref().map_or("", |body| body.expose());
        let (status, text) = self.0.answer(body).await;
        Delivery::Answered(Reply {
            status,
            content_type: Some("application/json".into()),
            retry_after: None,
            body: text.into_bytes().into(),
        })
    }
}
