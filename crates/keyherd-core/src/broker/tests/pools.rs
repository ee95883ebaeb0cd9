//! Failing over, once: pools on fakes, in paused time.

mod edits;
mod reports;
mod resting;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use super::{HOUR, MINUTE, SECOND, Stage, actor, pass, plain, refusal, stage, token};
use crate::broker::{Followed, Report};
use crate::credential::{Cooldown, DraftFields};
use crate::fakes::Host;
use crate::ids::Name;
use crate::pool::{Pool, Strategy};
use crate::ports::Clock;
use crate::ports::store::{AuditStore, PoolStore};
use crate::refresh::{Ask, Refusal};
use crate::time::Timestamp;
use crate::upstream::{Evidence, Seen};

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

pub(super) fn names(text: &str) -> Vec<Name> {
    text.split_whitespace().map(name).collect()
}

/// A stage with those API keys, each its own secret, in one pool.
pub(super) async fn pooled(members: &str, strategy: Strategy) -> Stage {
    let stage = stage(HOUR, []).await;
    keys(&stage, members).await;
    stage.host.broker.create_pool(&name("pool"), names(members), strategy, &actor()).await.expect("made");
    stage
}

pub(super) async fn keys(stage: &Stage, members: &str) {
    for key in members.split_whitespace() {
        let to_static = |fields: &mut DraftFields| {
            *fields = DraftFields {
                name: key.into(),
                provider: "generic".into(),
                kind: Some("static".into()),
                secret: Some(format!("secret of {key}").into()),
                ..DraftFields::default()
            };
        };
        stage.import(key, HOUR, "", to_static).await;
    }
}

impl Host {
    /// Whose token the pool's name gives now.
    async fn serves(&self) -> String {
        self.serves_in(None).await
    }

    async fn serves_in(&self, scope: Option<&str>) -> String {
        let ask = Ask { scope: scope.map(str::to_owned), ..plain() };
        token(self.broker.acquire("pool", &ask, &actor()).await).credential().to_owned()
    }

    /// Tells of a 429 of that member.
    async fn limited(&self, member: &str, until: Timestamp) -> Followed {
        self.tells(&told(member, limit(until))).await
    }

    async fn tells(&self, report: &Report) -> Followed {
        self.broker.report(report, &actor()).await.expect("taken")
    }

    async fn cools(&self, member: &str, rest: Duration) {
        let cooldown = Cooldown::whole(self.broker.now() + rest, "manual");
        assert!(self.broker.cool(&name(member), &cooldown, &actor()).await.expect("cooled"));
    }

    async fn pool(&self) -> Pool {
        self.store.pool(&name("pool")).await.expect("read").expect("there")
    }

    /// How often that was entered into the log.
    async fn entered(&self, action: &str) -> usize {
        let entries = self.store.entries(0, 10_000).await.expect("entries");
        entries.into_iter().filter(|entry| entry.action == action).count()
    }
}

pub(super) fn limit(until: Timestamp) -> Evidence {
    Evidence::RateLimit { until, seen: seen(429) }
}

pub(super) fn seen(status: u16) -> Seen {
    Seen { status, code: None, pointer: None, header: Some("retry-after") }
}

pub(super) fn told(member: &str, evidence: Evidence) -> Report {
    Report {
        name: name("pool"),
        credential: name(member),
        incarnation: None,
        generation: 0,
        pool_epoch: Some(0),
        scope: None,
        evidence,
    }
}

pub(super) fn later(stage: &Stage, time: Duration) -> Timestamp {
    stage.fleet.clock.now() + time
}

/// The host's watch has begun, so that memory is trusted until something is told.
pub(super) async fn watching(host: &Host) {
    host.broker.watched().await;
}

pub(super) fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
