//! Statements that a session knows by name, and sessions that turn out to be others.

use super::*;

/// A transaction of one read and one change.
async fn both(wire: &Wire, number: i64) -> Result<i64, WireError> {
    let tx = wire.begin().await?;
    let rows = tx.query("SELECT $1 + 1 AS next", &[(&number, Type::INT8)]).await?;
    tx.execute("UPDATE counter SET value = value + $1", &[(&number, Type::INT8)]).await?;
    tx.commit().await?;
    Ok(rows[0].get("next"))
}

/// The statements that the server has names for in the session of the only lane.
async fn named(wire: &Wire) -> Vec<String> {
    let rows =
        wire.read("SELECT statement FROM pg_prepared_statements ORDER BY statement", &[]).await.unwrap();
    rows.iter().map(|row| row.get("statement")).collect()
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
        assert_eq!(named(&wire).await.len(), expected);
        let rows = wire.read("SELECT value FROM counter", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, i64>("value"), 45);
    }
}

#[tokio::test]
async fn a_session_that_is_another_one_is_never_asked_by_name() {
    // What a pooler, or whoever shares the session, may have done to it.
    let spoilt = [
        // Another session altogether, in which our names are other statements.
        "DEALLOCATE ALL; RESET ALL; PREPARE s0 AS SELECT 0::bigint AS next; PREPARE s1 AS SELECT 0::bigint",
        "SET keyherd.session = 'another one'; UPDATE counter SET value = value",
        "DISCARD ALL",
        // Ours, and it forgot.
        "DEALLOCATE ALL",
    ];
    for spoil in spoilt {
        let wire = counter().await;
        wire.sessions_are_ours(true);
        for number in 0..6 {
            both(&wire, number).await.unwrap();
        }
        assert_eq!(named(&wire).await.len(), 2);
        // Outside of any transaction, as DISCARD wants it.
        for part in spoil.split("; ") {
            let loan = wire.0.take().await.unwrap();
            loan.client().unwrap().batch_execute(part).await.unwrap();
        }
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
