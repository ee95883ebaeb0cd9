//! The audit log under someone who can write the file but has no key.

use keyherd_core::audit::Broken;
use keyherd_core::ports::store::{AuditStore, Verified};

use super::bed::{Bed, meddle, note, outside};
use crate::store::sqlite::SqliteStore;

/// Two processes' entries in turns: odd numbers by the first, even ones by the second.
async fn log(bed: &Bed) -> (SqliteStore, SqliteStore) {
    let (one, two) = (bed.store().await, bed.store().await);
    for _ in 0..3 {
        one.append(note("one")).await.unwrap();
        two.append(note("two")).await.unwrap();
    }
    (one, two)
}

async fn check(damage: &'static str, expected: Option<Broken>) {
    let bed = Bed::new();
    let (one, _two) = log(&bed).await;
    meddle(&one, damage).await;
    let verified = one.verify().await.unwrap();
    assert_eq!(verified.broken, expected, "after {damage}");
}

#[tokio::test]
async fn a_whole_log_is_whole_in_batches_of_any_size() {
    let mut bed = Bed::new();
    bed.options.bounds.store.verify_batch = 1;
    let (one, _two) = log(&bed).await;
    assert_eq!(one.verify().await, Ok(Verified { entries: 6, broken: None }));
}

#[tokio::test]
async fn an_edited_entry_is_found() {
    for column in ["action", "actor", "subject", "detail", "at", "hash"] {
        let bed = Bed::new();
        let (one, _two) = log(&bed).await;
        let value = if column == "hash" { "zeroblob(32)" } else { "'7'" };
        let sql = format!("UPDATE audit SET {column} = {value} WHERE seq = 3");
        outside(&one, sqlx::AssertSqlSafe(sql)).await;
        assert_eq!(one.verify().await.unwrap().broken, Some(Broken::Edited { seq: 3 }), "{column}");
    }
}

#[tokio::test]
async fn a_removed_entry_is_found() {
    check("DELETE FROM audit WHERE seq = 3", Some(Broken::Gap { seq: 4 })).await;
    check("DELETE FROM audit WHERE seq = 1", Some(Broken::Gap { seq: 2 })).await;
    check("DELETE FROM audit WHERE seq % 2 = 1", Some(Broken::Gap { seq: 2 })).await;
}

#[tokio::test]
async fn reordered_entries_are_found() {
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 5; \
                UPDATE audit SET seq = 5 WHERE seq = 100";
    check(swap, Some(Broken::Gap { seq: 3 })).await;
    let across = "UPDATE audit SET chain = (SELECT chain FROM audit WHERE seq = 2), place = 2 WHERE seq = 3; \
                  DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 6";
    check(across, Some(Broken::Edited { seq: 3 })).await;
}

#[tokio::test]
async fn a_truncated_log_is_found() {
    check("DELETE FROM audit WHERE seq > 4", Some(Broken::Truncated { seq: 3 })).await;
    check("DELETE FROM audit", Some(Broken::Truncated { seq: 0 })).await;
    check("DELETE FROM audit; DELETE FROM audit_heads", Some(Broken::Truncated { seq: 0 })).await;
    check("DELETE FROM audit_heads", Some(Broken::Truncated { seq: 5 })).await;
}

#[tokio::test]
async fn an_added_entry_is_found() {
    let add = "INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash) \
               SELECT chain, place + 1, at, action, actor, subject, detail, hash FROM audit WHERE seq = 6";
    check(add, Some(Broken::Edited { seq: 7 })).await;
}
