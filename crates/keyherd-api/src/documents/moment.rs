//! A point in time as documents write it: RFC 3339.

use std::fmt;

use keyherd_core::time::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// RFC 3339; written in UTC with `Z`, read with any numeric offset. Whole seconds, or milliseconds in three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(jiff::Timestamp);

impl Moment {
    /// The store's number for it.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.as_millisecond())
    }

    /// From RFC 3339 text. The last two days of the year 9999, which stand for "never" where people write them, are its
    /// end: the clock's own range ends there.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| end_of_time(text)).map(Self)
    }
}

/// What is past the range, and is written as a time otherwise.
fn end_of_time(text: &str) -> Option<jiff::Timestamp> {
    let rest = ["9999-12-31", "9999-12-30"].into_iter().find_map(|day| text.strip_prefix(day))?;
    format!("9999-12-29{rest}").parse::<jiff::Timestamp>().ok().map(|_| jiff::Timestamp::MAX)
}

impl From<Timestamp> for Moment {
    /// What lies past the year 9999 stands as its end.
    fn from(at: Timestamp) -> Self {
        let clamp = if at.as_millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(clamp))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millisecond() == 0 { write!(f, "{:.0}", self.0) } else { write!(f, "{:.3}", self.0) }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"2026-11-20T10:00:00Z\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
        Moment::parse(text).ok_or_else(|| {
            E::custom(
                "this is no RFC 3339 time: write it like 2026-11-20T10:00:00Z or 2026-11-20T11:00:00+01:00",
            )
        })
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339. Answers are in UTC; questions may have any numeric offset."))
            .into()
    }
}

impl ToSchema for Moment {}
