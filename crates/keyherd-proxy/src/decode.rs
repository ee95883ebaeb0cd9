//! Content codings (RFC 9110, section 8.4.1), undone beside a body that passes as it came.
//!
//! Owns how far an encoded text is read: within a bound, and as far as it has arrived. Never changes what passes.

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use keyherd_core::provider::Body;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Codings one over the other, at most.
const CODINGS_MAX: usize = 3;
/// The largest window of a zstd text: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What one step decodes at most, in bytes.
const STEP_LEN: usize = 4_096;

/// How a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// There is more than the bound.
    Long,
    /// It broke off, or is not in that coding.
    Torn,
}

/// Whether a body passes in a coding that hides its text.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    codings(headers).next().is_some()
}

/// A whole body's text.
pub(crate) async fn whole(headers: &HeaderMap, bytes: Vec<u8>, len_max: usize) -> Body {
    match undone(headers, bytes, len_max).await {
        (bytes, End::Whole) => Body::from(bytes),
        (_, End::Long) => Body::TooLarge,
        (_, End::Torn) => Body::Undecodable,
    }
}

/// The beginning of a text of which more may come.
pub(crate) async fn beginning(headers: &HeaderMap, bytes: Vec<u8>, len_max: usize) -> Vec<u8> {
    undone(headers, bytes, len_max).await.0
}

fn codings(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter().filter_map(|line| line.to_str().ok());
    let words = lines.flat_map(|line| line.split(',')).map(str::trim);
    words.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("identity"))
}

async fn undone(headers: &HeaderMap, mut bytes: Vec<u8>, len_max: usize) -> (Vec<u8>, End) {
    let codings: Vec<&str> = codings(headers).collect();
    if codings.len() > CODINGS_MAX {
        return (Vec::new(), End::Torn);
    }
    let mut end = End::Whole;
    for coding in codings.into_iter().rev() {
        let (text, how) = undo(coding, &bytes, len_max).await;
        (bytes, end) = (text, if end == End::Whole { how } else { end });
    }
    (bytes, end)
}

async fn undo(coding: &str, coded: &[u8], len_max: usize) -> (Vec<u8>, End) {
    if coded.is_empty() {
        // Nothing at all is an empty text in every coding.
        return (Vec::new(), End::Whole);
    }
    match coding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => drain(GzipDecoder::new(coded), len_max).await,
        "br" => drain(BrotliDecoder::new(coded), len_max).await,
        "zstd" => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
            drain(ZstdDecoder::with_params(coded, &[window]), len_max).await
        }
        "deflate" => deflated(coded, len_max).await,
        _ => (Vec::new(), End::Torn),
    }
}

/// `deflate` is zlib's frame (RFC 1950); some send it bare (RFC 1951).
async fn deflated(coded: &[u8], len_max: usize) -> (Vec<u8>, End) {
    let framed = drain(ZlibDecoder::new(coded), len_max).await;
    if framed.1 == End::Torn && framed.0.is_empty() {
        return drain(DeflateDecoder::new(coded), len_max).await;
    }
    framed
}

async fn drain(decoder: impl AsyncRead, len_max: usize) -> (Vec<u8>, End) {
    let mut decoder = std::pin::pin!(decoder);
    let (mut text, mut step) = (Vec::new(), [0; STEP_LEN]);
    loop {
        match decoder.read(&mut step).await {
            Ok(0) => return (text, End::Whole),
            Ok(len) => text.extend_from_slice(step.get(..len).unwrap_or_default()),
            Err(_) => return (text, End::Torn),
        }
        if text.len() > len_max {
            text.truncate(len_max);
            return (text, End::Long);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::{
        BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
    };
    use tokio::io::AsyncWriteExt;

    use super::*;

    const TEXT: &str = r#"{"error":{"code":"insufficient_quota"}}"#;

    fn headers(coding: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().expect("is a value"))])
    }

    macro_rules! encoded {
        ($encoder:ident, $bytes:expr, $end:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all($bytes).await.expect("is in memory");
            encoder.$end().await.expect("is in memory");
            encoder.into_inner()
        }};
    }

    #[track_caller]
    fn text(body: &Body) -> &str {
        match body {
            Body::Bytes(bytes) => std::str::from_utf8(bytes).expect("is text"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn every_coding() {
        let bytes = TEXT.as_bytes();
        let coded = [
            ("gzip", encoded!(GzipEncoder, bytes, shutdown)),
            ("br", encoded!(BrotliEncoder, bytes, shutdown)),
            ("zstd", encoded!(ZstdEncoder, bytes, shutdown)),
            ("deflate", encoded!(ZlibEncoder, bytes, shutdown)),
            ("deflate", encoded!(DeflateEncoder, bytes, shutdown)),
            ("identity", bytes.to_vec()),
        ];
        for (coding, bytes) in coded {
            assert_eq!(text(&whole(&headers(coding), bytes.clone(), 100).await), TEXT, "{coding}");
        }
        let twice = encoded!(BrotliEncoder, &encoded!(GzipEncoder, bytes, shutdown), shutdown);
        assert_eq!(text(&whole(&headers("gzip, br"), twice, 100).await), TEXT);
        for coding in ["gzip", "br", "zstd", "deflate"] {
            assert_eq!(text(&whole(&headers(coding), Vec::new(), 100).await), "", "{coding}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_torn() {
        let bomb = encoded!(GzipEncoder, &[b' '; 1_000_000], shutdown);
        assert!(matches!(whole(&headers("gzip"), bomb, 1_000).await, Body::TooLarge));
        for coding in ["gzip", "br", "zstd", "deflate", "unheard-of", "gzip,gzip,gzip,gzip"] {
            let body = whole(&headers(coding), b"no such thing".to_vec(), 100).await;
            assert!(matches!(body, Body::Undecodable), "{coding}: {body:?}");
        }
    }

    #[tokio::test]
    async fn a_beginning_is_read_as_far_as_it_came() {
        for coding in ["gzip", "zstd", "br"] {
            let bytes = match coding {
                "gzip" => encoded!(GzipEncoder, TEXT.as_bytes(), flush),
                "zstd" => encoded!(ZstdEncoder, TEXT.as_bytes(), flush),
                _ => encoded!(BrotliEncoder, TEXT.as_bytes(), flush),
            };
            assert_eq!(beginning(&headers(coding), bytes, 1_000).await, TEXT.as_bytes(), "{coding}");
        }
    }
}
