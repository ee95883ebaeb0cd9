//! Stores: what the broker keeps, made real. One module per engine; texts that run on every engine stand in `sql`.
//!
//! Owns rows and transactions. Never decides what becomes of a credential: core does.

pub mod sqlite;

mod sql;
