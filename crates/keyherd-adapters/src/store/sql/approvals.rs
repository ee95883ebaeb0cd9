//! Statements on rules, remembered answers and approvals.

use crate::store::statement::Sql;

// --- rules ---

macro_rules! rule_select {
    ($($rest:tt)+) => {
        concat!(
            "SELECT id, verdict, agent, host, port, method, path, kind, question_key, question, until, approval, \
             created_at, created_by FROM rules ",
            $($rest)+
        )
    };
}

pub(in crate::store) const RULES: &str = rule_select!("ORDER BY created_at, id");

pub(in crate::store) const RULE_BY_PRINT: &str = rule_select!("WHERE fingerprint = $1");

pub(in crate::store) const INSERT_RULE: &str = "INSERT INTO rules (id, fingerprint, verdict, agent, host, port, method, path, \
     kind, question_key, question, until, approval, created_at, created_by) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

pub(in crate::store) const REMOVE_RULE: &str = "DELETE FROM rules WHERE id = $1";

pub(in crate::store) const COUNT_RULES: &str = "SELECT COUNT(*) AS number FROM rules";

pub(in crate::store) const RULES_TRIM: &str = "DELETE FROM rules WHERE until <= $1";

pub(in crate::store) const DEFAULT_VERDICT: &str = "SELECT default_verdict FROM policy";

pub(in crate::store) const SET_DEFAULT_VERDICT: &str = "INSERT INTO policy (one, default_verdict) VALUES (1, $1) \
     ON CONFLICT (one) DO UPDATE SET default_verdict = excluded.default_verdict";

// --- approvals ---

macro_rules! live_waiters {
    ($id:literal) => {
        concat!(
            "CAST(COALESCE((SELECT SUM(w.waiters) FROM approval_waiters w WHERE w.approval = ",
            $id,
            " AND w.at > $1), 0) AS BIGINT)"
        )
    };
}

/// `$1`: words on waiters since then count, and last ones for ever. The column `waiters` is for older programs.
macro_rules! approval_select {
    ($($rest:tt)+) => {
        concat!(
            "SELECT a.id, a.agent, a.host, a.port, a.method, a.path, a.kind, a.question_key, a.question, a.coalesces, \
             a.rule, a.opened_at, a.expires_at, a.stage, a.decision, a.until, a.answered_by, a.answered_at, ",
            live_waiters!("a.id"),
            " AS waiters FROM approvals a ",
            $($rest)+
        )
    };
}

pub(in crate::store) const APPROVAL: &str = approval_select!("WHERE a.id = $2");

/// `$3` is now: what is over keeps no other question from being asked.
pub(in crate::store) const APPROVAL_OPEN: &str =
    approval_select!("WHERE a.same = $2 AND a.stage = 'open' AND a.expires_at > $3 LIMIT 1");

/// `$2` a stage or nothing, `$3` the one before or nothing.
pub(in crate::store) const APPROVALS: &str = approval_select!(
    "WHERE (a.stage = $2 OR $2 = '') AND ($3 IS NULL OR (a.opened_at, a.id) > \
     (SELECT b.opened_at, b.id FROM approvals b WHERE b.id = $3)) ORDER BY a.opened_at, a.id LIMIT $4"
);

pub(in crate::store) const COUNT_OPEN: &str =
    "SELECT COUNT(*) AS number FROM approvals WHERE stage = 'open' AND expires_at > $1";

pub(in crate::store) const COUNT_PROMPTS: &str =
    "SELECT COUNT(*) AS number FROM approvals WHERE counted_as = $1 AND opened_at > $2";

pub(in crate::store) const INSERT_APPROVAL: &str = "INSERT INTO approvals (id, same, counted_as, agent, host, port, method, \
     path, kind, question_key, question, coalesces, rule, opened_at, expires_at, stage, waiters) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'open', 0)";

/// `$2` stage, `$3..=$6` the answer, `$7` the approval, `$8` now. An answer that a human gave comes before its time has
/// ended, one that nobody gave after.
pub(in crate::store) const CLOSE_APPROVAL: &str = concat!(
    "UPDATE approvals SET waiters = ",
    live_waiters!("approvals.id"),
    ", stage = $2, decision = $3, until = $4, answered_by = $5, answered_at = $6 WHERE id = $7 AND stage = 'open' \
     AND ((expires_at > $8 AND $2 = 'answered') OR (expires_at <= $8 AND $2 = 'timed_out'))"
);

/// A last word is one for ever (`Timestamp::NEVER`), and there is none before the end; any other comes before it.
macro_rules! last_word {
    () => {
        "9223372036854775807"
    };
}

pub(in crate::store) const NOTE_WAITERS: &str = concat!(
    "INSERT INTO approval_waiters (approval, owner, waiters, at) \
     SELECT a.id, $1, $2, $3 FROM approvals a WHERE a.id = $4 \
     AND CASE WHEN $3 = ",
    last_word!(),
    " THEN a.stage <> 'open' ELSE a.stage = 'open' END \
     ON CONFLICT (approval, owner) DO UPDATE SET waiters = excluded.waiters, at = excluded.at"
);

macro_rules! open_ones {
    () => {
        "(SELECT id FROM approvals WHERE stage = 'open' AND expires_at > $1)"
    };
}

/// What the process `$2` said of open approvals is as of `$1`; never a last word, which may come meanwhile. PostgreSQL reads all words for a join, and none too many for
/// an array.
pub(in crate::store) const RENEW_WORDS: Sql = Sql {
    sqlite: concat!(
        "UPDATE approval_waiters SET at = $1 WHERE owner = $2 AND waiters > 0 AND at < $1 AND approval IN ",
        open_ones!()
    ),
    postgres: concat!(
        "UPDATE approval_waiters SET at = $1 WHERE owner = $2 AND waiters > 0 AND at < $1 AND approval = ANY (ARRAY",
        open_ones!(),
        ")"
    ),
};

/// `$1`: words since then are believed.
pub(in crate::store) const UNCOUNTED: &str = concat!(
    "SELECT COUNT(*) AS number FROM approval_waiters WHERE approval = $2 AND waiters > 0 AND at > $1 AND at <> ",
    last_word!()
);

macro_rules! ended_first {
    () => {
        "(SELECT id FROM approvals WHERE answered_at < $1 AND answered_at <= \
         (SELECT MAX(answered_at) FROM (SELECT answered_at FROM approvals WHERE answered_at IS NOT NULL \
         ORDER BY answered_at LIMIT $2) AS oldest))"
    };
}

/// The words on what [`APPROVALS_TRIM`] drops. PostgreSQL reads all words for a join, and none too many for an array.
pub(in crate::store) const WORDS_TRIM: Sql = Sql {
    sqlite: concat!("DELETE FROM approval_waiters WHERE approval IN ", ended_first!()),
    postgres: concat!("DELETE FROM approval_waiters WHERE approval = ANY (ARRAY", ended_first!(), ")"),
};

/// Of the `$2` that ended first those before `$1`.
pub(in crate::store) const APPROVALS_TRIM: &str = "DELETE FROM approvals WHERE answered_at < $1 AND answered_at <= \
     (SELECT MAX(answered_at) FROM (SELECT answered_at FROM approvals WHERE answered_at IS NOT NULL \
     ORDER BY answered_at LIMIT $2) AS oldest)";
