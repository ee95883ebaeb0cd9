//! keyherd's domain, its verbs and its ports.
//!
//! Pure rooms ([`credential`], [`provider`], [`refresh`], [`pool`], [`upstream`], [`audit`]; [`policy`], [`approval`])
//! take data and give data; `now` is a parameter.
//! Above them [`broker`] holds the verbs, which alone await. [`ports`] are what the verbs need of the world; adapters
//! implement them. Nothing here opens a socket, speaks SQL or HTTP, or reads a clock.

pub mod agent;
pub mod approval;
pub mod audit;
pub mod binding;
pub mod broker;
pub mod channel;
#[cfg(any(test, feature = "fakes"))]
pub mod contract;
#[doc(hidden)]
pub mod crash;
pub mod credential;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
pub mod host;
pub mod ids;
pub mod phantom;
pub mod policy;
pub mod pool;
pub mod ports;
pub mod provider;
pub mod refresh;
pub mod secret;
pub mod seldom;
pub mod spell;
pub mod time;
pub mod upstream;
pub mod workers;
