//! The SQL of the rooms: `$n` parameters, upserts, no engine's own functions.
//!
//! Owns every statement that the rooms run; each runs on every engine. Where the dialects differ it is a [`Sql`] of
//! two texts, made by [`dialects`]. Schemas and everything else of one engine stand with the engine.

use super::dialect::dialects;
use super::statement::Sql;

/// A chain with its client and its block, with the names that `chain_joins` gives its tables.
macro_rules! chain_columns {
    ($clock:literal) => {
        concat!("c.id AS chain_id, c.revision, c.generation, c.name AS chain_name, c.provider, c.kind, c.client_name, \
         c.client_id, c.client_secret, c.token_url, c.resource, c.scopes, c.access_token, c.token_type, c.expires_at, \
         c.expires_assumed, c.issued_at, c.refresh_token, c.refresh_expires_at, c.granted_scopes, c.spend_hash, \
         c.refreshed_at, c.minted_by_rejection, c.trouble, c.trouble_code, c.trouble_at, c.trouble_count, \
         c.trouble_until, c.verdict_hash, c.verdict_reason, c.claim_id, c.claim_owner, c.claim_purpose, c.claim_at, \
         c.claim_until <= ", $clock, " AS claim_is_over, c.due_at, k.id AS named_row, k.version AS named_version, k.client_id AS named_id, k.secret AS named_secret, \
         b.code AS block_code, b.at AS block_at")
    };
}

/// What hangs on a chain: its named client, and the block on whichever client it uses.
macro_rules! chain_joins {
    () => {
        " LEFT JOIN clients k ON k.provider = c.provider AND k.name = c.client_name \
         LEFT JOIN client_blocks b ON b.client_hash = COALESCE(k.client_hash, c.client_hash) \
         AND b.origin = c.token_origin "
    };
}

macro_rules! loaded_select {
    ($clock:literal) => {
        concat!(
            "SELECT n.id AS credential_id, n.name AS credential_name, n.disabled, n.attributes, n.cooldown_until, \
             n.cooldown_reason, n.created_at, ",
            chain_columns!($clock),
            " FROM credentials n JOIN chains c ON c.id = n.chain",
            chain_joins!()
        )
    };
}

/// The client that a chain would be used with now: the named one's hash before its own.
macro_rules! client_of_chain {
    () => {
        "COALESCE((SELECT k.client_hash FROM clients k \
         WHERE k.provider = chains.provider AND k.name = chains.client_name), chains.client_hash)"
    };
}

macro_rules! no_claim {
    () => {
        "claim_id = NULL, claim_owner = NULL, claim_purpose = NULL, claim_at = NULL, claim_until = NULL, \
         claim_client = NULL, claim_origin = NULL"
    };
}

macro_rules! no_trouble {
    () => {
        "trouble = NULL, trouble_code = NULL, trouble_at = NULL, trouble_count = NULL, trouble_until = NULL, \
         verdict_hash = NULL, verdict_reason = NULL"
    };
}

/// The claim is this process's, or its owner is gone: `$owner` is who asks. A claim without a life of its own is judged
/// by the engine before.
macro_rules! may_end {
    ($clock:literal, $owner:literal) => {
        concat!("(claim_owner = ", $owner, " OR claim_until IS NULL OR claim_until <= ", $clock, ")")
    };
}

macro_rules! chain {
    ($clock:literal, $lock:literal) => {
        concat!("SELECT ", chain_columns!($clock), " FROM chains c", chain_joins!(), "WHERE c.id = $1")
    };
}

macro_rules! chain_locked {
    ($clock:literal, $lock:literal) => {
        concat!(chain!($clock, $lock), $lock)
    };
}

macro_rules! loaded {
    ($clock:literal, $lock:literal) => {
        concat!(loaded_select!($clock), "WHERE n.name = $1")
    };
}

macro_rules! loaded_locked {
    ($clock:literal, $lock:literal) => {
        concat!(loaded!($clock, $lock), $lock)
    };
}

macro_rules! loaded_page {
    ($clock:literal, $lock:literal) => {
        concat!(loaded_select!($clock), "WHERE n.name > $1 ORDER BY n.name LIMIT $2")
    };
}

