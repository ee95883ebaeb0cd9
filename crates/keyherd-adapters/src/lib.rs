//! keyherd's ports made real: the stores, the coordinators, the provider's HTTP client, the journal, profiles, sealing.
//!
//! Each module implements one port of [`keyherd_core`] with one technology. Adapters never call a verb and never
//! name a door.

pub mod coordinator;
pub mod courier;
pub mod durable;
pub mod journal;
pub mod postgres;
pub mod profile;
pub mod provider;
pub mod seal;
pub mod signer;
pub mod store;
pub mod system;
#[cfg(any(test, feature = "test-servers"))]
pub mod testing;
