//! Statements that a session knows by name, and sessions that turn out to be others.

use super::lanes::LESSON_AFTER;
use super::*;

/// A transaction of one read and one change.
async fn both(wire: &Wire, number: i64) -> Result<i64, WireError> {
    let tx = wire.begin().await?;
    let rows = tx.query("SELECT $1 + 1 AS next", &[(&number, Type::INT8)]).await?;
    tx.execute("UPDATE counter SET value = value + $1", &[(&number, Type::INT8)]).await?;
    tx.commit().await?;
    Ok(rows[0].get("next"))
}

/// What a pooler, or whoever shares a session, may do to it.
const SPOILT: [&str; 4] = [
    // Another session altogether, in which our names are other statements.
    "DEALLOCATE ALL; RESET ALL; PREPARE s0 AS SELECT 0::bigint AS next; PREPARE s1 AS SELECT 0::bigint",
    "SET keyherd.session = 'another one'; UPDATE counter SET value = value",
    "DISCARD ALL",
    // Ours, and it forgot.
    "DEALLOCATE ALL",
];

/// Outside of any transaction, as DISCARD wants it.
async fn spoilt(wire: &Wire, spoil: &str) {
    for part in spoil.split("; ") {
        let loan = wire.0.take().await.unwrap();
        loan.client().unwrap().batch_execute(part).await.unwrap();
    }
}

/// The statements that the server has names for in the session of the only lane.
async fn named(wire: &Wire) -> Vec<String> {
    let rows = wire
        .read(
            "SELECT statement FROM pg_prepared_statements WHERE name NOT LIKE 'keyherd%' ORDER BY statement",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get("statement")).collect()
}

/// Waits until the only lane's session has learnt so many.
async fn learnt(wire: &Wire, number: usize) {
    while named(wire).await.len() < number {
        // It learns when it has rest.
        tokio::time::sleep(2 * LESSON_AFTER).await;
    }
}

/// The named statements that have no plan yet in the session of the only lane, and how many were planned for values.
async fn planned(wire: &Wire) -> (i64, i64) {
    let sql = "SELECT count(*) FILTER (WHERE generic_plans = 0), sum(custom_plans)::bigint FROM pg_prepared_statements WHERE name NOT LIKE 'keyherd%'";
    let rows = wire.read(sql, &[]).await.unwrap();
    (rows[0].get(0), rows[0].get(1))
}

async fn counter() -> Wire {
    let wire = ready(one_lane()).await;
    let tx = wire.begin().await.unwrap();
    tx.batch("CREATE TABLE counter (value BIGINT); INSERT INTO counter VALUES (0)").await.unwrap();
    tx.commit().await.unwrap();
    wire
}

#[tokio::test]
async fn statements_that_are_used_often_get_names_where_sessions_are_ours() {
    for (are_ours, expected) in [(false, 0), (true, 2)] {
        let wire = counter().await;
        wire.sessions_are_ours(are_ours);
        for number in 0..10 {
            assert_eq!(both(&wire, number).await.unwrap(), number + 1);
        }
        learnt(&wire, expected).await;
        if are_ours {
            assert_eq!(planned(&wire).await, (0, 0), "before they are used by their names");
            assert_eq!(both(&wire, 0).await, Ok(1));
            assert_eq!(planned(&wire).await, (0, 0));
        }
        let rows = wire.read("SELECT value FROM counter", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, i64>("value"), 45);
    }
}

#[tokio::test]
async fn a_session_that_never_rests_learns_all_the_same() {
    let wire = counter().await;
    wire.sessions_are_ours(true);
    // There is always one that waits for the lane.
    let busy = async || -> Result<(), WireError> {
        loop {
            both(&wire, 1).await?;
        }
    };
    let learnt = async { while named(&wire).await.len() < 2 {} };
    let bound = Duration::from_secs(60);
    tokio::select! {
        ended = async { tokio::join!(busy(), busy()) } => panic!("{ended:?}"),
        learnt = tokio::time::timeout(bound, learnt) => assert_eq!(learnt, Ok(()), "it never did"),
    }
}

#[tokio::test]
async fn plans_are_made_anew_when_tables_have_grown() {
    for (plan_age_max, expected) in [(Duration::from_secs(3_600), "Seq Scan"), (Duration::ZERO, "Index")] {
        let wire = ready(WireOptions { plan_age_max, ..one_lane() }).await;
        wire.sessions_are_ours(true);
        let tx = wire.begin().await.unwrap();
        tx.batch("CREATE TABLE grown (id BIGINT PRIMARY KEY); ANALYZE grown").await.unwrap();
        tx.commit().await.unwrap();
        let sql = "SELECT id FROM grown WHERE id = $1";
        let used = async || {
            for _ in 0..3 {
                wire.read(sql, &[(&1_i64, Type::INT8)]).await.unwrap();
            }
        };
        used().await;
        learnt(&wire, 1).await;
        spoilt(&wire, "INSERT INTO grown SELECT generate_series(1, 100000)").await;
        let name = "SELECT name FROM pg_prepared_statements WHERE statement = $1";
        let name: String = wire.read(name, &[(&sql, Type::TEXT)]).await.unwrap()[0].get(0);
        let plan = async || -> String {
            wire.read(&format!("EXPLAIN EXECUTE {name}(1)"), &[]).await.unwrap()[0].get(0)
        };
        for _ in 0..if plan_age_max.is_zero() { 50 } else { 2 } {
            used().await;
            if plan().await.contains("Index") {
                break;
            }
            // It is taught when it has rest.
            tokio::time::sleep(2 * LESSON_AFTER).await;
        }
        let plan = plan().await;
        assert!(plan.contains(expected), "{plan_age_max:?}: {plan}");
    }
}

#[tokio::test]
async fn a_session_that_is_another_one_is_never_asked_by_name() {
    for spoil in SPOILT {
        let wire = counter().await;
        wire.sessions_are_ours(true);
        for number in 0..6 {
            both(&wire, number).await.unwrap();
        }
        learnt(&wire, 2).await;
        spoilt(&wire, spoil).await;
        assert_eq!(both(&wire, 100).await, Err(WireError::Forgotten), "{spoil}");
        // Nothing of it was done, and from then on nothing is named.
        for number in 0..10 {
            assert_eq!(both(&wire, number).await.unwrap(), number + 1);
        }
        assert_eq!(named(&wire).await, Vec::<String>::new());
        let rows = wire.read("SELECT value FROM counter", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, i64>("value"), 15 + 45);
    }
}

#[tokio::test]
async fn a_read_by_a_name_that_is_lost_is_asked_in_full() {
    for spoil in SPOILT {
        let wire = counter().await;
        wire.sessions_are_ours(true);
        let read = async |number: i64| {
            let rows = wire.read("SELECT value + $1 AS next FROM counter", &[(&number, Type::INT8)]).await;
            rows.map(|rows| rows[0].get::<_, i64>("next"))
        };
        for number in 0..6 {
            assert_eq!(read(number).await, Ok(number));
        }
        learnt(&wire, 1).await;
        spoilt(&wire, spoil).await;
        assert_eq!(read(100).await, Ok(100), "{spoil}");
        // From then on nothing is named, and nothing of it is left open in the session.
        assert_eq!(both(&wire, 1).await, Ok(2), "{spoil}");
        assert_eq!(read(1).await, Ok(2), "{spoil}");
    }
}