pub(super) const CHAIN: Sql = dialects!(chain);
/// For who looks, then writes what it decided.
pub(super) const CHAIN_LOCKED: Sql = dialects!(chain_locked);
pub(super) const LOADED: Sql = dialects!(loaded);
/// As [`CHAIN_LOCKED`].
pub(super) const LOADED_LOCKED: Sql = dialects!(loaded_locked);
pub(super) const LOADED_PAGE: Sql = dialects!(loaded_page);

// --- claims ---

/// `$7` is the claim's life in milliseconds, NULL where its owner's process is its life.
macro_rules! claim {
    ($clock:literal, $lock:literal) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, claim_id = $1, claim_owner = $2, claim_purpose = $3, \
             claim_at = $4, claim_until = $7 + ",
            $clock,
            ", claim_client = ",
            client_of_chain!(),
            ", claim_origin = token_origin WHERE id = $5 AND revision = $6 AND claim_id IS NULL AND NOT EXISTS \
             (SELECT 1 FROM client_blocks b WHERE b.origin = chains.token_origin AND b.client_hash = ",
            client_of_chain!(),
            ")"
        )
    };
}

macro_rules! renew_claim {
    ($clock:literal, $lock:literal) => {
        concat!(
            "UPDATE chains SET claim_until = $1 + ",
            $clock,
            " WHERE id = $2 AND claim_id = $3 AND claim_owner = $4"
        )
    };
}

pub(super) const CLAIM: Sql = dialects!(claim);
pub(super) const RENEW_CLAIM: Sql = dialects!(renew_claim);

/// `$1` next generation, `$2..=$12` its tokens, `$13` chain, `$14` generation; then the caller's condition on `$15`.
macro_rules! grant {
    ($($condition:tt)+) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, generation = $1, access_token = $2, token_type = $3, \
             expires_at = $4, expires_assumed = $5, issued_at = $6, refresh_token = $7, refresh_expires_at = $8, \
             granted_scopes = $9, spend_hash = $10, refreshed_at = $6, minted_by_rejection = $11, due_at = $12, ",
            no_trouble!(),
            ", ",
            no_claim!(),
            " WHERE id = $13 AND generation = $14 AND ",
            $($condition)+
        )
    };
}

macro_rules! grant_claimed {
    ($clock:literal, $lock:literal) => {
        grant!("claim_id = $15 AND ", may_end!($clock, "$16"))
    };
}

pub(super) const GRANT_CLAIMED: Sql = dialects!(grant_claimed);
pub(super) const GRANT_SPENT: &str = grant!("spend_hash = $15");

/// Before a grant: what it spends is remembered, unless the answer kept it. `$1` now, `$2` chain, `$3` generation,
/// `$4` the next hash; then the grant's own condition on `$5`.
macro_rules! spend {
    ($($condition:tt)+) => {
        concat!(
            "INSERT INTO spent_tokens (hash, chain, generation, at) SELECT spend_hash, id, generation, $1 FROM chains \
             WHERE id = $2 AND generation = $3 AND kind = 'oauth2' AND spend_hash IS NOT NULL \
             AND spend_hash IS DISTINCT FROM $4 AND ",
            $($condition)+,
            " ON CONFLICT (hash) DO UPDATE SET chain = excluded.chain, generation = excluded.generation, \
             at = excluded.at"
        )
    };
}

macro_rules! spend_claimed {
    ($clock:literal, $lock:literal) => {
        spend!("claim_id = $5 AND ", may_end!($clock, "$6"))
    };
}

pub(super) const SPEND_CLAIMED: Sql = dialects!(spend_claimed);
pub(super) const SPEND_SPENT: &str = spend!("spend_hash = $5");

pub(super) const SPENT_TRIM: &str = "DELETE FROM spent_tokens WHERE chain = $1 AND generation <= $2";

macro_rules! trouble {
    ($clock:literal, $lock:literal) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, trouble = $1, trouble_code = $2, trouble_at = $3, \
             trouble_count = $4, trouble_until = $5, verdict_hash = $6, verdict_reason = $7, due_at = $8, ",
            no_claim!(),
            " WHERE id = $9 AND claim_id = $10 AND generation = $11 AND ",
            may_end!($clock, "$12")
        )
    };
}

