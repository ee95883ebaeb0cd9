//! Stores: what the broker keeps, made real. One body of rooms over a small seam; one module per engine.
//!
//! Owns rows and transactions. Never decides what becomes of a credential: core does.

pub mod postgres;
pub mod sqlite;

mod dialect;
mod engine;
mod fault;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod forgery;
mod rooms;
mod sql;
mod statement;

pub use self::rooms::{Counts, CrowdBounds, Installation, SqlStore, StoreBounds};
