//! Values into SQLite, and its rows as the rooms read them.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Decode, Row as _, Sqlite, Type};

use crate::store::fault::Fault;
use crate::store::statement::{Columns, Statement, Value};

pub(super) type Bound = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// The statement in SQLite's dialect, with its values.
pub(super) fn bound(statement: Statement) -> Bound {
    with_values(sqlx::query(statement.sql.sqlite), statement.values)
}

pub(super) fn with_values(query: Bound, values: Vec<Value>) -> Bound {
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Bool(value) => query.bind(value),
    })
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
