//! Values into SQLite, and its rows as the rooms read them.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Decode, Row as _, SqlSafeStr, Sqlite, Type};

use crate::store::fault::Fault;
use crate::store::statement::{Columns, Shared, Statement, Value};

pub(super) type Bound = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// The statement in SQLite's dialect, with its values.
pub(super) fn bound(statement: Statement) -> Bound {
    with_values(statement.sql.sqlite, statement.values)
}

pub(super) fn with_values(sql: impl SqlSafeStr, values: Vec<Value>) -> Bound {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        // None of these kinds can fail to be written down.
        let _ = match value {
            Value::Int(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Shared(Shared(value)) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::Bool(value) => arguments.add(value),
            // An engine without crowds is not given any.
            Value::Column(_) => arguments.add(None::<i64>),
        };
    }
    sqlx::query_with(sql, arguments)
}

/// A row of SQLite's.
pub(super) struct FileRow(pub(super) SqliteRow);

impl FileRow {
    /// sqlx's own texts name types, never values.
    fn read<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
        &'r self,
        column: &'static str,
    ) -> Result<Option<T>, Fault> {
        self.0.try_get(column).map_err(|error| Fault::Damaged(error.to_string()))
    }
}

impl Columns for FileRow {
    fn int(&self, column: &'static str) -> Result<Option<i64>, Fault> {
        self.read(column)
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, Fault> {
        self.read(column)
    }

    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, Fault> {
        self.read(column)
    }

    fn boolean(&self, column: &'static str) -> Result<Option<bool>, Fault> {
        self.read(column)
    }
}
