//! The audit log under someone who can write the file but has no key.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::Broken;
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::{AuditStore, EventStore, Verified};

use super::bed::{Bed, lines, meddle, note, outside};
use crate::store::forgery::{
    CUT_TO, FORGED_CUTS, FORGERIES, Forge, is_found, is_found_above_a_cut, what_nobody_has_seen,
};
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

/// Entries 1 to 6 as ever; 7 to 26 are one row, 27 to 46 another.
async fn check_bound(damage: &'static str, expected: Option<Broken>) {
    let bed = Bed::new();
    let (one, _two) = log(&bed).await;
    one.append_lines(&[lines(20), lines(20)]).await.unwrap();
    assert_eq!(one.verify().await, Ok(Verified { entries: 46, broken: None }));
    meddle(&one, damage).await;
    assert_eq!(one.verify().await.unwrap().broken, expected, "after {damage}");
}

#[tokio::test]
async fn lines_that_are_bound_are_as_safe_as_entries() {
    check_bound("UPDATE audit SET seq = seq WHERE FALSE", None).await;
    let edited = || Some(Broken::EditedAmong { seq: 7, through: 26 });
    check_bound("UPDATE audit SET detail = replace(detail, '\"s\"', '\"t\"') WHERE seq = 26", edited()).await;
    check_bound("UPDATE audit SET detail = '{\"lines\":[]}' WHERE seq = 26", edited()).await;
    check_bound("UPDATE audit SET at = at + 1 WHERE seq = 26", edited()).await;
    check_bound("UPDATE audit SET subject = '19' WHERE seq = 26", edited()).await;
    check_bound("UPDATE audit SET subject = '64' WHERE seq = 26", edited()).await;
    check_bound("UPDATE audit SET action = 'done' WHERE seq = 26", edited()).await;
    check_bound(
        "UPDATE audit SET action = 'lines', subject = '20' WHERE seq = 6",
        Some(Broken::Edited { seq: 6 }),
    )
    .await;
    check_bound("DELETE FROM audit WHERE seq = 26", Some(Broken::Gap { seq: 27 })).await;
    check_bound("DELETE FROM audit WHERE seq = 46", Some(Broken::Truncated { seq: 26 })).await;
    check_bound("UPDATE audit SET seq = 25 WHERE seq = 26", Some(Broken::Gap { seq: 7 })).await;
    let moved = "UPDATE audit SET seq = 5000, subject = '64' WHERE seq = 46";
    check_bound(moved, Some(Broken::Truncated { seq: 26 })).await;
    let far = "UPDATE audit SET at = 1, seq = 5000 WHERE seq = 46; UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'audit'";
    check_bound(far, Some(Broken::Gap { seq: 4981 })).await;
    check_bound(
        "DELETE FROM audit WHERE seq = 26; DELETE FROM sqlite_sequence",
        Some(Broken::Gap { seq: 27 }),
    )
    .await;
    check_bound(
        "UPDATE audit SET at = 1 WHERE seq = 26; DELETE FROM sqlite_sequence; DELETE FROM audit_heads",
        edited(),
    )
    .await;
    check_bound("DELETE FROM sqlite_sequence; DELETE FROM audit_heads", Some(Broken::Truncated { seq: 6 }))
        .await;
}

/// The log's own number is a help, and no more: who loses it loses nothing.
#[tokio::test]
async fn lines_are_written_where_the_logs_own_number_was_lost() {
    let bed = Bed::new();
    let (one, _two) = log(&bed).await;
    for lost in ["DELETE FROM sqlite_sequence", "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'"] {
        meddle(&one, lost).await;
        one.append_lines(&[lines(20)]).await.unwrap();
    }
    assert_eq!(one.verify().await, Ok(Verified { entries: 46, broken: None }));
}

#[tokio::test]
async fn a_log_with_a_hole_is_shown_to_its_end() {
    let bed = Bed::new();
    let (one, _two) = log(&bed).await;
    meddle(&one, "UPDATE audit SET seq = seq + 5000 WHERE seq > 3").await;
    let seqs =
        |entries: Vec<keyherd_core::audit::Entry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(one.entries(0, 5).await.unwrap()), [1, 2, 3, 5004, 5005]);
    assert_eq!(seqs(one.tail(4).await.unwrap()), [3, 5004, 5005, 5006]);
}

/// The file, opened by one of its stores.
struct File(SqliteStore);

#[async_trait]
impl Forge for File {
    async fn meddle(&self, sql: &str) {
        outside(&self.0, sqlx::AssertSqlSafe(sql.to_owned())).await;
    }

