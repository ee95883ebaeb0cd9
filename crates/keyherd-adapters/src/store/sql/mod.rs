//! The SQL of the rooms: `$n` parameters, upserts, no engine's own functions.
//!
//! Owns every statement that the rooms run; each runs on every engine. Where the dialects differ it is a [`Sql`] of
//! two texts, made by [`dialects`]. Schemas and everything else of one engine stand with the engine.

use super::dialect::dialects;
use super::statement::Sql;

pub(super) use self::access::*;
pub(super) use self::accounts::*;
pub(super) use self::approvals::*;
pub(super) use self::channels::*;
pub(super) use self::logs::*;
pub(super) use self::pools::*;

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
    ($clock:literal, $scopes:literal) => {
        concat!(
            "SELECT n.id AS credential_id, n.name AS credential_name, n.disabled, n.attributes, n.cooldown_until, \
             n.cooldown_reason, n.created_at, ",
            $scopes,
            " AS scoped, ",
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

macro_rules! chains_where {
    ($clock:literal, $which:literal) => {
        concat!("SELECT ", chain_columns!($clock), " FROM chains c", chain_joins!(), "WHERE ", $which)
    };
}

macro_rules! chains_claimed_where {
    ($clock:literal, $which:literal) => {
        concat!(
            "SELECT (SELECT i.key_id FROM installation i) AS key_id, ",
            chain_columns!($clock),
            " FROM chains c",
            chain_joins!(),
            "WHERE ",
            $which
        )
    };
}

macro_rules! chain {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        chains_where!($clock, "c.id = $1")
    };
}

macro_rules! chain_claimed {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        chains_claimed_where!($clock, "c.id = $1")
    };
}

macro_rules! chain_locked {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(chain!($clock, $lock, $scopes), $lock)
    };
}

macro_rules! loaded {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(loaded_select!($clock, $scopes), "WHERE n.name = $1")
    };
}

macro_rules! loaded_locked {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(loaded!($clock, $lock, $scopes), $lock)
    };
}

macro_rules! loaded_page {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(loaded_select!($clock, $scopes), "WHERE n.name > $1 ORDER BY n.name LIMIT $2")
    };
}

/// A pool's members, in its order.
macro_rules! loaded_members {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(
            loaded_select!($clock, $scopes),
            "JOIN pool_members m ON m.credential = n.id WHERE m.pool = $1 ORDER BY m.place"
        )
    };
}

pub(super) const CHAIN: Sql = dialects!(chain);
/// With the master key in force, under which a claim's answer will have to be sealed.
pub(super) const CHAIN_CLAIMED: Sql = dialects!(chain_claimed);
/// For who looks, then writes what it decided.
pub(super) const CHAIN_LOCKED: Sql = dialects!(chain_locked);
pub(super) const LOADED: Sql = dialects!(loaded);
/// As [`CHAIN_LOCKED`].
pub(super) const LOADED_LOCKED: Sql = dialects!(loaded_locked);
pub(super) const LOADED_PAGE: Sql = dialects!(loaded_page);
pub(super) const LOADED_MEMBERS: Sql = dialects!(loaded_members);

// --- claims ---

/// `$7` is the claim's life in milliseconds, NULL where its owner's process is its life; `$8` the key under which whoever
/// claims it would seal the answer, which is granted where it is the one in force. What the parameters are called, and
/// where they come from, is the caller's: see [`crowd`].
macro_rules! claim_of {
    ($clock:literal, $p:literal, $from:literal) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, claim_id = ",
            $p,
            "1, claim_owner = ",
            $p,
            "2, claim_purpose = ",
            $p,
            "3, claim_at = ",
            $p,
            "4, claim_until = ",
            $p,
            "7 + ",
            $clock,
            ", claim_client = ",
            client_of_chain!(),
            ", claim_origin = token_origin",
            $from,
            " WHERE id = ",
            $p,
            "5 AND revision = ",
            $p,
            "6 AND claim_id IS NULL AND (SELECT i.key_id FROM installation i WHERE i.one = 1) = ",
            $p,
            "8 AND NOT EXISTS \
             (SELECT 1 FROM client_blocks b WHERE b.origin = chains.token_origin AND b.client_hash = ",
            client_of_chain!(),
            ")"
        )
    };
}

macro_rules! claim {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        claim_of!($clock, "$", "")
    };
}

macro_rules! renew_claim {
    ($clock:literal, $lock:literal, $scopes:literal) => {
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
macro_rules! grant_of {
    ($p:literal, $from:literal, $($condition:tt)+) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, generation = ", $p, "1, access_token = ", $p, "2, \
             token_type = ", $p, "3, expires_at = ", $p, "4, expires_assumed = ", $p, "5, issued_at = ", $p, "6, \
             refresh_token = ", $p, "7, refresh_expires_at = ", $p, "8, granted_scopes = ", $p, "9, \
             spend_hash = ", $p, "10, refreshed_at = ", $p, "6, minted_by_rejection = ", $p, "11, due_at = ", $p, "12, ",
            no_trouble!(),
            ", ",
            no_claim!(),
            $from,
            " WHERE id = ", $p, "13 AND generation = ", $p, "14 AND ",
            $($condition)+
        )
    };
}

macro_rules! grant_claimed {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        grant_of!("$", "", "claim_id = $15 AND ", may_end!($clock, "$16"))
    };
}

pub(super) const GRANT_CLAIMED: Sql = dialects!(grant_claimed);
pub(super) const GRANT_SPENT: &str = grant_of!("$", "", "spend_hash = $15");

