//! Forgeries of the audit log by one who can write to the database, knows this program and has no key; for the tests of
//! every engine.

use async_trait::async_trait;
use keyherd_core::audit::{Broken, Entry};
use keyherd_core::ports::store::AuditStore;

use super::SqlStore;
use super::fixtures::note;

/// Where a log is forged.
#[async_trait]
pub(in crate::store) trait Forge: Sync {
    /// Any SQL, committed.
    async fn meddle(&self, sql: &str);

    /// Has the log's numbers, and what is recorded of them, be without holes; where they always are.
    fn renumbering(&self) -> &'static str;
}

/// Two processes' entries in turns, three each: odd numbers by the first one. After the fourth the recorded ends were
/// copied to `old_heads`. Each entry tells what is new to its process of the other one's.
async fn written(forge: &dyn Forge, one: &SqlStore, two: &SqlStore) -> Vec<Entry> {
    for number in 0..6 {
        if number == 4 {
            forge.meddle("CREATE TABLE old_heads AS SELECT * FROM audit_heads").await;
        }
        let process = if number % 2 == 0 { one } else { two };
        process.append(note("done")).await.unwrap();
    }
    let entries = one.entries(0, 10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.place).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
    assert_eq!(one.verify().await.unwrap().broken, None);
    entries
}

struct Forgery {
    what: &'static str,
    sql: String,
    is_found: fn(&Broken) -> bool,
}

fn forgeries(entries: &[Entry]) -> Vec<Forgery> {
    let (one, two) = (entries[0].chain.as_i64(), entries[1].chain.as_i64());
    // What stands in the log for all to read.
    let back = |chain: i64, place: i64| {
        format!(
            "DELETE FROM audit WHERE chain = {chain} AND place > {place}; UPDATE audit_heads SET place = {place}, hash = \
             (SELECT hash FROM audit WHERE chain = {chain} AND place = {place}) WHERE chain = {chain}"
        )
    };
    let any = |_: &Broken| true;
    let forgery = |what, sql: String, is_found| Forgery { what, sql, is_found };
    vec![
        forgery("an edited entry", "UPDATE audit SET subject = 'x' WHERE seq = 3".into(), |broken| {
            *broken == Broken::Edited { seq: 3 }
        }),
        forgery(
            "an entry that has seen nothing",
            "UPDATE audit SET anchors = NULL WHERE seq = 4".into(),
            |broken| *broken == Broken::Edited { seq: 4 },
        ),
        forgery("a removed one", "DELETE FROM audit WHERE seq = 3".into(), |broken| {
            matches!(broken, Broken::Unseen { .. })
        }),
        forgery("a removed end, which was seen", back(one, 2), |broken| {
            matches!(broken, Broken::Unseen { .. })
        }),
        forgery("a removed end, which nobody has seen", back(two, 2), |broken| {
            matches!(broken, Broken::Truncated { .. })
        }),
        forgery(
            "the same with the end as it was recorded then",
            format!(
                "{}; UPDATE audit_heads SET seal = (SELECT o.seal FROM old_heads o WHERE o.chain = {one}) WHERE chain = {one}",
                back(one, 2)
            ),
            |broken| matches!(broken, Broken::Unseen { .. }),
        ),
        forgery(
            "an end without a seal",
            format!("{}; UPDATE audit_heads SET seal = NULL", back(two, 2)),
            |broken| matches!(broken, Broken::Truncated { .. }),
        ),
        forgery(
            "a whole chain",
            format!("DELETE FROM audit WHERE chain = {one}; DELETE FROM audit_heads WHERE chain = {one}"),
            |broken| matches!(broken, Broken::Unseen { .. }),
        ),
        forgery(
            "entries in each other's chains",
            format!(
                "UPDATE audit SET chain = CASE chain WHEN {one} THEN {two} ELSE {one} END WHERE seq IN (3, 4)"
            ),
            any,
        ),
        forgery(
            "entries in each other's places",
            format!("UPDATE audit SET place = 5 - place WHERE chain = {one} AND place IN (2, 3)"),
            any,
        ),
        forgery("all that there is", "DELETE FROM audit".into(), |broken| {
            matches!(broken, Broken::Truncated { .. })
        }),
    ]
}

pub(in crate::store) const FORGERIES: usize = 11;

/// Commits the forgery of that number, and sees it found.
pub(in crate::store) async fn is_found(forge: &dyn Forge, number: usize, one: &SqlStore, two: &SqlStore) {
    let entries = written(forge, one, two).await;
    let mut forgeries = forgeries(&entries);
    assert_eq!(forgeries.len(), FORGERIES);
    let Forgery { what, sql, is_found } = forgeries.swap_remove(number);
    forge.meddle(&format!("{sql}; {}", forge.renumbering())).await;
    let broken = one.verify().await.unwrap().broken;
    assert!(broken.as_ref().is_some_and(is_found), "{what}: {broken:?}");
}

/// What nobody has seen, taken away with an older copy of the end's record, is not found: SECURITY.md says so.
pub(in crate::store) async fn what_nobody_has_seen(forge: &dyn Forge, one: &SqlStore, two: &SqlStore) {
    let entries = written(forge, one, two).await;
    let chain = entries[1].chain.as_i64();
    let sql = format!(
        "DELETE FROM audit WHERE seq = 6; DELETE FROM audit_heads WHERE chain = {chain}; \
         INSERT INTO audit_heads SELECT * FROM old_heads WHERE chain = {chain}"
    );
    forge.meddle(&format!("{sql}; {}", forge.renumbering())).await;
    assert_eq!(one.verify().await.unwrap().broken, None);
}
