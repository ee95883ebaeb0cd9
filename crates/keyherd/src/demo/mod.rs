//! `keyherd demo`: what happens when a thousand ask at once, with keyherd and without; when an account is used up; and
//! when a human is to be asked.
//!
//! Owns the stage: a provider of its own that rotates refresh tokens and revokes an account whose spent token comes
//! back, a server in a temporary data folder, and a herd of tasks and real processes. Touches nothing of the user's,
//! and prints no token.

mod account;
mod asking;
mod failover;
mod folder;
mod herd;
mod http;
mod naive;
mod provider;
mod screen;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_api::documents::CredentialDocument;
use keyherd_core::audit::Actor;
use keyherd_core::broker::ConnectMode;
use keyherd_core::ports::{Clock, Entropy};
use keyherd_core::secret::Secret;
use serde::Serialize;

pub(crate) use self::asking::{Answerer, Asking};
pub(crate) use self::failover::Failover;
use self::folder::TemporaryFolder;
use self::herd::Round;
use self::naive::Naive;
use self::provider::DemoProvider;
pub(crate) use self::screen::Screen;
use crate::cli::Failure;
use crate::wire::Wired;

/// What the herd shares.
const CREDENTIAL: &str = "demo";
/// Tasks in this process that ask at once.
const TASKS: usize = 1_000;
/// Processes of their own that ask at the same time.
const PROCESSES: usize = 24;
/// Expiries that are gone through.
const EXPIRIES: u32 = 3;
/// How long a token lives: half of it passes between two expiries.
const LIFETIME: Duration = Duration::from_secs(8);
/// How long it lives at most, on a machine that is too busy for that.
const LIFETIME_MAX: Duration = Duration::from_secs(64);
/// How long the provider takes.
const LATENCY: Duration = Duration::from_millis(200);

/// Connections that may wait for the provider or the API: all tasks may come at once.
const BACKLOG_MAX: u32 = 2_048;

/// What was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    scene: &'static str,
    expiries: Vec<Round>,
    without: Naive,
    ok: bool,
}

impl Outcome {
    /// Whether it is as promised: one call for each expiry, no reuse, a token for everyone.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }
}

/// The stage, set up.
pub(crate) struct Stage {
    folder: TemporaryFolder,
    provider: Arc<DemoProvider>,
}

impl Stage {
    /// A temporary data folder, and the provider at work.
    pub(crate) async fn set() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("the demo cannot be set up: {error}"));
        let folder = TemporaryFolder::make().map_err(failed)?;
        let provider = DemoProvider::start(LIFETIME, LATENCY).await.map_err(failed)?;
        Ok(Self { folder, provider })
    }

    /// The data folder, gone when the stage is.
    pub(crate) fn data(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Goes through scene 2.
    pub(crate) async fn fail_over_once(&self, wired: &Wired, screen: &Screen) -> Result<Failover, Failure> {
        failover::play(wired, self.data(), screen).await
    }

    /// Goes through scene 3, at the server there.
    pub(crate) async fn ask_once(
        &self,
        wired: &Wired,
        url: &str,
        answerer: Answerer<'_>,
        screen: &Screen,
    ) -> Result<Asking, Failure> {
        asking::play(wired, url, answerer, screen).await
    }

    /// Goes through scene 1.
    pub(crate) async fn refresh_once(&self, wired: &Wired, screen: &Screen) -> Result<Outcome, Failure> {
        let account = self.provider.open_account(CREDENTIAL);
        connect(wired, &self.provider, account).await?;
        let mut expiries = Vec::new();
        for number in 1..=EXPIRIES {
            let round = self.expiry(number, wired, screen).await?;
            screen.round(number, &round)?;
            expiries.push(round);
        }
        let without = naive::ask(&self.provider, screen).await?;
        let ok = expiries.iter().all(Round::is_ok);
        let outcome = Outcome { scene: "refresh_once", expiries, without, ok };
        screen.verdict(&outcome)?;
        Ok(outcome)
    }

    /// An expiry, at which everyone asks. Whoever comes in the second half of the new token's life rightly wants a newer
    /// one: on a machine on which a herd takes so long there is another expiry, after which tokens live longer.
    async fn expiry(&self, number: u32, wired: &Wired, screen: &Screen) -> Result<Round, Failure> {
        loop {
            let waiting = screen.waiting(number);
            expired(wired).await?;
            drop(waiting);
            let lifetime = self.provider.lifetime();
            let round = herd::ask(wired, &self.provider, self.data(), screen).await?;
            if round.fits_into(lifetime) || lifetime >= LIFETIME_MAX {
                return Ok(round);
            }
            self.provider.grants_for(lifetime * 2);
        }
    }
}

/// The account that the herd shares, imported with an access token that has ended.
async fn connect(wired: &Wired, provider: &DemoProvider, refresh_token: Secret) -> Result<(), Failure> {
    let document = CredentialDocument {
        name: CREDENTIAL.into(),
        provider: "generic".into(),
        kind: None,
        access_token: None,
        refresh_token: Some(refresh_token.into()),
        secret: None,
        expires_at: None,
        client: None,
        client_id: Some(CREDENTIAL.into()),
        client_secret: None,
        token_url: Some(provider.token_url()),
        scopes: Vec::new(),
        resource: None,
        chain: None,
        attributes: None,
    };
    wired.broker.connect(document.into_draft()?, ConnectMode::Create, &Actor::new("demo")).await?;
    Ok(())
}

/// Waits until the token is in the second half of its life: every caller wants a new one then.
async fn expired(wired: &Wired) -> Result<(), Failure> {
    let name = keyherd_core::ids::Name::parse(CREDENTIAL).map_err(Failure::failed)?;
    let tokens = wired.broker.show(&name).await?.chain.tokens;
    if let (Some(end), Some(life)) = (tokens.expires_at, tokens.lifetime()) {
        // A little more than half: the window's edge itself still counts as valid.
        tokio::time::sleep(wired.broker.now().until(end - life * 45 / 100)).await;
    }
    Ok(())
}

/// A key that opens nothing but the demo's own API.
fn key() -> Result<String, Failure> {
    let entropy = OsEntropy::new().map_err(Failure::failed)?;
    Ok(format!("demo-key-{:016x}{:016x}", entropy.id(), entropy.id()))
}

fn actor() -> Actor {
    Actor::new("demo")
}

/// Now, for how long things took.
fn uptime() -> Duration {
    SystemClock.uptime()
}
