//! What the cases are made of: drafts, records, claims and settlements in their shortest form.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Process;
use crate::audit::{Actor, Note};
use crate::credential::{Chain, Draft, DraftFields, Loaded, Purpose, Tokens};
use crate::ids::{ChainId, ClaimId, CredentialId, Name};
use crate::ports::Store;
use crate::ports::store::{
    ClaimAsk, Claimed, Created, Event, NamedClient, NewCredential, Record, Settled, Settling,
};
use crate::refresh::Settlement;
use crate::secret::{Hasher, Secret, TokenHash};
use crate::time::Timestamp;

/// Some point in time, in whole seconds from the fixtures' beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + 1_000 * seconds)
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).expect("a fixture's name")
}

pub(super) fn hash(token: &str) -> TokenHash {
    Hasher::new([9; 32]).token(&Secret::from(token))
}

fn next_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The fields of an OAuth credential at `acme`, with a client of its own.
pub(super) fn fields(name: &str, refresh_token: &str) -> DraftFields {
    DraftFields {
        name: name.into(),
        provider: "acme".into(),
        access_token: Some(format!("access of {refresh_token}").into()),
        refresh_token: Some(refresh_token.into()),
        expires_at: Some(at(3_600)),
        client_id: Some("app".into()),
        client_secret: Some("app's secret".into()),
        token_url: Some("https://acme.example/token".into()),
        scopes: vec!["read".into(), "write".into()],
        ..DraftFields::default()
    }
}

/// A credential to be made, as the broker would hand it in.
pub(super) fn new(fields: DraftFields) -> NewCredential {
    let draft = Draft::parse(fields).expect("a fixture's draft");
    let tokens = Tokens {
        access_token: draft.access_token.clone(),
        token_type: "Bearer".into(),
        expires_at: draft.expires_at,
        expires_assumed: false,
        issued_at: at(0),
        refresh_token: draft.refresh_token.clone(),
        refresh_expires_at: None,
        scopes: draft.scopes.clone(),
    };
    let spend_hash = draft.refresh_token.as_ref().map(|token| hash(token.expose()));
    let (id, chain) = (CredentialId::from_i64(next_id()), ChainId::from_i64(next_id()));
    NewCredential { id, chain, draft, tokens, spend_hash, due_at: Some(at(3_000)) }
}

pub(super) fn oauth(name: &str, refresh_token: &str) -> NewCredential {
    new(fields(name, refresh_token))
}

pub(super) fn note(action: &'static str) -> Note {
    Note { action, actor: Actor::new("suite"), subject: "subject".into(), detail: json!({"n": 1}) }
}

pub(super) fn event(kind: &'static str, chain: ChainId) -> Event {
    Event { kind, chain: Some(chain), subject: "subject".into(), detail: json!({"n": 2}) }
}

/// A record that enters the log and tells nobody.
pub(super) fn silent(action: &'static str) -> Record {
    Record { note: note(action), event: None }
}

pub(super) fn told(action: &'static str, chain: ChainId) -> Record {
    Record { note: note(action), event: Some(event(action, chain)) }
}

pub(super) async fn create(store: &dyn Store, new: NewCredential) -> Loaded {
    let record = told("create", new.chain);
    match store.create(new, record).await.expect("create") {
        Created::Done { loaded, .. } => *loaded,
        other => panic!("not created: {other:?}"),
    }
}

pub(super) async fn load(store: &dyn Store, text: &str) -> Loaded {
    store.credential(&name(text)).await.expect("read").expect("the credential is there")
}

pub(super) async fn row(store: &dyn Store, chain: ChainId) -> Chain {
    store.chain(chain).await.expect("read").expect("the chain is there")
}

pub(super) fn ask(chain: &Chain) -> ClaimAsk {
    let id = ClaimId::from_i64(next_id());
    ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh }
}

/// Claims the row as it is, and gives it as it stands then.
pub(super) async fn claim(process: &Process, chain: &Chain) -> Chain {
    match process.store.claim(&ask(chain), silent("claim")).await.expect("claim") {
        Claimed::Granted(row) => *row,
        Claimed::Missed(row) => panic!("not granted: {row:?}"),
    }
}

pub(super) fn claim_id(chain: &Chain) -> ClaimId {
    chain.claim.as_ref().expect("a claim stands").id
}

/// Tokens as a provider grants them over a row.
pub(super) fn grant(chain: &Chain, refresh_token: &str) -> Tokens {
    Tokens {
        access_token: Some(format!("access of {refresh_token}").into()),
        expires_at: Some(at(7_200)),
        issued_at: at(3_600),
        refresh_token: Some(refresh_token.into()),
        refresh_expires_at: Some(at(3_600) + Duration::from_secs(86_400)),
        ..chain.tokens.clone()
    }
}

/// A settlement of the row's claim.
pub(super) fn settling(chain: &Chain, settlement: Settlement) -> Settling {
    Settling {
        chain: chain.id,
        claim: claim_id(chain),
        generation: chain.generation,
        settlement,
        spend_hash: chain.spend_hash,
        minted_by_rejection: false,
        due_at: Some(at(6_000)),
    }
}

pub(super) fn granting(chain: &Chain, refresh_token: &str) -> Settling {
    let settlement = Settlement::Granted(Box::new(grant(chain, refresh_token)));
    Settling { spend_hash: Some(hash(refresh_token)), ..settling(chain, settlement) }
}

pub(super) async fn settle(store: &dyn Store, settling: Settling) -> Settled {
    let record = told("settle", settling.chain);
    store.settle(settling, record).await.expect("settle")
}

#[track_caller]
pub(super) fn done(settled: Settled) -> Chain {
    match settled {
        Settled::Done(row) => *row,
        Settled::Superseded(row) => panic!("superseded by {row:?}"),
    }
}

#[track_caller]
pub(super) fn superseded(settled: Settled) -> Chain {
    match settled {
        Settled::Superseded(Some(row)) => *row,
        other => panic!("not superseded: {other:?}"),
    }
}

/// Claims, and settles with that token: one whole refresh.
pub(super) async fn refresh(process: &Process, chain: &Chain, refresh_token: &str) -> Chain {
    let claimed = claim(process, chain).await;
    done(settle(&*process.store, granting(&claimed, refresh_token)).await)
}

pub(super) fn client(name: &str, secret: &str) -> NamedClient {
    NamedClient {
        name: self::name(name),
        provider: "acme".into(),
        id: "shared app".into(),
        secret: Some(secret.into()),
        block: None,
    }
}

/// A credential at `acme` that uses a named client.
pub(super) fn with_client(name: &str, client: &str) -> NewCredential {
    new(DraftFields {
        client_id: None,
        client_secret: None,
        client: Some(client.into()),
        ..fields(name, &format!("token of {name}"))
    })
}

/// How much has been written so far: audit entries, and the last event's number.
pub(super) async fn written(store: &dyn Store) -> (usize, i64) {
    let entries = store.entries(0, 10_000).await.expect("entries").len();
    (entries, store.last_event().await.expect("last event"))
}
