//! Phantoms as their clients see them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::super::{BadPhantom, LEAD_LEN_MAX, PHANTOM_LEN_MAX, id_token_of, phantom_of};
use super::{CLAIMS, Phantom, Shape, WordSigner, mint, name, phantom};
use crate::agent::Agent;
use crate::fakes::SeededEntropy;
use crate::ids::AgentId;
use crate::secret::{Hasher, TokenHash};
use crate::time::Timestamp;

#[test]
fn a_plain_phantom_begins_as_its_clients_expect() {
    for prefix in ["", "sk-ant-oat01-", "ya29.", "xoxb-", "ghu_", "shpat_", "~"] {
        let one = phantom(prefix, 7);
        assert!(one.as_str().starts_with(prefix));
        assert_eq!(one.as_str().len(), prefix.len() + 36);
        assert_eq!(Phantom::parse(one.as_str()), Ok(one.clone()));
        assert_ne!(one, phantom(prefix, 8));
        assert!(!format!("{one:?}").contains(&one.as_str()[prefix.len()..]), "a phantom's key is not shown");
    }
}

#[test]
fn a_jwt_phantom_can_be_taken_apart() {
    for seed in 0..50 {
        let jwt = phantom("eyJ", seed);
        let parts: Vec<&str> = jwt.as_str().split('.').collect();
        let json =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(parts.len(), 3);
        assert_eq!(json(parts[0])["alg"], "HS256");
        let claims = json(parts[1]);
        assert_eq!(claims["iat"], 1_700_000_000);
        assert_eq!(claims["exp"], 2_000_000_000);
        assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 33));
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32);
        assert_eq!(Phantom::parse(jwt.as_str()), Ok(jwt.clone()));
    }
}

#[test]
fn a_kept_agents_phantoms_are_its_own_and_stay() {
    let agent = |id, created_at| Agent {
        id: AgentId::from_i64(id),
        name: name("robot"),
        actor: Agent::actor_of(&name("robot")),
        key_hash: TokenHash::from_bytes([0; 32]),
        allowed: Vec::new(),
        may_fetch_tokens: false,
        created_at: Timestamp::from_millis(created_at),
    };
    let drawn = |key: u8, id: i64, label: &str, prefix: &str| {
        let shape = Shape::of_prefix(prefix).unwrap();
        phantom_of(&Hasher::new([key; 32]), &agent(id, 5), &name(label), &shape, &WordSigner).unwrap()
    };
    for prefix in ["sk-", "eyJ"] {
        let one = drawn(1, 1, "a", prefix);
        assert_eq!(one, drawn(1, 1, "a", prefix), "the same in every process");
        let others = [drawn(2, 1, "a", prefix), drawn(1, 2, "a", prefix), drawn(1, 1, "b", prefix)];
        assert!(others.iter().all(|other| other.key() != one.key()), "of another installation, agent, name");
    }
    // Whatever stands before it, the key is the same: a profile's prefix may change.
    assert_eq!(drawn(1, 1, "a", "sk-").key(), drawn(1, 1, "a", "").key());
    let id_token = id_token_of(&Hasher::new([1; 32]), &agent(1, 5), &name("a"), &WordSigner).unwrap();
    assert_ne!(id_token.key(), drawn(1, 1, "a", "eyJ").key(), "it stands for nothing");
}

#[test]
fn keys_are_drawn_evenly() {
    let mut counts = [0_u32; 256];
    let entropy = SeededEntropy::new(5);
    let shape = Shape::of_prefix("").unwrap();
    for _ in 0..5_000 {
        let one = mint(&shape, CLAIMS, &entropy, &WordSigner).unwrap();
        one.as_str().bytes().skip(8).for_each(|byte| counts[usize::from(byte)] += 1);
    }
    let drawn: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
    // 140,000 draws of 62: 2,258 each, give or take 47.
    assert_eq!(drawn.len(), 62);
    assert!(drawn.iter().all(|count| (2_000..2_520).contains(count)), "{drawn:?}");
}

#[test]
fn prefixes_that_would_be_escaped_are_refused() {
    for prefix in ["1//", "a b", "a%", "ä", "a+b", "\"", "a2V5aHJk", &"x".repeat(LEAD_LEN_MAX + 1)] {
        assert_eq!(Shape::of_prefix(prefix), Err(BadPhantom), "{prefix}");
    }
}

#[test]
fn texts_that_are_no_phantoms() {
    let good = phantom("sk-", 1);
    let good = good.as_str();
    let long = format!("{good}{}", "x".repeat(PHANTOM_LEN_MAX));
    for bad in ["", "sk-", &good[..good.len() - 1], &good.replace("a2V5", "b2V5"), &long, &format!("{good} ")]
    {
        assert!(Phantom::parse(bad).is_err(), "{bad}");
    }
}
