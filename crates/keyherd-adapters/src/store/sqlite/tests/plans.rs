//! Whatever is asked often must not read a whole table: SQLite's own plans are asked.

use sqlx::Row;

use super::bed::{Bed, new, record};
use crate::store::sql;
use crate::store::sqlite::SqliteStore;

async fn plan(store: &SqliteStore, statement: &'static str) -> String {
    let mut write = store.write().await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(write.connection()).await.unwrap();
    write.cancel().await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn nothing_hot_scans_a_table() {
    let bed = Bed::new();
    let store = bed.store().await;
    let many: Vec<_> = (0..50).map(|n| new(&store, &format!("acme-{n}"), &format!("t{n}"))).collect();
    assert_eq!(store.import_many(&many, record("import")).await, Ok(50));
    let hot = [
        sql::CHAIN,
        sql::LOADED,
        sql::LOADED_PAGE,
        sql::CLAIM,
        sql::GRANT_CLAIMED,
        sql::GRANT_SPENT,
        sql::SPEND_CLAIMED,
        sql::SPEND_SPENT,
        sql::SPENT_TRIM,
        sql::TROUBLE,
        sql::RELEASE,
        sql::BLOCK,
        sql::UNBLOCK,
        sql::RESCHEDULE,
        sql::RESCHEDULE_SEEN,
        sql::UNDUE,
        sql::OBSTACLES,
        sql::SPENT,
        sql::MEMBERS,
        sql::A_MEMBER,
        sql::CONFIGURE,
        sql::RETOKEN,
        sql::RENEW,
        sql::COOL,
        sql::WARM,
        sql::CHAIN_OF,
        sql::REMOVE,
        sql::REMOVE_CHAIN,
        sql::REMOVE_SPENT,
        sql::CLIENT_USER,
        sql::AUDIT_ENTRIES,
        sql::AUDIT_TAIL,
        sql::EVENTS,
        sql::LAST_EVENT,
        sql::DUE,
    ];
    for statement in hot {
        let plan = plan(&store, statement).await;
        for line in plan.lines().filter(|line| line.contains("SCAN")) {
            let in_order = line == "SCAN audit" && statement == sql::AUDIT_TAIL;
            assert!(in_order || line.contains("CONSTANT ROW"), "{statement}\n{plan}");
        }
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn what_is_due_and_what_is_claimed_are_found_by_their_indexes() {
    let bed = Bed::new();
    let store = bed.store().await;
    assert!(plan(&store, sql::DUE).await.contains("chains_due"));
    assert!(plan(&store, sql::UNRESOLVED).await.contains("chains_claimed"));
    assert!(plan(&store, sql::OBSTACLES).await.contains("chains_spend"));
}

#[tokio::test]
async fn the_census_passes_over_all_only_to_count_them() {
    let bed = Bed::new();
    let store = bed.store().await;
    let plan = plan(&store, crate::store::sqlite::census::CENSUS).await;
    let scans = plan.lines().filter(|line| line.contains("SCAN") && !line.contains("SCAN odd"));
    for line in scans {
        let is_small = ["credentials_disabled", "SCAN b", "SCAN k"].iter().any(|small| line.contains(small));
        let is_count = line.contains("COVERING INDEX credentials_");
        assert!(is_small || is_count, "{line}\n{plan}");
    }
}
