//! The contract on SQLite, and what only a file can do wrong.

mod bed;
mod contract;
