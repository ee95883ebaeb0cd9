//! Statements and rows as every engine has them: a text, its values, and columns read by name.
//!
//! Owns the four kinds of value that a store keeps. Never knows a driver: engines bind and read.

use std::sync::Arc;

use super::fault::Fault;

/// A statement's text in each engine's dialect. Most are the same in both; see [`super::dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// One value, typed even where it is NULL: PostgreSQL asks for the type before it sees a value.
#[derive(Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    /// One that others have too: thousands of rows say the same.
    Shared(Shared),
    Bytes(Option<Vec<u8>>),
    Bool(Option<bool>),
    /// Those of many rows, where an engine takes them.
    Column(Column),
}

/// One value of each of many rows, for a statement about all of them.
#[derive(Clone)]
pub(crate) enum Column {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Bools(Vec<Option<bool>>),
}

impl Column {
    fn of(values: impl Iterator<Item = Value>) -> Result<Self, Fault> {
        let mut values = values.peekable();
        Ok(match values.peek() {
            Some(Value::Int(_)) => Self::Ints(all(values, |value| match value {
                Value::Int(value) => Some(value),
                _ => None,
            })?),
            Some(Value::Text(_) | Value::Shared(_)) => Self::Texts(all(values, |value| match value {
                Value::Text(value) => Some(value),
                Value::Shared(Shared(value)) => Some(Some(value.to_string())),
                _ => None,
            })?),
            Some(Value::Bytes(_)) => Self::Bytes(all(values, |value| match value {
                Value::Bytes(value) => Some(value),
                _ => None,
            })?),
            Some(Value::Bool(_)) => Self::Bools(all(values, |value| match value {
                Value::Bool(value) => Some(value),
                _ => None,
            })?),
            Some(Value::Column(_)) | None => return Err(uneven()),
        })
    }
}

fn all<T>(values: impl Iterator<Item = Value>, read: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, Fault> {
    values.map(read).collect::<Option<_>>().ok_or_else(uneven)
}

fn uneven() -> Fault {
    Fault::Damaged("rows of unlike values cannot be written together".into())
}

/// A text that is bound without a copy of it.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<str>);

/// A statement with its values, `$1` first.
#[derive(Clone)]
pub(crate) struct Statement {
    pub(crate) sql: Sql,
    pub(crate) values: Vec<Value>,
}

pub(crate) fn query(sql: impl Into<Sql>) -> Statement {
    Statement { sql: sql.into(), values: Vec::new() }
}

/// A statement about many rows: one parameter for each of their values.
pub(crate) fn query_all(sql: impl Into<Sql>, rows: Vec<Vec<Value>>) -> Result<Statement, Fault> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Err(uneven());
    }
    let mut rows: Vec<_> = rows.into_iter().map(Vec::into_iter).collect();
    let columns =
        (0..width).map(|_| Column::of(rows.iter_mut().filter_map(Iterator::next)).map(Value::Column));
    Ok(Statement { sql: sql.into(), values: columns.collect::<Result<_, _>>()? })
}

impl Statement {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl From<Column> for Value {
    fn from(column: Column) -> Self {
        Self::Column(column)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Self::Shared(Shared(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}

/// An engine's row. A column that is missing or of another kind is damage, and its name is said; never its value.
pub(crate) trait Columns: Send + Sync {
    fn int(&self, column: &'static str) -> Result<Option<i64>, Fault>;
    fn text(&self, column: &'static str) -> Result<Option<&str>, Fault>;
    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, Fault>;
    fn boolean(&self, column: &'static str) -> Result<Option<bool>, Fault>;
}

/// A row, whatever engine it came from.
pub(crate) struct Row(Box<dyn Columns>);

impl Row {
    pub(crate) fn new(columns: impl Columns + 'static) -> Self {
        Self(Box::new(columns))
    }

    pub(crate) fn try_get<'r, T: Cell<'r>>(&'r self, column: &'static str) -> Result<T, Fault> {
        T::read(&*self.0, column)
    }
}

/// What a column is read as.
pub(crate) trait Cell<'r>: Sized {
    fn read(row: &'r dyn Columns, column: &'static str) -> Result<Self, Fault>;
}

macro_rules! cell {
    ($($kind:ty, $read:ident, $own:expr;)+) => {$(
        impl<'r> Cell<'r> for Option<$kind> {
            fn read(row: &'r dyn Columns, column: &'static str) -> Result<Self, Fault> {
                Ok(row.$read(column)?.map($own))
            }
        }

        impl<'r> Cell<'r> for $kind {
            fn read(row: &'r dyn Columns, column: &'static str) -> Result<Self, Fault> {
                Option::<$kind>::read(row, column)?.ok_or_else(|| Fault::missing(column))
            }
        }
    )+};
}

cell! {
    i64, int, std::convert::identity;
    bool, boolean, std::convert::identity;
    &'r str, text, std::convert::identity;
    String, text, str::to_owned;
    &'r [u8], bytes, std::convert::identity;
    Vec<u8>, bytes, <[u8]>::to_vec;
}
