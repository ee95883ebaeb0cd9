//! Forgeries of the audit log by one who can write to the database, knows this program and has no key; for the tests of
//! every engine.

use async_trait::async_trait;
use keyherd_core::audit::{Broken, Entry};
use keyherd_core::ports::store::{AuditStore, EventStore};

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

/// The most entries of a log that is trimmed here.
pub(in crate::store) const CUT_TO: u64 = 4;

/// The same entries, cut through the third, then two more, cut through the sixth; each cut is an entry itself. What was
/// recorded of the first cut was copied to `older_heads` and `older_floor`.
async fn cut(forge: &dyn Forge, one: &SqlStore, two: &SqlStore) -> Vec<Entry> {
    written(forge, one, two).await;
    assert_eq!(one.trim(one.clock.now()).await.unwrap().rows, 3);
    let copy = "CREATE TABLE older_heads AS SELECT * FROM audit_heads; \
                CREATE TABLE older_floor AS SELECT * FROM audit_floor";
    forge.meddle(copy).await;
    two.append(note("done")).await.unwrap();
    one.append(note("done")).await.unwrap();
    assert_eq!(two.trim(two.clock.now()).await.unwrap().rows, 3);
    assert_eq!(two.trim(two.clock.now()).await.unwrap().rows, 0);
    let entries = one.entries(0, 10).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| (entry.seq, entry.place)).collect::<Vec<_>>(),
        [(7, 4), (8, 4), (9, 5), (10, 5)]
    );
    assert_eq!(one.verify().await.unwrap().broken, None);
    entries
}

fn forged_cuts(entries: &[Entry]) -> Vec<Forgery> {
    let (one, two) = (entries[0].chain.as_i64(), entries[1].chain.as_i64());
    let of = |table: &str, chain: i64| {
        let column =
            |name| format!("floor_{name} = (SELECT floor_{name} FROM {table} WHERE chain = {chain})");
        ["place", "hash", "sees", "seal"].map(column).join(", ")
    };
    let older = |chain| format!("UPDATE audit_heads SET {} WHERE chain = {chain}", of("older_heads", chain));
    let none =
        "UPDATE audit_heads SET floor_place = NULL, floor_hash = NULL, floor_sees = NULL, floor_seal = NULL";
    let is_gap = |broken: &Broken| *broken == Broken::Gap { seq: 7 };
    let is_floor = |broken: &Broken| matches!(broken, Broken::Floor { .. });
    let forgery = |what, sql: String, is_found| Forgery { what, sql, is_found };
    vec![
        forgery("an older floor of a chain", older(one), is_gap),
        forgery(
            "all older floors",
            format!(
                "{}; {}; UPDATE audit_floor SET seq = (SELECT seq FROM older_floor), \
                 seal = (SELECT seal FROM older_floor)",
                older(one),
                older(two)
            ),
            is_gap,
        ),
        forgery("no floors", format!("{none}; DELETE FROM audit_floor"), is_gap),
        forgery("no floor of the log", "DELETE FROM audit_floor".into(), is_floor),
        forgery("no floor of a chain", format!("{none} WHERE chain = {one}"), is_gap),
        forgery("a removed beginning", "DELETE FROM audit WHERE seq <= 8".into(), |broken| {
            *broken == Broken::Gap { seq: 9 }
        }),
        forgery(
            "a removed beginning with a floor for it",
            format!(
                "UPDATE audit_heads SET floor_place = 4, floor_hash = (SELECT hash FROM audit WHERE seq = 7) \
                 WHERE chain = {one}; DELETE FROM audit WHERE seq = 7"
            ),
            is_floor,
        ),
        forgery(
            "a chain's end for its floor",
            format!(
                "UPDATE audit_heads SET floor_place = place, floor_hash = hash, floor_seal = seal WHERE chain = {one}; \
                 DELETE FROM audit WHERE chain = {one}"
            ),
            is_floor,
        ),
        forgery(
            "another chain's floor",
            format!("UPDATE audit_heads SET {} WHERE chain = {one}", of("audit_heads", two)),
            is_floor,
        ),
        forgery("a chain that sees nothing", "UPDATE audit_heads SET floor_sees = FALSE".into(), is_floor),
        forgery("a higher floor of the log", "UPDATE audit_floor SET seq = 7".into(), is_floor),
        forgery("all that there is", "DELETE FROM audit".into(), |broken| {
            *broken == Broken::Truncated { seq: 0 }
        }),
        forgery("an edited entry", "UPDATE audit SET subject = 'x' WHERE seq = 8".into(), |broken| {
            *broken == Broken::Edited { seq: 8 }
        }),
        forgery(
            "an end that is not sealed",
            format!(
                "DELETE FROM audit WHERE seq = 10; UPDATE audit_heads SET place = 4, seal = NULL, \
                 hash = (SELECT hash FROM audit WHERE seq = 8) WHERE chain = {two}"
            ),
            |broken| matches!(broken, Broken::Truncated { .. }),
        ),
    ]
}

pub(in crate::store) const FORGED_CUTS: usize = 14;

/// Commits the forgery of that number in a log that was cut, and sees it found.
pub(in crate::store) async fn is_found_above_a_cut(
    forge: &dyn Forge,
    number: usize,
    one: &SqlStore,
    two: &SqlStore,
) {
    let entries = cut(forge, one, two).await;
    let mut forgeries = forged_cuts(&entries);
    assert_eq!(forgeries.len(), FORGED_CUTS);
    let Forgery { what, sql, is_found } = forgeries.swap_remove(number);
    forge.meddle(&sql).await;
    let broken = one.verify().await.unwrap().broken;
    assert!(broken.as_ref().is_some_and(is_found), "{what}: {broken:?}");
}
