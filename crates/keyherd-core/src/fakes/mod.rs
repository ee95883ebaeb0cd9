//! Small working implementations of the ports, all in memory and all deterministic: for tests and simulation.
//!
//! Never part of a release build.

mod clock;
mod courier;
mod entropy;
mod journal;
mod memory_store;
mod profiles;
mod provider;
mod signer;
mod world;

pub use self::clock::PausedClock;
pub use self::courier::{RecordingCourier, Sent};
pub use self::entropy::SeededEntropy;
pub use self::journal::MemoryJournal;
pub use self::memory_store::{Backup, Installation, MemoryBell, MemoryStore, Terms};
pub use self::profiles::FixedProfiles;
pub use self::provider::{RotatingProvider, ScriptedProvider, granted, json_reply};
pub use self::signer::WordSigner;
pub use self::world::{Fleet, Host};
