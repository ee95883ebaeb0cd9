//! Keys, and who has them.

use super::{Agent, AgentConflict, Agents, KEY_LEN, allowed, key_hash, new_key};
use crate::fakes::SeededEntropy;
use crate::ids::{AgentId, Name};
use crate::secret::{Hasher, Secret};
use crate::time::Timestamp;

fn name(text: &str) -> Name {
    Name::parse(text).expect("is a name")
}

fn hasher() -> Hasher {
    Hasher::new([3; 32])
}

fn agent(id: i64, label: &str, key: &Secret) -> Agent {
    Agent {
        id: AgentId::from_i64(id),
        name: name(label),
        actor: Agent::actor_of(&name(label)),
        key_hash: key_hash(&hasher(), key.expose().as_bytes()).expect("is a key"),
        allowed: allowed(vec![name("b"), name("a")]).expect("is sound"),
        may_fetch_tokens: false,
        created_at: Timestamp::from_millis(0),
    }
}

#[test]
fn keys_are_long_random_and_known_by_their_shape() {
    let entropy = SeededEntropy::new(1);
    let (one, two) = (new_key(&entropy), new_key(&entropy));
    assert_ne!(one, two);
    assert_eq!((one.expose().len(), one.expose().get(..4)), (KEY_LEN, Some("kha_")));
    assert!(one.expose()[4..].bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hash = |key: &str| key_hash(&hasher(), key.as_bytes());
    assert!(hash(one.expose()).is_some());
    assert_ne!(hash(one.expose()), hash(two.expose()));
    assert_ne!(hash(one.expose()), key_hash(&Hasher::new([4; 32]), one.expose().as_bytes()));
    for stranger in ["", "kha_", "admin-token", &one.expose()[..KEY_LEN - 1], &format!("{}0", one.expose())] {
        assert_eq!(hash(stranger), None, "{stranger}");
    }
    assert_eq!(hash(&one.expose().replace("kha_", "khb_")), None);
}

#[test]
fn a_key_opens_its_own_agent_only() {
    let entropy = SeededEntropy::new(1);
    let (one, two) = (new_key(&entropy), new_key(&entropy));
    let agents = Agents::new([agent(1, "one", &one), agent(2, "two", &two)]);
    let hash = |key: &Secret| key_hash(&hasher(), key.expose().as_bytes()).expect("is a key");
    let found = |key| agents.of_key(&hash(key)).map(|agent| agent.name.to_string());
    assert_eq!((found(&one).as_deref(), found(&two).as_deref()), (Some("one"), Some("two")));
    assert_eq!(found(&new_key(&entropy)), None);
    assert!(agents.of_name_and_key("one", &hash(&one)).is_some());
    assert!(agents.of_name_and_key("one", &hash(&two)).is_none(), "another one's key");
    assert!(agents.of_name_and_key("three", &hash(&one)).is_none());
    let rest = agents.without(AgentId::from_i64(1));
    assert!(rest.of_key(&hash(&one)).is_none() && rest.named("one").is_none());
    assert!(rest.of_key(&hash(&two)).is_some() && rest.len() == 1 && !rest.is_empty());
}

#[test]
fn allowed_is_what_was_named_once() {
    let both = agent(1, "one", &new_key(&SeededEntropy::new(1)));
    assert!(both.is_allowed("a") && both.is_allowed("b"));
    assert!(!both.is_allowed("") && !both.is_allowed("c") && !both.is_allowed("A"));
    assert_eq!(&*both.actor.0, "agent:one");
    assert_eq!(allowed(vec![name("b"), name("a"), name("b")]), Err(AgentConflict::Duplicate(name("b"))));
    let many = (0..=super::ALLOWED_MAX).map(|n| name(&format!("n{n}"))).collect();
    assert_eq!(allowed(many), Err(AgentConflict::TooManyAllowed));
    assert_eq!(allowed(Vec::new()), Ok(Vec::new()));
}
