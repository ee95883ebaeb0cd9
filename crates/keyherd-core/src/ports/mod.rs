//! What the verbs need of the world. Adapters implement these; the contract suites say what they must hold.

mod clock;
mod coordinator;
mod courier;
mod entropy;
mod journal;
mod profiles;
mod provider_client;
pub mod store;
mod token_signer;

pub use self::clock::Clock;
pub use self::coordinator::{Coordinator, Turn};
pub use self::courier::{Carried, Courier, Heard, Message, Undelivered, Words};
pub use self::entropy::Entropy;
pub use self::journal::{Aged, Journal, JournalEntry, JournalError};
pub use self::profiles::{ProfileError, ProfileShelf, Profiles, ShelfError, Shelved};
pub use self::provider_client::{CallLimits, Delivery, ProviderClient, SendGate};
pub use self::store::{Store, StoreError};
pub use self::token_signer::TokenSigner;
