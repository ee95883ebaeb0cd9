//! What the benches share: how time is taken, how a table is printed, and the two sides that are compared.
//!
//! Each bench is one file under `benches/`, named for the question it answers; it measures keyherd and a baseline in
//! the same run and prints both. Nothing here is part of keyherd, and no figure is written into code: only aims are.

mod accounts;
mod arguments;
pub mod baseline;
mod bulk;
pub mod cli;
mod counting;
pub mod figures;
pub mod fleet;
pub mod gateway;
mod heat;
mod installation;
mod loopback;
pub mod pgbench;
pub mod pools;
pub mod process;
mod report;
mod stopwatch;
mod wal;
pub mod worker;

pub use self::accounts::{Accounts, Tally, refresh_token};
pub use self::arguments::Arguments;
pub use self::bulk::imported;
pub use self::counting::{CountingStore, Counts};
pub use self::heat::heat;
pub use self::installation::{Ground, Installation, credential, document};
pub use self::loopback::{InProcessProvider, LoopbackProvider};
pub use self::report::{Report, Row, Verdict, ratio};
pub use self::stopwatch::Stopwatch;
pub use self::wal::wal_commits;
pub use self::worker::Worker;

/// Why a bench could not measure: it is told to whoever started it, and nothing else is done about it.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// What comes of measuring.
pub type Outcome<T = ()> = Result<T, Trouble>;
