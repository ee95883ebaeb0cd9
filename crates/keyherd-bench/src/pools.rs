//! API keys in pools, and what upstream answers to them.

use std::collections::BTreeMap;

use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, ConnectMode, Followed, Report};
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::ids::Name;
use keyherd_core::pool::Strategy;
use keyherd_core::provider::Body;
use keyherd_core::upstream::Answer;

use crate::Outcome;

/// The length of an API key here.
const KEY_LEN: usize = 100;

/// The name of a pool's member of that number, from 0.
pub fn member(pool: &str, number: usize) -> String {
    format!("{pool}-{number}")
}

/// Makes so many API keys, and a pool of them.
///
/// # Errors
/// As the broker's verbs.
pub async fn make_pool(broker: &Broker, pool: &str, members: usize, strategy: Strategy) -> Outcome {
    let actor = Actor::new("bench");
    let mut names = Vec::with_capacity(members);
    for number in 0..members {
        let name = member(pool, number);
        let draft = Draft::parse(DraftFields {
            secret: Some(format!("{name:x<KEY_LEN$}").into()),
            kind: Some("static".into()),
            provider: "generic".into(),
            name,
            ..DraftFields::default()
        })?;
        names.push(draft.name.clone());
        broker.connect(draft, ConnectMode::Create, &actor).await?;
    }
    broker.create_pool(&Name::parse(pool)?, names, strategy, &actor).await?;
    Ok(())
}

/// Reports a 429 of that member with this Retry-After, as a door does: judged, and told.
///
/// # Errors
/// As the broker's verbs.
pub async fn tell_limit(broker: &Broker, pool: &str, member: &str, seconds: u64) -> Outcome<Followed> {
    let headers = BTreeMap::from([("retry-after".to_owned(), seconds.to_string())]);
    let body = Body::from(r#"{"error":{"type":"rate_limit_error"}}"#);
    let credential = Name::parse(member)?;
    let answer = Answer { status: 429, headers: &headers, body: &body };
    let evidence = broker.evidence(&credential, &answer).await?;
    let report = Report {
        name: Name::parse(pool)?,
        credential,
        incarnation: None,
        generation: 0,
        pool_epoch: None,
        scope: None,
        evidence,
    };
    Ok(broker.report(&report, &Actor::new("bench")).await?)
}
