//! Whatever is asked often must not read a whole table of a hundred thousand rows: the server's own plans are asked.

use super::bed::Bed;
use crate::postgres::Tx;
use crate::store::sql;
use crate::store::statement::Sql;

/// As many of everything, made by the server itself, without triggers: nothing has to open.
const FILL: &str = "
SET LOCAL session_replication_role = replica;
INSERT INTO chains (id, revision, generation, name, provider, kind, client_hash, token_origin, scopes, token_type,
  expires_assumed, issued_at, granted_scopes, spend_hash, minted_by_rejection, due_at)
SELECT n, 1, 1, 'chain-' || n, 'acme', 'oauth2', sha256('client'), '', '[]', 'Bearer', FALSE, 0, '[]',
  sha256(n::text::bytea), FALSE, 1000 + n FROM generate_series(1, 100000) n;
UPDATE chains SET claim_id = id, claim_owner = 1, claim_purpose = 'refresh', claim_at = id WHERE id % 5000 = 0;
INSERT INTO credentials (id, name, chain, disabled, attributes, created_at)
SELECT n, 'acme-' || n, n, FALSE, '{}', 0 FROM generate_series(1, 100000) n;
INSERT INTO spent_tokens (hash, chain, generation, at)
SELECT sha256(('s' || n)::bytea), n, 0, 0 FROM generate_series(1, 100000) n;
INSERT INTO events (at, kind, subject, detail) SELECT n, 'k', 's', '{}' FROM generate_series(1, 100000) n;
INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash)
SELECT n, 1, 0, 'a', 'a', 's', '{}', sha256('') FROM generate_series(1, 100000) n;
INSERT INTO audit_heads (chain, place, hash) SELECT n, 1, sha256('') FROM generate_series(1, 100000) n;
INSERT INTO clients (id, provider, name, client_id, client_hash, version)
SELECT n, 'acme', 'app-' || n, 'id', sha256('client'), 1 FROM generate_series(1, 1000) n;
INSERT INTO client_blocks (client_hash, origin, code, at)
SELECT sha256(('b' || n)::bytea), '', 'c', 0 FROM generate_series(1, 1000) n;
INSERT INTO pools (id, name, strategy, active, rotated, epoch, created_at)
SELECT n, 'pool-' || n, 'failover', n * 10, FALSE, 0, 0 FROM generate_series(1, 10000) n;
INSERT INTO pool_members (credential, pool, place)
SELECT n, 1 + (n - 1) / 10, n % 10 FROM generate_series(1, 100000) n;
INSERT INTO scoped_cooldowns (credential, scope, until, reason)
SELECT n, 'large', n, 'rate_limit' FROM generate_series(1, 100000) n;
INSERT INTO rules (id, fingerprint, verdict, host, until, created_at, created_by)
SELECT n, sha256(('r' || n)::bytea), 'deny', 'h' || n, n + 1000, 0, 'a' FROM generate_series(1, 100000) n;
INSERT INTO approvals (id, same, counted_as, agent, kind, question, coalesces, opened_at, expires_at, stage, answered_at,
  waiters)
SELECT n, sha256(('q' || n)::bytea), 'agent ' || n % 1000, 'a', 'outside', '{}', TRUE, n, n + 1,
  CASE WHEN n % 1000 = 0 THEN 'open' ELSE 'answered' END, CASE WHEN n % 1000 = 0 THEN NULL ELSE n END, 0
FROM generate_series(1, 100000) n;
INSERT INTO notices (approval, channel, due_at, attempts, announced, ended)
SELECT n, n % 8, CASE WHEN n % 1000 = 0 THEN n ELSE NULL END, 0, TRUE, TRUE FROM generate_series(1, 100000) n;
INSERT INTO approval_waiters (approval, owner, waiters, at) SELECT n, 1, 1, n FROM generate_series(1, 100000) n;
";

