//! A folder, and as many stores open on it as a test wants; and the shortest way to rows in them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_core::audit::{Actor, Note};
use keyherd_core::contract::{Process, Testbed};
use keyherd_core::credential::{Chain, Draft, DraftFields, Loaded, Purpose, Tokens};
use keyherd_core::fakes::PausedClock;
use keyherd_core::ids::{ChainId, ClaimId, CredentialId, Name};
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::{
    ChainStore, ClaimAsk, Claimed, Created, CredentialStore, Event, NewCredential, Record, Settled, Settling,
};
use keyherd_core::refresh::Settlement;
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use serde_json::json;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use crate::seal::{Keyring, MasterKey};
use crate::store::sqlite::{OpenError, SqliteBounds, SqliteOptions, SqliteStore};
use crate::system::OsEntropy;

pub(super) struct Bed {
    pub(super) folder: TempDir,
    pub(super) options: SqliteOptions,
    pub(super) clock: Arc<PausedClock>,
}

impl Bed {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(PausedClock::new());
        let options = SqliteOptions {
            clock: clock.clone(),
            ..options(folder.path().join("keyherd.db"), keyring(&[1]))
        };
        Self { folder, options, clock }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.options.path.clone()
    }

    pub(super) async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.options.clone()).await.unwrap()
    }

    pub(super) async fn refused(&self) -> OpenError {
        SqliteStore::open(self.options.clone()).await.unwrap_err()
    }

    /// Opens with these keys.
    pub(super) async fn with(&self, keyring: Keyring) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(SqliteOptions { keyring, ..self.options.clone() }).await
    }
}

pub(super) fn options(path: PathBuf, keyring: Keyring) -> SqliteOptions {
    SqliteOptions {
        path,
        keyring,
        keys: None,
        clock: Arc::new(PausedClock::new()),
        entropy: Arc::new(OsEntropy::new().unwrap()),
        bounds: SqliteBounds::default(),
    }
}

pub(super) fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| MasterKey::from_bytes([*seed; 32])).collect()).unwrap()
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let store = self.store().await;
        Process { owner: store.owner(), store: store.rooms() }
    }

    async fn kill(&self, process: Process) {
        assert_eq!(Arc::strong_count(&process.store), 1, "it must be the last handle");
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(super) fn note(action: &'static str) -> Note {
    Note { action, actor: Actor::new("test"), subject: "subject".into(), detail: json!({}) }
}

pub(super) fn record(action: &'static str) -> Record {
    let event = Event { kind: action, chain: None, subject: "subject".into(), detail: json!({}) };
    Record { note: note(action), event: Some(event) }
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A credential whose tokens are `text` with an ending each.
pub(super) fn new(store: &SqliteStore, label: &str, text: &str) -> NewCredential {
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

pub(super) fn tokens(text: &str) -> Tokens {
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

pub(super) async fn create(store: &SqliteStore, label: &str, text: &str) -> Loaded {
    match store.create(new(store, label, text), record("create")).await.unwrap() {
        Created::Done { loaded, .. } => *loaded,
        other => panic!("not created: {other:?}"),
    }
}

pub(super) async fn claim(store: &SqliteStore, chain: &Chain) -> Chain {
    let id = ClaimId::from_i64(store.entropy.id());
    let ask = ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh };
    match store.claim(&ask, record("claim")).await.unwrap() {
        Claimed::Granted(row) => *row,
        Claimed::Missed(row) => panic!("missed: {row:?}"),
    }
}

pub(super) fn settling(chain: &Chain, settlement: Settlement) -> Settling {
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
pub(super) async fn refresh(store: &SqliteStore, chain: &Chain, text: &str) -> Chain {
    let claimed = claim(store, chain).await;
    let next = tokens(text);
    let spend_hash = next.refresh_token.as_ref().map(|token| store.installation().hasher.token(token));
    let settling = Settling { spend_hash, ..settling(&claimed, Settlement::Granted(Box::new(next))) };
    match store.settle(settling, record("settle")).await.unwrap() {
        Settled::Done(row) => *row,
        Settled::Superseded(row) => panic!("superseded: {row:?}"),
    }
}

/// What nobody of ours would do: any SQL, committed.
pub(super) async fn meddle(store: &SqliteStore, sql: &'static str) {
    outside(store, sqlx::AssertSqlSafe(sql)).await;
}

/// The same from a connection that is no store's, as another program would.
pub(super) async fn outside(store: &SqliteStore, sql: impl sqlx::SqlSafeStr) {
    let mut connection = store.engine.connect_options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
