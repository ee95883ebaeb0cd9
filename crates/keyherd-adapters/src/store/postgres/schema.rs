//! The tables in PostgreSQL, and how an older store becomes this one while programs work on it.
//!
//! The rule of a rolling upgrade: a migration only ever adds. New columns may be NULL or have a default, and no program
//! reads `*`; so a program goes on working on a store that a newer one has upgraded, as long as the store's `oldest` is
//! not beyond the schema it knows. A change that older programs cannot live with raises `oldest`, and they are told so
//! when they open the store. Columns and names are those of SQLite's schema; types are PostgreSQL's.
//!
//! Never runs outside the upgrade's lock.

mod approvals;
mod audit;
mod channels;

/// The schema this program works on: the same numbers as SQLite's.
pub const SCHEMA_VERSION: i64 = 10;

/// What a program knows of schemas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    /// The one it works on.
    pub(super) version: i64,
    /// The oldest program that works on it too, by the schema that one knows.
    pub(super) oldest: i64,
    /// Each makes its version of everything before. Never edited once released.
    pub(super) migrations: &'static [(i64, &'static str)],
}

/// This program's. Programs that know nothing of pools would give their names away, and remove their members; those
/// that know nothing of agents and bindings would remove what these are of; those that know nothing of rules would hold to
/// none; those that know nothing of anchors would take entries with some for edited ones; those that know nothing of
/// channels would announce nothing, and seal no channel anew with the other rows; those that know nothing of floors would
/// take a trimmed log for a broken one.
pub(super) const SCHEMA: Schema = Schema {
    version: SCHEMA_VERSION,
    oldest: 9,
    migrations: &[
        (3, V3),
        (4, V4),
        (5, V5),
        (6, approvals::RULES_AND_APPROVALS),
        (7, audit::ANCHORS),
        (8, channels::CHANNELS),
        (9, audit::FLOORS),
    ],
};

/// What the fences raise.
pub(super) const RETIRED_KEY: &str = "KH001";

/// Asked of the catalogue's rows: `to_regclass` may answer from a session's memory of what was not there before.
pub(super) const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables \
     WHERE tablename = 'keyherd_schema' AND schemaname = ANY (current_schemas(FALSE))) AS is_there";

pub(super) const VERSION: &str = "SELECT version, oldest FROM keyherd_schema";

pub(super) const SET_VERSION: &str = "INSERT INTO keyherd_schema (one, version, oldest) VALUES (TRUE, $1, $2) \
     ON CONFLICT (one) DO UPDATE SET version = excluded.version, oldest = excluded.oldest";

/// Names are compared byte by byte, as SQLite does: pages follow them. An audit entry that does not follow its chain's
/// recorded end is refused as a transaction that came too late.
const V3: &str = r#"
CREATE TABLE keyherd_schema (
  one BOOLEAN PRIMARY KEY CHECK (one),
  version BIGINT NOT NULL,
  oldest BIGINT NOT NULL
);