/// The plan with plain values for its parameters, whatever their number: the server says their types.
async fn plan(tx: &Tx, statement: impl Into<Sql>) -> String {
    tx.batch(&format!("PREPARE planned AS {}", statement.into().postgres)).await.unwrap();
    let types =
        "SELECT t::text FROM pg_prepared_statements, unnest(parameter_types) t WHERE name = 'planned'";
    let types = tx.query(types, &[]).await.unwrap();
    let values: Vec<_> = types.iter().map(|row| literal(row.get(0))).collect();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let lines = tx.query(&format!("EXPLAIN EXECUTE planned{values}"), &[]).await.unwrap();
    tx.batch("DEALLOCATE planned").await.unwrap();
    lines.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

fn literal(kind: &str) -> &'static str {
    match kind {
        "bigint" => "1050",
        "text" => "'acme-500'",
        "bytea" => "'\\x00'",
        "boolean" => "FALSE",
        "bigint[]" => "'{1050, 1051}'",
        "text[]" => "'{acme-500, acme-501}'",
        "bytea[]" => r"'{\\x00, \\x01}'",
        "boolean[]" => "'{f, t}'",
        other => panic!("no store has a {other}"),
    }
}

const HOT: [Sql; 78] = [
    same(sql::crowd::CHAINS),
    same(sql::crowd::HOLD),
    same(sql::crowd::CLAIM),
    same(sql::crowd::SPEND),
    same(sql::crowd::GRANT),
    same(sql::crowd::CHAINS_CLAIMED),
    same(sql::crowd::LOADED),
    same(sql::crowd::SPENT_TRIM),
    sql::AUDIT.if_changed,
    sql::AUDIT_HEAD.if_changed,
    sql::EVENT.if_changed,
    same(sql::NOTICES_DUE),
    same(sql::HAS_NOTICE),
    same(sql::TAKE_NOTICE),
    same(sql::NOTICE_ANNOUNCED),
    same(sql::NOTICE_SETTLED),
    same(sql::NOTICES_ENDED),
    same(sql::RULE_BY_PRINT),
    same(sql::REMOVE_RULE),
    same(sql::RULES_TRIM),
    same(sql::APPROVAL),
    same(sql::APPROVAL_OPEN),
    same(sql::COUNT_OPEN),
    same(sql::COUNT_PROMPTS),
    same(sql::CLOSE_APPROVAL),
    same(sql::NOTE_WAITERS),
    same(sql::UNCOUNTED),
    sql::RENEW_WORDS,
    sql::WORDS_TRIM,
    same(sql::APPROVALS_TRIM),
    sql::CHAIN,
    sql::CHAIN_LOCKED,
    sql::LOADED,
    sql::LOADED_LOCKED,
    sql::LOADED_PAGE,
    sql::CLAIM,
    sql::RENEW_CLAIM,
    sql::SPEND_CLAIMED,
    sql::GRANT_CLAIMED,
    sql::TROUBLE,
    sql::RELEASE,
    sql::BLOCK,
    sql::CHAIN_OF_LOCKED,
    same(sql::GRANT_SPENT),
    same(sql::SPENT_TRIM),
    same(sql::UNDUE),
    same(sql::RESCHEDULE_SEEN),
    same(sql::OBSTACLES),
    same(sql::MEMBERS),
    same(sql::A_MEMBER),
    same(sql::COOL),
    same(sql::COOL_SCOPE),
    same(sql::WARM_SCOPE),
    same(sql::REMOVE_SCOPES),
    same(sql::SCOPES_TRIM),
    same(sql::WARM),
    same(sql::DUE),
    same(sql::EVENTS),
    same(sql::LAST_EVENT),
    same(sql::EVENTS_TRIM),
    sql::AUDIT_ENTRIES,
    sql::AUDIT_TAIL,
    same(sql::AUDIT_SEEN),
    sql::AUDIT_OLDEST,
    same(sql::AUDIT_CUT),
    same(sql::AUDIT_RAISE),
    same(sql::CLAIMED_BEFORE),
    sql::LOADED_MEMBERS,
    same(sql::POOL),
    same(sql::POOL_BY_ID),
    same(sql::POOL_NAME),
    same(sql::CANDIDATE),
    same(sql::INSERT_MEMBER),
    same(sql::REMOVE_MEMBERS),
    same(sql::CHANGE_POOL),
    same(sql::TURN_POOL),
    same(sql::EXHAUST_POOL),
    same(sql::REMOVE_POOL),
];

