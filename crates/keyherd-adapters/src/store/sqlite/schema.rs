//! The tables, and how an older store becomes this one.
//!
//! Owns the schema and its version. Every migration runs in one transaction, under the store's lock file. A fresh
//! store runs all of them, so that there is one way to a schema.

mod approvals;
mod audit;
mod channels;

use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::fault::FileFault;

/// What `PRAGMA application_id` says of a file of ours: `kyhd`.
pub(super) const APPLICATION_ID: i64 = 0x6b79_6864;

/// The schema this program works on.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// The n-th one makes version n + 1. Never edited once released: a store that ran it does not run it again.
const MIGRATIONS: [&str; 10] = [
    V1,
    V2,
    V3,
    V4,
    V5,
    approvals::RULES_AND_APPROVALS,
    audit::ANCHORS,
    channels::CHANNELS,
    audit::FLOORS,
    audit::LINES,
];

/// `chains`: sealed columns are BLOBs that name their key in bytes 2 to 9, which is what the fences look at.
/// `chains_spend` is not unique: what a provider grants is committed, even should another chain hold the same token.
const V1: &str = "
CREATE TABLE installation (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id BLOB NOT NULL,
  key_id BLOB NOT NULL,
  hash_key BLOB NOT NULL,
  audit_key BLOB NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE clients (
  id INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  name TEXT NOT NULL,
  client_id TEXT NOT NULL,
  secret BLOB,
  client_hash BLOB NOT NULL,
  version BIGINT NOT NULL,
  UNIQUE (provider, name)
);

CREATE TABLE client_blocks (
  client_hash BLOB NOT NULL,
  origin TEXT NOT NULL,
  code TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (client_hash, origin)
) WITHOUT ROWID;

CREATE TABLE chains (
  id INTEGER PRIMARY KEY,
  revision BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  name TEXT UNIQUE,
  provider TEXT NOT NULL,
  kind TEXT NOT NULL,
  client_name TEXT,
  client_id TEXT,
  client_secret BLOB,
  client_hash BLOB,
  token_url TEXT,
  token_origin TEXT NOT NULL,
  resource TEXT,
  scopes TEXT NOT NULL,
  access_token BLOB,
  token_type TEXT NOT NULL,
  expires_at BIGINT,
  expires_assumed BOOLEAN NOT NULL,
  issued_at BIGINT NOT NULL,
  refresh_token BLOB,
  refresh_expires_at BIGINT,
  granted_scopes TEXT NOT NULL,
  spend_hash BLOB,
  refreshed_at BIGINT,
  minted_by_rejection BOOLEAN NOT NULL,
  trouble TEXT,
  trouble_code TEXT,
  trouble_at BIGINT,
  trouble_count BIGINT,
  trouble_until BIGINT,
  verdict_hash BLOB,
  verdict_reason TEXT,
  claim_id BIGINT,
  claim_owner BIGINT,
  claim_purpose TEXT,
  claim_at BIGINT,
  claim_client BLOB,
  claim_origin TEXT,
  due_at BIGINT
);
CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX chains_spend ON chains (spend_hash) WHERE spend_hash IS NOT NULL;
CREATE INDEX chains_client ON chains (client_hash) WHERE client_hash IS NOT NULL;
CREATE INDEX chains_named_client ON chains (client_name) WHERE client_name IS NOT NULL;
CREATE INDEX chains_trouble ON chains (trouble) WHERE trouble IS NOT NULL;
CREATE INDEX chains_claimed ON chains (claim_owner) WHERE claim_id IS NOT NULL;

CREATE TABLE credentials (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  chain BIGINT NOT NULL,
  disabled BOOLEAN NOT NULL,
  attributes TEXT NOT NULL,
  cooldown_until BIGINT,
  cooldown_reason TEXT,
  created_at BIGINT NOT NULL
);
CREATE INDEX credentials_chain ON credentials (chain);
CREATE INDEX credentials_disabled ON credentials (id) WHERE disabled;
CREATE INDEX credentials_cooling ON credentials (cooldown_until) WHERE cooldown_until IS NOT NULL;

CREATE TABLE spent_tokens (
  hash BLOB PRIMARY KEY,
  chain BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spent_tokens_chain ON spent_tokens (chain, generation);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  chain BIGINT,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL
);

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  chain BIGINT NOT NULL,
  place BIGINT NOT NULL,
  at BIGINT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
);
CREATE TABLE audit_heads (
  chain INTEGER PRIMARY KEY,
  place BIGINT NOT NULL,
  hash BLOB NOT NULL
);
CREATE TRIGGER audit_head AFTER INSERT ON audit BEGIN
  INSERT INTO audit_heads (chain, place, hash) VALUES (NEW.chain, NEW.place, NEW.hash)
  ON CONFLICT (chain) DO UPDATE SET place = excluded.place, hash = excluded.hash;
