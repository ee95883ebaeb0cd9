//! Who keyherd is to its agents, where it reads what they encrypt: an authority of its own, a leaf a host.
//!
//! Owns certificates towards agents. Upstreams are verified elsewhere, and never by this authority.

mod authority;
mod hello;
mod leaf;
mod names;
mod together;

pub use self::authority::{Authority, AuthorityError, Constraint, Life};
pub use self::hello::{Hello, HelloError};
pub use self::leaf::{LeafError, LeafLimits, Leaves, Protocols};
pub use self::names::{Names, NamesError};
pub use self::together::Together;

#[cfg(test)]
mod tests;
