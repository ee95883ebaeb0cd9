//! Phantoms: the stand-in tokens that agents hold, how they look, and how they are found again in what agents send.
//!
//! Owns their shapes ([`Shape`]), their minting ([`mint()`]), and the scanner that finds them in bytes cut anywhere
//! ([`Scanner`] over a [`Table`]), or real secrets on the way back ([`Scanner`] over [`Needles`]). Pure: never awaits,
//! never decides where a phantom may be swapped, and never holds the secret that a phantom stands for.
//!
//! What makes one: *lead* (what clients expect a token to begin with), *marker* (the same in all, so that one search
//! finds them), *key* (random), *tail* (nothing, or the rest of a JWT). All of it is letters, digits and `-._~`, which
//! neither URLs nor JSON nor headers need to escape (RFC 3986, section 2.3). A client that escapes them all the same is
//! understood too.

mod basic;
mod framing;
mod lineage;
mod mint;
mod needles;
mod place;
mod scan;
mod shape;
mod table;

pub use self::basic::HeaderText;
pub use self::framing::Framing;
pub use self::lineage::{id_token_of, phantom_of};
pub use self::mint::{Claims, mint};
pub use self::needles::{NEEDLE_LEN_MIN, Needle, Needles};
pub use self::place::{Place, Unfit};
pub use self::scan::{Alphabet, Hit, Piece, Scanner, Seek, View, hits};
pub use self::shape::{BadPhantom, KEY_LEN, LEAD_LEN_MAX, PHANTOM_LEN_MAX, Phantom, Shape};
pub use self::table::{Found, Table};

#[cfg(test)]
mod tests;