END;

CREATE TRIGGER chains_fence_insert BEFORE INSERT ON chains
WHEN substr(NEW.access_token, 2, 8) <> (SELECT key_id FROM installation)
  OR substr(NEW.refresh_token, 2, 8) <> (SELECT key_id FROM installation)
  OR substr(NEW.client_secret, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER chains_fence_update BEFORE UPDATE OF access_token, refresh_token, client_secret ON chains
WHEN (NEW.access_token IS NOT OLD.access_token AND substr(NEW.access_token, 2, 8) <> (SELECT key_id FROM installation))
  OR (NEW.refresh_token IS NOT OLD.refresh_token AND substr(NEW.refresh_token, 2, 8) <> (SELECT key_id FROM installation))
  OR (NEW.client_secret IS NOT OLD.client_secret AND substr(NEW.client_secret, 2, 8) <> (SELECT key_id FROM installation))
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER clients_fence_insert BEFORE INSERT ON clients
WHEN substr(NEW.secret, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER clients_fence_update BEFORE UPDATE OF secret ON clients
WHEN NEW.secret IS NOT OLD.secret AND substr(NEW.secret, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
";

/// A claim's own life, where its owner's process cannot be seen. Always NULL here.
const V2: &str = "ALTER TABLE chains ADD COLUMN claim_until BIGINT;";

/// Provider profiles, sealed, with the fence of everything that is.
const V3: &str = "
CREATE TABLE profiles (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  text BLOB NOT NULL,
  version BIGINT NOT NULL
);
CREATE TRIGGER profiles_fence_insert BEFORE INSERT ON profiles
WHEN substr(NEW.text, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER profiles_fence_update BEFORE UPDATE OF text ON profiles
WHEN NEW.text IS NOT OLD.text AND substr(NEW.text, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
";

/// Pools, and rests of parts of an account. A credential is in one pool at most: `pool_members` is keyed by it.
const V4: &str = "
CREATE TABLE pools (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  strategy TEXT NOT NULL,
  active BIGINT NOT NULL,
  rotated BOOLEAN NOT NULL,
  epoch BIGINT NOT NULL,
  exhausted_until BIGINT,
  created_at BIGINT NOT NULL
);
CREATE TABLE pool_members (
  credential INTEGER PRIMARY KEY,
  pool BIGINT NOT NULL,
  place BIGINT NOT NULL
);
CREATE INDEX pool_members_pool ON pool_members (pool, place);
CREATE TABLE scoped_cooldowns (
  credential BIGINT NOT NULL,
  scope TEXT NOT NULL,
  until BIGINT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (credential, scope)
) WITHOUT ROWID;
CREATE INDEX scoped_cooldowns_until ON scoped_cooldowns (until);
";

/// Agents and bindings, sealed but for what is searched for. `agent_names`: what each agent is allowed.
const V5: &str = "
CREATE TABLE agents (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  doc BLOB NOT NULL
);
CREATE TABLE agent_names (
  name TEXT NOT NULL,
  agent BIGINT NOT NULL,
  PRIMARY KEY (name, agent)
) WITHOUT ROWID;
CREATE INDEX agent_names_agent ON agent_names (agent);
CREATE TABLE bindings (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  doc BLOB NOT NULL
);
CREATE INDEX bindings_name ON bindings (name);
CREATE TRIGGER agents_fence_insert BEFORE INSERT ON agents
WHEN substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER agents_fence_update BEFORE UPDATE OF doc ON agents
WHEN NEW.doc IS NOT OLD.doc AND substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER bindings_fence_insert BEFORE INSERT ON bindings
WHEN substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER bindings_fence_update BEFORE UPDATE OF doc ON bindings
WHEN NEW.doc IS NOT OLD.doc AND substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
";

/// Whose file it is, and at which schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) application_id: i64,
    pub(super) version: i64,
}

impl Stamp {
    pub(super) fn is_ours(self) -> bool {
        self.application_id == APPLICATION_ID
    }
}

pub(super) async fn stamp(connection: &mut SqliteConnection) -> Result<Stamp, FileFault> {
    const STAMP: &str = "SELECT a.application_id AS application_id, v.user_version AS version \
         FROM pragma_application_id a, pragma_user_version v";
    let row = sqlx::query(STAMP).fetch_one(connection).await?;
    Ok(Stamp { application_id: row.try_get("application_id")?, version: row.try_get("version")? })
}

/// Runs what is missing, inside the caller's transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, from: i64) -> Result<(), FileFault> {
    for migration in MIGRATIONS.into_iter().skip(usize::try_from(from).unwrap_or(0)) {
        sqlx::raw_sql(migration).execute(&mut *connection).await?;
    }
    let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};");
    sqlx::raw_sql(AssertSqlSafe(marks)).execute(connection).await?;
    Ok(())
}
