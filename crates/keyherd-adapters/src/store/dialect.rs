//! Where two engines need two texts: the only place that names a dialect.
//!
//! A text is written once, as a macro over what differs, and expanded for each engine when it is compiled.

/// A text in both dialects. The macro is given three literals: the server's clock in milliseconds, what makes a look at
/// a chain `c` keep others from changing it until the transaction ends, and the rests of a credential `n` by scope, as
/// one JSON text.
///
/// SQLite has none of the first two: its clock is the caller's, and one writer at a time needs no row locks.
macro_rules! dialects {
    ($text:ident) => {
        $crate::store::statement::Sql {
            sqlite: $text!(
                "0",
                "",
                "(SELECT json_group_array(json_array(s.scope, s.until, s.reason)) \
                 FROM scoped_cooldowns s WHERE s.credential = n.id)"
            ),
            postgres: $crate::store::dialect::postgres!($text),
        }
    };
}

/// The same for PostgreSQL alone.
macro_rules! postgres {
    ($text:ident) => {
        $text!(
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            " FOR UPDATE OF c",
            "(SELECT CAST(json_agg(json_build_array(s.scope, s.until, s.reason)) AS TEXT) \
             FROM scoped_cooldowns s WHERE s.credential = n.id)"
        )
    };
}

pub(super) use {dialects, postgres};
