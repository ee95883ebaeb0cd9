//! Statements on credentials, on what their chains are configured with, and on client apps.

use crate::store::dialect::dialects;
use crate::store::statement::Sql;

/// All that stands in the way of a new or reconnected credential, in one look: `$1` name, `$2` chain's name, `$3` the
/// next hash, `$4` the chain that may hold it.
pub(in crate::store) const OBSTACLES: &str = "SELECT \
     (SELECT n.id FROM credentials n WHERE n.name = $1) AS named, \
     (SELECT p.id FROM pools p WHERE p.name = $1) AS pool, \
     (SELECT c.id FROM chains c WHERE c.name = $2) AS chain, \
     (SELECT c.id FROM chains c WHERE c.spend_hash = $3 AND c.kind = 'oauth2' AND c.id <> $4 LIMIT 1) AS holder, \
     (SELECT c.id FROM spent_tokens s JOIN chains c ON c.id = s.chain WHERE s.hash = $3 \
     AND NOT (COALESCE(c.trouble, '') = 'verdict' AND c.verdict_hash = c.spend_hash)) AS spender";

pub(in crate::store) const SPENT: &str = "SELECT s.generation, c.generation AS current FROM spent_tokens s \
     JOIN chains c ON c.id = s.chain WHERE s.hash = $1";

pub(in crate::store) const FORGET_SPENT: &str = "DELETE FROM spent_tokens WHERE hash = $1";

pub(in crate::store) const MEMBERS: &str = "SELECT COUNT(*) AS number FROM credentials WHERE chain = $1";

pub(in crate::store) const USERS_OF_PROVIDER: &str = "SELECT COUNT(*) AS number FROM credentials n \
     JOIN chains c ON c.id = n.chain WHERE c.provider = $1";

pub(in crate::store) const A_MEMBER: &str =
    "SELECT name FROM credentials WHERE chain = $1 ORDER BY id LIMIT 1";

pub(in crate::store) const INSERT_CREDENTIAL: &str = "INSERT INTO credentials (id, name, chain, disabled, attributes, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";

pub(in crate::store) const INSERT_CHAIN: &str = "INSERT INTO chains (id, revision, generation, name, provider, kind, client_name, \
     client_id, client_secret, client_hash, token_url, token_origin, resource, scopes, access_token, token_type, \
     expires_at, expires_assumed, issued_at, refresh_token, refresh_expires_at, granted_scopes, spend_hash, \
     minted_by_rejection, due_at) VALUES ($1, 1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
     $16, $17, $18, $19, $20, $21, $22, $23)";

/// What a chain is configured with: `$1..=$11`, for the chain `$12`.
pub(in crate::store) const CONFIGURE: &str = "UPDATE chains SET revision = revision + 1, name = $1, provider = $2, kind = $3, \
     client_name = $4, client_id = $5, client_secret = $6, client_hash = $7, token_url = $8, token_origin = $9, \
     resource = $10, scopes = $11 WHERE id = $12";

/// Tokens from outside, `$1..=$11`, for the chain `$12`.
pub(in crate::store) const RETOKEN: &str = "UPDATE chains SET generation = $1, access_token = $2, token_type = $3, \
     expires_at = $4, expires_assumed = $5, issued_at = $6, refresh_token = $7, refresh_expires_at = $8, \
     granted_scopes = $9, spend_hash = $10, due_at = $11 WHERE id = $12";

/// After other tokens came from outside: nothing that was known of the old ones holds.
pub(in crate::store) const RENEW: &str = concat!(
    "UPDATE chains SET refreshed_at = NULL, minted_by_rejection = $1, ",
    no_trouble!(),
    ", ",
    no_claim!(),
    " WHERE id = $2"
);

pub(in crate::store) const SPEND_REPLACED: &str = "INSERT INTO spent_tokens (hash, chain, generation, at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (hash) DO UPDATE SET chain = excluded.chain, generation = excluded.generation, at = excluded.at";

pub(in crate::store) const TOUCH: &str = "UPDATE chains SET revision = revision + 1 WHERE id = $1";

pub(in crate::store) const AMEND_CREDENTIAL: &str =
    "UPDATE credentials SET disabled = $1, attributes = $2 WHERE id = $3";

pub(in crate::store) const COOL: &str = "UPDATE credentials SET cooldown_until = $1, cooldown_reason = $2 \
     WHERE id = $3 AND (cooldown_until IS NULL OR cooldown_until < $1)";

/// `$1` credential, `$2` scope, `$3` until, `$4` reason, `$5` now, `$6` the most scopes that rest at once.
pub(in crate::store) const COOL_SCOPE: &str = "INSERT INTO scoped_cooldowns (credential, scope, until, reason) \
     SELECT n.id, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT) FROM credentials n WHERE n.id = $1 AND \
     ((SELECT COUNT(*) FROM scoped_cooldowns s WHERE s.credential = $1 AND s.until > $5) < $6 OR EXISTS \
     (SELECT 1 FROM scoped_cooldowns s WHERE s.credential = $1 AND s.scope = $2)) \
     ON CONFLICT (credential, scope) DO UPDATE SET until = excluded.until, reason = excluded.reason \
     WHERE scoped_cooldowns.until < excluded.until";

