//! Answers on their way back: a real secret of ours becomes what stands in its place, the agent's phantom mostly.
//!
//! Owns which answers are read: text, by its media type or, where that says nothing of text, by how it begins; in any coding
//! that can be undone, and as it stands in others. Not read, and said so in SECURITY.md: gRPC, images, sound and other media,
//! ranges, and what comes after a connection has gone on in another protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue,
};
use http::response::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use keyherd_core::phantom::{Hit, Needles, Place, hits};

use super::decode::{DecodeLimits, Decoded, codings};
use super::rewrite::Rewriting;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much of a beginning tells whether it is one of a text, in bytes.
const BEGINNING_LEN: usize = 1_024;

/// An answer's body, looked through.
pub type Scrubbed = UnsyncBoxBody<Bytes, Error>;

/// What is looked for in one answer.
pub struct Wanted {
    /// When it begins.
    pub now: Arc<Needles>,
    /// As it goes on: an answer may last for longer than a token.
    pub later: Renewed,
}

/// What is looked for, whenever it is asked.
pub type Renewed = Arc<dyn Fn() -> Arc<Needles> + Send + Sync>;

/// Whether an answer's body is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is a text, in which secrets stand so.
    As(Place),
    /// It is, if it begins like one.
    ByBeginning,
    /// It is not.
    Never,
}

/// What vouches for a body's bytes, which may not be the same any more.
const VOUCHERS: [HeaderName; 4] = [
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
];

impl Reading {
    /// By what an answer's head says. A coded text of which nobody says that it is one is read: its beginning does not tell.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        Self::by(status, headers, kind(headers))
    }

    /// The same of a body that is read as it stands. `None`: it has a coding, or is in UTF-16.
    pub fn plainly(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let kind = kind(headers);
        let is_plain = !headers.contains_key(CONTENT_ENCODING) && !is_utf16(kind);
        is_plain.then(|| Self::by(status, headers, kind))
    }

    fn by(status: StatusCode, headers: &HeaderMap, kind: &str) -> Self {
        let is_part = status.as_u16() == 206 || headers.contains_key(CONTENT_RANGE);
        // 204 and 304 have no body, and what their headers say is of another answer.
        if is_part || matches!(status.as_u16(), 101 | 204 | 304) {
            return Self::Never;
        }
        match Place::of_media_type(kind) {
            // Escapes are not read there.
            Some(_) if is_utf16(kind) => Self::As(Place::Text),
            Some(place) => Self::As(place),
            None if Place::is_never_in(kind) => Self::Never,
            None if codings(headers).is_ok_and(|codings| !codings.is_empty()) => Self::As(Place::Json),
            None => Self::ByBeginning,
        }
    }
}

/// Whether a body that begins so may be a text: it has none of the bytes that are in no text (WHATWG, MIME Sniffing, "binary
/// data byte").
pub fn begins_like_text(beginning: &[u8]) -> bool {
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31);
    // Without a branch for each byte, so that many are looked at together: most have none below a blank.
    let has_controls = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | (*byte < b' '));
    let beginning = beginning.get(..BEGINNING_LEN).unwrap_or(beginning);
    !beginning.chunks(64).any(|bytes| has_controls(bytes) && bytes.iter().any(is_binary))
}

/// Looks through an answer that is text: its headers at once, its body as it passes.
pub fn scrub<B>(head: &mut Parts, body: B, place: Place, wanted: Wanted, limits: DecodeLimits) -> Scrubbed
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error>,
{
    scrub_headers(&mut head.headers, &wanted.now);
    VOUCHERS.iter().for_each(|name| drop(head.headers.remove(name)));
    let wanted = if is_utf16(kind(&head.headers)) { wanted.in_utf16() } else { wanted };
    // What nobody here can undo is looked through as it stands: it may be no coding at all.
    let codings = codings(&head.headers).unwrap_or_default();
    if codings.is_empty() {
        return rewriting(body, place, wanted).map_err(Into::into).boxed_unsync();
    }
    // It goes on without its codings: other bytes, of which no part can be asked for.
    [CONTENT_ENCODING, ACCEPT_RANGES, ETAG].iter().for_each(|name| drop(head.headers.remove(name)));
    rewriting(Decoded::new(body, &codings, limits), place, wanted).boxed_unsync()
}

impl Wanted {
    /// In that rare spelling only what is known when it begins.
    fn in_utf16(self) -> Self {
        let now = Arc::new(self.now.in_utf16());
        Self {
            later: {
                let now = Arc::clone(&now);
                Arc::new(move || Arc::clone(&now))
            },
            now,
        }
    }
}

fn rewriting<B>(body: B, place: Place, wanted: Wanted) -> Rewriting<B, Needles> {
    let Wanted { now, later } = wanted;
    let instead = |instead: &Arc<str>, into: &mut Vec<u8>| into.extend_from_slice(instead.as_bytes());
    Rewriting::new(body, now, place, instead).renewed_by(later)
}

/// An answer's media type, as far as it is text.
fn kind(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// Whether a text says that it is in UTF-16, where every second byte of a secret is another one.
fn is_utf16(kind: &str) -> bool {
    let Some((_, parameters)) = kind.split_once(';') else { return false };
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let charset = value.trim().trim_matches('"').as_bytes().get(..6);
        name.trim().eq_ignore_ascii_case("charset")
            && charset.is_some_and(|charset| charset.eq_ignore_ascii_case(b"utf-16"))
    })
}

/// Headers as they are, then with percent-encoding read, in whatever digits: a header may be a URL, or have one in it.
pub fn scrub_headers(headers: &mut HeaderMap, needles: &Needles) {
    for value in headers.values_mut() {
        let places: &[Place] = match memchr::memchr(b'%', value.as_bytes()) {
            Some(_) => &[Place::Header, Place::Query],
            None => &[Place::Header],
        };
        for &place in places {
            let found = hits(needles, place, value.as_bytes());
            if !found.is_empty()
                && let Ok(new) = HeaderValue::from_bytes(&scrubbed(value.as_bytes(), found))
            {
                *value = new;
            }
        }
    }
}

fn scrubbed(text: &[u8], found: Vec<Hit<Arc<str>>>) -> Vec<u8> {
    let (mut new, mut from) = (Vec::with_capacity(text.len()), 0);
    for Hit { span, what } in found {
        new.extend_from_slice(&text[from..span.start]);
        new.extend_from_slice(what.as_bytes());
        from = span.end;
    }
    new.extend_from_slice(&text[from..]);
    new
}
