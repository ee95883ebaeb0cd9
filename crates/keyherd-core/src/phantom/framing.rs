//! How a message's body is framed once its length may change.

use super::place::Place;

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It passes as it is, with the length that it says.
    AsIs,
    /// It is read whole, and says its new length.
    Buffered,
    /// It passes piece by piece, and says no length: chunked in HTTP/1.1, without `Content-Length` in HTTP/2.
    Streamed,
}

impl Framing {
    /// For a body of that announced length, where tokens may stand in that place. `buffer_max` in bytes: a receiver
    /// that wants a length gets one up to there (`proxy.buffer_max`).
    pub fn of(length: Option<u64>, place: Option<Place>, buffer_max: u64) -> Self {
        match (place, length) {
            (None, _) | (_, Some(0)) => Self::AsIs,
            (Some(_), Some(length)) if length <= buffer_max => Self::Buffered,
            (Some(_), _) => Self::Streamed,
        }
    }
}