macro_rules! release {
    ($clock:literal, $lock:literal) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, due_at = $1, ",
            no_claim!(),
            " WHERE id = $2 AND claim_id = $3 AND generation = $4 AND ",
            may_end!($clock, "$5")
        )
    };
}

/// The block is on the client that the claim was taken with, which need not be the one the chain has by now.
macro_rules! block {
    ($clock:literal, $lock:literal) => {
        concat!(
            "INSERT INTO client_blocks (client_hash, origin, code, at) \
             SELECT claim_client, claim_origin, $1, $2 FROM chains \
             WHERE id = $3 AND claim_id = $4 AND generation = $5 AND claim_client IS NOT NULL AND ",
            may_end!($clock, "$6"),
            " ON CONFLICT (client_hash, origin) DO UPDATE SET code = excluded.code, at = excluded.at"
        )
    };
}

pub(super) const TROUBLE: Sql = dialects!(trouble);
pub(super) const RELEASE: Sql = dialects!(release);
pub(super) const BLOCK: Sql = dialects!(block);

pub(super) const UNBLOCK: &str = "DELETE FROM client_blocks WHERE client_hash = $1 AND origin = $2";

pub(super) const UNRESOLVED: &str = "SELECT COUNT(*) AS number FROM chains WHERE claim_id IS NOT NULL";

// --- due ---

pub(super) const DUE: &str = "SELECT c.id, c.provider, c.token_url, c.due_at, (SELECT n.name FROM credentials n \
     WHERE n.chain = c.id AND NOT n.disabled ORDER BY n.id LIMIT 1) AS name \
     FROM chains c WHERE c.due_at <= $1 ORDER BY c.due_at LIMIT $2";

/// Nobody enabled is on it: the background has nothing to do there until an amendment says so.
pub(super) const UNDUE: &str = "UPDATE chains SET due_at = NULL WHERE id = $1 AND NOT EXISTS \
     (SELECT 1 FROM credentials n WHERE n.chain = chains.id AND NOT n.disabled)";

pub(super) const RESCHEDULE: &str = "UPDATE chains SET due_at = $1 WHERE id = $2";

// --- credentials ---

/// All that stands in the way of a new or reconnected credential, in one look: `$1` name, `$2` chain's name, `$3` the
/// next hash, `$4` the chain that may hold it.
pub(super) const OBSTACLES: &str = "SELECT \
     (SELECT n.id FROM credentials n WHERE n.name = $1) AS named, \
     (SELECT c.id FROM chains c WHERE c.name = $2) AS chain, \
     (SELECT c.id FROM chains c WHERE c.spend_hash = $3 AND c.kind = 'oauth2' AND c.id <> $4 LIMIT 1) AS holder, \
     (SELECT c.id FROM spent_tokens s JOIN chains c ON c.id = s.chain WHERE s.hash = $3 \
     AND NOT (COALESCE(c.trouble, '') = 'verdict' AND c.verdict_hash = c.spend_hash)) AS spender";

pub(super) const SPENT: &str = "SELECT s.generation, c.generation AS current FROM spent_tokens s \
     JOIN chains c ON c.id = s.chain WHERE s.hash = $1";

pub(super) const FORGET_SPENT: &str = "DELETE FROM spent_tokens WHERE hash = $1";

pub(super) const MEMBERS: &str = "SELECT COUNT(*) AS number FROM credentials WHERE chain = $1";

pub(super) const A_MEMBER: &str = "SELECT name FROM credentials WHERE chain = $1 ORDER BY id LIMIT 1";

pub(super) const INSERT_CREDENTIAL: &str = "INSERT INTO credentials (id, name, chain, disabled, attributes, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";

pub(super) const INSERT_CHAIN: &str = "INSERT INTO chains (id, revision, generation, name, provider, kind, client_name, \
     client_id, client_secret, client_hash, token_url, token_origin, resource, scopes, access_token, token_type, \
     expires_at, expires_assumed, issued_at, refresh_token, refresh_expires_at, granted_scopes, spend_hash, \
     minted_by_rejection, due_at) VALUES ($1, 1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
     $16, $17, $18, $19, $20, $21, $22, $23)";

