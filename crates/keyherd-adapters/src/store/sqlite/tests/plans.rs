//! Whatever is asked often must not read a whole table: SQLite's own plans are asked.

use sqlx::{ConnectOptions, Row};

use super::bed::{Bed, new, record};
use crate::store::sql;
use crate::store::sqlite::SqliteStore;
use crate::store::statement::Sql;

async fn plan(store: &SqliteStore, statement: impl Into<Sql>) -> String {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.into().sqlite));
    let mut connection = store.engine.connect_options.connect().await.unwrap();
    let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn nothing_hot_scans_a_table() {
    let bed = Bed::new();
    let store = bed.store().await;
    let many: Vec<_> = (0..50).map(|n| new(&store, &format!("acme-{n}"), &format!("t{n}"))).collect();
    assert_eq!(store.import_many(&many, record("import")).await, Ok(50));
    let hot: [Sql; 86] = [
        sql::AUDIT.if_changed,
        sql::AUDIT_HEAD.if_changed,
        sql::EVENT.if_changed,
        sql::RULE_BY_PRINT.into(),
        sql::REMOVE_RULE.into(),
        sql::RULES_TRIM.into(),
        sql::APPROVAL.into(),
        sql::APPROVAL_OPEN.into(),
        sql::COUNT_OPEN.into(),
        sql::COUNT_PROMPTS.into(),
        sql::CLOSE_APPROVAL.into(),
        sql::NOTE_WAITERS.into(),
        sql::UNCOUNTED.into(),
        sql::RENEW_WORDS,
        sql::WORDS_TRIM,
        sql::APPROVALS_TRIM.into(),
        sql::NOTICES_DUE.into(),
        sql::HAS_NOTICE.into(),
        sql::TAKE_NOTICE.into(),
        sql::NOTICE_ANNOUNCED.into(),
        sql::NOTICE_SETTLED.into(),
        sql::NOTICES_ENDED.into(),
        sql::CHAIN,
        sql::LOADED,
        sql::LOADED_PAGE,
        sql::CLAIM,
        sql::RENEW_CLAIM,
        sql::CHAIN_LOCKED,
        sql::LOADED_LOCKED,
        sql::GRANT_CLAIMED,
        sql::GRANT_SPENT.into(),
        sql::SPEND_CLAIMED,
        sql::SPEND_SPENT,
        sql::SPENT_TRIM.into(),
        sql::TROUBLE,
        sql::RELEASE,
        sql::BLOCK,
        sql::UNBLOCK.into(),
        sql::RESCHEDULE.into(),
        sql::RESCHEDULE_SEEN.into(),
        sql::UNDUE.into(),
        sql::OBSTACLES.into(),
        sql::SPENT.into(),
        sql::MEMBERS.into(),
        sql::A_MEMBER.into(),
        sql::CONFIGURE.into(),
        sql::RETOKEN.into(),
        sql::RENEW.into(),
        sql::COOL.into(),
        sql::WARM.into(),
        sql::LOADED_MEMBERS,
        sql::COOL_SCOPE.into(),
        sql::WARM_SCOPE.into(),
        sql::REMOVE_SCOPES.into(),
        sql::SCOPES_TRIM.into(),
        sql::POOL.into(),
        sql::POOL_BY_ID.into(),
        sql::POOL_NAME.into(),
        sql::CANDIDATE.into(),
        sql::REMOVE_MEMBERS.into(),
        sql::CHANGE_POOL.into(),
        sql::TURN_POOL.into(),
        sql::EXHAUST_POOL.into(),
        sql::REMOVE_POOL.into(),
        sql::USER_OF_NAME.into(),
        sql::AGENT_OF_NAME.into(),
        sql::BINDINGS_OF.into(),
        sql::REMOVE_AGENT.into(),
        sql::REMOVE_ALLOWED.into(),
        sql::REMOVE_BINDING.into(),
        sql::CHAIN_OF_LOCKED,
        sql::PROFILE.into(),
        sql::REMOVE_PROFILE.into(),
        sql::REMOVE.into(),
        sql::REMOVE_CHAIN.into(),
        sql::REMOVE_SPENT.into(),
        sql::CLIENT_USER.into(),
        sql::WAKE_BLOCKED.into(),
        sql::AUDIT_ENTRIES,
        sql::AUDIT_TAIL,
        sql::AUDIT_OLDEST,
        sql::AUDIT_CUT.into(),
        sql::AUDIT_RAISE.into(),
        sql::EVENTS.into(),
        sql::LAST_EVENT.into(),
        sql::DUE.into(),
    ];
    for statement in hot {
        let plan = plan(&store, statement).await;
        for line in plan.lines().filter(|line| line.contains("SCAN")) {
            assert!(line.contains("CONSTANT ROW"), "{}\n{plan}", statement.sqlite);
        }
        assert!(!plan.contains("TEMP B-TREE"), "{}\n{plan}", statement.sqlite);
    }
}

#[tokio::test]
async fn what_is_due_and_what_is_claimed_are_found_by_their_indexes() {
    let bed = Bed::new();
    let store = bed.store().await;
    assert!(plan(&store, sql::DUE).await.contains("chains_due"));
    assert!(plan(&store, sql::UNRESOLVED).await.contains("chains_claimed"));
    assert!(plan(&store, sql::OBSTACLES).await.contains("chains_spend"));
    assert!(plan(&store, sql::AUDIT_FLOORS).await.contains("SEARCH audit_heads"));
}

#[tokio::test]
async fn the_census_passes_over_all_only_to_count_them() {
    let bed = Bed::new();
    let store = bed.store().await;
    let plan = plan(&store, crate::store::rooms::census::CENSUS).await;
    let scans = plan.lines().filter(|line| line.contains("SCAN") && !line.contains("SCAN odd"));
    for line in scans {
        let is_small = ["credentials_disabled", "SCAN b", "SCAN k"].iter().any(|small| line.contains(small));
        let is_count = line.contains("COVERING INDEX credentials_");
        assert!(is_small || is_count, "{line}\n{plan}");
    }
}