/// Before a grant: what it spends is remembered, unless the answer kept it. `$1` now, `$2` chain, `$3` generation,
/// `$4` the next hash; then the grant's own condition on `$5`, which holds until the grant where it holds here.
macro_rules! spend_of {
    ($lock:literal, $p:literal, $from:literal, $($condition:tt)+) => {
        concat!(
            "INSERT INTO spent_tokens (hash, chain, generation, at) SELECT spend_hash, id, generation, ", $p, "1 \
             FROM chains c", $from, " WHERE id = ", $p, "2 AND generation = ", $p, "3 AND kind = 'oauth2' \
             AND spend_hash IS NOT NULL AND spend_hash IS DISTINCT FROM ", $p, "4 AND ",
            $($condition)+,
            $lock,
            " ON CONFLICT (hash) DO UPDATE SET chain = excluded.chain, generation = excluded.generation, \
             at = excluded.at"
        )
    };
}

macro_rules! spend_claimed {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        spend_of!($lock, "$", "", "claim_id = $5 AND ", may_end!($clock, "$6"))
    };
}

macro_rules! spend_spent {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        spend_of!($lock, "$", "", "spend_hash = $5")
    };
}

pub(super) const SPEND_CLAIMED: Sql = dialects!(spend_claimed);
pub(super) const SPEND_SPENT: Sql = dialects!(spend_spent);

/// `$3` is a generation that the chain must have come to: who has an older answer than the store, as after a restored backup,
/// trims nothing.
pub(super) const SPENT_TRIM: &str = "DELETE FROM spent_tokens WHERE chain = $1 AND generation <= $2 \
     AND EXISTS (SELECT 1 FROM chains c WHERE c.id = $1 AND c.generation >= $3)";

macro_rules! trouble {
    ($clock:literal, $lock:literal, $scopes:literal) => {
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
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(
            "UPDATE chains SET revision = revision + 1, due_at = $1, ",
            no_claim!(),
            " WHERE id = $2 AND claim_id = $3 AND generation = $4 AND ",
            may_end!($clock, "$5")
        )
    };
}

/// Before a release. The block is on the client that the claim was taken with, which need not be the one the chain has by
/// now. What holds here holds until the release.
macro_rules! block {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(
            "INSERT INTO client_blocks (client_hash, origin, code, at) \
             SELECT claim_client, claim_origin, $1, $2 FROM chains c \
             WHERE id = $3 AND claim_id = $4 AND generation = $5 AND claim_client IS NOT NULL AND ",
            may_end!($clock, "$6"),
            $lock,
            " ON CONFLICT (client_hash, origin) DO UPDATE SET code = excluded.code, at = excluded.at"
        )
    };
}

pub(super) const TROUBLE: Sql = dialects!(trouble);
pub(super) const RELEASE: Sql = dialects!(release);
pub(super) const BLOCK: Sql = dialects!(block);

pub(super) const UNBLOCK: &str = "DELETE FROM client_blocks WHERE client_hash = $1 AND origin = $2";

pub(super) const UNRESOLVED: &str = "SELECT COUNT(*) AS number FROM chains WHERE claim_id IS NOT NULL";

pub(super) const CLAIMED_BEFORE: &str =
    "SELECT COUNT(*) AS number FROM chains WHERE claim_id IS NOT NULL AND claim_at < $1";

// --- due ---

pub(super) const DUE: &str = "SELECT c.id, c.revision, c.provider, c.token_url, c.due_at, (SELECT n.name FROM credentials n \
     WHERE n.chain = c.id AND NOT n.disabled ORDER BY n.id LIMIT 1) AS name \
     FROM chains c WHERE c.due_at <= $1 ORDER BY c.due_at LIMIT $2";

/// Nobody enabled is on it: the background has nothing to do there until an amendment says so.
pub(super) const UNDUE: &str = "UPDATE chains SET due_at = NULL WHERE id = $1 AND NOT EXISTS \
     (SELECT 1 FROM credentials n WHERE n.chain = chains.id AND NOT n.disabled)";

/// The same for who looked before: only where nobody changed the chain since, `$2`. An amendment that waits to be
/// committed is not seen by the condition on members, but it has moved the revision.
pub(super) const UNDUE_SEEN: &str = "UPDATE chains SET due_at = NULL WHERE id = $1 AND revision = $2 AND NOT EXISTS \
     (SELECT 1 FROM credentials n WHERE n.chain = chains.id AND NOT n.disabled)";

pub(super) const RESCHEDULE: &str = "UPDATE chains SET due_at = $1 WHERE id = $2";
/// Only where it still is due when it was seen to be: `$3`.
pub(super) const RESCHEDULE_SEEN: &str =
    "UPDATE chains SET due_at = $1 WHERE id = $2 AND due_at IS NOT DISTINCT FROM $3";

/// Who would miss the credential or pool of that name.
macro_rules! users {
    ($name:literal) => {
        concat!(
            "(SELECT MIN(a.name) FROM agent_names u JOIN agents a ON a.id = u.agent WHERE u.name = ",
            $name,
            ") AS user_agent, (SELECT MIN(b.id) FROM bindings b WHERE b.name = ",
            $name,
            ") AS user_binding"
        )
    };
}

// Below the macros, which they use.
mod access;
mod accounts;
mod approvals;
mod channels;
pub(super) mod crowd;
mod logs;
mod pools;
