//! The forward proxy: one listener for HTTP in absolute form, CONNECT and SOCKS5, told apart by their first byte.
//!
//! Owns connections: who calls, whom they dial, and whether what follows is read or passes as it is. What becomes of a
//! request that is read, and in which words one is refused, [`Answers`] say; who may go where, [`Ways`]. Never looks up a name twice, never dials an
//! address that the judgement over it did not let through, and reads nothing of what it tunnels.

mod address;
mod arrived;
mod body;
mod connection;
mod dial;
mod dialled;
mod door;
mod http1;
mod intercept;
mod limits;
mod parts;
mod prefixed;
mod socks5;
mod tunnel;

pub use keyherd_core::host::AddressKind as Kind;

pub use self::address::{NotDialled, dialable, is_ours};
pub use self::body::{ForwardBody, streaming};
pub use self::dial::{DialError, Dialler, Neighbours};
pub use self::dialled::{BadDialled, Dialled};
pub use self::door::Forward;
pub use self::limits::ForwardLimits;
pub use self::parts::{Answers, Asked, Away, ForwardParts, Leave, Scheme, TurnedAway, Way, Ways};

#[cfg(test)]
mod tests;
