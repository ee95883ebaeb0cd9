//! The shortest way to rows in a store, for the tests of every engine.

use keyherd_core::agent::Agent;
use keyherd_core::audit::{Actor, Line, Note, Sheaf};
use keyherd_core::binding::BindingDraft;
use keyherd_core::channel::{Channel, Route};
use keyherd_core::credential::{Chain, Draft, DraftFields, Loaded, Purpose, Tokens};
use keyherd_core::ids::{AgentId, BindingId, ChainId, ChannelId, ClaimId, CredentialId, Name};
use keyherd_core::ports::store::{
    AccessStore, AgentCreated, BindingAdded, ChainStore, ChannelAdded, ChannelStore, ClaimAsk, Claimed,
    Created, CredentialStore, Event, NewCredential, Record, Settled, Settling,
};
use keyherd_core::refresh::Settlement;
use keyherd_core::secret::{Secret, TokenHash};
use keyherd_core::time::Timestamp;
use serde_json::json;
use url::Url;

use super::SqlStore;

pub(in crate::store) fn note(action: &'static str) -> Note {
    Note { action, actor: Actor::new("test"), subject: "subject".into(), detail: json!({}) }
}

/// Lines as requests leave them, all at one time.
pub(in crate::store) fn lines(count: usize) -> Sheaf {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let line = Line { action: "done", actor: "robot", subject: "s", detail: "{}" };
    let mut sheaf = Sheaf::default();
    (0..count).for_each(|_| sheaf.push(at, line));
    sheaf
}

pub(in crate::store) fn record(action: &'static str) -> Record {
    let event = Event { kind: action, chain: None, subject: "subject".into(), detail: json!({}) };
    Record { note: note(action), event: Some(event) }
}

pub(in crate::store) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A credential whose tokens are `text` with an ending each.
pub(in crate::store) fn new(store: &SqlStore, label: &str, text: &str) -> NewCredential {
    let fields = DraftFields {
        name: label.into(),
        provider: "acme".into(),
        access_token: Some(format!("{text}-access").into()),
        refresh_token: Some(format!("{text}-refresh").into()),
        client_id: Some("app".into()),
        client_secret: Some(format!("{text}-client").into()),
        token_url: Some("https://acme.example/token".into()),
        ..DraftFields::default()
    };
    let draft = Draft::parse(fields).unwrap();
    let tokens = tokens(text);
    let spend_hash = tokens.refresh_token.as_ref().map(|token| store.installation().hasher.token(token));
    let (id, chain) = (CredentialId::from_i64(store.entropy.id()), ChainId::from_i64(store.entropy.id()));
    NewCredential { id, chain, draft, tokens, spend_hash, due_at: Some(Timestamp::from_millis(5)) }
}

pub(in crate::store) fn tokens(text: &str) -> Tokens {
    Tokens {
        access_token: Some(format!("{text}-access").into()),
        token_type: "Bearer".into(),
        expires_at: None,
        expires_assumed: false,
        issued_at: Timestamp::from_millis(1),
        refresh_token: Some(Secret::from(format!("{text}-refresh"))),
        refresh_expires_at: None,
        scopes: Vec::new(),
    }
}

pub(in crate::store) async fn create(store: &SqlStore, label: &str, text: &str) -> Loaded {
    match store.create(new(store, label, text), record("create")).await.unwrap() {
        Created::Done { loaded, .. } => *loaded,
        other => panic!("not created: {other:?}"),
    }
}

pub(in crate::store) async fn claim(store: &SqlStore, chain: &Chain) -> Chain {
    let id = ClaimId::from_i64(store.entropy.id());
    let ask = ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh };
    match store.claim(&ask, record("claim")).await.unwrap() {
        Claimed::Granted(row) => *row,
        Claimed::Missed(row) => panic!("missed: {row:?}"),
    }
}

pub(in crate::store) fn settling(chain: &Chain, settlement: Settlement) -> Settling {
    Settling {
        chain: chain.id,
        claim: chain.claim.as_ref().unwrap().id,
        generation: chain.generation,
        settlement,
        spend_hash: chain.spend_hash,
        minted_by_rejection: false,
        due_at: None,
    }
}

