//! An agent's phantoms: one for each name it is allowed, the same on every host.

use super::{HOUR, acme, actor, stage};
use crate::broker::NewAgent;
use crate::ids::Name;
use crate::ports::TokenSigner;

struct Unsigned;

impl TokenSigner for Unsigned {
    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    fn key_id(&self) -> &'static str {
        "test"
    }

    fn sign(&self, _message: &[u8]) -> Vec<u8> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_on_every_host_until_the_agent_is_another() {
    let stage = stage(HOUR, []).await;
    let (one, two) = (stage.fleet.host(), stage.fleet.host());
    let new = || NewAgent {
        name: Name::parse("robot").expect("a name"),
        allowed: vec![acme()],
        may_fetch_tokens: false,
    };
    let (agent, _) = one.broker.create_agent(new(), &actor()).await.expect("made");
    let here = one.broker.phantoms(&agent, &Unsigned).await.expect("the store answers");
    let there = two.broker.phantoms(&agent, &Unsigned).await.expect("the store answers");
    assert_eq!(here.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [acme()]);
    assert_eq!(here, there);
    one.broker.revoke_agent(&agent.name, &actor()).await.expect("revoked");
    let (again, _) = one.broker.create_agent(new(), &actor()).await.expect("made");
    let later = one.broker.phantoms(&again, &Unsigned).await.expect("the store answers");
    assert_ne!(here, later, "an agent of the same name is another one");
    let none = Name::parse("nobody").expect("a name");
    assert_eq!(one.broker.phantom(&again, &none, &Unsigned).await.ok().flatten(), None);
}