pub(in crate::store) const WARM_SCOPE: &str = "DELETE FROM scoped_cooldowns \
     WHERE credential = $1 AND scope = $2 AND reason = $3 AND until > $4";

pub(in crate::store) const REMOVE_SCOPES: &str = "DELETE FROM scoped_cooldowns WHERE credential = $1";

/// Those that ended before `$1`.
pub(in crate::store) const SCOPES_TRIM: &str = "DELETE FROM scoped_cooldowns WHERE until < $1";

pub(in crate::store) const WARM: &str = "UPDATE credentials SET cooldown_until = NULL, cooldown_reason = NULL \
     WHERE id = $1 AND cooldown_reason = $2 AND cooldown_until > $3";

macro_rules! chain_of_locked {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(
            "SELECT c.id, c.claim_id, (SELECT p.name FROM pool_members m JOIN pools p ON p.id = m.pool \
             WHERE m.credential = n.id) AS pool, ",
            users!("n.name"),
            " FROM credentials n JOIN chains c ON c.id = n.chain WHERE n.id = $1",
            $lock
        )
    };
}

/// No claim is taken on it until the transaction ends.
pub(in crate::store) const CHAIN_OF_LOCKED: Sql = dialects!(chain_of_locked);
pub(in crate::store) const REMOVE: &str = "DELETE FROM credentials WHERE id = $1";
pub(in crate::store) const REMOVE_CHAIN: &str = "DELETE FROM chains WHERE id = $1";
pub(in crate::store) const REMOVE_SPENT: &str = "DELETE FROM spent_tokens WHERE chain = $1";

// --- clients ---

/// Of several blocks (one per token endpoint) the newest is told.
pub(in crate::store) const CLIENTS: &str = "SELECT k.id, k.provider, k.name, k.client_id, k.secret, k.version, \
     (SELECT b.code FROM client_blocks b WHERE b.client_hash = k.client_hash ORDER BY b.at DESC LIMIT 1) AS block_code, \
     (SELECT b.at FROM client_blocks b WHERE b.client_hash = k.client_hash ORDER BY b.at DESC LIMIT 1) AS block_at \
     FROM clients k ORDER BY k.provider, k.name";

pub(in crate::store) const CLIENT: &str = "SELECT id, provider, name, client_id, secret, version, \
     CAST(NULL AS TEXT) AS block_code, CAST(NULL AS BIGINT) AS block_at FROM clients WHERE provider = $1 AND name = $2";

pub(in crate::store) const PUT_CLIENT: &str = "INSERT INTO clients (id, provider, name, client_id, secret, client_hash, version) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (provider, name) DO UPDATE SET client_id = excluded.client_id, \
     secret = excluded.secret, client_hash = excluded.client_hash, version = excluded.version";

pub(in crate::store) const CLIENT_HASH: &str =
    "SELECT client_hash FROM clients WHERE provider = $1 AND name = $2";

/// Chains that the client's block kept from being refreshed, before it is lifted: `$1` now, `$2` provider, `$3` name.
pub(in crate::store) const WAKE_BLOCKED: &str = "UPDATE chains SET due_at = $1 WHERE provider = $2 AND client_name = $3 \
     AND (due_at IS NULL OR due_at > $1) AND EXISTS (SELECT 1 FROM clients k JOIN client_blocks b \
     ON b.client_hash = k.client_hash WHERE k.provider = $2 AND k.name = $3 AND b.origin = chains.token_origin)";

pub(in crate::store) const UNBLOCK_CLIENT: &str = "DELETE FROM client_blocks WHERE client_hash = $1";

pub(in crate::store) const CLIENT_USER: &str = "SELECT n.name FROM chains c JOIN credentials n ON n.chain = c.id \
     WHERE c.client_name = $1 AND c.provider = $2 LIMIT 1";

pub(in crate::store) const REMOVE_CLIENT: &str = "DELETE FROM clients WHERE name = $1 AND provider = $2";

// --- profiles ---

pub(in crate::store) const PROFILES: &str = "SELECT id, name, text, version FROM profiles ORDER BY name";

pub(in crate::store) const PROFILE: &str = "SELECT id, name, text, version FROM profiles WHERE name = $1";

pub(in crate::store) const PUT_PROFILE: &str = "INSERT INTO profiles (id, name, text, version) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (name) DO UPDATE SET text = excluded.text, version = excluded.version";

pub(in crate::store) const REMOVE_PROFILE: &str = "DELETE FROM profiles WHERE name = $1";
