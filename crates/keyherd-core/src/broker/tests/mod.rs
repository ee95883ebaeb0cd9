//! The engine on fakes, in paused time: every row of the failure table, and what must hold around it.

mod agents;
mod bent;
mod crash;
mod doubtful;
mod endpoints;
mod failures;
mod found;
mod herd;
mod left;
mod listening;
mod logged;
mod named;
mod phantoms;
mod pools;
mod reading;
mod rejected;
mod sweeping;
mod switches;
mod tenure;
mod uncertain;
// Rules and approvals.
mod asking;
mod permitting;
mod waiting;
// Channels.
mod channels;

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Actor;
use crate::broker::{AcquireError, Acquired, ConnectMode, Connected, Token};
use crate::credential::{Draft, DraftFields};
use crate::fakes::{Fleet, Host, ScriptedProvider};
use crate::ids::Name;
use crate::ports::{Clock, Delivery};
use crate::provider::Profile;
use crate::refresh::{Ask, Refusal};
use crate::secret::Secret;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A fleet of one host over a scripted provider, with one credential `acme` whose token ends in `left`.
pub(super) struct Stage {
    pub(super) fleet: Fleet,
    pub(super) host: Host,
    pub(super) provider: ScriptedProvider,
}

pub(super) fn generic() -> Profile {
    Profile { name: "generic".into(), ..Profile::default() }
}

pub(super) async fn stage(left: Duration, answers: impl IntoIterator<Item = Delivery>) -> Stage {
    stage_with(left, generic(), answers).await
}

pub(super) async fn stage_with(
    left: Duration,
    profile: Profile,
    answers: impl IntoIterator<Item = Delivery>,
) -> Stage {
    let provider = ScriptedProvider::new(answers);
    let fleet = Fleet::new(Arc::new(provider.clone()), [profile]);
    let host = fleet.host();
    let stage = Stage { fleet, host, provider };
    stage.import("acme", left, "refresh-0", |_| {}).await;
    stage
}

impl Stage {
    pub(super) fn fields(&self, name: &str, left: Duration, refresh: &str) -> DraftFields {
        DraftFields {
            name: name.into(),
            provider: "generic".into(),
            access_token: Some("access-0".into()),
            refresh_token: Some(refresh.into()),
            expires_at: Some(self.fleet.clock.now() + left),
            token_url: Some("https://id.example/token".into()),
            client_id: Some("app".into()),
            client_secret: Some("app-secret".into()),
            ..DraftFields::default()
        }
    }

    pub(super) async fn import(
        &self,
        name: &str,
        left: Duration,
        refresh: &str,
        change: impl FnOnce(&mut DraftFields),
    ) {
        let mut fields = self.fields(name, left, refresh);
        change(&mut fields);
        let draft = Draft::parse(fields).expect("a draft");
        let connected =
            self.host.broker.connect(draft, ConnectMode::Create, &actor()).await.expect("created");
        assert!(matches!(connected, Connected::Created(_) | Connected::Joined(_)));
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Acquired, AcquireError> {
        self.host.broker.acquire("acme", &ask, &actor()).await
    }

    pub(super) async fn token(&self) -> Token {
        token(self.ask(plain()).await)
    }

    pub(super) async fn refusal(&self) -> Refusal {
        refusal(self.ask(plain()).await)
    }
}

pub(super) fn plain() -> Ask {
    Ask::foreground(30 * SECOND)
}

pub(super) fn rejecting(token: &str) -> Ask {
    Ask { rejected: Some(Secret::from(token)), ..plain() }
}

pub(super) fn actor() -> Actor {
    Actor::new("test")
}

pub(super) fn acme() -> Name {
    Name::parse("acme").expect("a name")
}

#[track_caller]
pub(super) fn token(outcome: Result<Acquired, AcquireError>) -> Token {
    match outcome {
        Ok(Acquired::Token(token)) => token,
        other => panic!("no token: {other:?}"),
    }
}

#[track_caller]
pub(super) fn refusal(outcome: Result<Acquired, AcquireError>) -> Refusal {
    match outcome {
        Ok(Acquired::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
