//! Phantoms out, secrets in, and back: on a message's head at once, on its body as it streams.
//!
//! Owns where in a message is looked and how its framing changes. Which secret stands for which phantom, the caller
//! says; a phantom for which it says none is taken out. Never keeps a body: what is held back is shorter than a phantom.

mod decode;
mod head;
mod rewrite;
mod scrub;

pub use self::decode::{DecodeLimits, Decoded};
pub use self::head::{HeadFinds, Misplaced, find_in_head, strip_trailers, swap_head};
pub use self::rewrite::{Rewrite, Rewriting};
pub use self::scrub::{Reading, Renewed, Scrubbed, Wanted, begins_like_text, scrub, scrub_headers};

#[cfg(test)]
mod tests;