/// One whole refresh, to tokens of that text.
pub(in crate::store) async fn refresh(store: &SqlStore, chain: &Chain, text: &str) -> Chain {
    let claimed = claim(store, chain).await;
    grant(store, &claimed, text).await
}

/// The second half of that.
pub(in crate::store) async fn grant(store: &SqlStore, claimed: &Chain, text: &str) -> Chain {
    let next = tokens(text);
    let spend_hash = next.refresh_token.as_ref().map(|token| store.installation().hasher.token(token));
    let settling = Settling { spend_hash, ..settling(claimed, Settlement::Granted(Box::new(next))) };
    match store.settle(settling, record("settle")).await.unwrap() {
        Settled::Done(row) => *row,
        Settled::Superseded(row) => panic!("superseded: {row:?}"),
    }
}

/// An agent and a binding for each of two credentials: `one` and `two`.
pub(in crate::store) async fn fill_access(store: &SqlStore) {
    for (n, label) in [(1, "one"), (2, "two")] {
        create(store, label, &format!("t-{label}")).await;
        let agent = Agent {
            id: AgentId::of_random(n),
            name: name(&format!("bot-{label}")),
            actor: Agent::actor_of(&name(&format!("bot-{label}"))),
            key_hash: TokenHash::from_bytes([u8::try_from(n).unwrap(); 32]),
            allowed: vec![name(label)],
            may_fetch_tokens: false,
            created_at: Timestamp::from_millis(n),
        };
        assert_eq!(store.create_agent(agent, 9, record("agent")).await, Ok(AgentCreated::Done));
        let draft = BindingDraft {
            name: name(label),
            host: format!("{label}.example"),
            port: None,
            header: None,
            query: None,
            template: Some("planted-{token}".into()),
            upstream: Some(format!("https://{label}.example/planted")),
        };
        let binding = draft.check(BindingId::of_random(n), Timestamp::from_millis(n)).unwrap();
        assert_eq!(store.add_binding(binding, 9, record("binding")).await, Ok(BindingAdded::Done));
    }
}

/// What somebody may do who can write to the database and has no key, and which column reads as damage then.
pub(in crate::store) const DAMAGE_TO_ACCESS: [(&str, &str); 4] = [
    ("UPDATE agents SET doc = (SELECT a.doc FROM agents a WHERE a.name = 'bot-one')", "agents.doc"),
    ("UPDATE agents SET name = 'x' || name", "agents.doc"),
    ("UPDATE bindings SET doc = (SELECT b.doc FROM bindings b WHERE b.name = 'one')", "bindings.doc"),
    ("UPDATE bindings SET name = 'one'", "bindings.doc"),
];

/// A webhook and a chat, whose secrets begin with `planted`, as does where the webhook is.
pub(in crate::store) async fn fill_channels(store: &SqlStore) {
    let url = |text: &str| Url::parse(text).unwrap();
    let routes = [
        Route::Webhook {
            url: url("https://hooks.example/planted-path"),
            signing_key: "planted-key-of-16".into(),
        },
        Route::Telegram {
            api: url("https://api.telegram.org/"),
            token: "12:planted-token".into(),
            chat: -100,
            users: vec![5],
        },
    ];
    for (n, route) in (1..).zip(routes) {
        let (id, name) = (ChannelId::of_random(n), name(&format!("channel-{n}")));
        let channel = Channel { id, name, route, created_at: Timestamp::from_millis(n) };
        assert_eq!(store.add_channel(channel, 9, record("channel")).await, Ok(ChannelAdded::Done));
    }
}

/// As [`DAMAGE_TO_ACCESS`], of channels.
pub(in crate::store) const DAMAGE_TO_CHANNELS: [&str; 2] = [
    "UPDATE channels SET doc = (SELECT c.doc FROM channels c WHERE c.name = 'channel-1')",
    "UPDATE channels SET name = 'x' || name",
];