/// What a chain is configured with: `$1..=$11`, for the chain `$12`.
pub(super) const CONFIGURE: &str = "UPDATE chains SET revision = revision + 1, name = $1, provider = $2, kind = $3, \
     client_name = $4, client_id = $5, client_secret = $6, client_hash = $7, token_url = $8, token_origin = $9, \
     resource = $10, scopes = $11 WHERE id = $12";

/// Tokens from outside, `$1..=$11`, for the chain `$12`.
pub(super) const RETOKEN: &str = "UPDATE chains SET generation = $1, access_token = $2, token_type = $3, \
     expires_at = $4, expires_assumed = $5, issued_at = $6, refresh_token = $7, refresh_expires_at = $8, \
     granted_scopes = $9, spend_hash = $10, due_at = $11 WHERE id = $12";

/// After other tokens came from outside: nothing that was known of the old ones holds.
pub(super) const RENEW: &str = concat!(
    "UPDATE chains SET refreshed_at = NULL, minted_by_rejection = $1, ",
    no_trouble!(),
    ", ",
    no_claim!(),
    " WHERE id = $2"
);

pub(super) const SPEND_REPLACED: &str = "INSERT INTO spent_tokens (hash, chain, generation, at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (hash) DO UPDATE SET chain = excluded.chain, generation = excluded.generation, at = excluded.at";

pub(super) const TOUCH: &str = "UPDATE chains SET revision = revision + 1 WHERE id = $1";

pub(super) const AMEND_CREDENTIAL: &str =
    "UPDATE credentials SET disabled = $1, attributes = $2 WHERE id = $3";

pub(super) const COOL: &str = "UPDATE credentials SET cooldown_until = $1, cooldown_reason = $2 \
     WHERE id = $3 AND (cooldown_until IS NULL OR cooldown_until < $1)";

pub(super) const WARM: &str = "UPDATE credentials SET cooldown_until = NULL, cooldown_reason = NULL \
     WHERE id = $1 AND cooldown_reason = $2 AND cooldown_until > $3";

pub(super) const CHAIN_OF: &str = "SELECT chain AS number FROM credentials WHERE id = $1";
pub(super) const REMOVE: &str = "DELETE FROM credentials WHERE id = $1";
pub(super) const REMOVE_CHAIN: &str = "DELETE FROM chains WHERE id = $1";
pub(super) const REMOVE_SPENT: &str = "DELETE FROM spent_tokens WHERE chain = $1";

// --- clients ---

/// Of several blocks (one per token endpoint) the newest is told.
pub(super) const CLIENTS: &str = "SELECT k.id, k.provider, k.name, k.client_id, k.secret, k.version, \
     (SELECT b.code FROM client_blocks b WHERE b.client_hash = k.client_hash ORDER BY b.at DESC LIMIT 1) AS block_code, \
     (SELECT b.at FROM client_blocks b WHERE b.client_hash = k.client_hash ORDER BY b.at DESC LIMIT 1) AS block_at \
     FROM clients k ORDER BY k.provider, k.name";

pub(super) const CLIENT: &str = "SELECT id, provider, name, client_id, secret, version, \
     CAST(NULL AS TEXT) AS block_code, CAST(NULL AS BIGINT) AS block_at FROM clients WHERE provider = $1 AND name = $2";

pub(super) const PUT_CLIENT: &str = "INSERT INTO clients (id, provider, name, client_id, secret, client_hash, version) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (provider, name) DO UPDATE SET client_id = excluded.client_id, \
     secret = excluded.secret, client_hash = excluded.client_hash, version = excluded.version";

pub(super) const CLIENT_HASH: &str = "SELECT client_hash FROM clients WHERE provider = $1 AND name = $2";

/// Chains that the client's block kept from being refreshed, before it is lifted: `$1` now, `$2` provider, `$3` name.
pub(super) const WAKE_BLOCKED: &str = "UPDATE chains SET due_at = $1 WHERE provider = $2 AND client_name = $3 \
     AND (due_at IS NULL OR due_at > $1) AND EXISTS (SELECT 1 FROM clients k JOIN client_blocks b \
     ON b.client_hash = k.client_hash WHERE k.provider = $2 AND k.name = $3 AND b.origin = chains.token_origin)";

pub(super) const UNBLOCK_CLIENT: &str = "DELETE FROM client_blocks WHERE client_hash = $1";

