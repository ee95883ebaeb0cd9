//! Statements on the audit log, the outbox, and the installation with its keys.

use keyherd_core::audit::Sheaf;

use crate::store::statement::Sql;

/// An insertion that a transaction ends with.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Ending {
    pub(in crate::store) always: &'static str,
    /// Only where the transaction changed the chain that is its last value: in one, by the statement before; in the other
    /// engine, whenever.
    pub(in crate::store) if_changed: Sql,
}

macro_rules! ending {
    ($into:literal, $values:literal, $chain:literal, $rest:literal) => {
        Ending {
            always: concat!($into, " VALUES (", $values, ")", $rest),
            if_changed: Sql {
                sqlite: concat!(
                    $into,
                    " SELECT ",
                    $values,
                    " WHERE changes() > 0 AND ",
                    $chain,
                    " IS NOT NULL",
                    $rest
                ),
                postgres: concat!(
                    $into,
                    " SELECT ",
                    $values,
                    " WHERE EXISTS (SELECT 1 FROM chains WHERE id = ",
                    $chain,
                    " AND xmin = CAST(pg_current_xact_id_if_assigned() AS xid))",
                    $rest
                ),
            },
        }
    };
}

pub(in crate::store) const AUDIT: Ending = ending!(
    "INSERT INTO audit (chain, place, at, action, actor, subject, detail, anchors, hash)",
    "$1, $2, $3, $4, $5, $6, $7, $8, $9",
    "$10",
    ""
);

/// As many values as that has for each entry.
pub(in crate::store) const AUDIT_COLUMNS: usize = 9;

/// The same for an entry that stands for the last of `$10` numbers. For an engine that gives them in a run.
pub(in crate::store) const AUDIT_SHEAF: &str = "INSERT INTO audit (seq, chain, place, at, action, actor, subject, detail, anchors, hash) \
     SELECT MAX(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0), \
     COALESCE((SELECT MAX(seq) FROM audit), 0)) + $10, $1, $2, $3, $4, $5, $6, $7, $8, $9";

/// A chain's own end, and the `$2` ends of others that moved last.
pub(in crate::store) const AUDIT_SEEN: &str = "SELECT chain, place, hash FROM audit_heads WHERE chain = $1 UNION ALL \
     SELECT chain, place, hash FROM (SELECT chain, place, hash FROM audit_heads WHERE chain <> $1 \
     ORDER BY at DESC LIMIT $2) AS others";

/// What a transaction's last entry makes of its chain's end.
pub(in crate::store) const AUDIT_HEAD: Ending = ending!(
    "INSERT INTO audit_heads (chain, place, hash, seal, at)",
    "$1, $2, $3, $4, $5",
    "$6",
    " ON CONFLICT (chain) DO UPDATE SET \
     place = excluded.place, hash = excluded.hash, seal = excluded.seal, at = excluded.at"
);

macro_rules! audit {
    ($more:literal, $which:literal) => {
        concat!(
            "SELECT seq, chain, place, at, action, actor, subject, detail, anchors, hash",
            $more,
            " FROM audit WHERE ",
            $which
        )
    };
}

/// A row stands for no more entries than these statements say. Where one stands for several, numbers have no holes.
const _: () = assert!(Sheaf::LINES_MAX <= 64);

/// Rows of `$2` entries after `$1`, as far as they are there, and of fewer than 64 more.
pub(in crate::store) const AUDIT_ENTRIES: Sql = Sql {
    sqlite: audit!(
        "",
        "seq > $1 AND seq < (SELECT MIN(seq) FROM audit WHERE seq > $1) + $2 + 64 ORDER BY seq LIMIT $2"
    ),
    postgres: audit!("", "seq > $1 ORDER BY seq LIMIT $2"),
};

/// Rows of the last `$2` entries before `$1`, as far as they are there, and of fewer than 64 more.
pub(in crate::store) const AUDIT_TAIL: Sql = Sql {
    sqlite: audit!(
        "",
        "seq < $1 AND seq > (SELECT MAX(seq) FROM audit WHERE seq < $1) - $2 ORDER BY seq DESC LIMIT $2"
    ),
    postgres: audit!("", "seq < $1 ORDER BY seq DESC LIMIT $2"),
};

