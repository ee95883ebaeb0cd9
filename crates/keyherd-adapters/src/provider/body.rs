//! An answer's body: collected within a bound, and freed of its content coding within the same bound.
//!
//! Owns the bounds on both sides of a coding. What passes through here is wiped when it is dropped.

use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use keyherd_core::provider::Body;
use zeroize::Zeroizing;

use super::decode::{Coding, Decoded};

/// How many content codings may lie over one another.
pub const CODINGS_MAX: usize = 2;

/// A body as it came over the wire.
pub(super) enum Encoded {
    Complete(Zeroizing<Vec<u8>>),
    TooLarge,
}

/// Reads a body to its end, or until it is longer than `len_max`.
pub(super) async fn collect(mut incoming: Incoming, len_max: usize) -> Result<Encoded, hyper::Error> {
    if usize::try_from(incoming.size_hint().lower()).map_or(true, |announced| announced > len_max) {
        return Ok(Encoded::TooLarge);
    }
    let mut bytes = Bounded::new(len_max);
    while let Some(frame) = incoming.frame().await {
        // A frame without data holds trailers: nothing of ours.
        if frame?.data_ref().is_some_and(|data| bytes.push(data).is_err()) {
            return Ok(Encoded::TooLarge);
        }
    }
    Ok(Encoded::Complete(bytes.into_inner()))
}

/// Undoes the codings that the head names (RFC 9110, section 8.4), the last one first.
pub(super) async fn decode(headers: &HeaderMap, mut bytes: Zeroizing<Vec<u8>>, len_max: usize) -> Body {
    let Some(codings) = codings(headers) else { return Body::Undecodable };
    for coding in codings.into_iter().rev() {
        bytes = match coding.undo(&bytes, len_max).await {
            Decoded::Complete(bytes) => bytes,
            Decoded::TooLarge => return Body::TooLarge,
            Decoded::Broken => return Body::Undecodable,
        };
    }
    Body::Bytes(bytes)
}

/// `None`: one of them is unknown, or they are too many.
fn codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let words = value.to_str().ok()?.split(',').map(str::trim);
        for word in words.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("identity")) {
            codings.push(Coding::parse(word)?);
        }
    }
    (codings.len() <= CODINGS_MAX).then_some(codings)
}

/// Bytes up to a bound. Where it grows, the smaller copy is wiped: a plain `Vec` would leave it in free memory.
pub(super) struct Bounded {
    bytes: Zeroizing<Vec<u8>>,
    len_max: usize,
}

/// More than the bound allows.
pub(super) struct TooLarge;

impl Bounded {
    pub(super) fn new(len_max: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(len_max.min(4_096))), len_max }
    }

    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), TooLarge> {
        let len = self.bytes.len().saturating_add(data.len());
        if len > self.len_max {
            return Err(TooLarge);
        }
        if len > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(len.saturating_mul(2).min(self.len_max)));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    pub(super) fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}