CREATE TABLE installation (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id BYTEA NOT NULL,
  key_id BYTEA NOT NULL,
  hash_key BYTEA NOT NULL,
  audit_key BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE clients (
  id BIGINT PRIMARY KEY,
  provider TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  client_id TEXT NOT NULL,
  secret BYTEA,
  client_hash BYTEA NOT NULL,
  version BIGINT NOT NULL,
  UNIQUE (provider, name)
);

CREATE TABLE profiles (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  text BYTEA NOT NULL,
  version BIGINT NOT NULL
);

CREATE TABLE client_blocks (
  client_hash BYTEA NOT NULL,
  origin TEXT COLLATE "C" NOT NULL,
  code TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (client_hash, origin)
);

CREATE TABLE chains (
  id BIGINT PRIMARY KEY,
  revision BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  name TEXT COLLATE "C" UNIQUE,
  provider TEXT COLLATE "C" NOT NULL,
  kind TEXT NOT NULL,
  client_name TEXT COLLATE "C",
  client_id TEXT,
  client_secret BYTEA,
  client_hash BYTEA,
  token_url TEXT,
  token_origin TEXT COLLATE "C" NOT NULL,
  resource TEXT,
  scopes TEXT NOT NULL,
  access_token BYTEA,
  token_type TEXT NOT NULL,
  expires_at BIGINT,
  expires_assumed BOOLEAN NOT NULL,
  issued_at BIGINT NOT NULL,
  refresh_token BYTEA,
  refresh_expires_at BIGINT,
  granted_scopes TEXT NOT NULL,
  spend_hash BYTEA,
  refreshed_at BIGINT,
  minted_by_rejection BOOLEAN NOT NULL,
  trouble TEXT,
  trouble_code TEXT,
  trouble_at BIGINT,
  trouble_count BIGINT,
  trouble_until BIGINT,
  verdict_hash BYTEA,
  verdict_reason TEXT,
  claim_id BIGINT,
  claim_owner BIGINT,
  claim_purpose TEXT,
  claim_at BIGINT,
  claim_client BYTEA,
  claim_origin TEXT,
  due_at BIGINT,
  claim_until BIGINT
);
CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX chains_spend ON chains (spend_hash) WHERE spend_hash IS NOT NULL;
CREATE INDEX chains_client ON chains (client_hash) WHERE client_hash IS NOT NULL;
CREATE INDEX chains_named_client ON chains (client_name) WHERE client_name IS NOT NULL;
CREATE INDEX chains_trouble ON chains (trouble) WHERE trouble IS NOT NULL;
CREATE INDEX chains_claimed ON chains (claim_owner) WHERE claim_id IS NOT NULL;

CREATE TABLE credentials (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
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
  hash BYTEA PRIMARY KEY,
  chain BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX spent_tokens_chain ON spent_tokens (chain, generation);

CREATE TABLE events (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  chain BIGINT,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL
);

CREATE TABLE audit (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chain BIGINT NOT NULL,
  place BIGINT NOT NULL,
  at BIGINT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BYTEA NOT NULL
);
CREATE TABLE audit_heads (
  chain BIGINT PRIMARY KEY,
  place BIGINT NOT NULL,
  hash BYTEA NOT NULL
);
CREATE FUNCTION keyherd_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_heads AS h (chain, place, hash) VALUES (NEW.chain, NEW.place, NEW.hash)
  ON CONFLICT (chain) DO UPDATE SET place = excluded.place, hash = excluded.hash
  WHERE h.place = excluded.place - 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'an audit entry does not follow its chain' USING ERRCODE = '40001';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit_head AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION keyherd_audit_head();

CREATE FUNCTION keyherd_fence(sealed BYTEA) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF substring(sealed FROM 2 FOR 8) <> (SELECT key_id FROM installation) THEN
    RAISE EXCEPTION 'retired master key' USING ERRCODE = 'KH001';
  END IF;
END $$;
CREATE FUNCTION keyherd_fence_chains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR NEW.access_token IS DISTINCT FROM OLD.access_token THEN
    PERFORM keyherd_fence(NEW.access_token);
  END IF;
  IF TG_OP = 'INSERT' OR NEW.refresh_token IS DISTINCT FROM OLD.refresh_token THEN
    PERFORM keyherd_fence(NEW.refresh_token);
  END IF;
  IF TG_OP = 'INSERT' OR NEW.client_secret IS DISTINCT FROM OLD.client_secret THEN
    PERFORM keyherd_fence(NEW.client_secret);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER chains_fence_insert BEFORE INSERT ON chains FOR EACH ROW EXECUTE FUNCTION keyherd_fence_chains();
CREATE TRIGGER chains_fence_update BEFORE UPDATE OF access_token, refresh_token, client_secret ON chains
FOR EACH ROW EXECUTE FUNCTION keyherd_fence_chains();
CREATE FUNCTION keyherd_fence_clients() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR NEW.secret IS DISTINCT FROM OLD.secret THEN
    PERFORM keyherd_fence(NEW.secret);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER clients_fence_insert BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION keyherd_fence_clients();
CREATE TRIGGER clients_fence_update BEFORE UPDATE OF secret ON clients
FOR EACH ROW EXECUTE FUNCTION keyherd_fence_clients();
CREATE FUNCTION keyherd_fence_profiles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR NEW.text IS DISTINCT FROM OLD.text THEN
    PERFORM keyherd_fence(NEW.text);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER profiles_fence_insert BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION keyherd_fence_profiles();
CREATE TRIGGER profiles_fence_update BEFORE UPDATE OF text ON profiles
FOR EACH ROW EXECUTE FUNCTION keyherd_fence_profiles();
"#;

/// Pools, and rests of parts of an account. A credential is in one pool at most: `pool_members` is keyed by it.
const V4: &str = r#"
CREATE TABLE pools (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  strategy TEXT NOT NULL,
  active BIGINT NOT NULL,
  rotated BOOLEAN NOT NULL,
  epoch BIGINT NOT NULL,
  exhausted_until BIGINT,
  created_at BIGINT NOT NULL
);
CREATE TABLE pool_members (
  credential BIGINT PRIMARY KEY,
  pool BIGINT NOT NULL,
  place BIGINT NOT NULL
);
CREATE INDEX pool_members_pool ON pool_members (pool, place);
CREATE TABLE scoped_cooldowns (
  credential BIGINT NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  until BIGINT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (credential, scope)
);
CREATE INDEX scoped_cooldowns_until ON scoped_cooldowns (until);
"#;

/// Agents and bindings, sealed but for what is searched for. `agent_names`: what each agent is allowed.
const V5: &str = r#"
CREATE TABLE agents (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  doc BYTEA NOT NULL
);
CREATE TABLE agent_names (
  name TEXT COLLATE "C" NOT NULL,
  agent BIGINT NOT NULL,
  PRIMARY KEY (name, agent)
);
CREATE INDEX agent_names_agent ON agent_names (agent);
CREATE TABLE bindings (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  doc BYTEA NOT NULL
);
CREATE INDEX bindings_name ON bindings (name);
CREATE FUNCTION keyherd_fence_docs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR NEW.doc IS DISTINCT FROM OLD.doc THEN
    PERFORM keyherd_fence(NEW.doc);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER agents_fence_insert BEFORE INSERT ON agents FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
CREATE TRIGGER agents_fence_update BEFORE UPDATE OF doc ON agents FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
CREATE TRIGGER bindings_fence_insert BEFORE INSERT ON bindings FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
CREATE TRIGGER bindings_fence_update BEFORE UPDATE OF doc ON bindings FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
"#;
