//! What stands around the gateway in its benches: an upstream, a bare reverse proxy, and keyherd with a way to the upstream.
//!
//! Each is a process of its own: the bench's program, started with a word.

mod bare;
mod place;
mod upstream;

pub use self::bare::serve_bare;
pub use self::place::Place;
pub use self::upstream::{ANSWER_LEN, serve_upstream};