pub(super) const CLIENT_USER: &str = "SELECT n.name FROM chains c JOIN credentials n ON n.chain = c.id \
     WHERE c.client_name = $1 LIMIT 1";

pub(super) const REMOVE_CLIENT: &str = "DELETE FROM clients WHERE name = $1";

// --- audit and events ---

pub(super) const AUDIT: &str = "INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

pub(super) const AUDIT_END: &str = "SELECT place, hash FROM audit_heads WHERE chain = $1";

pub(super) const AUDIT_ENTRIES: &str = "SELECT seq, chain, place, at, action, actor, subject, detail, hash FROM audit \
     WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(super) const AUDIT_TAIL: &str = "SELECT seq, chain, place, at, action, actor, subject, detail, hash FROM audit \
     ORDER BY seq DESC LIMIT $1";

pub(super) const EVENT: &str =
    "INSERT INTO events (at, kind, chain, subject, detail) VALUES ($1, $2, $3, $4, $5)";

pub(super) const LAST_EVENT: &str = "SELECT COALESCE(MAX(seq), 0) AS number FROM events";

pub(super) const EVENTS: &str =
    "SELECT seq, at, kind, chain, subject, detail FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";

/// The recorded ends of the audit log's chains, each with the log's own last number.
pub(super) const AUDIT_ENDS: Sql = Sql {
    sqlite: "SELECT s.seq AS last, h.chain, h.place, h.hash FROM sqlite_sequence s \
         LEFT JOIN audit_heads h ON TRUE WHERE s.name = 'audit'",
    // Its sequence counts what was never committed; the heads alone say what must be there.
    postgres: "SELECT m.last, h.chain, h.place, h.hash FROM (SELECT COALESCE(MAX(seq), 0) AS last FROM audit) m \
         LEFT JOIN audit_heads h ON TRUE",
};

/// Of the `$3` oldest events those that are older than `$1` or lie before `$2`, and all before them. The newest one
/// stays: the outbox's number never goes back.
pub(super) const EVENTS_TRIM: &str = "DELETE FROM events WHERE seq <= (SELECT MAX(seq) FROM \
     (SELECT seq, at FROM events ORDER BY seq LIMIT $3) AS oldest WHERE at < $1 OR seq <= $2) \
     AND seq < (SELECT MAX(seq) FROM events)";

pub(super) const BLOCKS_TRIM: &str = "DELETE FROM client_blocks WHERE \
     NOT EXISTS (SELECT 1 FROM chains c WHERE c.client_hash = client_blocks.client_hash) AND \
     NOT EXISTS (SELECT 1 FROM clients k WHERE k.client_hash = client_blocks.client_hash)";

// --- the installation and its keys ---

pub(super) const INSTALLATION: &str = "SELECT id, key_id, hash_key, audit_key FROM installation";

pub(super) const INSTALL: &str = "INSERT INTO installation (one, id, key_id, hash_key, audit_key, created_at) \
     VALUES (1, $1, $2, $3, $4, $5)";

pub(super) const IN_FORCE: &str = "SELECT key_id FROM installation";

pub(super) const RESEAL_INSTALLATION: &str =
    "UPDATE installation SET key_id = $1, hash_key = $2, audit_key = $3";

pub(super) const SEALED_CHAINS: &str = "SELECT id, generation, access_token, refresh_token, client_secret \
     FROM chains WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const RESEAL_CHAIN: &str =
    "UPDATE chains SET access_token = $1, refresh_token = $2, client_secret = $3 WHERE id = $4";

pub(super) const SEALED_CLIENTS: &str =
    "SELECT id, version, secret FROM clients WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const RESEAL_CLIENT: &str = "UPDATE clients SET secret = $1 WHERE id = $2";

pub(super) const SEALED_ROWS: &str =
    "SELECT (SELECT COUNT(*) FROM chains) + (SELECT COUNT(*) FROM clients) AS number";

pub(super) const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM credentials) AS credentials, \
     (SELECT COUNT(*) FROM chains) AS chains, (SELECT COUNT(*) FROM clients) AS clients, \
     (SELECT COUNT(*) FROM audit) AS audit, (SELECT COUNT(*) FROM events) AS events, \
     (SELECT COUNT(*) FROM chains WHERE claim_id IS NOT NULL) AS claims";