pub(in crate::store) const EVENT: Ending =
    ending!("INSERT INTO events (at, kind, chain, subject, detail)", "$1, $2, $3, $4, $5", "$6", "");

pub(in crate::store) const LAST_EVENT: &str = "SELECT COALESCE(MAX(seq), 0) AS number FROM events";

pub(in crate::store) const EVENTS: &str =
    "SELECT seq, at, kind, chain, subject, detail FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";

/// Rows of the `$1` oldest entries, and of fewer than 64 more; each with the log's own last number.
pub(in crate::store) const AUDIT_OLDEST: Sql = Sql {
    sqlite: audit!(
        ", (SELECT MAX(seq) FROM audit) AS last",
        "seq > 0 AND seq < (SELECT MIN(seq) FROM audit WHERE seq > 0) + $1 + 64 ORDER BY seq LIMIT $1"
    ),
    postgres: audit!(", (SELECT MAX(seq) FROM audit) AS last", "seq > 0 ORDER BY seq LIMIT $1"),
};

pub(in crate::store) const AUDIT_CUT: &str = "DELETE FROM audit WHERE seq > 0 AND seq <= $1";

pub(in crate::store) const AUDIT_FLOOR: &str = "SELECT seq AS floor, seal AS log_seal FROM audit_floor";

/// The floors of the chains in `$1`, a JSON array.
pub(in crate::store) const AUDIT_FLOORS: Sql = Sql {
    sqlite: "SELECT chain, floor_place, floor_hash, floor_sees, floor_seal FROM audit_heads \
         WHERE chain IN (SELECT value FROM json_each($1))",
    postgres: "SELECT chain, floor_place, floor_hash, floor_sees, floor_seal FROM audit_heads WHERE chain = \
         ANY (ARRAY(SELECT CAST(c AS BIGINT) FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) c))",
};

pub(in crate::store) const AUDIT_RAISE: &str = "UPDATE audit_heads SET floor_place = $2, floor_hash = $3, floor_sees = $4, floor_seal = $5 \
     WHERE chain = $1";

pub(in crate::store) const AUDIT_RAISE_LOG: &str = "INSERT INTO audit_floor (one, seq, seal) VALUES (1, $1, $2) \
     ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, seal = excluded.seal";

/// The recorded ends and floors of the audit log's chains, each with the log's own last number and floor.
pub(in crate::store) const AUDIT_ENDS: Sql = Sql {
    // Without its own number, which somebody took away, what is there is looked at.
    sqlite: "SELECT m.last, f.seq AS floor, f.seal AS log_seal, h.chain, h.place, h.hash, h.seal, \
         h.floor_place, h.floor_hash, h.floor_sees, h.floor_seal \
         FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), MAX(seq), 0) AS last FROM audit) m \
         LEFT JOIN audit_floor f ON TRUE LEFT JOIN audit_heads h ON TRUE",
    // Its sequence counts what was never committed; the heads alone say what must be there.
    postgres: "SELECT m.last, f.seq AS floor, f.seal AS log_seal, h.chain, h.place, h.hash, h.seal, \
         h.floor_place, h.floor_hash, h.floor_sees, h.floor_seal \
         FROM (SELECT COALESCE(MAX(seq), 0) AS last FROM audit) m \
         LEFT JOIN audit_floor f ON TRUE LEFT JOIN audit_heads h ON TRUE",
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
     (SELECT COUNT(*) FROM bindings) + (SELECT COUNT(*) FROM channels) AS number";

pub(in crate::store) const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM credentials) AS credentials, \
     (SELECT COUNT(*) FROM chains) AS chains, (SELECT COUNT(*) FROM clients) AS clients, \
     (SELECT COUNT(*) FROM audit) AS audit, (SELECT COUNT(*) FROM events) AS events, \
     (SELECT COUNT(*) FROM chains WHERE claim_id IS NOT NULL) AS claims";
