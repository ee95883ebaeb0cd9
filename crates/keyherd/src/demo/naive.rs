//! The herd without keyherd: each refreshes on its own, with the refresh token they all have.

use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_core::ports::{CallLimits, Delivery, ProviderClient};
use keyherd_core::provider::{ClientApp, Profile, TokenRequest, refresh_request};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use super::provider::DemoProvider;
use super::screen::Screen;
use super::{TASKS, uptime};
use crate::cli::Failure;

/// Its own account at the same provider.
const ACCOUNT: &str = "demo-without-keyherd";
/// Calls at once: a process has only so many descriptors.
const AT_ONCE: usize = 200;
const LIMITS: CallLimits = CallLimits {
    connect_timeout: Duration::from_secs(10),
    answer_timeout: Duration::from_secs(10),
    body_len_max: 64 * 1024,
};

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Naive {
    pub(super) tasks: usize,
    pub(super) got_a_token: usize,
    pub(super) provider_calls: usize,
    pub(super) refused: usize,
    pub(super) reuse_detected: usize,
    pub(super) account_revoked: bool,
}

/// Everyone refreshes at the first expiry. There is no second one: the account is gone.
pub(super) async fn ask(provider: &Arc<DemoProvider>, screen: &Screen) -> Result<Naive, Failure> {
    let refresh_token = provider.open_account(ACCOUNT);
    let url = Url::parse(&provider.token_url()).map_err(Failure::failed)?;
    let client = ClientApp { id: Some(ACCOUNT), secret: None };
    let request = Arc::new(refresh_request(&Profile::default(), &url, &client, &refresh_token, &[], None));
    let http = Arc::new(HttpProvider::new(HttpOptions::default()).map_err(Failure::failed)?);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut herd = JoinSet::new();
    for _ in 0..TASKS {
        herd.spawn(task(Arc::clone(&http), Arc::clone(&request), Arc::clone(&room)));
    }
    let live = screen.herd(TASKS);
    let (mut got_a_token, mut slowest_ms) = (0, 0);
    while let Some(one) = herd.join_next().await {
        let (got, took) = one.unwrap_or_default();
        got_a_token += usize::from(got);
        slowest_ms = slowest_ms.max(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        live.reach(TASKS - herd.len(), provider.counts(ACCOUNT), slowest_ms);
    }
    drop(live);
    let counts = provider.counts(ACCOUNT);
    Ok(Naive {
        tasks: TASKS,
        got_a_token,
        provider_calls: counts.calls,
        refused: counts.refused,
        reuse_detected: counts.reuse,
        account_revoked: provider.is_revoked(ACCOUNT),
    })
}

async fn task(http: Arc<HttpProvider>, request: Arc<TokenRequest>, room: Arc<Semaphore>) -> (bool, Duration) {
    let began = uptime();
    let Ok(_place) = room.acquire().await else { return (false, Duration::ZERO) };
    let delivery = http.call(&request, &LIMITS, &|| true).await;
    let got = matches!(delivery, Delivery::Answered(reply) if reply.status == 200);
    (got, uptime().saturating_sub(began))
}
