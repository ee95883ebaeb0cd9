//! Statements about many chains at once, for PostgreSQL: what [`super`] has for one, with a column of values for each
//! parameter.
//!
//! The rows are locked first; so what is said of them holds until the transaction ends. SQLite has one writer and needs
//! none of this.

use crate::store::dialect::postgres;

/// What a crowd's transaction is made of, between its beginning and its record.
#[derive(Debug)]
pub(in crate::store) struct Crowd {
    /// In this order; each with the values of all.
    pub(in crate::store) changes: &'static [&'static str],
    /// The rows of all after that, `$1` their ids.
    pub(in crate::store) look: &'static str,
    /// For those that were changed.
    pub(in crate::store) tidying: Option<&'static str>,
}

pub(in crate::store) const CLAIMS: Crowd = Crowd { changes: &[CLAIM], look: CHAINS_CLAIMED, tidying: None };

pub(in crate::store) const GRANTS: Crowd =
    Crowd { changes: &[SPEND, GRANT], look: CHAINS, tidying: Some(SPENT_TRIM) };

/// Locks the chains in `$1`, but those that another transaction has locked: nobody is waited for.
pub(in crate::store) const HOLD: &str =
    "SELECT c.id, c.revision FROM chains c WHERE c.id = ANY ($1) ORDER BY c.id FOR UPDATE SKIP LOCKED";

/// Between two trips of a crowd's transaction: the server ends one whose next statement does not come.
pub(in crate::store) const HOLD_BRIEFLY: &str = "SET LOCAL idle_in_transaction_session_timeout = 1000";

macro_rules! claims {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        claim_of!(
            $clock,
            "a.p",
            " FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS TEXT[]), CAST($4 AS BIGINT[]), \
             CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]), CAST($8 AS BYTEA[])) \
             AS a (p1, p2, p3, p4, p5, p6, p7, p8)"
        )
    };
}

macro_rules! chains {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        chains_where!($clock, "c.id = ANY ($1)")
    };
}

macro_rules! chains_claimed {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        chains_claimed_where!($clock, "c.id = ANY ($1)")
    };
}

macro_rules! loaded_named {
    ($clock:literal, $lock:literal, $scopes:literal) => {
        concat!(loaded_select!($clock, $scopes), "WHERE n.name = ANY ($1)")
    };
}

pub(in crate::store) const CLAIM: &str = postgres!(claims);
/// By the very tokens that were spent, whoever claims the chains.
pub(in crate::store) const SPEND: &str = spend_of!(
    "",
    "a.p",
    ", unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS BYTEA[]), \
     CAST($5 AS BYTEA[])) AS a (p1, p2, p3, p4, p5)",
    "spend_hash = a.p5"
);
pub(in crate::store) const GRANT: &str = grant_of!(
    "a.p",
    " FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BYTEA[]), CAST($3 AS TEXT[]), CAST($4 AS BIGINT[]), \
     CAST($5 AS BOOLEAN[]), CAST($6 AS BIGINT[]), CAST($7 AS BYTEA[]), CAST($8 AS BIGINT[]), CAST($9 AS TEXT[]), \
     CAST($10 AS BYTEA[]), CAST($11 AS BOOLEAN[]), CAST($12 AS BIGINT[]), CAST($13 AS BIGINT[]), \
     CAST($14 AS BIGINT[]), CAST($15 AS BYTEA[])) \
     AS a (p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15)",
    "spend_hash = a.p15"
);
pub(in crate::store) const CHAINS: &str = postgres!(chains);
pub(in crate::store) const CHAINS_CLAIMED: &str = postgres!(chains_claimed);
/// The credentials whose names are in `$1`.
pub(in crate::store) const LOADED: &str = postgres!(loaded_named);

pub(in crate::store) const SPENT_TRIM: &str = "DELETE FROM spent_tokens s USING unnest(CAST($1 AS BIGINT[]), \
     CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[])) AS a (p1, p2, p3) WHERE s.chain = a.p1 AND s.generation <= a.p2 AND EXISTS (SELECT 1 FROM chains c WHERE c.id = a.p1 AND c.generation >= a.p3)";

pub(in crate::store) const AUDIT: &str = "INSERT INTO audit (chain, place, at, action, actor, subject, detail, anchors, hash) \
     SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS TEXT[]), \
     CAST($5 AS TEXT[]), CAST($6 AS TEXT[]), CAST($7 AS TEXT[]), CAST($8 AS BYTEA[]), CAST($9 AS BYTEA[]))";

pub(in crate::store) const EVENTS: &str = "INSERT INTO events (at, kind, chain, subject, detail) SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS TEXT[]), \
     CAST($3 AS BIGINT[]), CAST($4 AS TEXT[]), CAST($5 AS TEXT[]))";
