//! Where two engines need two texts: the only place that names a dialect.
//!
//! A text is written once, as a macro over what differs, and expanded for each engine when it is compiled.

/// A text in both dialects. The macro is given two literals: the server's clock in milliseconds, and what makes a
/// look at a chain `c` keep others from changing it until the transaction ends.
///
/// SQLite has neither: its clock is the caller's, and one writer at a time needs no row locks.
macro_rules! dialects {
    ($text:ident) => {
        $crate::store::statement::Sql {
            sqlite: $text!("0", ""),
            postgres: $text!(
                "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
                " FOR UPDATE OF c"
            ),
        }
    };
}

pub(super) use dialects;
