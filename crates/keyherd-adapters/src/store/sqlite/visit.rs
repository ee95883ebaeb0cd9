//! Several statements in one visit of a connection's thread.
//!
//! Each visit is two changes of thread, which cost more than most statements, and many times more where the cores are
//! busy: a claim that waits for its turn six times over is a herd that waits.

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Either, Executor, SqliteConnection};

use super::fault::FileFault;
use super::row::{Bound, bound, with_values};
use crate::store::fault::Fault;
use crate::store::statement::Statement;

/// What a statement did.
#[derive(Default)]
pub(super) struct Done {
    /// So many rows it changed; of a statement that changes none it says nothing.
    pub(super) changed: u64,
    pub(super) rows: Vec<SqliteRow>,
}

/// Runs them in their order and ends with the first that fails. There are as many ends as statements.
pub(super) async fn run_all(
    connection: &mut SqliteConnection,
    statements: Vec<Statement>,
) -> Result<Vec<Done>, FileFault> {
    let count = statements.len();
    let mut ends = Vec::with_capacity(count);
    let mut rows = Vec::new();
    let mut steps = connection.fetch_many(joined(statements));
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Right(row) => rows.push(row),
            Either::Left(end) => {
                ends.push(Done { changed: end.rows_affected(), rows: std::mem::take(&mut rows) });
            }
        }
    }
    if ends.len() != count {
        return Err(Fault::Damaged(format!("{} of {count} statements were run", ends.len())).into());
    }
    Ok(ends)
}

/// One text with all their values, each statement's numbered after those before it.
fn joined(mut statements: Vec<Statement>) -> Bound {
    if statements.len() == 1 {
        return bound(statements.remove(0));
    }
    let (mut text, mut values) = (String::new(), Vec::new());
    for statement in statements {
        push_renumbered(&mut text, statement.sql.sqlite, values.len());
        text.push(';');
        values.extend(statement.values);
    }
    // Made of our own texts, which are constants: only the numbers of the parameters differ.
    with_values(AssertSqlSafe(text), values)
}

/// Appends `sql` with `by` added to the number of each `$1`, `$2` …
fn push_renumbered(text: &mut String, sql: &str, by: usize) {
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        text.push('$');
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        match number.parse::<usize>() {
            Ok(number) => text.push_str(&(number + by).to_string()),
            Err(_none) => text.push_str(number),
        }
        text.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;
    use crate::store::statement::query;

    #[test]
    fn parameters_are_counted_on() {
        for (sql, by, expected) in [
            ("SELECT 1", 3, "SELECT 1"),
            ("SELECT $1, $2", 0, "SELECT $1, $2"),
            ("SELECT $1, $12 WHERE a = $1", 9, "SELECT $10, $21 WHERE a = $10"),
            ("$1$2", 1, "$2$3"),
            ("SELECT json_extract(a, '$.b') = $1", 4, "SELECT json_extract(a, '$.b') = $5"),
        ] {
            let mut text = String::new();
            push_renumbered(&mut text, sql, by);
            assert_eq!(text, expected);
        }
    }

    #[tokio::test]
    async fn each_has_its_own_values_and_its_own_end() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let all = || {
            vec![
                query("CREATE TABLE IF NOT EXISTS t (a INTEGER, b TEXT)"),
                query("INSERT INTO t VALUES ($1, $2), ($1, 'c')").bind(1_i64).bind("b"),
                query("UPDATE t SET a = $2 WHERE b = $1").bind("none").bind(7_i64),
                query("SELECT a, b FROM t WHERE b = $1").bind("b"),
            ]
        };
        for times in 1..=2 {
            let ends = run_all(&mut connection, all()).await.unwrap();
            let seen: Vec<_> = ends.iter().map(|end| (end.changed, end.rows.len())).collect();
            assert_eq!(seen[1..3], [(2, 0), (0, 0)]);
            assert_eq!(seen[3].1, times);
        }
    }

    #[tokio::test]
    async fn what_comes_after_a_failure_is_not_run() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        run_all(&mut connection, vec![query("CREATE TABLE t (a INTEGER UNIQUE)")]).await.unwrap();
        let insert = |value: i64| query("INSERT INTO t VALUES ($1)").bind(value);
        let failed = run_all(&mut connection, vec![insert(1), insert(1), insert(2)]).await;
        assert!(failed.is_err());
        let count = run_all(&mut connection, vec![query("SELECT a FROM t")]).await.unwrap();
        assert_eq!(count[0].rows.len(), 1);
    }
}