const fn same(text: &'static str) -> Sql {
    Sql { sqlite: text, postgres: text }
}

const LARGE: [&str; 13] = [
    "notices",
    "rules",
    "approvals",
    "approval_waiters",
    "chains",
    "credentials",
    "spent_tokens",
    "events",
    "audit",
    "audit_heads",
    "pools",
    "pool_members",
    "scoped_cooldowns",
];

#[tokio::test]
async fn nothing_hot_scans_a_table() {
    let bed = Bed::new().await;
    bed.store().await;
    bed.meddle(FILL).await;
    bed.meddle("ANALYZE").await;
    let tx = bed.outside().begin().await.unwrap();
    // By values, as in a session that has learnt nothing, and generic.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        tx.batch(&format!("SET LOCAL plan_cache_mode = {mode}")).await.unwrap();
        for statement in HOT {
            let plan = plan(&tx, statement).await;
            for table in LARGE {
                let scan = format!("Seq Scan on {table} ");
                assert!(!plan.contains(&scan), "{mode}: {}\n{plan}", statement.postgres);
            }
        }
        for page in [sql::LOADED_PAGE, same(sql::EVENTS), sql::AUDIT_ENTRIES, sql::AUDIT_TAIL] {
            let plan = plan(&tx, page).await;
            assert!(!plan.contains("Sort"), "{mode}: {}\n{plan}", page.postgres);
        }
    }
    tx.batch("SET LOCAL plan_cache_mode = force_custom_plan").await.unwrap();
    assert!(plan(&tx, same(sql::DUE)).await.contains("chains_due"));
    assert!(plan(&tx, same(sql::UNRESOLVED)).await.contains("chains_claimed"));
    assert!(plan(&tx, same(sql::CLAIMED_BEFORE)).await.contains("chains_claimed"));
    assert!(plan(&tx, same(sql::OBSTACLES)).await.contains("chains_spend"));
    let floors = format!("EXPLAIN {}", sql::AUDIT_FLOORS.postgres.replace("$1", "'[1, 2]'"));
    let floors = tx.query(&floors, &[]).await.unwrap();
    let floors: Vec<_> = floors.iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(!floors.join("\n").contains("Seq Scan on audit_heads"), "{floors:?}");
}

/// What a refresh is made of.
const REFRESH: [Sql; 21] = [
    same(sql::crowd::HOLD),
    same(sql::crowd::CLAIM),
    same(sql::crowd::SPEND),
    same(sql::crowd::GRANT),
    same(sql::crowd::CHAINS),
    same(sql::crowd::LOADED),
    same(sql::crowd::SPENT_TRIM),
    sql::LOADED,
    sql::CLAIM,
    sql::CHAIN,
    sql::CHAIN_LOCKED,
    sql::RENEW_CLAIM,
    sql::AUDIT.if_changed,
    sql::AUDIT_HEAD.if_changed,
    sql::EVENT.if_changed,
    same(sql::GRANT_SPENT),
    same(sql::SPENT_TRIM),
    sql::SPEND_CLAIMED,
    sql::GRANT_CLAIMED,
    sql::TROUBLE,
    sql::RELEASE,
];

/// A store that was empty, as the server knows, and has grown since: what is planned anew then needs nobody to have looked
/// at it.
#[tokio::test]
async fn no_refresh_scans_a_table_that_has_just_grown() {
    let bed = Bed::new().await;
    bed.store().await;
    bed.meddle("ANALYZE").await;
    bed.meddle(FILL).await;
    let tx = bed.outside().begin().await.unwrap();
    tx.batch("SET LOCAL plan_cache_mode = force_generic_plan").await.unwrap();
    for statement in REFRESH {
        let plan = plan(&tx, statement).await;
        for table in LARGE {
            let scan = format!("Seq Scan on {table} ");
            assert!(!plan.contains(&scan), "{}\n{plan}", statement.postgres);
        }
    }
}
