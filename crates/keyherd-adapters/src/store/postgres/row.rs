//! Values into PostgreSQL, each with its type, and its rows as the rooms read them.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, to_sql_checked};

use crate::postgres::{Param, Row as WireRow, Type};
use crate::store::fault::Fault;
use crate::store::statement::{Column, Columns, Row, Shared, Value};

/// The values with the types that the statement gives them, so that nothing has to be asked before it is run.
pub(super) fn params(values: &[Value]) -> Vec<Param<'_>> {
    values.iter().map(param).collect()
}

fn param(value: &Value) -> Param<'_> {
    match value {
        Value::Int(value) => (value, Type::INT8),
        Value::Text(value) => (value, Type::TEXT),
        Value::Shared(value) => (value, Type::TEXT),
        Value::Bytes(value) => (value, Type::BYTEA),
        Value::Bool(value) => (value, Type::BOOL),
        Value::Column(Column::Ints(values)) => (values, Type::INT8_ARRAY),
        Value::Column(Column::Texts(values)) => (values, Type::TEXT_ARRAY),
        Value::Column(Column::Bytes(values)) => (values, Type::BYTEA_ARRAY),
        Value::Column(Column::Bools(values)) => (values, Type::BOOL_ARRAY),
    }
}

impl ToSql for Shared {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        (&*self.0).to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

pub(super) fn neutral(rows: Vec<WireRow>) -> Vec<Row> {
    rows.into_iter().map(|row| Row::new(ServerRow(row))).collect()
}

/// A row of PostgreSQL's.
struct ServerRow(WireRow);

impl ServerRow {
    /// The driver's own texts may quote a value: the column alone is told.
    fn read<'r, T>(&'r self, column: &'static str) -> Result<Option<T>, Fault>
    where
        Option<T>: tokio_postgres::types::FromSql<'r>,
    {
        let unreadable =
            |_| Fault::Damaged(format!("column '{column}' is missing or of another type than keyherd's"));
        self.0.try_get(column).map_err(unreadable)
    }
}

impl Columns for ServerRow {
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
