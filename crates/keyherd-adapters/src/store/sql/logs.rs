//! Statements on the audit log, the outbox, and the installation with its keys.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::store::statement::Sql;

pub(in crate::store) const AUDIT: &str = "INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// So many entries are one statement where there are as many. Not more: a parameter's name is looked for among all of its
/// statement's.
pub(in crate::store) const AUDIT_ROWS: usize = 16;

/// The same for so many entries, one after the other.
pub(in crate::store) static AUDIT_MANY: LazyLock<String> = LazyLock::new(|| {
    let mut text = AUDIT.to_owned();
    for row in 1..AUDIT_ROWS {
        let values: Vec<_> = (1..=8).map(|value| format!("${}", 8 * row + value)).collect();
        let _ = write!(text, ", ({})", values.join(", "));
    }
    text
});

pub(in crate::store) const AUDIT_END: &str = "SELECT place, hash FROM audit_heads WHERE chain = $1";

pub(in crate::store) const AUDIT_ENTRIES: &str = "SELECT seq, chain, place, at, action, actor, subject, detail, hash FROM audit \
     WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(in crate::store) const AUDIT_TAIL: &str = "SELECT seq, chain, place, at, action, actor, subject, detail, hash FROM audit \
     ORDER BY seq DESC LIMIT $1";

pub(in crate::store) const EVENT: &str =
    "INSERT INTO events (at, kind, chain, subject, detail) VALUES ($1, $2, $3, $4, $5)";

pub(in crate::store) const LAST_EVENT: &str = "SELECT COALESCE(MAX(seq), 0) AS number FROM events";

pub(in crate::store) const EVENTS: &str =
    "SELECT seq, at, kind, chain, subject, detail FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";

/// The recorded ends of the audit log's chains, each with the log's own last number.
pub(in crate::store) const AUDIT_ENDS: Sql = Sql {
    sqlite: "SELECT s.seq AS last, h.chain, h.place, h.hash FROM sqlite_sequence s \
         LEFT JOIN audit_heads h ON TRUE WHERE s.name = 'audit'",
    // Its sequence counts what was never committed; the heads alone say what must be there.
    postgres: "SELECT m.last, h.chain, h.place, h.hash FROM (SELECT COALESCE(MAX(seq), 0) AS last FROM audit) m \
         LEFT JOIN audit_heads h ON TRUE",
};

/// Of the `$3` oldest events those that are older than `$1` or lie before `$2`, and all before them. The newest one
/// stays: the outbox's number never goes back.
pub(in crate::store) const EVENTS_TRIM: &str = "DELETE FROM events WHERE seq <= (SELECT MAX(seq) FROM \
     (SELECT seq, at FROM events ORDER BY seq LIMIT $3) AS oldest WHERE at < $1 OR seq <= $2) \
     AND seq < (SELECT MAX(seq) FROM events)";

pub(in crate::store) const BLOCKS_TRIM: &str = "DELETE FROM client_blocks WHERE \
     NOT EXISTS (SELECT 1 FROM chains c WHERE c.client_hash = client_blocks.client_hash) AND \
     NOT EXISTS (SELECT 1 FROM clients k WHERE k.client_hash = client_blocks.client_hash)";

// --- the installation and its keys ---

pub(in crate::store) const INSTALLATION: &str = "SELECT id, key_id, hash_key, audit_key FROM installation";

pub(in crate::store) const INSTALL: &str = "INSERT INTO installation (one, id, key_id, hash_key, audit_key, created_at) \
     VALUES (1, $1, $2, $3, $4, $5)";

pub(in crate::store) const IN_FORCE: &str = "SELECT key_id FROM installation";

pub(in crate::store) const RESEAL_INSTALLATION: &str =
    "UPDATE installation SET key_id = $1, hash_key = $2, audit_key = $3";

pub(in crate::store) const SEALED_CHAINS: &str = "SELECT id, generation, access_token, refresh_token, client_secret \
     FROM chains WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_CHAIN: &str =
    "UPDATE chains SET access_token = $1, refresh_token = $2, client_secret = $3 WHERE id = $4";

pub(in crate::store) const SEALED_CLIENTS: &str =
    "SELECT id, version, secret FROM clients WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_CLIENT: &str = "UPDATE clients SET secret = $1 WHERE id = $2";

pub(in crate::store) const SEALED_PROFILES: &str =
    "SELECT id, version, text FROM profiles WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_PROFILE: &str = "UPDATE profiles SET text = $1 WHERE id = $2";

pub(in crate::store) const SEALED_ROWS: &str = "SELECT (SELECT COUNT(*) FROM chains) + \
     (SELECT COUNT(*) FROM clients) + (SELECT COUNT(*) FROM profiles) + (SELECT COUNT(*) FROM agents) + \
     (SELECT COUNT(*) FROM bindings) AS number";

pub(in crate::store) const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM credentials) AS credentials, \
     (SELECT COUNT(*) FROM chains) AS chains, (SELECT COUNT(*) FROM clients) AS clients, \
     (SELECT COUNT(*) FROM audit) AS audit, (SELECT COUNT(*) FROM events) AS events, \
     (SELECT COUNT(*) FROM chains WHERE claim_id IS NOT NULL) AS claims";