    fn renumbering(&self) -> &'static str {
        "CREATE TABLE kept AS SELECT * FROM audit ORDER BY seq; DELETE FROM audit; \
         UPDATE sqlite_sequence SET seq = 0 WHERE name = 'audit'; \
         INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash, anchors) \
         SELECT chain, place, at, action, actor, subject, detail, hash, anchors FROM kept ORDER BY seq"
    }
}

/// Two processes that look at each other with every entry.
async fn looking() -> (Bed, File, SqliteStore) {
    let mut bed = Bed::new();
    bed.options.bounds.store.anchor_every = Duration::ZERO;
    let (one, two) = (bed.store().await, bed.store().await);
    (bed, File(one), two)
}

#[tokio::test]
async fn forgeries_are_found() {
    for number in 0..FORGERIES {
        let (_bed, file, two) = looking().await;
        is_found(&file, number, &file.0, &two).await;
    }
}

#[tokio::test]
async fn forgeries_of_a_trimmed_log_are_found() {
    for number in 0..FORGED_CUTS {
        let mut bed = Bed::new();
        bed.options.bounds.store.anchor_every = Duration::ZERO;
        bed.options.bounds.store.audit_entries_max = Some(CUT_TO);
        let (one, two) = (bed.store().await, bed.store().await);
        let file = File(one);
        is_found_above_a_cut(&file, number, &file.0, &two).await;
    }
}

/// Or the record of the cut would say that all was well.
#[tokio::test]
async fn a_broken_log_is_not_trimmed() {
    for damage in [
        "UPDATE audit SET subject = 'x' WHERE seq = 2",
        "UPDATE audit SET at = 0, seq = -seq WHERE seq = 5; UPDATE audit SET seq = 1 WHERE seq = -5",
        "DELETE FROM audit WHERE seq = 1",
    ] {
        let mut bed = Bed::new();
        bed.options.bounds.store.audit_entries_max = Some(CUT_TO);
        let (one, _two) = log(&bed).await;
        if damage.contains("seq = 5") {
            meddle(&one, "DELETE FROM audit WHERE seq = 1").await;
        }
        outside(&one, sqlx::AssertSqlSafe(damage)).await;
        let before = one.entries(0, 10).await.unwrap();
        assert_eq!(one.trim(bed.clock.now()).await.unwrap().rows, 0, "{damage}");
        assert_eq!(one.entries(0, 10).await.unwrap(), before);
        assert!(one.verify().await.unwrap().broken.is_some());
    }
}

#[tokio::test]
async fn what_nobody_has_seen_is_found_when_its_process_goes_on() {
    let (_bed, file, two) = looking().await;
    what_nobody_has_seen(&file, &file.0, &two).await;
    two.append(note("later")).await.unwrap();
    assert!(
        matches!(file.0.verify().await.unwrap().broken, Some(Broken::Gap { .. })),
        "it knows where it was"
    );
}

/// How many other chains each entry tells of: two processes' in turns, then one of the second's again.
async fn told(every: Duration) -> Vec<Option<usize>> {
    let mut bed = Bed::new();
    bed.options.bounds.store.anchor_every = every;
    let (one, two) = (bed.store().await, bed.store().await);
    for _ in 0..2 {
        one.append(note("one")).await.unwrap();
        two.append(note("two")).await.unwrap();
    }
    two.append(note("two")).await.unwrap();
    assert_eq!(two.verify().await, Ok(Verified { entries: 5, broken: None }));
    let entries = one.entries(0, 10).await.unwrap();
    entries.iter().map(|entry| entry.anchors.as_ref().map(|told| told.iter().count())).collect()
}

#[tokio::test]
async fn entries_tell_of_others_where_there_is_something_new() {
    assert_eq!(told(Duration::ZERO).await, [Some(0), Some(1), Some(1), Some(1), None]);
    let first_ones = told(Duration::from_secs(3_600)).await;
    assert_eq!(first_ones, [Some(0), Some(1), None, None, None], "a chain's first entry, and then so often");
}

#[tokio::test]
async fn a_process_of_one_entry_has_seen_the_one_before() {
    let bed = Bed::new();
    for _ in 0..3 {
        let store = bed.store().await;
        store.append(note("done")).await.unwrap();
        store.close().await;
    }
    let store = bed.store().await;
    let ends: Vec<_> = store.entries(0, 10).await.unwrap();
    meddle(&store, "DELETE FROM audit_heads WHERE chain = (SELECT chain FROM audit WHERE seq = 2)").await;
    let file = File(store);
    file.meddle(&format!("DELETE FROM audit WHERE seq = 2; {}", file.renumbering())).await;
    assert_eq!(ends.len(), 3);
    assert_eq!(file.0.verify().await.unwrap().broken, Some(Broken::Unseen { seq: 2 }));
}
