//! Answers on their way back: a real secret of ours becomes the agent's phantom for it.
//!
//! Owns which answers are read: text, in a coding that can be undone. Not read, and said so in SECURITY.md: gRPC and other
//! media types that are no text, ranges, and what comes after a connection has gone on in another protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue,
};
use http::response::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Hit, NEEDLE_LEN_MIN, Needles, Place, hits};

use super::decode::{DecodeLimits, Decoded, codings};
use super::rewrite::Rewriting;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body, looked through or not.
pub type Scrubbed = UnsyncBoxBody<Bytes, Error>;

/// The agent's phantom for a credential. `None`: it has none, and gets nothing in the secret's place.
pub type Phantoms = Arc<dyn Fn(&Name) -> Option<Arc<str>> + Send + Sync>;

/// What vouches for a body's bytes, which may not be the same any more.
const VOUCHERS: [HeaderName; 4] = [
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
];

/// Looks through an answer: its headers at once, its body as it passes.
pub fn scrub<B>(
    head: &mut Parts,
    body: B,
    needles: &Arc<Needles>,
    phantoms: &Phantoms,
    limits: DecodeLimits,
) -> Scrubbed
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error>,
{
    scrub_headers(&mut head.headers, needles, phantoms);
    let (Some(place), Ok(codings)) = (place(head), codings(&head.headers)) else {
        return body.map_err(Into::into).boxed_unsync();
    };
    if body.is_end_stream() {
        return body.map_err(Into::into).boxed_unsync();
    }
    VOUCHERS.iter().for_each(|name| drop(head.headers.remove(name)));
    let phantoms = Arc::clone(phantoms);
    let rewrite = move |name: &Name, into: &mut Vec<u8>| {
        into.extend_from_slice(phantoms(name).unwrap_or_default().as_bytes());
    };
    if codings.is_empty() {
        return Rewriting::new(body, Arc::clone(needles), place, rewrite).map_err(Into::into).boxed_unsync();
    }
    // It goes on without its codings: other bytes, of which no part can be asked for.
    [CONTENT_ENCODING, ACCEPT_RANGES, ETAG].iter().for_each(|name| drop(head.headers.remove(name)));
    let decoded = Decoded::new(body, &codings, limits);
    Rewriting::new(decoded, Arc::clone(needles), place, rewrite).boxed_unsync()
}

/// Where tokens stand in an answer's body. `None`: it is not read.
fn place(head: &Parts) -> Option<Place> {
    let kind = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_whole = head.status.as_u16() != 206 && !head.headers.contains_key(CONTENT_RANGE);
    // 204 and 304 have no body, and what their headers say is of another answer.
    let has_body = !matches!(head.status.as_u16(), 101 | 204 | 304);
    Place::of_media_type(kind).filter(|_| is_whole && has_body)
}

/// As they are, then with percent-encoding read, in whatever digits: a header may be a URL, or have one in it.
fn scrub_headers(headers: &mut HeaderMap, needles: &Needles, phantoms: &Phantoms) {
    for value in headers.values_mut() {
        let is_short = value.len() < NEEDLE_LEN_MIN;
        let has_escapes = memchr::memchr(b'%', value.as_bytes()).is_some();
        let places: &[Place] = match (is_short, has_escapes) {
            (true, _) => &[],
            (false, true) => &[Place::Header, Place::Query],
            (false, false) => &[Place::Header],
        };
        for &place in places {
            let found = hits(needles, place, value.as_bytes());
            if !found.is_empty()
                && let Ok(new) = HeaderValue::from_bytes(&scrubbed(value.as_bytes(), found, phantoms))
            {
                *value = new;
            }
        }
    }
}

fn scrubbed(text: &[u8], found: Vec<Hit<Name>>, phantoms: &Phantoms) -> Vec<u8> {
    let (mut new, mut from) = (Vec::with_capacity(text.len()), 0);
    for Hit { span, what } in found {
        new.extend_from_slice(&text[from..span.start]);
        new.extend_from_slice(phantoms(&what).unwrap_or_default().as_bytes());
        from = span.end;
    }
    new.extend_from_slice(&text[from..]);
    new
}
