//! Who keyherd is to its agents, where it reads what they encrypt: an authority of its own, a leaf a host.
//!
//! Owns certificates towards agents. Upstreams are verified elsewhere, and never by this authority.

mod authority;
mod hello;
mod leaf;

pub use self::authority::{Authority, AuthorityError, Life};
pub use self::hello::{Hello, HelloError};
pub use self::leaf::{LeafError, LeafLimits, Leaves, Protocols};

#[cfg(test)]
mod tests;
